"""Real processes under SIGTERM, with records still queued: all that they print is in CloudWatch, within the deadline.

And with nobody at CloudWatch's address, they start, work and stop as without it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from ops.embedded import Stack
from tests.cloudwatch import CloudWatch, cloudwatch
from tests.integration.gateway.test_edge_stopping import free_port
from tests.workshop import eventually

SIGNING_KEY = "a master of tests only: 0f9e8d7c6b5a4 and not one for people"
RECORDS = 3000
CHATTY = f"""
import sys
import structlog
from ops.worker import Services
log = structlog.get_logger("chatty")
booted, stopped = Services.before_worker_boot, Services.after_worker_shutdown
def boot(self, *words):
    booted(self, *words)
    log.info("chatty_booted")
def stop(self, *words):
    for number in range({RECORDS}):
        log.info("chatter", number=number)
    stopped(self, *words)
Services.before_worker_boot, Services.after_worker_shutdown = boot, stop
"""


@pytest.fixture(scope="module")
def server() -> Iterator[CloudWatch]:
    with cloudwatch() as cloud:
        yield cloud


@pytest.fixture
def environment(ledger_url: str, stack: Stack, tmp_path: Path) -> dict[str, str]:
    redis_url = stack.redis.start().database_url(9)
    return {
        **os.environ,
        "SLUICE_DATABASE_URL": ledger_url,
        "SLUICE_REDIS_URL": redis_url,
        "SLUICE_BROKER_URL": redis_url,
        "SLUICE_VAR": str(tmp_path),
        "SLUICE_SIGNING_KEY": SIGNING_KEY,
        "SLUICE_DRAIN_S": "5",
    }


@asynccontextmanager
async def process(folder: Path, environment: Mapping[str, str], *words: str) -> AsyncIterator[Any]:
    """A child in a process group of its own, whose output goes to a file; what is left of it is killed at the end."""
    with (folder / "output").open("wb") as output:
        child = await asyncio.create_subprocess_exec(
            sys.executable, *words, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield child
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        await child.wait()


def lines(folder: Path) -> list[str]:
    """The lines of JSON that it printed; Dramatiq's command prints all on standard error."""
    return [line for line in (folder / "output").read_text().splitlines() if line.startswith("{")]


def events(folder: Path) -> list[str]:
    return [str(json.loads(line)["event"]) for line in lines(folder)]


async def said(folder: Path, text: str) -> None:
    async def check() -> bool:
        return text in (folder / "output").read_text()

    await eventually(check, within_s=60)


async def stopped(child: asyncio.subprocess.Process) -> None:
    child.terminate()
    async with asyncio.timeout(30):
        assert await child.wait() == 0


def chatty(folder: Path, main: str) -> str:
    """Write a worker that has a lot to say when it stops; give its path."""
    path = folder / "chatty.py"
    path.write_text(CHATTY + main)
    return str(path)


async def test_a_worker_that_is_told_to_stop_ships_every_queued_record(
    server: CloudWatch, environment: dict[str, str], tmp_path: Path
) -> None:
    server.reset()
    entry = chatty(tmp_path, "from ops.cli import main\nsys.argv = ['sluice', 'worker', '--processes', '1']\nmain()\n")
    async with process(tmp_path, {**environment, **server.environment}, entry) as worker:
        await said(tmp_path, "worker_started")
        await stopped(worker)
    written = lines(tmp_path)
    assert events(tmp_path)[-1] == "worker_stopped"
    assert len(written) > RECORDS
    ((name, messages),) = server.streams().items()
    assert sorted(messages) == sorted(written)
    assert name.startswith("worker/")
    assert name.endswith(f"/{worker.pid}")


async def test_dramatiqs_own_worker_does_too(server: CloudWatch, environment: dict[str, str], tmp_path: Path) -> None:
    server.reset()
    words = ["dramatiq", "ops.stock:broker", "--processes", "1", "--threads", "1"]
    entry = chatty(tmp_path, f"from dramatiq.cli import main\nsys.argv = {words}\nsys.exit(main())\n")
    async with process(tmp_path, {**environment, **server.environment}, entry) as worker:
        await said(tmp_path, "chatty_booted")
        await stopped(worker)
    chatter = [line for line in lines(tmp_path) if "chat" in line]
    assert len(chatter) == RECORDS + 1
    assert set(chatter) <= set(server.stored())


async def test_a_gateway_that_is_told_to_stop_ships_its_access_log_to_the_end(
    server: CloudWatch, environment: dict[str, str], tmp_path: Path
) -> None:
    server.reset()
    port = free_port()
    own = {**environment, **server.environment, "SLUICE_PORT": str(port)}
    async with process(tmp_path, own, "-m", "ops.cli", "serve") as gateway:
        await said(tmp_path, "gateway: http://")
        async with ClientSession() as client:
            for number in range(100):
                async with client.get(f"http://127.0.0.1:{port}/nowhere/{number}?token=abc"):
                    pass
        await stopped(gateway)
    assert events(tmp_path).count("request") == 100
    assert sorted(server.stored()) == sorted(lines(tmp_path))


async def test_with_nobody_at_the_endpoint_a_process_starts_works_and_stops(
    environment: dict[str, str], tmp_path: Path
) -> None:
    nobody = CloudWatch(port=free_port())
    async with process(
        tmp_path, {**environment, **nobody.environment}, "-m", "ops.cli", "worker", "--processes=1"
    ) as child:
        await said(tmp_path, "worker_started")
        await said(tmp_path, "log_shipping_fails")
        await stopped(child)
    (dropped,) = [json.loads(line) for line in lines(tmp_path) if "log_records_dropped" in line]
    assert dropped["by_reason"] == {"closed": len(lines(tmp_path)) - 1}
    assert events(tmp_path).count("log_shipping_fails") == 1
