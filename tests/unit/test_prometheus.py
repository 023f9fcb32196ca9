"""Alert rules, scrape configuration and dashboard speak of series that there are, and of pages of the runbook."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from ops.metrics.series import SERIES
from tests.promtool import Absent, promtool

TOP = Path(__file__).parents[2]
PROMETHEUS, GRAFANA = TOP / "ops" / "prometheus", TOP / "ops" / "grafana"
RULES = cast(dict[str, Any], yaml.safe_load((PROMETHEUS / "rules.yml").read_text()))
CASES = cast(dict[str, Any], yaml.safe_load((PROMETHEUS / "tests.yml").read_text()))
DASHBOARD = cast(dict[str, Any], json.loads((GRAFANA / "sluice.json").read_text()))
EVERY = [rule for group in RULES["groups"] for rule in group["rules"]]
ALERTS = [rule for rule in EVERY if "alert" in rule]
RECORDED = {str(rule["record"]) for rule in EVERY if "record" in rule}
TARGETS = [target for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]
OTHERS = {"up", "ALERTS", "process_resident_memory_bytes"}  # Prometheus' own, and its client's
WORDS = {"sum", "max", "min", "count", "unless", "and", "or", "rate", "increase", "absent", "time", "vector"}
WORDS |= {"histogram_quantile", "max_over_time"}
TOLD_BY_PROMETHEUS = {"job", "instance", "alertstate", "le"}


def named(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Name the series of an expression, each with the labels that it is matched by."""
    stripped = re.sub(r"\bby \([^)]*\)", "", expression)
    for found in re.finditer(r"(?<![\w:$\"])([a-zA-Z_:][\w:]*)(\{[^}]*\})?", re.sub(r"\[[^\]]*\]", "", stripped)):
        name, matched = found[1], found[2] or ""
        if name not in WORDS:
            yield name, set(re.findall(r"(\w+)(?:=|!)", re.sub(r'"[^"]*"', "", matched)))


def bare(name: str) -> str:
    """The series that a name belongs to: a histogram has three."""
    stem = re.sub(r"_(bucket|count|sum)$", "", name)
    return stem if stem in SERIES and SERIES[stem].kind == "histogram" else name


@pytest.mark.parametrize("expression", [rule["expr"] for rule in EVERY] + [target["expr"] for target in TARGETS])
def test_every_series_and_label_that_is_asked_for_exists(expression: str) -> None:
    asked = list(named(expression))
    assert asked
    labels = set(TOLD_BY_PROMETHEUS)
    for name, matched in asked:
        assert bare(name) in SERIES or name in RECORDED | OTHERS, name
        known = {*SERIES[bare(name)].labels} if bare(name) in SERIES else set()
        labels |= known
        assert matched <= known | TOLD_BY_PROMETHEUS, name
    grouped = {label for group in re.findall(r"\bby \(([^)]*)\)", expression) for label in group.split(", ")}
    assert grouped <= labels


def test_every_series_is_in_the_dashboard_or_in_a_rule() -> None:
    expressions = [rule["expr"] for rule in EVERY] + [target["expr"] for target in TARGETS]
    asked = {bare(name) for expression in expressions for name, _ in named(expression)}
    # What one broker alone tells, and what another series says as well.
    apart = {
        "sluice_queue_unacked",
        "sluice_queue_delayed",
        "sluice_queue_dead",
        "sluice_jobs_undispatched_oldest_seconds",
        "sluice_ratelimit_replayed_total",
        "sluice_ratelimit_forgotten_total",
    }
    assert SERIES.keys() - asked == apart


def test_counters_are_asked_for_their_growth_and_gauges_for_their_value() -> None:
    for expression in [rule["expr"] for rule in EVERY] + [target["expr"] for target in TARGETS]:
        grows = set(re.findall(r"(?:rate|increase)\((\w+)", expression))
        for name, _ in named(expression):
            if bare(name) in SERIES:
                assert (SERIES[bare(name)].kind != "gauge") == (name in grows), (name, expression)


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_every_alert_says_what_how_bad_and_where_to_read_on(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"page", "ticket"}
    notes = rule["annotations"]
    assert notes.keys() == {"summary", "description", "runbook"}
    assert re.fullmatch(r"docs/runbook/alarms/[a-z0-9-]+\.md", notes["runbook"])


def test_every_page_that_an_alert_links_is_there() -> None:
    linked = {rule["annotations"]["runbook"] for rule in ALERTS}
    assert {page for page in linked if not (TOP / page).is_file()} == set()


def test_alerts_have_names_of_their_own() -> None:
    names = [rule["alert"] for rule in ALERTS]
    assert len(names) == len(set(names))


def test_burn_rates_come_in_pairs_over_a_long_and_a_short_window() -> None:
    pairs: dict[str, dict[str, tuple[str, str, str]]] = {}
    for rule in ALERTS:
        if found := re.findall(r"sluice:(\w+):ratio_rate(\w+) > ([\d.]+) \* [\d.]+", rule["expr"]):
            ((sli, long, factor), (other, short, same)) = found
            assert (sli, factor) == (other, same)
            pairs.setdefault(sli, {})[factor] = (long, short, rule["labels"]["severity"])
    canonical = {
        "14.4": ("1h", "5m", "page"),
        "6": ("6h", "30m", "page"),
        "3": ("1d", "2h", "ticket"),
        "1": ("3d", "6h", "ticket"),
    }
    assert pairs == dict.fromkeys(("http_errors", "http_slow", "starts_late"), canonical)


def test_alerts_on_what_may_be_missing_have_a_twin_on_silence() -> None:
    silences = {name for rule in ALERTS for name in re.findall(r"absent\((\w+)", rule["expr"])}
    assert {"up", "sluice_queue_consumers", "sluice_jobs_undispatched"} <= silences


def test_the_cases_speak_of_alerts_that_there_are() -> None:
    asked = {case["alertname"] for test in CASES["tests"] for case in test["alert_rule_test"]}
    assert asked <= {rule["alert"] for rule in ALERTS}
    assert len(asked) >= 15


@pytest.mark.parametrize(
    "words",
    [
        ("check", "rules", "rules.yml"),
        ("test", "rules", "tests.yml"),
        ("check", "config", "--syntax-only", "prometheus.yml"),
    ],
    ids=" ".join,
)
def test_promtool_agrees(words: tuple[str, ...]) -> None:
    try:
        checker = promtool()
    except Absent as absent:
        pytest.skip(str(absent))
    run = subprocess.run([checker, *words], cwd=PROMETHEUS, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


# -- the dashboard -----------------------------------------------------------------------------------------------------


def test_the_dashboard_can_be_provisioned() -> None:
    assert (DASHBOARD["uid"], DASHBOARD["editable"]) == ("sluice", False)
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    source = yaml.safe_load((GRAFANA / "datasource.yml").read_text())["datasources"][0]
    used = {target["datasource"]["uid"] for target in TARGETS}
    assert used == {source["uid"]}
    (provider,) = yaml.safe_load((GRAFANA / "dashboards.yml").read_text())["providers"]
    assert provider["options"]["path"] == "/etc/grafana/dashboards"


def test_panels_do_not_lie_over_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert all(x < 24 for x, _ in cells)
        taken |= cells


def test_what_is_not_told_is_shown_as_such_and_never_as_zero() -> None:
    for panel in DASHBOARD["panels"]:
        if panel["type"] != "row":
            assert panel["fieldConfig"]["defaults"]["noValue"] == "not told"


def test_the_scrape_configuration_finds_every_process_that_tells() -> None:
    scraped = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"]
    jobs = {job["job_name"]: job["dns_sd_configs"][0] for job in scraped}
    assert jobs.keys() == {f"sluice-{name}" for name in ("gateway", "worker", "dispatcher")}
    assert {config["port"] for config in jobs.values()} == {9191}
    assert {tuple(config["names"]) for config in jobs.values()} == {("gateway",), ("worker",), ("dispatcher",)}
