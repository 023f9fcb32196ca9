"""A worker for RabbitMQ on asyncio: one loop, one connection, a channel for each queue, a task for each message.

It serves the actors of a Dramatiq broker, with its middleware, as ``dramatiq.Worker`` does, and is used like it:
``start()``, ``stop(timeout)``, from any thread.  ``docs/engine.md`` tells how it works.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog
from dramatiq.asyncio import get_event_loop_thread

from broker.amqp import Link, LinkLost, open_link
from broker.connect import QuorumBroker
from ops.engine.admission import part
from ops.engine.hand import LOOK_EVERY_S, Hand
from ops.engine.hooks import Hooks
from ops.engine.intake import Intake, Works

R = TypeVar("R")
log = structlog.get_logger(__name__)

AGAIN_S, AGAIN_S_MAX = 0.1, 1.0
HURRIED_S = 5.0  # what a message that is cancelled has to come to its end, before the worker leaves without it


class AsyncWorker:
    """At most ``in_hand`` messages at once; ``limit_s`` is the time limit of actors that have none of their own."""

    def __init__(self, broker: QuorumBroker, *, in_hand: int, limit_s: float | None = None) -> None:
        """Nothing is connected before ``start``."""
        self.broker = broker
        self._in_hand, self._limit_s = in_hand, limit_s
        self._intakes: dict[str, Intake] = {}
        self._hand: Hand | None = None
        self._link: Link | None = None
        self._serving: asyncio.Task[None] | None = None
        self._hurried: asyncio.Event | None = None
        self._stopped = False
        self._looking: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Boot the middleware, and begin to consume as soon as the broker can be reached."""
        self.broker.emit_before("worker_boot", self)
        self._on_loop(self._open())
        self.broker.emit_after("worker_boot", self)

    def stop(self, timeout: int = 600_000) -> None:
        """Take nothing more; let what has begun come to its end within ``timeout`` ms, and cancel what does not.

        A second call changes nothing.
        """
        if self._stopped:
            return
        self._stopped = True
        self.broker.emit_before("worker_shutdown", self)
        self._on_loop(self._close(timeout / 1000))
        self.broker.emit_after("worker_shutdown", self)

    def hurry(self) -> None:
        """Let a ``stop`` that waits for messages cancel them now; they go back to their queues."""
        thread = get_event_loop_thread()
        if thread is not None and thread.loop.is_running() and self._hurried is not None:
            thread.loop.call_soon_threadsafe(self._hurried.set)

    @property
    def intakes(self) -> dict[str, Intake]:
        """The queues by name, to be paused and resumed on the loop."""
        return self._intakes

    async def _open(self) -> None:
        hooks, actors = Hooks(self.broker), self.broker.actors
        parts = {name: part(actor, self._limit_s) for name, actor in actors.items()}
        self._hurried = asyncio.Event()
        self._hand = Hand(parts, hooks, room=self._in_hand)
        works = Works(actors, parts, hooks, self._hand)
        prefetch = min(2 * self._in_hand, 65535)  # the next ones are here when a shared commit sets many free
        for queue in sorted(self.broker.get_declared_queues()):
            self._intakes[queue] = Intake(queue, prefetch, works=works)
        self._serving = asyncio.create_task(self._serve())
        self._look()

    async def _serve(self) -> None:
        again_s = AGAIN_S
        while True:
            try:
                self._link = await open_link(self.broker.parameters)
            except LinkLost as error:
                log.warning("broker_unreachable", reason=str(error), again_s=again_s)
                await asyncio.sleep(again_s)
                again_s = min(AGAIN_S_MAX, again_s * 2)
                continue
            again_s = AGAIN_S
            try:
                await asyncio.gather(*(intake.serve(self._link) for intake in self._intakes.values()))
            except Exception:
                log.exception("engine_failed")  # what it had is the broker's again; a fresh start may work
                await self._link.close()
                await asyncio.sleep(AGAIN_S_MAX)
            if not self._link.closed.done():
                return  # told to stop: the connection stays for the last acknowledgements
            log.warning("connection_lost", reason=self._link.closed.result())

    def _look(self) -> None:
        assert self._hand is not None
        self._hand.look()
        self._looking = asyncio.get_running_loop().call_later(LOOK_EVERY_S, self._look)

    async def _close(self, within_s: float) -> None:
        hand, intakes = self._hand, self._intakes.values()
        assert hand is not None
        assert self._hurried is not None
        hand.closed = True
        await asyncio.gather(*(intake.stop() for intake in intakes))
        ended, hurried = asyncio.create_task(hand.emptied()), asyncio.create_task(self._hurried.wait())
        await asyncio.wait({ended, hurried}, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            log.warning("messages_cancelled", messages=len(hand))
            hand.cancel_all()
            await asyncio.wait({ended}, timeout=HURRIED_S)
        for waiting in (ended, hurried):
            waiting.cancel()
        if len(hand):
            log.error("messages_left_behind", messages=len(hand))
        hand.close()
        if self._looking is not None:
            self._looking.cancel()
        await asyncio.gather(*(intake.close() for intake in intakes))
        if self._serving is not None:
            self._serving.cancel()
            await asyncio.wait({self._serving})
        if self._link is not None:
            await self._link.close()

    def _on_loop(self, work: Coroutine[Any, Any, R]) -> R:
        thread = get_event_loop_thread()
        assert thread is not None, "the AsyncIO middleware starts the loop"
        return thread.run_coroutine(work)
