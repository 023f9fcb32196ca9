"""What a worker process has once: a thread with an event loop, and a garbage collector."""

from __future__ import annotations

from gc import collect, freeze, set_threshold

import uvloop
from dramatiq.asyncio import EventLoopThread, set_event_loop_thread
from dramatiq.broker import Broker
from dramatiq.middleware import AsyncIO

START_S = 5.0


class FastLoop(AsyncIO):
    """Dramatiq's middleware that keeps the event loop, with uvloop's in the place of Python's own."""

    def before_worker_boot(self, broker: Broker, worker: object) -> None:  # noqa: ARG002  Dramatiq's hook
        thread = EventLoopThread(self.logger)
        thread.loop.close()
        thread.loop = uvloop.new_event_loop()
        thread.start(timeout=START_S)
        set_event_loop_thread(thread)


def calm_collector() -> None:
    """Let the garbage collector look at pages only: a page is tens of thousands of objects that no cycle holds, and
    each look at all of them, and at everything that was imported, costs more than reading the page did."""
    collect()
    freeze()
    set_threshold(50_000, 20, 20)
