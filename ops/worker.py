"""One worker process: an engine for Dramatiq's actors on one event loop (``ops/engine``), with guards.

Its signals are ours: the first TERM or INT drains within ``drain_s``; one that comes ``AGAIN_AFTER_S`` later or more (a
process group gets each signal twice at once) cancels what is still in hand, which goes back to its queue; and whatever
happens the process is gone a little after the limit.  A loop that stands still for ``STUCK_S`` ends the process, so
that a supervisor starts another.

``dramatiq ops.stock:broker`` serves the same queues with Dramatiq's own command.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AsyncExitStack

import dramatiq
import structlog
from dramatiq.asyncio import get_event_loop_thread
from dramatiq.broker import Broker
from dramatiq.middleware import Middleware, MiddlewareError, TimeLimit

from broker.connect import QuorumBroker, from_url
from broker.messages import JOBS
from broker.producer import BrokerUnreachableError
from ops.bootstrap import open_pipeline, reach_servers, server
from ops.engine import AsyncWorker, LoopWorker
from ops.engine.hand import Delivery
from ops.engine.process import FastLoop, calm_collector
from ops.gate import Gate
from ops.log import last_words
from ops.metrics.messages import MessageMeters
from ops.metrics.meters import Meters
from ops.pausing import Pausing, taps_of
from ops.settings import Settings
from workers.actors import MESSAGE_TIME_S, register
from workers.database import AWAY, is_away
from workers.pipeline import Pipeline
from workers.providers import load_providers

log = structlog.get_logger(__name__)

STUCK_S = 60.0
LEAVE_AFTER_DRAIN_S = 10.0
EXIT_STUCK = 70
AGAIN_AFTER_S = 1.0
SWITCH_S = 0.0002
"""A thread that works lets another have its turn after this time.  After each system call the event loop may have to
wait for one of the broker's client threads, and Python's own 5 ms are far longer than what it was about to do."""
IDLE_MS = 100  # how long an idle consumer may sleep: Dramatiq asks Redis again and again


class Services(Middleware):
    """Opens the process's pipeline on Dramatiq's event loop when the worker boots, and closes it at the end."""

    def __init__(self, settings: Settings, meters: Meters, messages: MessageMeters) -> None:
        self._settings, self._meters, self._messages = settings, meters, messages
        self._stack = AsyncExitStack()
        self._pipeline: Pipeline | None = None

    def pipeline(self) -> Pipeline:
        """Give the open pipeline; actors ask for it at each message."""
        assert self._pipeline is not None, "the worker has not booted"
        return self._pipeline

    def before_worker_boot(self, broker: Broker, worker: object) -> None:  # noqa: ARG002  Dramatiq's hook
        loop = get_event_loop_thread()
        assert loop is not None
        try:
            opening = self._stack.enter_async_context(open_pipeline(self._settings, self._meters))
            self._pipeline = loop.run_coroutine(opening)
        except Exception as error:
            loop.loop.call_soon_threadsafe(loop.loop.stop)  # its thread would keep an idle process alive
            # Dramatiq goes on after any other error in a boot hook.
            raise MiddlewareError(str(error) or type(error).__name__) from error
        if isinstance(worker, AsyncWorker):
            works = self._pipeline.works
            works.observer = Gate(works.observer, lambda: worker.intakes, works.clock)

    def after_worker_boot(self, broker: Broker, worker: AsyncWorker | dramatiq.Worker) -> None:  # noqa: ARG002
        loop = get_event_loop_thread()
        assert loop is not None
        pausing = Pausing(self.pipeline().works.database, taps_of(worker), self._messages.in_hand)
        loop.run_coroutine(self._stack.enter_async_context(pausing.followed()))

    def after_worker_shutdown(self, broker: Broker, worker: dramatiq.Worker) -> None:  # noqa: ARG002
        loop = get_event_loop_thread()
        if loop is not None and self._pipeline is not None:
            loop.run_coroutine(self._stack.aclose())


class KeepJobs(Middleware):
    """A hint whose actor failed is done with: its row will be hinted at again.  A job that came as a message has no
    row yet, so it goes to the dead letters, where the dispatcher finds it; or, where a server was away, back to its
    queue, which our own engine can do."""

    def after_process_message(
        self,
        broker: Broker,  # noqa: ARG002
        message: dramatiq.MessageProxy,
        *,
        result: object = None,  # noqa: ARG002
        exception: BaseException | None = None,
    ) -> None:
        if exception is not None:
            error = f"{type(exception).__name__}: {exception}"[:500]
            log.error("message_failed", queue=message.queue_name, error=error)
            if message.queue_name != JOBS:
                return
            if isinstance(message, Delivery) and _was_away(exception):
                message.requeue = True
            else:
                message.fail()


def _was_away(error: BaseException) -> bool:
    return isinstance(error, BrokerUnreachableError) or (isinstance(error, AWAY) and is_away(error))


def make_broker(settings: Settings, *more: Middleware) -> Broker:
    """Make a broker with every actor registered; nothing is connected until a worker boots."""
    meters = Meters("worker")
    messages = MessageMeters(meters)
    services = Services(settings, meters, messages)
    # The loop comes first: it must run before services open on it, and stop after they have closed.
    middleware = [FastLoop(), services, messages, KeepJobs(), *more]
    broker = from_url(server(settings.broker_url), middleware=middleware)
    register(broker, sorted(load_providers()), services.pipeline)
    return broker


def run_worker(settings: Settings) -> int:
    """Work until told to stop; give the exit code."""
    logging.getLogger("dramatiq").setLevel(logging.ERROR)
    for library in ("pika", "aiormq", "aio_pika"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    sys.setswitchinterval(SWITCH_S)
    asyncio.run(reach_servers(settings))  # before there are threads, which an error would leave behind
    broker, worker = _engine(settings)
    stop = _Stop(worker)
    worker.start()
    calm_collector()
    _watch_loop()
    log.info("worker_started", engine=type(worker).__name__, threads=settings.worker.threads)
    stop.told.wait()
    log.info("worker_drains", within_s=settings.worker.drain_s)
    _leave_within(settings.worker.drain_s + LEAVE_AFTER_DRAIN_S)
    worker.stop(timeout=int(settings.worker.drain_s * 1000))
    broker.close()
    log.info("worker_stopped")
    return 0


def _engine(settings: Settings) -> tuple[Broker, AsyncWorker | dramatiq.Worker]:
    """Make the broker, and what runs its actors: on Redis, Dramatiq's own consumers bring the messages anyway."""
    in_hand = settings.worker.threads
    if settings.worker.engine == "stock":
        broker = make_broker(settings, TimeLimit())
        return broker, dramatiq.Worker(broker, worker_threads=in_hand, worker_timeout=IDLE_MS)
    broker = make_broker(settings)
    if settings.worker.engine == "asyncio" and isinstance(broker, QuorumBroker):
        return broker, AsyncWorker(broker, in_hand=in_hand, limit_s=MESSAGE_TIME_S + 60)
    return broker, LoopWorker(broker, in_hand=in_hand, idle_ms=IDLE_MS)


class _Stop:
    """Hears TERM and INT from now on."""

    def __init__(self, worker: AsyncWorker | dramatiq.Worker) -> None:
        self.told = threading.Event()
        self._hurry = worker.hurry if isinstance(worker, AsyncWorker) else lambda: None
        self._first = 0.0
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, self._heard)

    def _heard(self, *_: object) -> None:
        now = time.monotonic()
        if not self.told.is_set():
            self._first = now
            self.told.set()
        elif now - self._first >= AGAIN_AFTER_S:
            self._hurry()


def _leave_within(seconds: float) -> None:
    def leave() -> None:
        log.error("worker_left_work_behind", after_s=seconds)
        last_words()
        os._exit(1)

    timer = threading.Timer(seconds, leave)
    timer.daemon = True
    timer.start()


def _watch_loop(alarm: Callable[[], None] | None = None, stuck_s: float = STUCK_S) -> None:
    """End the process when its event loop has not turned for ``stuck_s``: a page may have caught it in a loop."""
    thread = get_event_loop_thread()
    assert thread is not None
    turned = [time.monotonic()]

    def note() -> None:
        turned[0] = time.monotonic()

    def watch() -> None:
        while thread.loop.is_running():
            thread.loop.call_soon_threadsafe(note)
            time.sleep(1.0)
            if time.monotonic() - turned[0] > stuck_s:
                log.critical("loop_stuck", for_s=stuck_s)
                last_words()
                (alarm or (lambda: os._exit(EXIT_STUCK)))()
                return

    threading.Thread(target=watch, name="loop watchdog", daemon=True).start()
