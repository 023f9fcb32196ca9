"""Real worker processes on RabbitMQ: told to stop, killed, poisoned, started without servers, beside Dramatiq's own."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aio_pika
import pytest
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from broker import jobs
from broker.jobs import NewJob
from broker.messages import WorkOnJob, fetch_queue, queues
from broker.producer import Producer, open_producer
from ops.embedded import Stack
from ops.sandbox import SandboxConfig, SandboxServer, parse_fault, running_sandbox
from tests.workshop import empty, eventually
from workers.dispatch import Dispatcher
from workers.works import utc_now

WORKER = ("-m", "ops.cli", "worker", "--processes", "1", "--threads", "8")
PARENT = ("-m", "ops.cli", "worker", "--processes", "2", "--threads", "8")
NAMES = ("cryptopanic", "nansen", "newscatcher")
ENTRY = """
import sys
from ops import bootstrap
from workers import actors
from workers.providers.cryptopanic import CryptoPanic
from workers.works import Policy
{changes}
from ops.cli import main
sys.argv = ["sluice", "worker", "--processes", "1", "--threads", "8"]
main()
"""


@dataclass
class Plant:
    """Servers, a sandbox and a dispatcher; the workers are child processes that each test starts."""

    database: AsyncEngine
    producer: Producer
    sandbox: SandboxServer
    environment: dict[str, str]
    folder: Path

    async def ask(self, count: int = 1, **args: Any) -> None:
        """Write pulls of CryptoPanic's list, and say so."""
        asked = {"provider": "cryptopanic", "dataset": "posts", **args}
        await self.enqueue([NewJob("fetch", fetch_queue("cryptopanic"), asked)] * count)

    async def enqueue(self, new: Sequence[NewJob]) -> None:
        async with self.database.begin() as conn:
            await jobs.enqueue(conn, new, now=datetime.now(UTC))
        await self.producer.send([WorkOnJob(job.queue) for job in new])

    async def rows(self, sql: str) -> list[Any]:
        async with self.database.connect() as conn:
            return list((await conn.execute(text(sql))).all())

    def all_are(self, state: str) -> Callable[[], Any]:
        async def check() -> bool:
            return {row.state for row in await self.rows("SELECT DISTINCT state FROM jobs")} == {state}

        return check

    async def has_landed(self) -> bool:
        return bool(await self.rows("SELECT 1 FROM pages LIMIT 1"))

    def faults(self, *written: str) -> None:
        self.sandbox.state.use_faults(map(parse_fault, written))

    @asynccontextmanager
    async def process(self, *words: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """A child in a process group of its own; whatever is left of it is killed at the end."""
        with (self.folder / "worker.log").open("ab") as log:
            child = await asyncio.create_subprocess_exec(
                sys.executable, *(words or WORKER), env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        try:
            yield child
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            await child.wait()

    def entry(self, changes: str) -> str:
        """Write a script that starts a worker of which something was changed; give its path."""
        path = self.folder / "entry.py"
        path.write_text(ENTRY.format(changes=changes))
        return str(path)

    async def nothing_is_lost(self) -> None:
        """All came to its end, once, and was paid for once."""
        await eventually(self.all_are("succeeded"), within_s=60)
        (counted,) = await self.rows(
            "SELECT sum(calls) AS calls, sum(landed) AS landed, sum(new) AS new FROM jobs WHERE kind = 'fetch'"
        )
        held = {row.key for row in await self.rows("SELECT key FROM items")}
        assert held == set(self.sandbox.state.invented()["cryptopanic"]["keys"])
        assert (counted.calls, counted.new) == (counted.landed, len(held))


@pytest.fixture
async def plant(
    ledger: AsyncEngine, ledger_url: str, stack: Stack, rabbitmq_url: str, tmp_path: Path
) -> AsyncIterator[Plant]:
    await empty(ledger)
    redis_url = stack.redis.start().database_url(8)
    async with Redis.from_url(redis_url) as redis:
        await redis.flushdb()
    every = queues(NAMES)
    async with AsyncExitStack() as opened:
        sandbox = await opened.enter_async_context(running_sandbox(SandboxConfig(size=120)))
        producer = await opened.enter_async_context(open_producer(rabbitmq_url, every))
        await purge(rabbitmq_url, producer, every)
        provider_variables = {
            name: value
            for one in NAMES
            for name, value in (
                (f"{one.upper()}_API_KEY", f"{one}-key-0f9e8d7c6b"),
                (f"SLUICE_{one.upper()}_URL", f"{sandbox.url}/{one}"),
                (f"SLUICE_{one.upper()}_RATE", "1000/1s"),
            )
        }
        own = {
            "SLUICE_DATABASE_URL": ledger_url,
            "SLUICE_REDIS_URL": redis_url,
            "SLUICE_BROKER_URL": rabbitmq_url,
            "SLUICE_VAR": str(tmp_path),
            "SLUICE_LEASE_S": "1.5",
            "SLUICE_LOST_AFTER_S": "1",
            "SLUICE_DRAIN_S": "10",
            "SLUICE_LOG_LEVEL": "warning",
        }
        dispatcher = Dispatcher(ledger, producer, every, utc_now, lost_after=timedelta(seconds=1), every_s=0.1)
        stop = asyncio.Event()
        dispatching = asyncio.create_task(dispatcher.run(stop))
        yield Plant(ledger, producer, sandbox, {**os.environ, **provider_variables, **own}, tmp_path)
        stop.set()
        await dispatching


async def purge(url: str, producer: Producer, every: Sequence[str]) -> None:
    async with await aio_pika.connect(url) as connection, connection.channel() as channel:
        for name in every:
            await producer.depth(name)
            await (await channel.get_queue(name)).purge()


def term_once(pid: int) -> None:
    os.kill(pid, signal.SIGTERM)


def term_the_group_twice(pid: int) -> None:
    os.killpg(pid, signal.SIGTERM)
    os.killpg(pid, signal.SIGTERM)


@pytest.mark.parametrize("tell", [term_once, term_the_group_twice])
async def test_a_worker_that_is_told_to_stop_drains_and_nothing_is_lost(
    plant: Plant, tell: Callable[[int], None]
) -> None:
    plant.faults("slow=1.0,ms=150")
    await plant.ask(4)
    async with plant.process() as worker:
        await eventually(plant.has_landed)
        tell(worker.pid)
        async with asyncio.timeout(15):
            assert await worker.wait() == 0
    assert await plant.rows("SELECT 1 FROM jobs WHERE lease_until IS NOT NULL") == []
    plant.faults()
    async with plant.process():
        await plant.nothing_is_lost()


async def told_until_gone(worker: asyncio.subprocess.Process, tell: Callable[[int], None]) -> int:
    """Say it again and again, several times within a second, and give the exit code."""
    while True:
        with suppress(ProcessLookupError):
            tell(worker.pid)
        with suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                return await worker.wait()


def term_the_group(pid: int) -> None:
    os.killpg(pid, signal.SIGTERM)


@pytest.mark.parametrize(("tell", "words"), [(term_the_group, WORKER), (term_once, PARENT)], ids=["group", "parent"])
async def test_a_signal_a_second_after_the_first_cancels_what_hangs_and_the_worker_leaves(
    plant: Plant, tell: Callable[[int], None], words: tuple[str, ...]
) -> None:
    plant.environment["SLUICE_DRAIN_S"] = "90"  # far longer than it may take
    plant.faults("hang=1.0,limit_s=90")
    await plant.ask(pages_max=1)

    async def runs() -> bool:
        return bool(await plant.rows("SELECT 1 FROM jobs WHERE state = 'running'"))

    async with plant.process(*words) as worker:
        await eventually(runs)
        async with asyncio.timeout(40):
            assert await told_until_gone(worker, tell) in (0, -signal.SIGTERM)  # the last may come when all is done
    plant.faults()
    async with plant.process():
        await eventually(plant.all_are("succeeded"), within_s=60)


async def test_a_worker_whose_loop_stands_still_leaves_when_it_is_told_to_stop(plant: Plant) -> None:
    reading = plant.folder / "reading"
    stuck = plant.entry(
        "import pathlib, time\n"
        "from ops import worker\n"
        "worker.LEAVE_AFTER_DRAIN_S = 1.0\n"
        f"CryptoPanic.parse = lambda self, page: (pathlib.Path({str(reading)!r}).touch(), time.sleep(600))\n"
    )
    plant.environment["SLUICE_DRAIN_S"] = "1"
    await plant.ask(pages_max=1)

    async def stands_still() -> bool:
        return reading.exists()

    async with plant.process(stuck) as worker:
        await eventually(stands_still)
        async with asyncio.timeout(40):
            assert await told_until_gone(worker, term_once) == 1  # the next one finds its page as a killed one's


async def test_what_a_killed_worker_left_is_done_by_the_next(plant: Plant) -> None:
    plant.faults("slow=1.0,ms=100")
    await plant.ask()  # the call that it dies in keeps one of two places at the provider for a minute
    async with plant.process() as worker:
        await eventually(plant.has_landed)
        worker.kill()
        await worker.wait()
    plant.faults()
    async with plant.process():
        await eventually(plant.all_are("succeeded"), within_s=60)
    held = {row.key for row in await plant.rows("SELECT key FROM items")}
    assert held == set(plant.sandbox.state.invented()["cryptopanic"]["keys"])
    (counted,) = await plant.rows("SELECT sum(new) AS new, sum(landed - posted) AS left FROM jobs")
    assert (counted.new, counted.left) == (len(held), 0)


async def test_a_page_that_kills_its_worker_ends_as_a_dead_letter_and_the_others_go_on(plant: Plant) -> None:
    deadly = plant.entry(
        "import functools, os\n"
        "bootstrap.Policy = functools.partial(Policy, deliveries_max=2)\n"
        "usual = CryptoPanic.parse\n"
        "CryptoPanic.parse = lambda self, page: os._exit(9) if page.cursor == '2' else usual(self, page)\n"
    )
    await plant.ask(pages_max=3)
    await plant.enqueue([NewJob("probe", "probe")] * 3)

    async def ended() -> bool:
        # The page before the deadly one was on its way to be posted when its worker died: it still arrives.
        landed = await plant.rows("SELECT FROM pages WHERE state = 'landed'")
        jobs = {row.state for row in await plant.rows("SELECT state FROM jobs")}
        return not landed and jobs == {"failed", "succeeded"}

    deaths = 0
    while not await ended():
        async with plant.process(deadly) as worker:
            exited, done = asyncio.create_task(worker.wait()), asyncio.create_task(eventually(ended, within_s=40))
            await asyncio.wait({exited, done}, return_when=asyncio.FIRST_COMPLETED)
            deaths += exited.done() and exited.result() == 9
            done.cancel()
            exited.cancel()
            await asyncio.gather(exited, done, return_exceptions=True)
        assert deaths <= 3
    (row,) = await plant.rows("SELECT * FROM jobs WHERE state = 'failed'")
    assert (deaths, row.last_error) == (2, "its worker died on this page 2 times")
    pages = {page.seq: page.state for page in await plant.rows("SELECT seq, state FROM pages")}
    assert pages == {1: "posted", 2: "dead"}


async def test_a_message_that_hangs_is_ended_by_its_time_limit_and_the_job_goes_on_later(plant: Plant) -> None:
    impatient = plant.entry("actors.MESSAGE_TIME_S = 0.5\n")
    plant.faults("hang=1.0,limit_s=60")
    await plant.ask(pages_max=1)

    async def asked_twice() -> bool:
        return bool(await plant.rows("SELECT 1 FROM jobs WHERE fence >= 2"))

    async with plant.process(impatient):
        await eventually(asked_twice)
        plant.faults()
        await eventually(plant.all_are("succeeded"), within_s=40)


@pytest.mark.parametrize(
    ("variable", "url"),
    [
        ("SLUICE_DATABASE_URL", "postgresql://nobody:secretword@127.0.0.1:9/none"),
        ("SLUICE_REDIS_URL", "redis://:secretword@127.0.0.1:9/0"),
        ("SLUICE_BROKER_URL", "amqp://nobody:secretword@127.0.0.1:9/%2F"),
        ("SLUICE_BROKER_URL", "redis://:secretword@127.0.0.1:9/0"),
    ],
)
async def test_a_worker_without_a_server_leaves_with_one_clear_line(plant: Plant, variable: str, url: str) -> None:
    plant.environment[variable] = url
    child = await asyncio.create_subprocess_exec(
        sys.executable, *WORKER, env=plant.environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(40):
            told, _ = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    assert child.returncode == 2
    lines = told.decode().strip().splitlines()
    assert len(lines) == 1, told.decode()
    assert lines[0].startswith("sluice: ")
    assert "secretword" not in lines[0]


async def test_dramatiqs_own_command_serves_the_same_queues_beside_ours(plant: Plant) -> None:
    stock = ("-m", "dramatiq", "ops.stock:broker", "--processes", "1", "--threads", "2")
    async with plant.process(*stock):
        await plant.ask(pages_max=2)
        await eventually(plant.all_are("succeeded"), within_s=40)
        async with plant.process():
            await plant.enqueue([NewJob("probe", "probe")] * 60)
            await plant.ask(3)
            await plant.nothing_is_lost()
