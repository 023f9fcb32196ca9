"""ElastiCache: parameter groups, members of a replication group as clusters, deletions that end."""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.elasticache.exceptions import ElastiCacheException
from moto.elasticache.responses import ElastiCacheResponse as Response

from tests.infra.aws.gaps import Action, Shelf, add, wrap

PARAMETERS = Shelf()


def named(self: Response) -> str:
    return str(self._get_param("CacheParameterGroupName"))


def changed(self: Response) -> list[dict[str, str]]:
    return self._get_param("ParameterNameValues") or []


@add(Response)
def create_cache_parameter_group(self: Response) -> ActionResult:
    group = {
        "CacheParameterGroupName": named(self),
        "CacheParameterGroupFamily": self._get_param("CacheParameterGroupFamily"),
        "Description": self._get_param("Description"),
        "IsGlobal": False,
        "ARN": f"arn:aws:elasticache:{self.region}:{self.current_account}:parametergroup:{named(self)}",
    }
    PARAMETERS.of(self)[named(self)] = {"group": group, "values": {}, "tags": self._get_param("Tags") or []}
    return ActionResult({"CacheParameterGroup": group})


@add(Response)
def describe_cache_parameter_groups(self: Response) -> ActionResult:
    wanted, kept = self._get_param("CacheParameterGroupName"), PARAMETERS.of(self)
    if wanted and wanted not in kept:
        raise ElastiCacheException("CacheParameterGroupNotFound", f"CacheParameterGroup {wanted} not found.")
    groups = [kept[wanted]] if wanted else list(kept.values())
    return ActionResult({"CacheParameterGroups": [group["group"] for group in groups]})


@add(Response)
def describe_cache_parameters(self: Response) -> ActionResult:
    values = PARAMETERS.of(self).get(named(self), {"values": {}})["values"]
    rows = [
        {"ParameterName": name, "ParameterValue": value, "Source": "user", "DataType": "string", "IsModifiable": True}
        for name, value in values.items()
    ]
    return ActionResult({"Parameters": rows})


@add(Response)
def modify_cache_parameter_group(self: Response) -> ActionResult:
    PARAMETERS.of(self)[named(self)]["values"].update(
        {row["ParameterName"]: row["ParameterValue"] for row in changed(self)}
    )
    return ActionResult({"CacheParameterGroupName": named(self)})


@add(Response)
def reset_cache_parameter_group(self: Response) -> ActionResult:
    for row in changed(self):
        PARAMETERS.of(self)[named(self)]["values"].pop(row["ParameterName"], None)
    return ActionResult({"CacheParameterGroupName": named(self)})


@add(Response)
def delete_cache_parameter_group(self: Response) -> EmptyResult:
    PARAMETERS.of(self).pop(named(self), None)
    return EmptyResult()


@add(Response)
def delete_cache_subnet_group(self: Response) -> EmptyResult:
    self.elasticache_backend.cache_subnet_groups.pop(self._get_param("CacheSubnetGroupName"), None)
    return EmptyResult()


@wrap(Response)
def list_tags_for_resource(self: Any, own: Action) -> Any:
    arn = str(self._get_param("ResourceName"))
    if ":parametergroup:" not in arn:
        return own(self)
    return ActionResult({"TagList": PARAMETERS.of(self).get(arn.rpartition(":")[2], {"tags": []})["tags"]})


@wrap(Response)
def describe_cache_clusters(self: Any, own: Action) -> Any:
    wanted = self._get_param("CacheClusterId")
    for group in self.elasticache_backend.replication_groups.values():
        if wanted in group.member_clusters:
            return ActionResult({"CacheClusters": [member(wanted, group)]})
    return own(self)


def member(identity: str, group: Any) -> dict[str, Any]:
    """One node of a replication group, as AWS shows it among the clusters."""
    return {
        "CacheClusterId": identity,
        "CacheClusterStatus": "available",
        "Engine": group.engine,
        "EngineVersion": f"{group.engine_version}.0",
        "CacheNodeType": group.cache_node_type,
        "NumCacheNodes": 1,
        "ReplicationGroupId": group.replication_group_id,
        "CacheSubnetGroupName": group.cache_subnet_group_name,
        "AutoMinorVersionUpgrade": True,
        "PreferredMaintenanceWindow": group.preferred_maintenance_window,
        "SecurityGroups": [{"SecurityGroupId": one, "Status": "active"} for one in group.security_group_ids],
        "CacheParameterGroup": {"CacheParameterGroupName": group.cache_parameter_group_name},
        "SnapshotRetentionLimit": group.snapshot_retention_limit,
        "SnapshotWindow": group.snapshot_window,
        "AtRestEncryptionEnabled": group.at_rest_encryption_enabled,
        "TransitEncryptionEnabled": group.transit_encryption_enabled,
        "TransitEncryptionMode": group.transit_encryption_mode,
        "AuthTokenEnabled": group.auth_token_enabled,
        "ARN": group.arn.replace(f":replicationgroup:{group.replication_group_id}", f":cluster:{identity}"),
    }


@wrap(Response)
def delete_replication_group(self: Any, own: Action) -> Any:
    answer = own(self)
    self.elasticache_backend.replication_groups.pop(self._get_param("ReplicationGroupId"), None)
    return answer
