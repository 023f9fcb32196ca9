"""ECS: the settings of a service that moto hears and forgets."""

from __future__ import annotations

from typing import Any

from moto.ecs.responses import EC2ContainerServiceResponse as Response

from tests.infra.aws.gaps import Action, wrap

FORGOTTEN = {
    "availabilityZoneRebalancing": "availability_zone_rebalancing",
    "capacityProviderStrategy": "capacity_provider_strategy",
    "deploymentConfiguration": "deployment_configuration",
    "enableECSManagedTags": "enable_ecs_managed_tags",
    "enableExecuteCommand": "enable_execute_command",
    "healthCheckGracePeriodSeconds": "health_check_grace_period_seconds",
}


def remembered(self: Any, answer: Any) -> Any:
    for said, kept in FORGOTTEN.items():
        if (value := self._get_param(said)) is not None:
            setattr(answer.result["service"], kept, value)
    return answer


@wrap(Response)
def create_service(self: Any, own: Action) -> Any:
    return remembered(self, own(self))


@wrap(Response)
def update_service(self: Any, own: Action) -> Any:
    return remembered(self, own(self))
