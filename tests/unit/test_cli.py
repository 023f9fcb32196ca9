"""The command line as it is typed and printed: values, words, help, and schemas that documents mention."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from uuid import UUID

import click
import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from broker.kinds import UnfitJobError, check, kinds, schema
from broker.views import JobView, health
from ledger.answers import Place
from ops import cli
from ops.cli import sluice
from ops.cli.enqueue import read_line, read_lines
from ops.cli.items import place, place_text
from ops.cli.options import MOMENT, SPAN, pairs
from ops.cli.output import plain, span
from ops.cli.sandbox import sandbox_config
from ops.default_streams import default_streams
from workers.plan import provider_of
from workers.providers import load_providers

DOCS = Path(__file__).parents[2] / "docs"
NOW = datetime(2026, 8, 17, 12, tzinfo=UTC)


def commands(group: click.Group = sluice, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words that call each command."""
    context = click.Context(group)
    for name in group.list_commands(context):
        yield (*path, name)
        if isinstance(command := group.get_command(context, name), click.Group):
            yield from commands(command, (*path, name))


EXAMPLED = {
    "user",
    "keys",
    "up",
    "sandbox",
    "enqueue",
    "jobs",
    "streams",
    "dead",
    "items",
    "stories",
    "providers",
    "quality",
    "doctor",
}


@pytest.mark.parametrize("words", [words for words in commands() if words[0] in EXAMPLED], ids=" ".join)
def test_the_help_of_each_command_holds_an_example(words: tuple[str, ...]) -> None:
    told = CliRunner().invoke(sluice, [*words, "--help"])
    assert told.exit_code == 0
    assert f"sluice {words[0]}" in told.output.split("Example", 1)[1]


def test_every_schema_is_a_json_schema_and_is_mentioned_where_producers_read() -> None:
    told = (DOCS / "messages.md").read_text()
    for kind in kinds():
        Draft202012Validator.check_schema(schema(kind))
        assert f"| `{kind}` |" in told


def test_every_command_is_on_the_map() -> None:
    told = (DOCS / "commands.md").read_text()
    assert [name for name in EXAMPLED if f"`sluice {name}`" not in told] == []


def test_nobody_asks_for_a_reparse() -> None:
    with pytest.raises(UnfitJobError, match="sluice streams reparse"):
        check("reparse", {"provider": "nansen"})


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("5m", 300), ("1h30m", 5400), ("7d", 604800), ("2w", 1209600)]
)
def test_a_span_is_written_with_units(text: str, seconds: int) -> None:
    assert SPAN.convert(text, None, None) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "m", "-5m", "5 m", "0s", "5y", "999999999w"])
def test_what_is_no_span_is_told_how_to_write_one(text: str) -> None:
    with pytest.raises(click.BadParameter, match="write it as"):
        SPAN.convert(text, None, None)


def test_a_time_is_in_utc_unless_it_says_otherwise() -> None:
    assert MOMENT.convert("2026-08-17T12:00", None, None) == NOW
    assert MOMENT.convert("2026-08-17T14:00+02:00", None, None) == NOW
    with pytest.raises(click.BadParameter):
        MOMENT.convert("yesterday", None, None)


def test_the_value_of_a_parameter_is_json_where_it_can_be() -> None:
    assert pairs(["chains=[\"solana\"]", "page_size=50", "q=a=b", 'code="5"']) == {
        "chains": ["solana"], "page_size": 50, "q": "a=b", "code": "5"
    }  # fmt: skip
    with pytest.raises(click.BadParameter):
        pairs(["chains"])


@pytest.mark.parametrize(
    ("time", "words"),
    [
        (timedelta(seconds=5), "5s"),
        (timedelta(minutes=90), "1h 30m"),
        (timedelta(days=3, hours=1, minutes=9), "3d 1h"),
        (timedelta(), "0s"),
        (None, "unknown"),
    ],
)
def test_a_span_is_told_in_its_two_largest_units_with_its_days(time: timedelta | None, words: str) -> None:
    assert span(time) == words


def test_text_from_outside_loses_what_a_terminal_would_obey() -> None:
    assert plain("a\x1b[31mb\nc") == "a [31mb c"
    assert plain("long" * 10, 9) == "longlong…"


def test_a_place_in_a_list_survives_being_typed() -> None:
    at = Place(NOW + timedelta(microseconds=7), 42)
    assert place(place_text(at)) == at
    for wrong in ("42", "2026-08-17/42", "x/1", "2026-08-17T12:00:00+00:00/x"):
        with pytest.raises(click.BadParameter):
            place(wrong)


JOB = JobView(
    id=UUID(int=1), kind="fetch", queue="fetch.nansen", args={}, owner="system", idempotency_key=None, priority=0,
    stream=None, state="running", reason=None, run_at=NOW, attempt=1, worker=None, landed=0, posted=0, exhausted=False,
    pages_total=None, found=0, new=0, duplicate=0, amended=0, rejected=0, skipped=0, observed=0, calls=0, cost=0,
    last_error=None, created_at=NOW, started_at=None, finished_at=None,
)  # fmt: skip


def test_an_outcome_tells_new_from_nothing_new_from_nothing_from_nothing_usable() -> None:
    done = replace(JOB, state="succeeded", landed=1, posted=1, exhausted=True)
    assert JOB.outcome is None
    assert done.outcome == "found nothing"
    assert replace(done, found=9, new=4).outcome == "found 4 new"
    assert replace(done, found=9, duplicate=9).outcome == "nothing new"
    assert replace(done, found=9, amended=2).outcome == "nothing new, 2 amended"
    assert replace(done, found=9, rejected=9).outcome == "every row was rejected"
    assert replace(done, posted=0).outcome == "done"
    assert replace(done, state="failed").outcome == "failed"


def test_progress_names_the_total_where_it_is_known() -> None:
    assert replace(JOB, posted=3, landed=4, pages_total=10).progress == "3 of 10 pages"
    assert replace(JOB, posted=1, landed=2).progress == "1 page"
    assert replace(JOB, posted=2, landed=5, exhausted=True, pages_total=99).progress == "2 of 5 pages"
    assert replace(JOB, posted=5, landed=5, exhausted=True, pages_total=99).progress == "5 pages"


def test_a_waiting_job_says_why_and_until_when() -> None:
    assert replace(JOB, state="waiting", reason="rate: 2 calls a second").waits == (
        "rate: 2 calls a second (until 2026-08-17 12:00:00Z)"
    )
    assert JOB.waits is None


@pytest.mark.parametrize(
    ("share", "tier"), [(1.0, "healthy"), (0.95, "healthy"), (0.94, "degraded"), (0.8, "degraded"), (0.79, "failing")]
)
def test_a_provider_is_healthy_from_95_percent_and_degraded_from_80(share: float, tier: str) -> None:
    assert health(share) == tier
    assert health(None) == "unknown"


def test_a_line_is_checked_by_the_schema_of_its_kind_and_of_its_dataset() -> None:
    providers = load_providers()
    fetch = {"kind": "fetch", "args": {"provider": "nansen", "dataset": "smart-money/netflow"}}
    assert "chains" in str(read_line(1, fetch, providers).fault)
    fetch["args"] = {"provider": "nansen", "dataset": "nope"}
    assert "has no dataset 'nope'" in str(read_line(1, fetch, providers).fault)
    assert "no kind" in str(read_line(1, {"kind": "nope"}, providers).fault)
    assert "unknown fields: colour" in str(read_line(1, {"kind": "probe", "colour": 1}, providers).fault)
    good = read_line(7, {"kind": "probe", "idempotency_key": "k", "priority": 3}, providers)
    assert good.fault is None
    assert good.job is not None
    assert (good.number, good.job.owner, good.job.priority) == (7, "operator", 3)


def test_lines_keep_their_numbers_and_empty_ones_are_passed_over() -> None:
    lines = list(read_lines([b'{"kind": "probe"}\n', b"\n", b"{oops\n"], load_providers()))
    assert [(line.number, line.job is not None) for line in lines] == [(1, True), (3, False)]


def test_default_streams_fit_the_schemas_of_their_datasets() -> None:
    providers = load_providers()
    new = default_streams(providers.values())
    assert {stream.provider for stream in new} == set(providers)
    assert len({stream.name for stream in new}) == len(new)
    for one in new:
        provider_of({"provider": one.provider, "dataset": one.dataset, "params": one.params}, providers)


def test_what_is_wrong_with_a_sandbox_flag_is_said() -> None:
    for flag, text in (
        ("--fault", "nope=1"),
        ("--quota", "nobody=5"),
        ("--quota", "nansen=lots"),
        ("--key", "nansen="),
    ):
        told = CliRunner().invoke(sluice, ["sandbox", flag, text])
        assert told.exit_code == 2
        assert flag in told.output


def test_sandbox_flags_become_its_configuration() -> None:
    given = {
        "recorded": None, "now": NOW, "fault": ("nansen:429=0.5",), "quota": ("nansen=500",), "per_second": (),
        "per_minute": ("cryptopanic=9",), "concurrency": (), "key": ("nansen=a", "nansen=b"), "seed": 3, "size": 10,
        "reach": 5, "grow_every": None,
    }  # fmt: skip
    config = sandbox_config(given)
    assert (config.nansen.quota, config.nansen.keys, config.cryptopanic.per_minute) == (500, frozenset("ab"), 9)
    assert (config.seed, config.now, config.faults[0].kind) == (3, NOW, "429")


def test_every_command_is_found_where_the_table_says() -> None:
    folder = Path(cli.__file__).parent
    modules = {path.stem for path in folder.glob("*.py") if "COMMANDS = (" in path.read_text()}
    there = {command.name: name for name in modules for command in import_module(f"ops.cli.{name}").COMMANDS}
    assert there == dict(cli.MODULES)
