"""FastStream on RabbitMQ, as its guide sets it up.  An entry point: it reads the environment."""

from __future__ import annotations

import asyncio
import os

import aiohttp
from faststream import FastStream
from faststream.rabbit import Channel, QueueType, RabbitBroker, RabbitQueue

from tests.benchmarks.peers import count

WINDOW = 200
broker = RabbitBroker(os.environ["BENCH_BROKER_URL"], logger=None)
queue = RabbitQueue(os.environ["BENCH_QUEUE"], durable=True, declare=False)
channel = Channel(prefetch_count=int(os.environ["BENCH_WIDTH"]))
_sessions: list[aiohttp.ClientSession] = []


async def noop(_: str) -> None:
    """Do nothing."""
    count.begin()
    count.end()


async def get(_: str) -> None:
    """Fetch one page and drop it."""
    count.begin()
    if not _sessions:
        _sessions.append(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
    async with _sessions[0].get(os.environ["BENCH_URL"]) as answer:
        await answer.read()
    count.end()


broker.subscriber(queue, channel=channel)({"noop": noop, "get": get}[os.environ["BENCH_TASK"]])


async def publish(_: str, many: int) -> None:
    """Send, so many confirms under way at once, to a quorum queue as ours are."""
    window = asyncio.Semaphore(WINDOW)

    async def one() -> None:
        async with window:
            await broker.publish("", queue, persist=True)

    await broker.connect()
    await broker.declare_queue(RabbitQueue(queue.name, queue_type=QueueType.QUORUM, durable=True))
    await asyncio.gather(*(one() for _ in range(many)))
    await broker.stop()


if __name__ == "__main__":
    asyncio.run(FastStream(broker, logger=None).run())
