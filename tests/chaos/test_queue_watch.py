"""What is told of queues while RabbitMQ is loaded, stands still, crashes, comes back and is gone: right, or nothing."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage
from sqlalchemy.ext.asyncio import AsyncEngine

from broker import jobs
from broker.connect import queue_arguments
from broker.jobs import NewJob
from broker.messages import WorkOnJob, queues
from broker.producer import open_producer
from ops.embedded.rabbitmq import RabbitMQ
from ops.metrics.watch import Watch
from tests.watching import Told, told, watching
from tests.workshop import eventually

FETCH, POST = "fetch.cryptopanic", "post"
QUEUES = queues(["cryptopanic"])
READY, CONSUMERS = ("sluice_queue_ready", FETCH), ("sluice_queue_consumers", POST)
OLDEST, UNDISPATCHED = ("sluice_queue_oldest_seconds", FETCH), ("sluice_jobs_undispatched", "")
BROKER_UP = ("sluice_watch_up", "broker")
WITHIN_S = 5.0
MESSAGES = 200


@pytest.fixture
def rabbitmq() -> Iterator[RabbitMQ]:
    """A node of this test's own."""
    with tempfile.TemporaryDirectory(prefix="sluice-watch-") as folder:
        server = RabbitMQ(Path(folder))
        try:
            yield server.start()
        finally:
            server.stop()


@asynccontextmanager
async def never_told(watch: Watch, wrong: Callable[[Told], bool]) -> AsyncIterator[None]:
    """Look all the time; at the end, nothing wrong may have been told."""
    found: list[Told] = []

    async def look() -> None:
        while not found:
            if wrong(now := told(watch)):
                found.append(now)
            await asyncio.sleep(0.02)

    looking = asyncio.create_task(look())
    try:
        yield
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
    assert found == []


async def nothing(_: AbstractIncomingMessage) -> None:
    """Be a consumer."""


async def test_what_is_told_of_queues_is_right_within_five_seconds_or_nothing(
    ledger: AsyncEngine, rabbitmq: RabbitMQ, redis_url: str
) -> None:
    async with watching(ledger, rabbitmq.url, redis_url, QUEUES) as watch:

        async def soon(right: Callable[[Told], bool]) -> None:
            async def check() -> bool:
                return right(told(watch))

            await eventually(check, within_s=WITHIN_S)

        due = datetime.now(UTC) - timedelta(minutes=2)
        async with ledger.begin() as conn:
            await jobs.enqueue(conn, [NewJob("fetch", FETCH, {}, run_at=due)], now=due, hinted=False)
        async with open_producer(rabbitmq.url, QUEUES) as producer:
            await producer.send([WorkOnJob(FETCH)] * MESSAGES)
            await soon(lambda now: now.get(READY) == MESSAGES and now.get(CONSUMERS) == 0)
        connection = await aio_pika.connect(rabbitmq.url)
        queue = await (await connection.channel()).declare_queue(POST, durable=True, arguments=queue_arguments(POST))
        await queue.consume(nothing)
        await soon(lambda now: now.get(CONSUMERS) == 1)

        def from_rows(now: Told) -> bool:
            return now[OLDEST] >= 120 and now[UNDISPATCHED] == 1

        def gone(now: Told) -> bool:
            return not {READY, CONSUMERS} & now.keys() and now[BROKER_UP] == 0 and from_rows(now)

        def back(now: Told) -> bool:
            return now.get(READY) == MESSAGES and now[BROKER_UP] == 1 and from_rows(now)

        async with never_told(watch, lambda now: now.get(READY, MESSAGES) != MESSAGES):
            rabbitmq.pause()
            await soon(gone)
            rabbitmq.resume()
            await soon(back)
            rabbitmq.kill()
            await soon(gone)
            await asyncio.to_thread(rabbitmq.start)
            await soon(back)
            await asyncio.to_thread(rabbitmq.stop)
            await soon(gone)
        await connection.close()
