"""Our engine with bare actors, and hooks that count as a real worker's do.  An entry point: it reads the environment.

The worker's own hooks bring the database and the pipeline with them, whose memory is not the engine's.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from typing import Any

import aiohttp
import dramatiq
import uvloop
from dramatiq.middleware import AsyncIO, Middleware
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from broker.connect import QuorumBroker, from_url
from ops.engine import AsyncWorker
from tests.benchmarks.peers import count

_sessions: list[aiohttp.ClientSession] = []
_REGISTRY = CollectorRegistry()
_DONE = Counter("messages", "by actor and outcome", ["actor", "outcome"], registry=_REGISTRY)
_IN_HAND = Gauge("in_hand", "messages", registry=_REGISTRY)
_WAITED = Histogram("waited", "seconds", ["actor"], registry=_REGISTRY)
_TOOK = Histogram("took", "seconds", ["actor"], registry=_REGISTRY)


class Meters(Middleware):
    """Counts what ``ops.metrics.worker.MessageMeters`` counts."""

    def __init__(self) -> None:
        """Nothing was counted yet."""
        self._began: dict[int, float] = {}

    def before_process_message(self, broker: dramatiq.Broker, message: dramatiq.MessageProxy) -> None:
        """Note when it began, and how long it waited."""
        self._began[id(message)] = time.perf_counter()
        _IN_HAND.inc()
        _WAITED.labels(message.actor_name).observe(max(0.0, time.time() - message.message_timestamp / 1000))

    def after_process_message(self, broker: dramatiq.Broker, message: dramatiq.MessageProxy, **_: Any) -> None:
        """Count it, and note how long it took."""
        _DONE.labels(message.actor_name, "done").inc()
        _IN_HAND.dec()
        _TOOK.labels(message.actor_name).observe(time.perf_counter() - self._began.pop(id(message)))


class Judge(Middleware):
    """Looks at every end, as a worker's ``KeepJobs`` does."""

    def after_process_message(
        self,
        broker: dramatiq.Broker,
        message: dramatiq.MessageProxy,
        *,
        exception: object = None,
        **_: Any,
    ) -> None:
        """Let what failed go to the dead letters."""
        if exception is not None:
            message.fail()


async def noop() -> None:
    """Do nothing."""
    count.begin()
    count.end()


async def get() -> None:
    """Fetch one page and drop it."""
    count.begin()
    if not _sessions:
        _sessions.append(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
    async with _sessions[0].get(os.environ["BENCH_URL"]) as answer:
        await answer.read()
    count.end()


def main() -> None:
    """Serve until told to stop."""
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    broker = from_url(os.environ["BENCH_BROKER_URL"], middleware=[AsyncIO(), Meters(), Judge()])
    assert isinstance(broker, QuorumBroker)
    queue = os.environ["BENCH_QUEUE"]
    dramatiq.actor(actor_name=queue, queue_name=queue, broker=broker)(
        {"noop": noop, "get": get}[os.environ["BENCH_TASK"]]
    )
    worker = AsyncWorker(broker, in_hand=int(os.environ["BENCH_WIDTH"]), limit_s=60)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    worker.start()
    stop.wait()
    worker.stop(5000)


if __name__ == "__main__":
    main()
