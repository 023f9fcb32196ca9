"""The table of metrics, the code that moves them, and the documentation are one; what is told is well formed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dramatiq import Message, MessageProxy
from dramatiq.brokers.stub import StubBroker
from prometheus_client.parser import text_string_to_metric_families

from broker.providers import Standing
from broker.watching import SURE_AFTER_S, RabbitmqWatcher
from gateway.auth.metrics import METRICS
from ops.metrics import Meters, log_dropped
from ops.metrics.exporter import exposition
from ops.metrics.family import VARIABLE, family
from ops.metrics.figures import of_standings
from ops.metrics.gateway import gateway_meters
from ops.metrics.messages import MessageMeters
from ops.metrics.series import SERIES, Process, told_by
from ops.worker import KeepJobs
from tests.promtool import Absent, promtool

TOP = Path(__file__).parents[2]
ROW = re.compile(r"^\| `(sluice_\w+)`(?:\{([\w, ]+)\})? \| (\w+) \| ([\w, ]+) \| (.+) \|$", re.MULTILINE)
UNITS = ("_total", "_seconds", "_ready", "_unacked", "_delayed", "_dead", "_consumers", "_info", "_calls")
NO_UNIT = {  # a count of things, whose name says which, or a state
    "sluice_child_processes",
    "sluice_ratelimit_degraded",
    "sluice_messages_in_hand",
    "sluice_dispatcher_leads",
    "sluice_watch_up",
    "sluice_dead_letters",
    "sluice_jobs_undispatched",
    "sluice_jobs",
    "sluice_provider_usable",
    "sluice_provider_account_left",
    "sluice_provider_budget_left",
    "sluice_provider_breaker_state",
}
USES = re.compile(r'\.(count|set|add|observe)\(\s*"(sluice_\w+)"')
CHILD = """
import sys
from ops.metrics import Meters, log_dropped
meters = Meters("worker")
meters.count("sluice_pages_total", "landed", by=int(sys.argv[1]))
meters.add("sluice_messages_in_hand", 1)
meters.observe("sluice_post_seconds", 0.2)
log_dropped("full")
print("counted", flush=True)
sys.stdin.read()
"""


def values(text: bytes) -> dict[tuple[str, tuple[str, ...]], float]:
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for found in text_string_to_metric_families(text.decode())
        for sample in found.samples
    }


# -- the table ---------------------------------------------------------------------------------------------------------


def test_the_documentation_and_the_table_are_the_same() -> None:
    page = (TOP / "docs" / "operations.md").read_text(encoding="utf-8")
    documented = {
        name: (kind, tuple(filter(None, labels.split(", "))), tuple(by.split(", ")), help_)
        for name, labels, kind, by, help_ in ROW.findall(page)
    }
    assert documented == {one.name: (one.kind, one.labels, one.told_by, one.help) for one in SERIES.values()}


def test_every_series_is_moved_or_read_and_nothing_else_is() -> None:
    sources = {path: path.read_text(encoding="utf-8") for path in (TOP / "ops").rglob("*.py")}
    moved = {name for path, text in sources.items() for _, name in USES.findall(text)}
    told = {family_.name + "_total" * (family_.type == "counter") for one in METRICS for family_ in one.collect()}
    read = {name for name in SERIES if SERIES[name].read}
    figures = "".join((TOP / "ops" / "metrics" / f"{name}.py").read_text() for name in ("figures", "watch", "family"))
    assert moved | told | read | {"sluice_log_dropped_total"} == SERIES.keys()
    assert {name for name in read if f'"{name}"' not in figures} == set()


def test_names_end_in_their_unit_and_counters_in_total() -> None:
    for one in SERIES.values():
        assert one.name.endswith(UNITS) or one.name in NO_UNIT, one.name
        assert (one.kind == "counter") == one.name.endswith("_total"), one.name
        assert (one.kind == "histogram") == bool(one.buckets), one.name


def test_what_authentication_counts_is_in_the_table_as_it_is() -> None:
    for counted in METRICS:
        (found,) = counted.collect()
        series = SERIES[found.name + "_total" * (found.type == "counter")]
        assert (series.kind, series.help, series.labels) == (found.type, found.documentation, counted._labelnames)


def test_a_name_or_a_label_that_is_not_in_the_table_is_an_error_at_once() -> None:
    meters = Meters("worker")
    with pytest.raises(KeyError):
        meters.count("sluice_pages")
    with pytest.raises(ValueError, match="label"):
        meters.count("sluice_pages_total", "landed", "twice")


# -- what is told ------------------------------------------------------------------------------------------------------


def moved(process: Process) -> bytes:
    """An exposition in which every series of a process has a value."""
    meters = gateway_meters() if process == "gateway" else Meters(process)
    for one in told_by(process):
        labels = [f"some {label}" for label in one.labels]
        if one.name in meters._counters:
            meters.count(one.name, *labels)
        elif one.name in meters._gauges:
            meters.set(one.name, 1, *labels)
        elif one.name in meters._histograms:
            meters.observe(one.name, 0.2, *labels)
    log_dropped("some reason")
    return exposition([meters.registry])


@pytest.mark.parametrize("process", ["gateway", "worker", "dispatcher"])
def test_promtool_finds_nothing_wrong_with_an_exposition(process: Process) -> None:
    try:
        checker = promtool()
    except Absent as absent:
        pytest.skip(str(absent))
    checked = subprocess.run([checker, "check", "metrics"], input=moved(process), capture_output=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


@pytest.mark.parametrize("process", ["gateway", "worker", "dispatcher"])
def test_every_series_of_a_process_is_told_once(process: Process) -> None:
    names = re.findall(r"^# TYPE (sluice_\w+) ", moved(process).decode(), re.MULTILINE)
    assert sorted(names) == sorted(one.name for one in told_by(process) if not one.read)


def test_log_drops_are_counted_from_anywhere() -> None:
    meters = Meters("worker")
    before = values(exposition([meters.registry])).get(("sluice_log_dropped_total", ("tests",)), 0.0)
    log_dropped("tests", 3)
    assert values(exposition([meters.registry]))["sluice_log_dropped_total", ("tests",)] == before + 3


# -- several processes -------------------------------------------------------------------------------------------------


@pytest.fixture
def child() -> Iterator[Any]:
    started: list[subprocess.Popen[str]] = []

    def start(count: int, environment: dict[str, str]) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(count)],
            env={**os.environ, **environment, "PYTHONPATH": str(TOP)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "counted\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_parent_tells_the_sum_and_forgets_what_a_dead_child_had_in_hand(tmp_path: Path, child: Any) -> None:
    log_dropped("full", 0)
    mine = values(exposition([Meters("worker").registry]))["sluice_log_dropped_total", ("full",)]
    with family(tmp_path) as figures:
        one, other = child(2, dict(figures.environment)), child(3, dict(figures.environment))
        for process in (one, other):
            figures.began(process.pid)
        told = values(exposition(figures.registries))
        assert told["sluice_pages_total", ("landed",)] == 5
        assert told["sluice_messages_in_hand", ()] == 2
        assert told["sluice_log_dropped_total", ("full",)] == 2 + mine
        log_dropped("full", 3)  # what the parent itself drops has no file
        assert values(exposition(figures.registries))["sluice_log_dropped_total", ("full",)] == 5 + mine
        assert exposition(figures.registries).count(b"# TYPE sluice_log_dropped_total ") == 1
        assert told["sluice_post_seconds_count", ()] == 2
        assert told["sluice_child_processes", ()] == 2
        one.kill()
        one.wait()
        figures.ended(one.pid, asked=False)
        told = values(exposition(figures.registries))
        assert (told["sluice_pages_total", ("landed",)], told["sluice_messages_in_hand", ()]) == (5, 1)
        assert (told["sluice_child_processes", ()], told["sluice_child_exits_total", ()]) == (1, 1)
    assert list((tmp_path / "metrics").iterdir()) == []


def test_what_an_earlier_run_left_behind_is_not_told(tmp_path: Path) -> None:
    gone = tmp_path / "metrics" / "999999999"
    gone.mkdir(parents=True)
    with family(tmp_path) as figures:
        assert not gone.exists()
        assert figures.environment[VARIABLE] == str(tmp_path / "metrics" / str(os.getpid()))
        assert "sluice_pages_total" not in exposition(figures.registries).decode()


# -- messages ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("queue", "error", "outcome"),
    [("dedup", None, "done"), ("dedup", ValueError("no"), "failed"), ("jobs", ValueError("no"), "dead")],
)
def test_a_message_is_counted_by_what_became_of_it(queue: str, error: Exception | None, outcome: str) -> None:
    meters = Meters("worker")
    broker = StubBroker(middleware=[MessageMeters(meters), KeepJobs()])
    message = MessageProxy(Message(queue_name=queue, actor_name=queue, args=(), kwargs={}, options={}))
    broker.emit_before("process_message", message)
    assert values(exposition([meters.registry]))["sluice_messages_in_hand", ()] == 1
    broker.emit_after("process_message", message, exception=error)
    told = values(exposition([meters.registry]))
    assert told["sluice_messages_total", (queue, outcome)] == 1
    assert told["sluice_messages_in_hand", ()] == 0
    assert told["sluice_message_seconds_count", (queue,)] == told["sluice_message_wait_seconds_count", (queue,)] == 1


# -- standings ---------------------------------------------------------------------------------------------------------


def test_a_provider_that_nothing_was_ever_written_about_may_be_called_and_is_told() -> None:
    told = of_standings([Standing("nansen", "paused", "a new plan", None, None)], {"nansen", "cryptopanic"})
    assert told == {"sluice_provider_usable": {("cryptopanic",): 1.0, ("nansen",): 0.0}}


# -- queues ------------------------------------------------------------------------------------------------------------


def test_an_empty_queue_without_consumers_is_believed_only_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    watcher = RabbitmqWatcher("amqp://127.0.0.1", ["post"], 1.0)
    assert not watcher._is_sure("post", (0, 0))
    now += SURE_AFTER_S
    assert watcher._is_sure("post", (0, 0))
    assert watcher._is_sure("post", (1, 0))
    assert not watcher._is_sure("post", (0, 0))
    assert watcher._is_sure("post", (0, 1))
