"""taskiq over aio-pika, which confirms by itself.  An entry point: it reads the environment."""

from __future__ import annotations

import asyncio
import os

import aiohttp
from taskiq_aio_pika import AioPikaBroker

from tests.benchmarks.peers import count

WINDOW = 200
broker = AioPikaBroker(os.environ["BENCH_BROKER_URL"], qos=100, queue_name="peer_taskiq", exchange_name="peer_taskiq")
_sessions: list[aiohttp.ClientSession] = []


@broker.task
async def noop() -> None:
    """Do nothing."""
    count.begin()
    count.end()


@broker.task
async def get() -> None:
    """Fetch one page and drop it."""
    count.begin()
    if not _sessions:
        _sessions.append(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=100)))
    async with _sessions[0].get(os.environ["BENCH_URL"]) as answer:
        await answer.read()
    count.end()


async def publish(task: str, many: int) -> None:
    """Send, so many confirms under way at once."""
    sent = {"noop": noop, "get": get}[task]
    window = asyncio.Semaphore(WINDOW)

    async def one() -> None:
        async with window:
            await sent.kiq()

    await broker.startup()
    await asyncio.gather(*(one() for _ in range(many)))
    await broker.shutdown()
