"""The commands as people type them, against ``sluice up`` on the session's own servers."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ops.embedded.server import wait_for
from tests.terminal import Shell, bare

PATIENCE_S = 60.0
pytestmark = pytest.mark.timeout(300)  # each command is a process of its own
NOWHERE = {
    "SLUICE_DATABASE_URL": "postgresql://sluice:hunter2hunter2@127.0.0.1:9/sluice",
    "SLUICE_REDIS_URL": "redis://:hunter2hunter2@127.0.0.1:9/0",
    "SLUICE_BROKER_URL": "amqp://sluice:hunter2hunter2@127.0.0.1:9/",
}


@pytest.fixture(scope="module")
def shell(postgres_url: str, redis_url: str, rabbitmq_url: str, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    servers = {"SLUICE_DATABASE_URL": postgres_url, "SLUICE_REDIS_URL": redis_url, "SLUICE_BROKER_URL": rabbitmq_url}
    return bare(tmp_path_factory.mktemp("var")).given(**servers)


@pytest.fixture(scope="module")
def up(shell: Shell) -> Iterator[Shell]:
    """The same terminal while ``sluice up`` runs in another; Ctrl-C ends it cleanly."""
    ports = {"SLUICE_PORT": free_port(), "SLUICE_METRICS_PORT": free_port(), "SLUICE_DRAIN_S": "5"}
    with start(shell.given(**ports), "up", "--processes", "1") as process:
        assert process.stdout is not None
        told = []
        for line in process.stdout:
            told.append(line)
            if line.startswith("Running."):
                break
        assert process.poll() is None, told
        assert any("7 registered" in line for line in told), told
        yield shell
        process.send_signal(signal.SIGINT)
        try:
            rest, _ = process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        assert rest.splitlines()[-1] == "Stopped."
        assert process.returncode == 0


def start(shell: Shell, *words: str) -> subprocess.Popen[str]:
    """Type a command that stays, in a terminal of its own."""
    command = [sys.executable, "-m", "ops.cli", *words]
    return subprocess.Popen(command, env=dict(shell.environment), text=True, stdout=subprocess.PIPE)


def free_port() -> str:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


# -- when nothing is there ---------------------------------------------------------------------------------------------


def test_where_nothing_runs_each_command_says_so_in_one_line(tmp_path: Path) -> None:
    nothing = bare(tmp_path)
    assert "make up" in nothing.fails("jobs", "list")
    assert "make up" in nothing.fails("enqueue", "probe")


def test_a_database_that_is_away_is_named_without_its_password(tmp_path: Path) -> None:
    said = bare(tmp_path).given(**NOWHERE).fails("items", "list")
    assert "127.0.0.1:9" in said
    assert "hunter2" not in said


def test_the_doctor_works_when_everything_is_down(tmp_path: Path) -> None:
    told = bare(tmp_path).given(**NOWHERE).run("doctor", "--json", exits=1)
    findings = {one["what"]: one for one in json.loads(told)["findings"]}
    assert {findings[what]["state"] for what in ("database", "redis", "broker")} == {"wrong"}
    assert all(one["remedy"] for one in findings.values() if one["state"] == "wrong")
    assert "hunter2" not in told


def test_the_doctor_says_which_setting_is_wrong(tmp_path: Path) -> None:
    told = json.loads(bare(tmp_path).given(SLUICE_PORT="http").run("doctor", "--json", exits=1))
    assert "SLUICE_PORT" in told["findings"][0]["detail"]


def test_the_doctor_names_settings_that_nothing_reads(tmp_path: Path) -> None:
    told = json.loads(bare(tmp_path).given(**NOWHERE, SLUICE_FOO_BUDGET="3/day").run("doctor", "--json", exits=1))
    assert any("SLUICE_FOO_BUDGET" in one["detail"] for one in told["findings"] if one["what"] == "settings")


def test_without_a_schema_people_are_told_to_migrate(shell: Shell) -> None:
    assert "sluice migrate" in shell.fails("jobs", "list")


# -- when it is up -----------------------------------------------------------------------------------------------------


def test_a_job_is_asked_for_followed_and_shown(up: Shell) -> None:
    words = ("--provider", "cryptopanic", "--dataset", "posts", "--param", "currencies=BTC", "--pages-max", "1")
    told, said = up.both("enqueue", "fetch", *words, "--wait")
    job = told.split()[0]
    assert re.search("found |nothing new", said.splitlines()[-1]), "the streams may have been faster"
    shown = up.one("jobs", "show", job)
    assert (shown["state"], shown["owner"], shown["progress"]) == ("succeeded", "operator", "1 page")
    assert [page["state"] for page in shown["pages"]] == ["posted"]
    assert [call["outcome"] for call in shown["calls_made"]] == ["landed"]
    assert job in [one["id"] for one in up.lines("jobs", "--kind", "fetch", "--limit", "500")]


def test_the_same_key_is_one_job_and_another_body_is_refused(up: Shell) -> None:
    key = str(uuid.uuid4())
    first, again = (up.one("enqueue", "probe", "--key", key) for _ in range(2))
    assert (first["created"], again["created"]) == (True, False)
    assert first["id"] == again["id"]
    assert "asked for something else" in up.fails("enqueue", "probe", "--key", key, "--args", '{"note": "other"}')


def test_what_does_not_fit_is_refused_before_anything_is_written(up: Shell) -> None:
    assert "has no dataset" in up.fails("enqueue", "fetch", "--provider", "nansen", "--dataset", "nope")
    netflow = ("--provider", "nansen", "--dataset", "smart-money/netflow")
    assert "chains" in up.fails("enqueue", "fetch", *netflow)
    written = up.lines("jobs", "--limit", "10000")
    assert [job for job in written if job["args"].get("dataset") == "nope"] == []


def test_a_file_is_told_line_by_line(up: Shell) -> None:
    file = '{"kind": "probe"}\n{"kind": "nope"}\n\nno json\n{"kind": "probe", "args": {"note": "4th"}}\n'
    told = up.run("enqueue", "--file", "-", "--wait", "--json", exits=1, typed=file)
    lines = [json.loads(line) for line in told.splitlines()]
    assert [(one["line"], one["created"]) for one in lines if "line" in one] == [
        (1, True), (2, False), (4, False), (5, True)
    ]  # fmt: skip
    assert [one["outcome"] for one in lines if "outcome" in one] == ["done", "done"]


def test_streams_are_added_run_read_again_paused_and_removed(up: Shell) -> None:
    name = "cli-netflow"
    words = ("--provider", "nansen", "--dataset", "smart-money/netflow", "--param", 'chains=["ethereum"]')
    assert "'whenever'" in up.fails("streams", "add", name, *words, "--cron", "whenever")
    assert up.one("streams", "add", name, *words, "--every", "1d", "--overlap", "2h")["interval_s"] == 86400

    def stream() -> Any:
        return next(one for one in up.lines("streams") if one["name"] == name)

    assert wait_for(lambda: stream()["last_job"] is not None, within_s=PATIENCE_S), "it is due at once"
    up.run("jobs", "watch")
    assert stream()["last_job"]["state"] == "succeeded"
    assert up.one("streams", "run", name, "--wait")["state"] == "succeeded"
    assert "0 new" in up.run("streams", "reparse", name, "--wait")
    assert {(one["state"], one["calls"], one["cost"]) for one in up.lines("jobs", "--kind", "reparse")} == {
        ("succeeded", 0, 0)
    }
    up.run("streams", "pause", name, "--reason", "for the test")
    assert "paused: for the test" in up.run("streams", "list")
    assert [one["figures"]["timeliness"] for one in up.lines("quality", "--stream", name)] == [None]
    up.run("streams", "remove", name, "--yes")
    assert "there is no stream" in up.fails("streams", "resume", name)


def test_items_are_listed_page_by_page_and_shown_with_where_they_came_from(up: Shell) -> None:
    up.run("jobs", "watch")
    first = up.lines("items", "--limit", "5")
    then = up.lines("items", "--limit", "5", "--after", first[-1]["after"])
    assert len({one["id"] for one in first + then}) == 10
    shown = up.one("items", "show", str(first[0]["id"]))
    origin = shown["pages"][shown["revisions"][0]["page_id"]]
    assert origin["provider"] == shown["provider"]
    assert origin["request"]["path"]
    assert up.one("jobs", "show", origin["job"])["id"] == origin["job"]
    assert up.lines("items", "list", "--as-of", "2020-01-01") == []
    stories = up.lines("stories", "--limit", "1")
    assert up.one("stories", "show", str(stories[0]["id"]))["tellings"]
    assert "no item" in up.fails("items", "show", "999999999")


def test_a_paused_provider_makes_its_jobs_wait_with_the_reason_and_goes_on(up: Shell) -> None:
    up.run("providers", "pause", "newscatcher", "--reason", "for the test")
    words = ("--provider", "newscatcher", "--dataset", "search", "--param", "q=bitcoin", "--pages-max", "1")
    job = up.one("enqueue", "fetch", *words)["id"]
    assert wait_for(lambda: up.one("jobs", "show", job)["state"] == "waiting", within_s=PATIENCE_S)
    told = up.run("jobs", "list", "--state", "waiting")
    assert "paused: for the test (until 20" in told
    assert "provider newscatcher" in up.run("doctor", "--json")
    up.run("providers", "enable", "newscatcher")  # this terminal has no key, and a pause needs none to be lifted
    up.run("jobs", "watch", job)
    assert up.one("jobs", "show", job)["state"] == "succeeded"


def test_providers_show_the_schema_of_each_dataset(up: Shell) -> None:
    told = {one["name"]: one for one in up.lines("providers")}
    assert set(told) == {"cryptopanic", "nansen", "newscatcher"}
    assert "chains" in told["nansen"]["datasets"]["smart-money/netflow"]["params"]["properties"]
    assert told["cryptopanic"]["health"] == "healthy"


def test_a_dead_letter_is_grouped_shown_replayed_and_purged(up: Shell, postgres_url: str) -> None:
    words = ("--provider", "cryptopanic", "--dataset", "posts", "--pages-max", "1")
    job = up.run("enqueue", "fetch", *words, "--wait").split()[0]
    with psycopg.connect(postgres_url) as conn:
        error = "the parser failed: KeyError 42"
        conn.execute("UPDATE jobs SET state = 'failed', last_error = %s, posted = 0 WHERE id = %s", (error, job))
        conn.execute("UPDATE pages SET state = 'dead', reason = %s WHERE job_id = %s", (error, job))
        calls = conn.execute("SELECT count(*) FROM calls WHERE job_id = %s", (job,)).fetchone()
    (group,) = [one for one in up.lines("dead") if one["example"] == job]
    assert (group["error"], group["dead_pages"]) == ("the parser failed: KeyError #", 1)
    assert up.one("dead", "show", job)["pages"][0]["excerpt"].startswith("{")
    assert up.run("dead", "purge", job, "--yes").startswith("0 forgotten, 1 kept")
    assert up.one("dead", "replay", "--error", "KeyError #") == {"replayed": 1, "left": 0}
    up.run("jobs", "watch", job)
    assert up.one("jobs", "show", job)["state"] == "succeeded"
    with psycopg.connect(postgres_url) as conn:
        assert conn.execute("SELECT count(*) FROM calls WHERE job_id = %s", (job,)).fetchone() == calls


def test_the_doctor_finds_nothing_wrong_with_what_is_up(up: Shell) -> None:
    told = up.one("doctor")
    assert [one for one in told["findings"] if one["state"] == "wrong"] == []
    named = {one["what"] for one in told["findings"]}
    assert {"dispatcher", "workers", "gateways", "schema", "queues"} <= named
    assert "provider keys" not in named  # this terminal has none, and the workers have


def test_a_sandbox_serves_until_it_is_stopped_and_tells_its_calls(tmp_path: Path) -> None:
    with start(bare(tmp_path), "sandbox", "--port", "0", "--json") as process:
        assert process.stdout is not None
        announced = json.loads(process.stdout.readline())
        assert announced["variables"]["SLUICE_NANSEN_URL"] == f"{announced['url']}/nansen"
        process.terminate()
        rest, _ = process.communicate(timeout=PATIENCE_S)
        assert json.loads(rest)["endpoints"] == []
        assert process.returncode == 0


def test_a_second_up_in_the_same_place_says_who_is_there(stack: Any, var: Path) -> None:
    assert "in use by process" in bare(var).fails("up")
