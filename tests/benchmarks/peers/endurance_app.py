"""Our engine, which tells five times a second how it is: a line of JSON.  An entry point: it reads the environment."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
from pathlib import Path

import dramatiq
from dramatiq.asyncio import get_event_loop_thread

from broker.connect import QuorumBroker, from_url
from ops.engine import AsyncWorker
from ops.engine.process import FastLoop, calm_collector
from ops.metrics.messages import MessageMeters
from ops.metrics.meters import Meters

EVERY_S = 0.2
WAITS_EACH, WAIT_S = 10, 0.001
_done = 0


async def little(**_: object) -> None:
    """Do nothing; each tenth message waits a moment, so that there is something to switch to."""
    global _done  # noqa: PLW0603  one worker process, one count
    if _done % WAITS_EACH == 0:
        await asyncio.sleep(WAIT_S)
    _done += 1


def main() -> None:
    """Serve until told to stop."""
    broker = from_url(os.environ["BENCH_BROKER_URL"], middleware=[FastLoop(), MessageMeters(Meters("worker"))])
    assert isinstance(broker, QuorumBroker)
    queue = os.environ["BENCH_QUEUE"]
    dramatiq.actor(actor_name=queue, queue_name=queue, broker=broker)(little)
    worker = AsyncWorker(broker, in_hand=256, limit_s=60)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    worker.start()
    calm_collector()
    thread = get_event_loop_thread()
    assert thread is not None
    while not stop.wait(EVERY_S):
        files = sum(1 for _ in Path("/proc/self/fd").iterdir())
        told = {"done": _done, "tasks": len(asyncio.all_tasks(thread.loop)), "files": files}
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
    worker.stop(5000)


if __name__ == "__main__":
    main()
