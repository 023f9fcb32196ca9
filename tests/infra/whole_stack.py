"""The whole of staging is made, looked at, changed, found changed by others, and destroyed, on a stand-in for AWS.

It takes minutes, most of them waits of the provider, so ``make test`` does not collect it: ``make test-infra`` does.
The tests are steps and run in this order.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from ops.settings import Settings
from tests.infra.conftest import skip
from tests.infra.tooling import ACCOUNT, REGION, Missing, Terraform, prepared, resources

TOP = Path(__file__).parents[2]
WIDE = "-parallelism=30"
KNOWN = "-refresh=false"  # right after an apply nothing is asked again
FIRST, SECOND = "-var=image_tag=0.1.0", "-var=image_tag=0.2.0"
# What the stand-in does of itself: IAM knows the policies of AWS, services have tasks, certificates are proven at once.
BEHAVIOUR = {
    "MOTO_IAM_LOAD_MANAGED_POLICIES": "true",
    "MOTO_ECS_SERVICE_RUNNING": "2",
    "MOTO_ACM_VALIDATION_WAIT": "1",
    "PYTHONPATH": str(TOP),
}

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The stand-in's address; it is stopped by its own process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.infra.aws"],
        env={**os.environ, **BEHAVIOUR},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout
    with process:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.send_signal(signal.SIGTERM)


class Cloud:
    """The stand-in as whoever does not use Terraform sees it."""

    def __init__(self, endpoint: str) -> None:
        """Speak to loopback only."""
        assert endpoint.startswith("http://127.0.0.1:")
        self._endpoint = endpoint

    def __call__(self, service: str) -> Any:
        """A client of one service."""
        return boto3.client(
            service,
            region_name=REGION,
            endpoint_url=self._endpoint,
            aws_access_key_id="nobody",
            aws_secret_access_key="nothing",
        )

    def secret(self, name: str) -> str:
        """What a secret holds now."""
        return str(self("secretsmanager").get_secret_value(SecretId=name)["SecretString"])

    def every_secret(self) -> dict[str, str]:
        """All that have a value."""
        found = {}
        for row in self("secretsmanager").list_secrets(MaxResults=100)["SecretList"]:
            try:
                found[row["Name"]] = self.secret(row["ARN"])
            except self("secretsmanager").exceptions.ResourceNotFoundException:
                continue
        return found

    def containers(self, service: str) -> list[dict[str, Any]]:
        """What the tasks of a service consist of."""
        (row,) = self("ecs").describe_services(cluster="sluice-staging", services=[service])["services"]
        found = self("ecs").describe_task_definition(taskDefinition=row["taskDefinition"])
        containers: list[dict[str, Any]] = found["taskDefinition"]["containerDefinitions"]
        return containers


@pytest.fixture(scope="module")
def cloud(endpoint: str) -> Cloud:
    """The other way to look at it."""
    return Cloud(endpoint)


@pytest.fixture(scope="module")
def staging(endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Terraform:
    """Terraform in staging, its state in the bucket that bootstrap makes, as docs/DEPLOYMENT.md says."""
    folder = tmp_path_factory.mktemp("whole")
    try:
        bootstrap = prepared(folder, "bootstrap", endpoint)
    except Missing as missing:
        skip(missing)
        raise
    bootstrap.init()
    bootstrap.run("apply", "-auto-approve", f"-var=account_id={ACCOUNT}", "-var=zone=sluice.example")
    made = {name: row["value"] for name, row in json.loads(bootstrap.run("output", "-json")[1]).items()}
    staging = prepared(folder, "staging", endpoint)
    (staging.root / "terraform.tfvars").write_text(
        f'account_id = "{ACCOUNT}"\ndomain = "staging.sluice.example"\nzone_id = "{made["zone_id"]}"\n'
        'alarm_emails = ["on-call@sluice.example"]\n'
    )
    place = {"bucket": made["bucket"], "kms_key_id": made["kms_key_id"], "region": REGION}
    loopback = ("use_path_style", "skip_credentials_validation", "skip_metadata_api_check")
    given = {**place, **dict.fromkeys(loopback, "true")}
    staging.init(*(f"-backend-config={name}={value}" for name, value in given.items()))
    return staging


@pytest.fixture(scope="module")
def applied(staging: Terraform) -> dict[str, dict[str, Any]]:
    """Everything made once; gives the state's resources by address."""
    staging.run("apply", "-auto-approve", WIDE, FIRST)
    state = json.loads(staging.run("show", "-json")[1])
    return resources(state["values"]["root_module"])


def test_the_whole_stack_is_made(applied: dict[str, dict[str, Any]]) -> None:
    assert len(applied) > 150


def test_a_second_plan_finds_nothing_to_do(applied: dict[str, dict[str, Any]], staging: Terraform) -> None:
    assert staging.changed(FIRST) == {}


def test_no_secret_is_in_any_version_of_the_state_or_in_a_plan(
    applied: dict[str, dict[str, Any]], staging: Terraform, cloud: Cloud
) -> None:
    secrets = cloud.every_secret()
    assert {f"sluice-staging/{store}-url" for store in ("database", "redis", "broker")} <= set(secrets)
    passwords = {json.loads(text)["password"] for name, text in secrets.items() if not name.endswith("-url")}
    assert len(passwords) == 4  # three of ours, and the master's
    versions = cloud("s3").list_object_versions(Bucket=f"sluice-state-{ACCOUNT}", Prefix="sluice/staging.tfstate")
    texts = [json.dumps(staging.plan(FIRST))]
    for row in versions["Versions"]:
        read = cloud("s3").get_object(Bucket=f"sluice-state-{ACCOUNT}", Key=row["Key"], VersionId=row["VersionId"])
        texts.append(read["Body"].read().decode())
    assert any("aws_db_instance" in text for text in texts[1:])
    assert [word for word in passwords if any(word in text for text in texts)] == []


def test_the_addresses_hold_the_passwords_that_the_stores_were_given(
    applied: dict[str, dict[str, Any]], cloud: Cloud
) -> None:
    for store, scheme in (("database", "postgresql"), ("redis", "rediss"), ("broker", "amqps")):
        password = json.loads(cloud.secret(f"sluice-staging/{store}-password"))["password"]
        assert cloud.secret(f"sluice-staging/{store}-url").startswith(f"{scheme}://sluice:{password}@")
    (broker,) = cloud("mq").list_brokers()["BrokerSummaries"]
    assert broker["BrokerName"] == "sluice-staging"


@pytest.mark.parametrize("service", ["backend", "workers", "dispatcher"])
def test_containers_are_given_settings_that_sluice_accepts(
    applied: dict[str, dict[str, Any]], cloud: Cloud, service: str
) -> None:
    program, agent = cloud.containers(service)
    environ = {row["name"]: row["value"] for row in program["environment"]}
    for row in program["secrets"]:
        name = cloud("secretsmanager").describe_secret(SecretId=row["valueFrom"])["Name"]
        environ[row["name"]] = cloud.secret(name) if name.endswith("-url") else "0123456789abcdef" * 4
    settings = Settings.from_env(environ)
    assert settings.external
    assert settings.metrics_port == 9191
    assert program["stopTimeout"] > settings.worker.drain_s
    assert program["readonlyRootFilesystem"] is True
    assert program["image"].endswith("/sluice-staging/app:0.1.0")
    assert agent["name"] == "metrics-agent"


def test_what_alarms_look_at_exists(applied: dict[str, dict[str, Any]], cloud: Cloud) -> None:
    balancer = one(applied, "aws_lb")["arn_suffix"]
    groups = {row["values"]["arn_suffix"] for row in applied.values() if row["type"] == "aws_lb_target_group"}
    topic = one(applied, "aws_sns_topic")["arn"]
    rows = cloud("cloudwatch").describe_alarms(MaxRecords=100)["MetricAlarms"]
    # Those that target tracking makes for itself have names of their own.
    ours = [row for row in rows if row["AlarmName"].startswith("sluice-staging-")]
    paging = [row for row in ours if not row["AlarmName"].endswith("-burst")]
    assert len(paging) == 8 + 8 + 3 * 7  # by name, signals, three for each queue
    assert all(row["AlarmActions"] == row["OKActions"] == [topic] for row in paging)
    seen = {
        (dimension["Name"], dimension["Value"])
        for row in ours
        for metric in (row, *(query.get("MetricStat", {}).get("Metric", {}) for query in row.get("Metrics", [])))
        for dimension in metric.get("Dimensions", [])
    }
    assert {value for name, value in seen if name == "LoadBalancer"} == {balancer}
    assert {value for name, value in seen if name == "TargetGroup"} == groups
    certificate = one(applied, "aws_acm_certificate")["arn"]
    assert {value for name, value in seen if name == "CertificateArn"} == {certificate}


def test_logs_of_staging_are_kept_for_a_week(applied: dict[str, dict[str, Any]], cloud: Cloud) -> None:
    groups = cloud("logs").describe_log_groups()["logGroups"]
    assert len(groups) == 11
    assert {group["retentionInDays"] for group in groups} == {7}


def test_the_broker_is_private_and_encrypted_with_our_key(applied: dict[str, dict[str, Any]], cloud: Cloud) -> None:
    (row,) = cloud("mq").list_brokers()["BrokerSummaries"]
    broker = cloud("mq").describe_broker(BrokerId=row["BrokerId"])
    assert broker["PubliclyAccessible"] is False
    assert broker["EncryptionOptions"]["KmsKeyId"] == one(applied, "aws_kms_key")["arn"]


def one(state: dict[str, dict[str, Any]], kind: str) -> dict[str, Any]:
    (values,) = (row["values"] for row in state.values() if row["type"] == kind)
    found: dict[str, Any] = values
    return found


def test_a_new_release_changes_tasks_and_services_and_nothing_else(
    applied: dict[str, dict[str, Any]], staging: Terraform, cloud: Cloud
) -> None:
    # First the task that migrates, alone: the services stay where they are.
    step = staging.changed(FIRST, KNOWN, "-var=task_image_tag=0.2.0")
    assert set(step) == {"module.stack.module.migrate.aws_ecs_task_definition.this"}
    changes = staging.changed(SECOND, KNOWN)
    kinds = {address.rpartition(".aws_")[2].split(".")[0] for address in changes}
    assert kinds == {"ecs_service", "ecs_task_definition"}
    staging.run("apply", "-auto-approve", WIDE, SECOND)
    assert cloud.containers("workers")[0]["image"].endswith("/app:0.2.0")
    # The revision before it is still there to go back to.
    revisions = cloud("ecs").list_task_definitions(familyPrefix="sluice-staging-workers")["taskDefinitionArns"]
    assert len(revisions) == 2


def test_what_somebody_changed_by_hand_is_found(
    applied: dict[str, dict[str, Any]], staging: Terraform, cloud: Cloud
) -> None:
    cloud("logs").put_retention_policy(logGroupName="/sluice/staging/backend", retentionInDays=365)
    cloud("cloudwatch").delete_alarms(AlarmNames=["sluice-staging-rds-storage"])
    # What autoscaling moves is no drift, and is not among it.
    cloud("ecs").update_service(cluster="sluice-staging", service="workers", desiredCount=3)
    assert staging.changed(SECOND) == {
        'module.stack.module.logs.aws_cloudwatch_log_group.this["backend"]': ["update"],
        'module.stack.module.alarms.aws_cloudwatch_metric_alarm.this["rds-storage"]': ["create"],
    }


def test_a_new_password_is_made_by_raising_a_number(
    applied: dict[str, dict[str, Any]], staging: Terraform, cloud: Cloud
) -> None:
    before = cloud.secret("sluice-staging/redis-url")
    raised = "-var=password_rotations={ database = 1, redis = 2, broker = 1 }"
    staging.run("apply", "-auto-approve", WIDE, SECOND, raised)
    password = json.loads(cloud.secret("sluice-staging/redis-password"))["password"]
    assert password not in before
    assert password in cloud.secret("sluice-staging/redis-url")
    assert staging.changed(SECOND, raised) == {}


def test_nothing_is_destroyed_before_protection_is_taken_off(
    applied: dict[str, dict[str, Any]], staging: Terraform, cloud: Cloud
) -> None:
    with pytest.raises(ClientError, match="protected"):
        cloud("rds").delete_db_instance(DBInstanceIdentifier="sluice-staging", SkipFinalSnapshot=True)
    unprotected = "-var=deletion_protection=false"
    staging.run("apply", "-auto-approve", WIDE, SECOND, unprotected)
    staging.run("destroy", "-auto-approve", WIDE, KNOWN, SECOND, unprotected)
    assert staging.run("state", "list")[1] == ""
    (cluster,) = cloud("ecs").describe_clusters(clusters=["sluice-staging"])["clusters"]
    assert cluster["status"] == "INACTIVE"
    assert cloud("mq").list_brokers()["BrokerSummaries"] == []
    snapshots = cloud("rds").describe_db_snapshots()["DBSnapshots"]
    assert "sluice-staging-final" in {row["DBSnapshotIdentifier"] for row in snapshots}
