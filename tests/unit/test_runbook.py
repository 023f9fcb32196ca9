"""The runbook: a page for each alarm and rule and the reverse, and nothing in it that a person would type in vain.

Commands of Sluice itself are executed (``tests/integration/test_docs.py``), as are SQL and Redis commands
(``tests/integration/test_runbook_stores.py``).  What needs AWS, Terraform or containers cannot be; here its words are
compared with what those tools take.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import botocore.session
import pytest
import yaml
from botocore import xform_name

from ops.metrics.series import SERIES
from tests.documents import TOP, blocks, prose

RUNBOOK = TOP / "docs" / "runbook"
ALARMS = TOP / "ops" / "terraform" / "modules" / "alarms"
PAGES = sorted(RUNBOOK.rglob("*.md"))
ALARM_PAGES = {page.stem: page for page in sorted((RUNBOOK / "alarms").glob("*.md")) if page.stem != "README"}
PLAYBOOKS = {page.stem: page for page in sorted((RUNBOOK / "incidents").glob("*.md"))}
HEADINGS = ("Meaning", "Why this threshold", "How to verify", "What to do, in order", "Escalation", "Related")
DEMANDED = {
    *("provider-down", "key-revoked", "quota-used-up", "queue-growing", "dead-letters", "database-full-or-slow"),
    *("redis-gone", "rabbitmq-memory", "certificate-expiry", "bad-deploy", "data-wrong", "credentials-leaked"),
}
PROCEDURES = {"deploy", "roll-back", "back-up", "restore", "rotate", "scale", "maintenance"}


def headings(page: Path) -> list[str]:
    return re.findall(r"^## (.*)$", prose(page), re.MULTILINE)


# -- alarms and rules --------------------------------------------------------------------------------------------------


@cache
def terraform_rows() -> dict[str, str]:
    """The text of each row of Terraform's tables of alarms, by the name of its page."""
    rows: dict[str, str] = {}
    for path in sorted(ALARMS.glob("*.tf")):
        _, *found = re.split(r'\bkind += "', path.read_text())
        rows |= {kind: rest for kind, _, rest in (one.partition('"') for one in found)}
    return rows


def burst_alarms() -> set[str]:
    """The alarms that scaling makes: each service with a backlog has one."""
    text = (ALARMS.parent / "autoscaling" / "backlog.tf").read_text()
    assert "${var.runbook}/${var.service}-burst.md" in text
    return {"workers-burst"}


def rules() -> Iterator[dict[str, object]]:
    """Every alert rule for Prometheus that is in the tree."""
    for path in sorted((TOP / "ops").rglob("*.y*ml")):
        document = yaml.safe_load(path.read_text())
        for group in document.get("groups") or () if isinstance(document, dict) else ():
            yield from (rule for rule in group.get("rules", ()) if "alert" in rule)


def rule_pages() -> set[str]:
    """The pages that rules name."""
    named = [str(rule.get("annotations")) for rule in rules()]
    found = [re.findall(r"docs/runbook/alarms/([a-z0-9-]+)\.md", one) for one in named]
    assert [one for one, pages in zip(named, found, strict=True) if len(pages) != 1] == []
    return {page for pages in found for page in pages}


def test_every_alarm_and_rule_has_a_page_and_every_page_has_one() -> None:
    assert set(ALARM_PAGES) == set(terraform_rows()) | burst_alarms() | rule_pages()


def test_a_page_names_the_rules_that_lead_to_it() -> None:
    lost = []
    for rule in rules():
        (page,) = re.findall(r"docs/runbook/alarms/([a-z0-9-]+)\.md", str(rule["annotations"]))
        if page not in ALARM_PAGES or f"`{rule['alert']}`" not in ALARM_PAGES[page].read_text():
            lost.append(rule["alert"])
    assert lost == []


@pytest.mark.parametrize("name", sorted(ALARM_PAGES))
def test_a_page_of_an_alarm_has_the_same_parts_in_the_same_order(name: str) -> None:
    assert ALARM_PAGES[name].read_text().startswith(f"# {name}\n")
    assert tuple(headings(ALARM_PAGES[name])) == HEADINGS


@pytest.mark.parametrize("name", sorted(terraform_rows()))
def test_a_page_tells_the_threshold_and_the_minutes_that_terraform_has(name: str) -> None:
    row, told = terraform_rows()[name], table_of(ALARM_PAGES[name])
    (threshold,), (of,) = re.findall(r"threshold += (\S+)", row)[:1], re.findall(r"\bof += (\d+)", row)[:1]
    if threshold == "var.queue_depth":
        (threshold,) = re.findall(r"queue_depth += (\d+)", (TOP / "ops/terraform/production/main.tf").read_text())
    if not threshold.startswith("var."):  # a share of the disk, in words
        assert re.search(rf"(?<!\d){threshold}(?!\d)", told), told
    assert f"{of} of {of} minutes" in told or of == "1", told


def table_of(page: Path) -> str:
    return next(line for line in page.read_text().splitlines() if line.startswith("| `sluice-"))


# -- playbooks, procedures, indexes ------------------------------------------------------------------------------------


def test_every_playbook_and_procedure_is_there() -> None:
    assert DEMANDED - set(PLAYBOOKS) == set()
    assert PROCEDURES - {page.stem for page in (RUNBOOK / "procedures").glob("*.md")} == set()


@pytest.mark.parametrize("name", sorted(DEMANDED))
def test_a_playbook_has_the_same_parts_in_the_same_order(name: str) -> None:
    assert headings(PLAYBOOKS[name]) == ["First", "Mend", "Afterwards", "Related"]
    assert "**Severity:** SEV-" in PLAYBOOKS[name].read_text()


@pytest.mark.parametrize(
    "index", [page for page in PAGES if page.name == "README.md"], ids=lambda page: page.parent.name
)
def test_an_index_leads_to_every_page_of_its_folder(index: Path) -> None:
    linked = {(index.parent / target).resolve() for target in re.findall(r"\]\(([^)#\s]+)", prose(index))}
    assert set(index.parent.glob("*.md")) - {index} - linked == set()


def test_metrics_that_are_named_exist() -> None:
    named = {(page.stem, name) for page in PAGES for name in re.findall(r"`(sluice_[a-z_]+)", page.read_text())}
    assert {one for one in named if one[1] not in SERIES} == set()


def test_tests_that_are_named_exist() -> None:
    comments = [block.reason or "" for page in PAGES for block in blocks(page)]
    assert [
        path for one in comments for path in re.findall(r"tests/[\w/]+\.py", one) if not (TOP / path).exists()
    ] == []


# -- what cannot be executed here --------------------------------------------------------------------------------------

CUSTOM = {"logs tail": {"since", "follow", "filter-pattern"}}  # commands that are not calls of AWS
EVERYWHERE = {"query", "output", "region"}


def unexecuted(program: str) -> list[tuple[str, list[str]]]:
    """The commands of a program in blocks that are not executed, as words; those in ``$(…)`` count for themselves."""
    found = []
    for page in sorted((TOP / "docs").rglob("*.md")):
        for block in (one for one in blocks(page) if one.reason is not None):
            for command in block.commands:
                found += [(str(block), words) for words in calls(command) if words and words[0] == program]
    return found


def calls(command: str) -> Iterator[list[str]]:
    """Split a command of the shell into the programs that it calls, the innermost first."""
    while inner := re.search(r"\$\(([^()]*(?:\([^()$]*\)[^()]*)*)\)", command):
        yield from calls(inner[1])
        command = command[: inner.start()] + "SAID" + command[inner.end() :]
    for one in command.split(" | "):
        words = shlex.split(one)
        yield words[1:] if words and re.match(r"[A-Z]+=", words[0]) else words


@cache
def takes(service: str, operation: str) -> set[str]:
    """The options of a command of AWS, as botocore knows them."""
    service = {"s3api": "s3"}.get(service, service)
    session = botocore.session.get_session()
    model = session.get_service_model(service)
    if operation.startswith("wait "):
        waiter = session.get_waiter_model(service)
        names = {xform_name(name, "-"): name for name in waiter.waiter_names}
        operation = xform_name(waiter.get_waiter(names[operation.removeprefix("wait ")]).operation, "-")
    names = {xform_name(name, "-"): name for name in model.operation_names}
    assert operation in names, f"aws {service} {operation}"
    shape = model.operation_model(names[operation]).input_shape
    return {xform_name(member, "-") for member in shape.members} | {"max-results", "max-items"} if shape else set()


@pytest.mark.parametrize(("place", "words"), [pytest.param(*one, id=one[0]) for one in unexecuted("aws")])
def test_commands_of_aws_are_spelled_as_aws_takes_them(place: str, words: list[str]) -> None:
    _, service, operation, *rest = words
    if operation == "wait":
        operation, rest = f"wait {rest[0]}", rest[1:]
    options = {word[2:] for word in rest if re.fullmatch(r"--[a-z][a-z0-9-]*", word)} - EVERYWHERE
    known = CUSTOM.get(f"{service} {operation}") or takes(service, operation)
    assert options <= known | {f"no-{one}" for one in known}, place


def test_variables_that_terraform_is_given_exist() -> None:
    declared = set(re.findall(r'variable "(\w+)"', "".join(one.read_text() for one in terraform_variables())))
    given = [one for _, words in unexecuted("terraform") for one in words if re.match(r"\w+=", one)]
    assert {one.partition("=")[0] for one in given} - declared == set()


def terraform_variables() -> list[Path]:
    return sorted((TOP / "ops" / "terraform").glob("*/variables.tf"))


def test_containers_that_are_named_exist() -> None:
    services = yaml.safe_load((TOP / "docker-compose.yml").read_text())["services"]
    named = [words[3] for _, words in unexecuted("docker") if words[2] == "exec"]
    assert named
    assert [name for name in named if name not in services] == []
