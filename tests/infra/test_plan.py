"""What the plan of production promises, before anything is made."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.infra.conftest import Planned

pytestmark = pytest.mark.timeout(300)  # the first waits for Terraform

GIB = 1024**3
EIGHT = {
    "backend-cpu": 80,
    "backend-memory": 80,
    "frontend-cpu": 80,
    "frontend-memory": 80,
    "rds-cpu": 80,
    "rds-storage": 200 * GIB / 5,
    "redis-cpu": 80,
    "redis-memory": 75,
}
BESIDE = {
    "queue-depth",
    "queue-oldest-age",
    "queue-no-consumers",
    "dead-letters",
    "jobs-undispatched",
    "broker-memory",
    "http-5xx",
    "unhealthy-targets",
    "certificate-expiry",
    "log-drops",
}
RUNBOOK = re.compile(r"Runbook: docs/runbook/alarms/(?P<kind>[a-z0-9-]+)\.md$")
PAGES = Path(__file__).parents[2] / "docs" / "runbook" / "alarms"


def of(plan: Planned, kind: str) -> dict[str, dict[str, Any]]:
    """Planned values of one type, by address."""
    return {address: row["values"] for address, row in plan.items() if row["type"] == kind}


def one(plan: Planned, kind: str) -> dict[str, Any]:
    (values,) = of(plan, kind).values()
    return values


def alarms(plan: Planned) -> dict[str, dict[str, Any]]:
    return {row["alarm_name"]: row for row in of(plan, "aws_cloudwatch_metric_alarm").values()}


def test_the_eight_alarms_have_their_names_and_thresholds(plan: Planned) -> None:
    found = alarms(plan)
    assert {name: found[f"sluice-production-{name}"]["threshold"] for name in EIGHT} == EIGHT


def test_the_alarms_beside_them_are_there(plan: Planned) -> None:
    kinds = {kind_of(alarm) for alarm in alarms(plan).values()}
    assert kinds == {*EIGHT, *BESIDE, "workers-burst"}


def kind_of(alarm: dict[str, Any]) -> str:
    found = RUNBOOK.search(alarm["alarm_description"])
    assert found, alarm["alarm_description"]
    return found["kind"]


def test_every_alarm_has_a_runbook_page(plan: Planned) -> None:
    if not PAGES.is_dir():
        pytest.skip("docs/runbook/alarms is not there")
    pages = {page.stem for page in PAGES.glob("*.md")}
    assert {kind_of(alarm) for alarm in alarms(plan).values()} - pages == set()


def test_every_alarm_but_that_of_scaling_is_heard(plan: Planned) -> None:
    # The topic's ARN is not known before it is made: a plan shows that it will be there.
    for address, row in plan.items():
        if row["type"] == "aws_cloudwatch_metric_alarm":
            assert "alarm_actions" not in row["values"] or row["values"]["alarm_actions"] is None, address
    assert len(of(plan, "aws_sns_topic")) == 1
    assert len(of(plan, "aws_sns_topic_subscription")) >= 1


def test_what_alarms_look_at_is_in_the_plan(plan: Planned) -> None:
    database, redis = one(plan, "aws_db_instance"), one(plan, "aws_elasticache_replication_group")
    nodes = 1 + redis["replicas_per_node_group"]
    known = {
        "ClusterName": {one(plan, "aws_ecs_cluster")["name"]},
        "ServiceName": {row["name"] for row in of(plan, "aws_ecs_service").values()},
        "DBInstanceIdentifier": {database["identifier"]},
        "CacheClusterId": {f"{redis['replication_group_id']}-{n + 1:03d}" for n in range(nodes)},
        "Broker": {broker(plan)["BrokerName"]},
        "Environment": {database["identifier"].removeprefix("sluice-")},
    }
    for alarm in alarms(plan).values():
        for dimensions in looked_at(alarm):
            for name, value in dimensions.items():
                assert name in {*known, "Queue"}
                assert name == "Queue" or value in known[name], (alarm["alarm_name"], name, value)


def looked_at(alarm: dict[str, Any]) -> list[dict[str, str]]:
    """Dimensions of all metrics of an alarm; those known only after the apply are left to the whole-stack test."""
    queries = [row["metric"][0] for row in alarm["metric_query"] if row["metric"]]
    return [row["dimensions"] for row in (alarm, *queries) if row.get("dimensions")]


def broker(plan: Planned) -> dict[str, Any]:
    (stack,) = (row for row in of(plan, "aws_cloudformation_stack").values() if row["name"].endswith("-broker"))
    # The template holds ARNs that are not known yet: then the plan has no body, and the name follows the stack's.
    body = stack.get("template_body")
    if body is None:
        return {"BrokerName": stack["name"].removesuffix("-broker")}
    properties: dict[str, Any] = json.loads(body)["Resources"]["Broker"]["Properties"]
    return properties


def test_logs_are_kept_for_a_month(plan: Planned) -> None:
    groups = of(plan, "aws_cloudwatch_log_group").values()
    assert len(groups) == 11
    assert {group["retention_in_days"] for group in groups} == {30}


def test_the_database_is_private_encrypted_doubled_and_cannot_be_deleted(plan: Planned) -> None:
    database = one(plan, "aws_db_instance")
    assert database["publicly_accessible"] is False
    assert database["storage_encrypted"] is True
    assert database["multi_az"] is True
    assert database["deletion_protection"] is True
    assert database["backup_retention_period"] >= 7
    assert database["skip_final_snapshot"] is False
    assert {"name": "rds.force_ssl", "value": "1"}.items() <= next(
        row for row in one(plan, "aws_db_parameter_group")["parameter"] if row["name"] == "rds.force_ssl"
    ).items()


def test_redis_speaks_tls_asks_who_is_there_and_forgets_nothing(plan: Planned) -> None:
    redis = one(plan, "aws_elasticache_replication_group")
    assert redis["transit_encryption_enabled"] is True
    assert redis["transit_encryption_mode"] == "required"
    assert str(redis["at_rest_encryption_enabled"]).lower() == "true"  # the provider plans it as text
    assert redis["multi_az_enabled"] is True
    assert one(plan, "aws_elasticache_parameter_group")["parameter"] == [
        {"name": "maxmemory-policy", "value": "noeviction"}
    ]


def test_only_the_load_balancer_is_open_to_the_world(plan: Planned) -> None:
    open_to_all = {
        address: row["from_port"]
        for address, row in of(plan, "aws_vpc_security_group_ingress_rule").items()
        if row.get("cidr_ipv4") == "0.0.0.0/0"
    }
    assert sorted(open_to_all.values()) == [80, 443]
    assert all("visitors" in address for address in open_to_all)
    assert all(row["map_public_ip_on_launch"] is False for row in of(plan, "aws_subnet").values())


def test_the_stores_have_no_way_out(plan: Planned) -> None:
    routed = [address for address in of(plan, "aws_route") if "data" in address]
    assert routed == []
    callers = {address.split('"')[1] for address in of(plan, "aws_vpc_security_group_egress_rule")}
    assert not any(caller.startswith(("database", "redis", "broker-")) for caller in callers)


def test_no_role_may_do_everything_and_only_what_knows_no_resource_names_none(plan: Planned) -> None:
    for address, row in of(plan, "aws_iam_role_policy").items():
        for statement in json.loads(row["policy"])["Statement"]:
            assert "*" not in statement["Action"], address
            assert not any(action.endswith(":*") for action in statement["Action"]), address
            assert "*" not in statement["Resource"] or statement["Action"] == ["ecr:GetAuthorizationToken"], address


def test_only_workers_read_provider_keys_and_only_the_gateway_the_signing_key(plan: Planned) -> None:
    readers: dict[str, set[str]] = {}
    for address, row in of(plan, "aws_iam_role_policy").items():
        for statement in json.loads(row["policy"])["Statement"]:
            for arn in statement["Resource"]:
                if ":secret:" in arn and (found := re.search(r"/([a-z-]+)-\?{6}$", arn)):
                    readers.setdefault(found[1], set()).add(address.split('"')[1])
    stores = {"backend", "workers", "dispatcher", "migrate"}
    assert readers == {
        **{f"{store}-url": stores for store in ("database", "redis", "broker")},
        **{f"{provider}-api-key": {"workers"} for provider in ("cryptopanic", "nansen", "newscatcher")},
        "signing-key": {"backend"},
        "database-password": {"roles"},
    }


def test_no_secret_passes_through_the_plan(plan: Planned) -> None:
    text = json.dumps(plan)
    assert "n0t-in-any-plan" not in text
    for address, row in of(plan, "aws_secretsmanager_secret_version").items():
        assert not row.get("secret_string"), address
        assert not row.get("secret_string_wo"), address
    database = one(plan, "aws_db_instance")
    assert database.get("password") is None
    assert database["manage_master_user_password"] is True
    assert not one(plan, "aws_elasticache_replication_group").get("auth_token")
    assert "aws_mq_broker" not in {row["type"] for row in plan.values()}


def test_every_service_takes_a_bad_deployment_back(plan: Planned) -> None:
    services = of(plan, "aws_ecs_service")
    assert {row["name"] for row in services.values()} == {"frontend", "backend", "workers", "dispatcher"}
    for row in services.values():
        assert row["deployment_circuit_breaker"] == [{"enable": True, "rollback": True}]
        (watched,) = row["alarms"]
        assert watched["enable"] is watched["rollback"] is True
        assert set(watched["alarm_names"]) <= set(alarms(plan))
        assert row["deployment_minimum_healthy_percent"] == 100


def test_workers_scale_on_their_backlog_and_servers_on_their_cpu(plan: Planned) -> None:
    policies = {row["name"].split("-", 2)[2]: row for row in of(plan, "aws_appautoscaling_policy").values()}
    assert set(policies) == {"frontend-cpu", "backend-cpu", "dispatcher-cpu", "workers-backlog", "workers-burst"}
    (tracked,) = policies["workers-backlog"]["target_tracking_scaling_policy_configuration"]
    metrics = tracked["customized_metric_specification"][0]["metrics"]
    assert [row["id"] for row in metrics if row["return_data"]] == ["backlog"]
    names = {row["metric_stat"][0]["metric"][0]["metric_name"] for row in metrics if row["metric_stat"]}
    assert names == {"sluice_queue_ready", "RunningTaskCount"}


def test_the_certificate_and_the_door_speak_modern_tls(plan: Planned) -> None:
    listeners = {row["port"]: row for row in of(plan, "aws_lb_listener").values()}
    assert listeners[443]["ssl_policy"].startswith("ELBSecurityPolicy-TLS13-1-2")
    assert listeners[80]["default_action"][0]["redirect"][0]["protocol"] == "HTTPS"
    assert one(plan, "aws_lb")["drop_invalid_header_fields"] is True


def test_images_never_change_under_their_tag(plan: Planned) -> None:
    repositories = of(plan, "aws_ecr_repository").values()
    assert {row["image_tag_mutability"] for row in repositories} == {"IMMUTABLE"}
    assert all(row["image_scanning_configuration"][0]["scan_on_push"] for row in repositories)


def test_copies_are_kept_in_a_locked_vault(plan: Planned) -> None:
    rules = one(plan, "aws_backup_plan")["rule"]
    assert {row["rule_name"] for row in rules} == {"daily", "monthly"}
    assert one(plan, "aws_backup_vault_lock_configuration")["min_retention_days"] >= 7
    (tag,) = one(plan, "aws_backup_selection")["selection_tag"]
    assert one(plan, "aws_db_instance")["tags"][tag["key"]] == tag["value"]
