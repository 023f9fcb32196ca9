"""Which task definitions of ECS services to go back to, whether the schema lets the older code run, and doing it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ledger import migrate
from ledger.migrate import Step
from ops.schema_rules import breaks_old_code, tables_made

SCHEMA_LABEL = "sluice.schema"
"""The Docker label that says which revision an image's code was written for."""
AT_ONCE = 10  # what DescribeServices takes
LOOK_EVERY_S = 5.0


class CannotRollBack(Exception):
    """The text is one line and says what to do."""


class Ecs(Protocol):
    """What is used of boto3's ECS client."""

    def list_services(self, **given: Any) -> dict[str, Any]: ...
    def describe_services(self, **given: Any) -> dict[str, Any]: ...
    def list_task_definitions(self, **given: Any) -> dict[str, Any]: ...
    def describe_task_definition(self, **given: Any) -> dict[str, Any]: ...
    def update_service(self, **given: Any) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Move:
    """One service, the task definition it runs and the one it would go back to (None: there is no earlier one)."""

    service: str
    now: str
    back_to: str | None
    images: tuple[str, ...]
    schema: str | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether older code may run on the schema: yes, no, or nobody knows; ``why`` in words."""

    allowed: bool | None
    why: str


def planned(ecs: Ecs, cluster: str, only: Sequence[str], revisions: dict[str, int]) -> list[Move]:
    """Look at each service of a cluster; ``revisions`` names another revision than the one before.

    Raises CannotRollBack, and what boto3 raises.
    """
    services = _services(ecs, cluster)
    for name in (*only, *revisions):
        if name not in services:
            raise CannotRollBack(f"{cluster} has no service {name}; it has {', '.join(sorted(services)) or 'none'}")
    return [
        _move(ecs, name, services[name], revisions.get(name)) for name in sorted(services) if not only or name in only
    ]


def judged(moves: Sequence[Move], given: str | None, steps: Callable[[str], list[Step]] = migrate.steps) -> Verdict:
    """Say whether the code that would run again fits the schema as it stays: what came since must only have added."""
    wanted = {given} if given else {move.schema for move in moves if move.back_to and move.schema}
    if not wanted:
        return Verdict(None, f"no image says which schema it needs (label {SCHEMA_LABEL}): say --schema REVISION")
    broken = []
    for revision in sorted(filter(None, wanted)):
        if revision not in migrate.revisions():
            return Verdict(None, f"schema {revision} is unknown to this code: use that of the newer release")
        broken += [f"{step.revision} {why}" for step in steps(revision) for why in _breaks(step)]
    if broken:
        return Verdict(False, f"code for schema {min(filter(None, wanted))} is broken by: {'; '.join(broken)}")
    return Verdict(True, f"code for schema {min(filter(None, wanted))} runs on {migrate.head()}: only added to since")


def done(ecs: Ecs, cluster: str, moves: Sequence[Move]) -> list[Move]:
    """Send each service back; gives those that moved."""
    moved = [move for move in moves if move.back_to is not None]
    for move in moved:
        ecs.update_service(cluster=cluster, service=move.service, taskDefinition=move.back_to)
    return moved


def settled(
    ecs: Ecs,
    cluster: str,
    moves: Sequence[Move],
    *,
    within_s: float,
    sleep: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> list[str]:
    """Wait until every service runs nothing but what it went back to; give those that do not in time."""
    ends = clock() + within_s
    while True:
        now = _services(ecs, cluster)
        waiting = [move.service for move in moves if not _runs(now.get(move.service, {}), move.back_to)]
        if not waiting or clock() >= ends:
            return waiting
        sleep(LOOK_EVERY_S)


def _breaks(step: Step) -> list[str]:
    fresh = set[str]().union(*map(tables_made, step.statements))
    return [why for statement in step.statements if (why := breaks_old_code(statement, fresh))]


def _services(ecs: Ecs, cluster: str) -> dict[str, dict[str, Any]]:
    names: list[str] = []
    page: dict[str, Any] = {}
    while not names or "nextToken" in page:
        more = {"nextToken": page["nextToken"]} if "nextToken" in page else {}
        page = ecs.list_services(cluster=cluster, **more)
        names += page["serviceArns"]
        if not page["serviceArns"]:
            break
    found: dict[str, dict[str, Any]] = {}
    for start in range(0, len(names), AT_ONCE):
        told = ecs.describe_services(cluster=cluster, services=names[start : start + AT_ONCE])
        found |= {one["serviceName"]: one for one in told["services"]}
    return found


def _move(ecs: Ecs, name: str, service: dict[str, Any], revision: int | None) -> Move:
    now = service["taskDefinition"].rpartition("/")[2]
    family, _, number = now.rpartition(":")
    there = _revisions(ecs, family)
    wanted = revision if revision is not None else max((one for one in there if one < int(number)), default=None)
    if wanted is None:
        return Move(name, now, None, (), None)
    if wanted not in there:
        raise CannotRollBack(f"{family} has no active revision {wanted}; it has {', '.join(map(str, there))}")
    told = ecs.describe_task_definition(taskDefinition=f"{family}:{wanted}")["taskDefinition"]
    containers = told["containerDefinitions"]
    labels = [one.get("dockerLabels", {}).get(SCHEMA_LABEL) for one in containers]
    images = tuple(re.sub(r"^.*/", "", one["image"]) for one in containers if one.get("essential", True))
    return Move(name, now, f"{family}:{wanted}", images, next(filter(None, labels), None))


def _revisions(ecs: Ecs, family: str) -> list[int]:
    numbers: list[int] = []
    more: dict[str, Any] = {}
    while True:
        page = ecs.list_task_definitions(familyPrefix=family, status="ACTIVE", **more)
        names = [arn.rpartition("/")[2] for arn in page["taskDefinitionArns"]]
        # A prefix finds sluice-backend-canary as well.
        numbers += [int(name.rpartition(":")[2]) for name in names if name.rpartition(":")[0] == family]
        if "nextToken" not in page:
            return sorted(numbers)
        more = {"nextToken": page["nextToken"]}


def _runs(service: dict[str, Any], wanted: str | None) -> bool:
    deployments = service.get("deployments", [])
    return (
        len(deployments) == 1
        and deployments[0]["taskDefinition"].rpartition("/")[2] == wanted
        and service.get("runningCount") == service.get("desiredCount")
    )
