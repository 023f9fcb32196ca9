"""RDS: parameters that a person set say so; Performance Insights are remembered."""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult
from moto.rds.responses import RDSResponse as Response

from tests.infra.aws.gaps import Action, wrap

FORGOTTEN = {
    "EnablePerformanceInsights": "performance_insights_enabled",
    "PerformanceInsightsKMSKeyId": "performance_insights_kms_key_id",
    "PerformanceInsightsRetentionPeriod": "performance_insights_retention_period",
}


@wrap(Response)
def describe_db_parameters(self: Any, own: Action) -> Any:
    rows = own(self).result["Parameters"]
    return ActionResult({"Parameters": [{**row, "Source": "user"} for row in rows]})


@wrap(Response)
def create_db_instance(self: Any, own: Action) -> Any:
    answer = own(self)
    instance = answer.result["DBInstance"]
    instance = getattr(instance, "db_instance", instance)
    for said, kept in FORGOTTEN.items():
        if (value := self.params.get(said)) is not None:
            setattr(instance, kept, value)
    return answer
