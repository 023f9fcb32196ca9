"""Bare Dramatiq with async actors and confirms, as its guide sets it up.  An entry point: reads the environment."""

from __future__ import annotations

import os

import aiohttp
import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.middleware import AsyncIO

from tests.benchmarks.peers import count

broker = RabbitmqBroker(url=os.environ["BENCH_BROKER_URL"], confirm_delivery=True)
broker.add_middleware(AsyncIO())
dramatiq.set_broker(broker)
_sessions: list[aiohttp.ClientSession] = []


@dramatiq.actor(queue_name="peer_dramatiq")
async def noop() -> None:
    """Do nothing."""
    count.begin()
    count.end()


@dramatiq.actor(queue_name="peer_dramatiq")
async def get() -> None:
    """Fetch one page and drop it."""
    count.begin()
    if not _sessions:
        _sessions.append(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=100)))
    async with _sessions[0].get(os.environ["BENCH_URL"]) as answer:
        await answer.read()
    count.end()


def publish(task: str, many: int) -> None:
    """Send, each confirmed before the next."""
    actor = {"noop": noop, "get": get}[task]
    for _ in range(many):
        actor.send()
