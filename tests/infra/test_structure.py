"""What can be read out of the configuration where there is no Terraform: python-hcl2 parses, nothing is evaluated."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import hcl2
import pytest
from hcl2 import SerializationOptions

from broker.messages import PROBE, queues
from ops.cli import MODULES
from workers.providers import load_providers

TREE = Path(__file__).parents[2] / "ops" / "terraform"
TOP = Path(__file__).parents[2]
ROOTS = ("bootstrap", "staging", "production")
PARTS = {
    *("network", "alb", "dns", "ecr", "encryption", "logs", "sns", "secrets", "addresses", "iam"),
    *("rds", "redis", "mq", "cluster", "service", "task", "autoscaling", "backup", "alarms", "dashboard"),
}
TEXTS = {path: path.read_text() for path in sorted(TREE.rglob("*.tf"))}


@lru_cache
def parsed(path: str) -> dict[str, Any]:
    with (TREE / path).open() as file:
        found: dict[str, Any] = hcl2.load(file, serialization_options=SerializationOptions(strip_string_quotes=True))
    return found


def resource(path: str, kind: str, name: str = "this") -> dict[str, Any]:
    (found,) = (row[kind][name] for row in parsed(path)["resource"] if name in row.get(kind, {}))
    assert isinstance(found, dict)
    return found


def stack(root: str) -> dict[str, Any]:
    (row,) = parsed(f"{root}/main.tf")["module"]
    given: dict[str, Any] = row["stack"]
    return given


def local_names(path: str, table: str) -> set[str]:
    """Names of the rows of a table that stands in a locals block."""
    for block in parsed(path)["locals"]:
        if isinstance(rows := block.get(table), dict):
            return set(rows) - {"__is_block__"}
    raise AssertionError(table)


def test_the_eight_alarms_are_there_by_name() -> None:
    assert local_names("modules/alarms/resources.tf", "resources") == {
        *("backend-cpu", "backend-memory", "frontend-cpu", "frontend-memory"),
        *("rds-cpu", "rds-storage", "redis-cpu", "redis-memory"),
    }


def test_every_alarm_says_why_and_names_its_page() -> None:
    rows = [TEXTS[TREE / "modules/alarms" / name] for name in ("resources.tf", "signals.tf", "queues.tf")]
    whys, kinds = (sum(len(re.findall(rf"^ +{word} += \"", text, re.M)) for text in rows) for word in ("why", "kind"))
    assert whys == kinds == 18
    assert "Runbook: ${var.runbook}/${each.value.kind}.md" in TEXTS[TREE / "modules/alarms/main.tf"]


def test_both_environments_have_one_shape() -> None:
    not_settings = {"__comments__", "interface_endpoints"}  # production alone reaches AWS without NAT
    assert set(stack("staging")) - not_settings == set(stack("production")) - not_settings


@pytest.mark.parametrize(("root", "days"), [("staging", 7), ("production", 30)])
def test_retention_is_that_of_the_environment(root: str, days: int) -> None:
    assert stack(root)["log_retention_days"] == days


def test_the_database_cannot_be_lost_or_reached() -> None:
    database = resource("modules/rds/main.tf", "aws_db_instance")
    assert database["multi_az"] is True
    assert database["storage_encrypted"] is True
    assert database["publicly_accessible"] is False
    assert database["skip_final_snapshot"] is False
    assert database["manage_master_user_password"] is True
    assert database["deletion_protection"] == "${var.deletion_protection}"


def test_redis_is_encrypted_on_the_way_and_forgets_nothing() -> None:
    group = resource("modules/redis/main.tf", "aws_elasticache_replication_group")
    assert group["transit_encryption_enabled"] is True
    assert group["at_rest_encryption_enabled"] is True
    parameters = resource("modules/redis/main.tf", "aws_elasticache_parameter_group")
    assert [(row["name"], row["value"]) for row in parameters["parameter"]] == [("maxmemory-policy", "noeviction")]


def test_no_argument_that_would_put_a_secret_into_the_state_is_used() -> None:
    keeps = re.compile(r"^\s*(secret_string|password|auth_token|passwords|secret_binary)\s*=(?!\s*(each|var|module)\.)")
    for path, text in TEXTS.items():
        lines = [line for line in text.splitlines() if keeps.match(line) and "password = ephemeral." not in line]
        assert lines == [], path
    for module in ("secrets", "addresses"):
        assert "secret_string_wo" in TEXTS[TREE / "modules" / module / "main.tf"]


def test_nothing_is_asked_of_aws_while_planning() -> None:
    assert [path for path, text in TEXTS.items() if re.search(r"^data \"", text, re.M)] == []


def test_a_deployment_is_taken_back_by_breaker_and_alarms() -> None:
    service = resource("modules/service/main.tf", "aws_ecs_service")
    for block in ("deployment_circuit_breaker", "alarms"):
        (row,) = service[block]
        assert row["enable"] is row["rollback"] is True
    assert service["deployment_minimum_healthy_percent"] == 100


def test_every_part_is_there_and_used() -> None:
    assert {path.name for path in (TREE / "modules").iterdir()} == {*PARTS, "stack"}
    used = set(re.findall(r"source\s*=\s*\"\.\./([a-z]+)\"", "".join(TEXTS.values())))
    assert used == PARTS


@pytest.mark.parametrize("root", ROOTS)
def test_every_root_pins_its_provider_and_locks_it(root: str) -> None:
    pinned = re.search(r"version = \"([0-9.]+)\"", TEXTS[TREE / root / "versions.tf"])
    lock = (TREE / root / ".terraform.lock.hcl").read_text()
    assert pinned
    assert f'version     = "{pinned[1]}"' in lock


def test_states_lie_in_an_encrypted_bucket_and_are_locked() -> None:
    for root in ("staging", "production"):
        text = TEXTS[TREE / root / "versions.tf"]
        for line in ('backend "s3"', f'"sluice/{root}.tfstate"', "encrypt      = true", "use_lockfile = true"):
            assert line in text


def test_every_variable_says_its_type() -> None:
    for path, text in TEXTS.items():
        for block in re.findall(r"^variable \"\w+\" \{\n(.*?)^\}", text, re.M | re.S):
            assert re.search(r"^  type +=", block, re.M), path


@pytest.mark.parametrize(
    ("path", "variable", "good", "bad"),
    [
        ("stack", "image_tag", ("0.2.0", "1.10.3-rc.1"), ("latest", "main", "0.2", "0.2.0 ")),
        ("stack", "task_image_tag", ("0.2.0",), ("latest",)),
        ("stack", "postgres_image", ("r.example/a/postgres:18-bookworm", f"postgres@sha256:{'a' * 64}"), ("postgres",)),
        ("task", "agent_image", ("r.example/agent:1.300026.3b189",), ("r.example:5000/agent", "agent:latest")),
    ],
)
def test_images_that_move_under_a_task_are_refused(
    path: str, variable: str, good: tuple[str, ...], bad: tuple[str, ...]
) -> None:
    text = TEXTS[TREE / "modules" / path / "variables.tf"]
    (rule,) = re.findall(rf'can\(regex\("(.+)", var\.{variable}\)\)', text)
    allowed = re.compile(rule.replace(r"\\.", r"\."))
    assert all(allowed.search(one) for one in good)
    assert not any(allowed.search(one) for one in bad)


def test_containers_are_given_settings_that_exist_and_commands_that_exist() -> None:
    text = TEXTS[TREE / "modules/stack/services.tf"] + TEXTS[TREE / "modules/stack/tasks.tf"]
    settings = "".join(path.read_text() for path in (TOP / "ops").glob("*settings*.py"))
    names = set(re.findall(r"\bSLUICE_[A-Z_]+\b", text)) - {"SLUICE_DB_PASSWORD"}  # psql's, not ours
    assert {name for name in names if f'"{name}"' not in settings} == set()
    commands = set(re.findall(r"command +?= +?\[\"([a-z]+)\"\]", text))
    assert commands == {"serve", "worker", "dispatch", "migrate"} <= set(MODULES)


def test_the_queues_that_are_watched_are_those_that_there_are() -> None:
    (line,) = re.findall(r"^  queues += concat\(\[(.*?)\], \[for provider in (.*?)\]", stack_text(), re.M)[:1]
    fixed = set(re.findall(r"\"([a-z]+)\"", line[0]))
    assert '"fetch.${provider}"' in line[1]
    providers = sorted(load_providers())
    assert fixed | {f"fetch.{name}" for name in providers} == set(queues(providers)) - {PROBE}


def stack_text() -> str:
    return TEXTS[TREE / "modules/stack/main.tf"]


def test_every_metric_that_alarms_and_scaling_read_is_in_the_table_of_metrics() -> None:
    page = TOP / "docs" / "operations.md"
    if not page.exists():
        pytest.skip("docs/operations.md is not there")
    read = set(re.findall(r"\bsluice_[a-z_]+\b", "".join(TEXTS.values())))
    assert read == {
        *("sluice_queue_ready", "sluice_queue_oldest_seconds", "sluice_queue_consumers"),
        *("sluice_dead_letters", "sluice_jobs_undispatched", "sluice_log_dropped_total", "sluice_master"),
    }
    assert {name for name in read - {"sluice_master"} if name not in page.read_text()} == set()
