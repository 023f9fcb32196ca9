"""What any AMQP client may publish to ``jobs``: `docs/examples/produce.py` against RabbitMQ and a real worker."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from broker.connect import queue_arguments
from ops.embedded.server import wait_for

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "produce.py"
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Foreign:
    """A producer that knows an address, and the rows that its messages become."""

    url: str
    database: str
    worker: subprocess.Popen[bytes]

    def run_example(self, *words: str) -> None:
        subprocess.run([sys.executable, str(EXAMPLE), self.url, *words], check=True, timeout=PATIENCE_S)

    def publish(self, body: bytes) -> None:
        publish: Callable[[str, bytes], None] = runpy.run_path(str(EXAMPLE))["publish"]
        publish(self.url, body)

    def jobs(self, where: str, *values: object) -> list[dict[str, Any]]:
        with psycopg.connect(self.database, row_factory=dict_row) as conn:
            found: list[dict[str, Any]] = conn.execute(f"SELECT * FROM jobs WHERE {where}", values).fetchall()
        return found

    def the_job(self, where: str, *values: object) -> dict[str, Any]:
        found: list[dict[str, Any]] = []

        def there() -> bool:
            found[:] = self.jobs(where, *values)
            return bool(found)

        assert wait_for(there, within_s=PATIENCE_S), f"no job {where} {values}"
        assert len(found) == 1
        return found[0]

    def refused_with(self, mark: str) -> str:
        """Wait for the failed job that holds what was published, and give its reason."""
        job = self.the_job("state = 'failed' AND strpos(args::text, %s) > 0", mark)
        assert job["kind"] == "unreadable"
        assert self.worker.poll() is None
        return str(job["last_error"])

    def still_works(self) -> None:
        """See that the worker goes on with what comes behind a bad message."""
        key = f"after-{uuid.uuid4()}"
        self.publish(json.dumps({"kind": "probe", "args": {}, "idempotency_key": key}).encode())
        self.the_job("idempotency_key = %s AND state = 'succeeded'", key)


@pytest.fixture(scope="module")
def foreign(ledger_url: str, redis_url: str, rabbitmq_url: str, var: Path) -> Iterator[Foreign]:
    mine = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    servers = {"SLUICE_DATABASE_URL": ledger_url, "SLUICE_REDIS_URL": redis_url, "SLUICE_BROKER_URL": rabbitmq_url}
    environment = {**mine, **servers, "SLUICE_VAR": str(var), "SLUICE_LOG_LEVEL": "error"}
    words = [sys.executable, "-m", "ops.cli", "worker", "--processes", "1", "--threads", "8"]
    with subprocess.Popen(words, env=environment) as worker:
        yield Foreign(rabbitmq_url, ledger_url, worker)
        worker.terminate()


def test_the_example_needs_nothing_but_pika_and_declares_the_queue_as_sluice_does() -> None:
    source = EXAMPLE.read_text()
    imports = {line.split()[1] for line in source.splitlines() if line.startswith(("import ", "from "))}
    assert imports == {"json", "pika", "sys"}
    assert runpy.run_path(str(EXAMPLE))["ARGUMENTS"] == queue_arguments("jobs")


def test_a_published_job_is_made_and_comes_to_its_end(foreign: Foreign) -> None:
    key = str(uuid.uuid4())
    foreign.run_example("probe", '{"note": "from elsewhere"}', key)
    job = foreign.the_job("idempotency_key = %s AND state = 'succeeded'", key)
    assert (job["kind"], job["args"], job["owner"]) == ("probe", {"note": "from elsewhere"}, "amqp")


def test_the_same_key_twice_is_one_job(foreign: Foreign) -> None:
    key = str(uuid.uuid4())
    for _ in range(2):
        foreign.run_example("probe", '{"note": "twice"}', key)
    foreign.still_works()  # so both have been seen
    assert len(foreign.jobs("idempotency_key = %s", key)) == 1


def test_the_same_key_for_something_else_is_a_failed_job(foreign: Foreign) -> None:
    key, mark = str(uuid.uuid4()), str(uuid.uuid4())
    foreign.run_example("probe", "{}", key)
    foreign.the_job("idempotency_key = %s", key)
    foreign.run_example("probe", json.dumps({"note": mark}), key)
    assert "asked for something else" in foreign.refused_with(mark)


def test_an_envelope_of_dramatiq_is_read_and_its_queue_name_is_not_believed(foreign: Foreign) -> None:
    key = str(uuid.uuid4())
    kwargs = {"kind": "probe", "args": {}, "idempotency_key": key, "priority": 5}
    foreign.publish(_envelope(kwargs, queue_name="no-such-queue"))
    assert foreign.the_job("idempotency_key = %s AND state = 'succeeded'", key)["priority"] == 5


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(lambda m: _bare(kind=f"no-{m}"), "there is no kind", id="bad kind"),
        pytest.param(lambda m: _bare(args={"note": 7, "x": m}), "probe", id="bad args"),
        pytest.param(lambda m: _bare(kind="fetch", args={"dataset": m}), "'provider' is a required", id="args missing"),
        pytest.param(lambda m: _bare(args=[m]), "args is a JSON object", id="args no object"),
        pytest.param(lambda m: _bare(args={"note": m}, priority="urgent"), "priority is a whole", id="bad priority"),
        pytest.param(lambda m: _bare(args={"note": m}, colour="red"), "unknown fields: colour", id="unknown field"),
        pytest.param(lambda m: f"{{not json {m}".encode(), "not JSON", id="not JSON"),
        pytest.param(lambda m: json.dumps([m]).encode(), "JSON object", id="no object"),
        pytest.param(lambda m: json.dumps({"what": m}).encode(), "the envelope lacks", id="no envelope"),
        pytest.param(lambda m: _envelope({"kind": m}, extra=1), "unknown keys: extra", id="unknown envelope key"),
        pytest.param(lambda m: _envelope({"kind": m}, actor_name="nobody"), "no actor named", id="unknown actor"),
        pytest.param(lambda m: _envelope({"page": m}, actor_name="dedup"), "does not serve", id="another's actor"),
        pytest.param(
            lambda m: _bare(kind="reparse", args={"provider": "nansen", "dataset": m, "of": str(uuid.uuid4())}),
            "nobody asks for this kind",
            id="a kind that nobody asks for",
        ),
    ],
)
def test_what_does_not_fit_becomes_a_failed_job_and_the_worker_lives_on(
    foreign: Foreign, body: Callable[[str], bytes], reason: str
) -> None:
    mark = uuid.uuid4().hex
    foreign.publish(body(mark))
    assert reason in foreign.refused_with(mark)
    foreign.still_works()


def _bare(**fields: object) -> bytes:
    return json.dumps({"kind": "probe", "args": {}, **fields}).encode()


def _envelope(kwargs: dict[str, object], **fields: object) -> bytes:
    usual = {"queue_name": "jobs", "actor_name": "jobs", "args": [], "kwargs": kwargs, "options": {}}
    return json.dumps({**usual, **fields}).encode()
