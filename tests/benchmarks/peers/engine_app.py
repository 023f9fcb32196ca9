"""Our engine with bare actors, a real worker's loop, collector and meters.  An entry point: it reads the environment.

What a real worker opens besides, the database and the pipeline, is not here: its memory is not the engine's.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import aiohttp
import dramatiq
from dramatiq.middleware import Middleware

from broker.connect import QuorumBroker, from_url
from ops.engine import AsyncWorker
from ops.engine.process import FastLoop, calm_collector
from ops.metrics.messages import MessageMeters
from ops.metrics.meters import Meters
from tests.benchmarks.peers import count

_sessions: list[aiohttp.ClientSession] = []


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
    middleware = [FastLoop(), MessageMeters(Meters("worker")), Judge()]
    broker = from_url(os.environ["BENCH_BROKER_URL"], middleware=middleware)
    assert isinstance(broker, QuorumBroker)
    queue = os.environ["BENCH_QUEUE"]
    dramatiq.actor(actor_name=queue, queue_name=queue, broker=broker)(
        {"noop": noop, "get": get}[os.environ["BENCH_TASK"]]
    )
    worker = AsyncWorker(broker, in_hand=int(os.environ["BENCH_WIDTH"]), limit_s=60)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    worker.start()
    calm_collector()
    stop.wait()
    worker.stop(5000)


if __name__ == "__main__":
    main()
