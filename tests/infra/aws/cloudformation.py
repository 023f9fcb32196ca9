"""CloudFormation: the types that carry passwords by reference, and the references themselves.

Moto passes ``{{resolve:secretsmanager:…}}`` on as it is; AWS fetches the secret.  So does this, and remembers what each
resource was given, so that a test can see that the broker's password is the one in Secrets Manager.
"""

from __future__ import annotations

import json
import re
from typing import Any, ClassVar

from moto.core.common_models import CloudFormationModel
from moto.mq.models import mq_backends
from moto.secretsmanager.models import secretsmanager_backends

Properties = dict[str, Any]
REFERENCE = re.compile(
    r"\{\{resolve:secretsmanager:(?P<arn>arn:[^:]+:[^:]+:[^:]+:[^:]+:secret:[^:}]+)"
    r":SecretString:(?P<key>[^:}]+)(?:::(?P<version>[^:}]+))?\}\}"
)


def resolved(text: str, account: str, region: str) -> str:
    """The secret that a reference names; raises when there is none, as a stack would fail."""
    found = REFERENCE.fullmatch(text)
    if found is None:
        raise ValueError(f"not a reference to a secret: {text}")
    secret = secretsmanager_backends[account][region].get_secret_value(found["arn"], found["version"] or "", "")
    return str(json.loads(secret["SecretString"])[found["key"]])


class Given:
    """A resource that is nothing but what it was given: what the three types below have in common.

    Moto looks for direct subclasses of its model, so this is not one.
    """

    identity: ClassVar[str]

    def __init__(self, properties: Properties) -> None:
        """Keep the properties."""
        self.properties = properties
        self.physical_resource_id = str(properties[self.identity])

    @staticmethod
    def cloudformation_name_type() -> str:
        """No name that CloudFormation would make up."""
        return ""

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        """None but Ref."""
        return False

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **kwargs: Any
    ) -> Given:
        """Fetch the passwords, as AWS does."""
        properties = dict(cloudformation_json["Properties"])
        if passwords := properties.get("Passwords"):
            properties["Passwords"] = [resolved(text, account_id, region_name) for text in passwords]
        return cls(properties)

    @classmethod
    def update_from_cloudformation_json(
        cls, original_resource: Any, new_resource_name: str, cloudformation_json: Any, account_id: str, region_name: str
    ) -> Given:
        """A new one in its place."""
        return cls.create_from_cloudformation_json(new_resource_name, cloudformation_json, account_id, region_name)

    @classmethod
    def delete_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str
    ) -> None:
        """Nothing is left behind."""

    def is_created(self) -> bool:
        """At once."""
        return True


class RedisUser(Given, CloudFormationModel):
    """Somebody who may log in to Redis."""

    identity = "UserId"

    @staticmethod
    def cloudformation_type() -> str:
        """The type's name in templates."""
        return "AWS::ElastiCache::User"


class RedisUserGroup(Given, CloudFormationModel):
    """Who may log in to one replication group."""

    identity = "UserGroupId"

    @staticmethod
    def cloudformation_type() -> str:
        """The type's name in templates."""
        return "AWS::ElastiCache::UserGroup"


class Broker(Given, CloudFormationModel):
    """RabbitMQ, made in moto's own Amazon MQ, so that its API shows it."""

    identity = "BrokerName"

    @staticmethod
    def cloudformation_type() -> str:
        """The type's name in templates."""
        return "AWS::AmazonMQ::Broker"

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        """What the template reads."""
        return attr == "AmqpEndpoints"

    def get_cfn_attribute(self, attribute: str) -> list[str]:
        """Where it is spoken to."""
        assert attribute == "AmqpEndpoints"
        return [f"amqps://{self.physical_resource_id}.mq.invalid:5671"]

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **kwargs: Any
    ) -> Broker:
        """Fetch the password and make the broker."""
        given = cloudformation_json["Properties"]
        users = [{**user, "Password": resolved(user["Password"], account_id, region_name)} for user in given["Users"]]
        broker = cls({**given, "Users": users})
        _, broker.physical_resource_id = mq_backends[account_id][region_name].create_broker(
            authentication_strategy=given["AuthenticationStrategy"],
            auto_minor_version_upgrade=given["AutoMinorVersionUpgrade"],
            broker_name=given["BrokerName"],
            configuration=None,
            deployment_mode=given["DeploymentMode"],
            encryption_options=given["EncryptionOptions"],
            engine_type=given["EngineType"],
            engine_version=given["EngineVersion"],
            host_instance_type=given["HostInstanceType"],
            ldap_server_metadata=None,
            logs=dict(given["Logs"]),
            maintenance_window_start_time=given["MaintenanceWindowStartTime"],
            publicly_accessible=given["PubliclyAccessible"],
            security_groups=given["SecurityGroups"],
            storage_type="EBS",
            subnet_ids=given["SubnetIds"],
            tags={},
            users=users,
        )
        return broker

    @classmethod
    def update_from_cloudformation_json(
        cls, original_resource: Any, new_resource_name: str, cloudformation_json: Any, account_id: str, region_name: str
    ) -> Broker:
        """The same broker, otherwise described: nothing that the template may change here makes another."""
        assert isinstance(original_resource, Broker)
        users = original_resource.properties["Users"]
        original_resource.properties = {**cloudformation_json["Properties"], "Users": users}
        return original_resource

    @classmethod
    def delete_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str
    ) -> None:
        """Away with it."""
        mq_backends[account_id][region_name].brokers.pop(resource_name, None)
