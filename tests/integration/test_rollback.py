"""Going back to earlier code on AWS, by a stand-in for it on loopback: the plan, the schema's veto, and the deed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import CliRunner
from moto.server import ThreadedMotoServer

from ledger import migrate
from ledger.migrate import Step
from ops.cli import sluice
from ops.cli.opening import CannotDo
from ops.rolling_back import SCHEMA_LABEL, Ecs, Move, judged, settled

CLUSTER = "sluice-staging"
KEYS = {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing"}


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@dataclass(frozen=True)
class Terminal:
    """The command in this process: importing what speaks to AWS takes seconds, each time."""

    environment: Mapping[str, str | None]

    def given(self, **variables: str | None) -> Terminal:
        """The same with other variables; None takes one away."""
        return Terminal({**self.environment, **variables})

    def run(self, *words: str, exits: int = 0) -> str:
        """Type it; give what it printed."""
        done = CliRunner(env=self.environment).invoke(sluice, words)
        assert done.exit_code == exits, (done.output, done.exception)
        return done.output

    def one(self, *words: str) -> Any:
        """Give the JSON that it printed."""
        return json.loads(self.run(*words, "--json"))

    def fails(self, *words: str) -> str:
        """Type what cannot be done; give why."""
        done = CliRunner(env=self.environment).invoke(sluice, words)
        assert isinstance(done.exception, CannotDo), (done.output, done.exception)
        return str(done.exception)


@pytest.fixture
def shell(aws: str, tmp_path: Path) -> Terminal:
    clean = dict.fromkeys((name for name in os.environ if name.startswith("AWS_")), None)
    known = {"AWS_ENDPOINT_URL": aws, "AWS_DEFAULT_REGION": "eu-west-1", "AWS_EC2_METADATA_DISABLED": "true"}
    return Terminal({**clean, **known, **KEYS, "HOME": str(tmp_path)})


@pytest.fixture
def ecs(aws: str) -> Iterator[Any]:
    """A cluster whose backend has had three revisions, and whose workers have had one."""
    client = boto3.client(
        "ecs", endpoint_url=aws, region_name="eu-west-1", aws_access_key_id="nobody", aws_secret_access_key="nothing"
    )
    client.create_cluster(clusterName=CLUSTER)
    for service, revisions in (("backend", ("0008", migrate.head(), None)), ("workers", (migrate.head(),))):
        for number, schema in enumerate(revisions, 1):
            labels = {"dockerLabels": {SCHEMA_LABEL: schema}} if schema else {}
            container = {"name": service, "image": f"registry.example/sluice:v{number}", "memory": 128, **labels}
            client.register_task_definition(family=f"sluice-{service}", containerDefinitions=[container])
        client.create_service(cluster=CLUSTER, serviceName=service, taskDefinition=f"sluice-{service}", desiredCount=1)
    client.register_task_definition(family="sluice-backend-canary", containerDefinitions=[container])
    yield client
    for service in ("backend", "workers"):
        client.delete_service(cluster=CLUSTER, service=service, force=True)
    for arn in client.list_task_definitions()["taskDefinitionArns"]:
        client.deregister_task_definition(taskDefinition=arn)
    client.delete_cluster(cluster=CLUSTER)
    client.close()


def running(ecs: Any) -> dict[str, int]:
    told = ecs.describe_services(cluster=CLUSTER, services=["backend", "workers"])["services"]
    return {one["serviceName"]: int(one["taskDefinition"].rpartition(":")[2]) for one in told}


def newest(ecs: Any, family: str) -> int:
    return int(ecs.list_task_definitions(familyPrefix=family)["taskDefinitionArns"][-1].rpartition(":")[2])


def test_a_plan_changes_nothing_and_yes_does_it(ecs: Any, shell: Terminal) -> None:
    before = running(ecs)
    plan = shell.one("rollback", "--cluster", CLUSTER)
    backend, workers = plan["moves"]
    assert (backend["now"], backend["back_to"]) == (
        f"sluice-backend:{before['backend']}",
        f"sluice-backend:{before['backend'] - 1}",
    )
    assert (backend["images"], workers["back_to"]) == (["sluice:v2"], None)
    assert (plan["schema"]["allowed"], plan["moved"]) == (True, False)
    assert "--yes does it" in shell.run("rollback", "--cluster", CLUSTER)
    assert running(ecs) == before
    done = shell.one("rollback", "--cluster", CLUSTER, "--yes", "--no-wait")
    assert (done["moved"], done["waiting"]) == (True, [])
    assert running(ecs) == {**before, "backend": before["backend"] - 1}


def test_code_that_the_schema_breaks_is_not_gone_back_to(ecs: Any, shell: Terminal) -> None:
    before = running(ecs)
    words = ("rollback", "--cluster", CLUSTER, "--service", "backend")
    told = shell.run(*words, "--schema", "0007", "--yes", exits=1)
    assert "refused" in told
    assert "drops a column of entries" in told
    assert running(ecs) == before
    further = ("--to", f"backend={before['backend'] - 2}")
    assert json.loads(shell.run(*words, *further, "--json"))["schema"]["allowed"] is True


def test_an_image_that_says_nothing_of_its_schema_needs_a_word(ecs: Any, shell: Terminal) -> None:
    ecs.register_task_definition(
        family="sluice-workers", containerDefinitions=[{"name": "workers", "image": "sluice:v2", "memory": 128}]
    )
    before = newest(ecs, "sluice-workers")
    for _ in range(2):
        ecs.register_task_definition(
            family="sluice-workers", containerDefinitions=[{"name": "workers", "image": "sluice:v3", "memory": 128}]
        )
    ecs.update_service(cluster=CLUSTER, service="workers", taskDefinition=f"sluice-workers:{before + 1}")
    words = ("rollback", "--cluster", CLUSTER, "--service", "workers", "--yes", "--no-wait")
    assert "say --schema REVISION" in shell.run(*words, exits=1)
    assert running(ecs)["workers"] == before + 1
    assert "unknown to this code" in shell.run(*words, "--schema", "9999", exits=1)
    shell.run(*words, "--schema", migrate.head())
    assert running(ecs)["workers"] == before


def test_what_cannot_be_done_is_said_in_one_line(ecs: Any, shell: Terminal) -> None:
    nobody = shell.given(**dict.fromkeys(KEYS, None))
    assert "AWS knows nobody here" in nobody.fails("rollback", "--cluster", CLUSTER)
    homeless = shell.given(AWS_DEFAULT_REGION=None)
    assert "--region" in homeless.fails("rollback", "--cluster", CLUSTER)
    assert "has no service frontend" in shell.fails("rollback", "--cluster", CLUSTER, "--service", "frontend")
    assert "has no active revision 77" in shell.fails("rollback", "--cluster", CLUSTER, "--to", "backend=77")
    assert "SERVICE=REVISION" in shell.fails("rollback", "--cluster", CLUSTER, "--to", "backend")
    assert "Cluster not found" in shell.fails("rollback", "--cluster", "elsewhere")
    away = shell.given(AWS_ENDPOINT_URL="http://127.0.0.1:9", AWS_MAX_ATTEMPTS="1")
    assert "AWS: Could not connect" in away.fails("rollback", "--cluster", CLUSTER)


class Rolling:
    """A cluster whose services get where they are sent after so many looks."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    def list_services(self, **_: Any) -> dict[str, Any]:
        """One service."""
        return {"serviceArns": ["backend"]}

    def describe_services(self, **_: Any) -> dict[str, Any]:
        """Two deployments until it is there."""
        self.looks -= 1
        there = [{"taskDefinition": "arn/sluice-backend:1"}]
        still = [*there, {"taskDefinition": "arn/sluice-backend:2"}]
        service = {"serviceName": "backend", "deployments": there if self.looks < 0 else still}
        return {"services": [service | {"runningCount": 2, "desiredCount": 2}]}


@pytest.mark.parametrize(("looks", "waiting"), [(0, []), (3, []), (100, ["backend"])])
def test_it_is_over_when_nothing_else_runs(looks: int, waiting: list[str]) -> None:
    moves, slept = [Move("backend", "sluice-backend:2", "sluice-backend:1", (), None)], list[float]()
    cluster: Any = Rolling(looks)
    there: Ecs = cluster
    assert settled(there, CLUSTER, moves, within_s=50, sleep=slept.append, clock=lambda: sum(slept)) == waiting
    assert len(slept) == min(looks, 10)


def test_the_oldest_code_decides_what_the_schema_must_still_allow() -> None:
    old, new = migrate.revisions()[-2:]
    moves = [Move(name, "", "x:1", (), schema) for name, schema in (("a", new), ("b", old), ("c", None))]
    steps: Callable[[str], list[Step]] = lambda after: [Step(new, "", ("DROP TABLE t",))] if after == old else []  # noqa: E731
    assert judged(moves, None, steps).allowed is False
    assert judged(moves[:1], None, steps).allowed is True
    assert judged([], None, steps).allowed is None
