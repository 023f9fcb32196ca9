"""One queue: a channel of its own to consume from, opened again whenever it is lost, paused and resumed at will.

A channel for each queue, because what the broker does to one it does to all of a channel: it closes it on a
declaration that does not fit or an acknowledgement that comes too late, and its tags are acknowledged in one row, where
a slow message of one queue would keep those of all others waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog
from dramatiq.common import xq_name

from broker.amqp import Channel, Link, LinkLost
from broker.connect import dead_queue_arguments, queue_arguments
from ops.engine.admission import Part, admitted
from ops.engine.hand import Delivery, Hand
from ops.engine.hooks import Hooks
from ops.engine.tags import Tags

log = structlog.get_logger(__name__)

AGAIN_S, AGAIN_S_MAX = 0.1, 1.0
HELD_S = 0.05
"""How long an ended message may wait for one before it that has not, so that one frame acknowledges both."""


@dataclass(frozen=True, slots=True)
class Works:
    """What all queues of a worker share."""

    actors: Mapping[str, object]
    parts: Mapping[str, Part]
    hooks: Hooks
    hand: Hand


class Intake:
    """Consumes one queue until it is told to stop.  Everything here is called on the loop."""

    def __init__(self, queue: str, prefetch: int, *, works: Works) -> None:
        """Nothing is consumed before ``serve``."""
        self.queue, self.prefetch, self.works = queue, prefetch, works
        self._held_by: dict[str, str] = {}  # who paused it -> why
        self._changed = asyncio.Event()
        self._stop = asyncio.Event()
        self._session: Session | None = None
        self.consuming = False

    @property
    def stopping(self) -> bool:
        """Whether it takes nothing more, ever."""
        return self._stop.is_set()

    @property
    def paused(self) -> bool:
        """Whether anybody keeps it closed."""
        return bool(self._held_by)

    def pause(self, by: str, why: str) -> None:
        """Consume nothing more for as long as ``by`` does not resume; what has begun goes on."""
        if by not in self._held_by:
            log.info("queue_paused", queue=self.queue, by=by, reason=why)
        self._held_by[by] = why
        self._changed.set()

    def resume(self, by: str) -> None:
        """Take back a pause of ``by``; others' hold."""
        if self._held_by.pop(by, None) is not None:
            log.info("queue_resumed", queue=self.queue, by=by)
            self._changed.set()

    def give_back(self) -> None:
        """Let others have what has not begun."""
        for delivery in self.works.hand.leave(
            lambda one: isinstance(one.source, Session) and one.source.intake is self
        ):
            delivery.requeue = True
            delivery.source.end(delivery)

    async def stop(self) -> None:
        """Consume nothing more, and give back what has not begun.  The channel stays, for acknowledgements."""
        self._stop.set()
        self._changed.set()
        session = self._session
        if session is not None:
            with suppress(LinkLost):  # then everything is the broker's again
                await session.channel.cancel()
        self.give_back()

    async def close(self) -> None:
        """Send the last acknowledgements, and wait until the broker has read them."""
        session = self._session
        if session is not None:
            session.flush(everything=True)
            await session.channel.close()

    async def serve(self, link: Link) -> None:
        """Consume over this connection, until it is lost or we are to stop."""
        again_s = AGAIN_S
        while not self._stop.is_set() and not link.closed.done():
            try:
                channel = await link.channel()
                await channel.declare(self.queue, queue_arguments(self.queue))
                await channel.declare(xq_name(self.queue), dead_queue_arguments())
                self._session = Session(self, channel)
                again_s = AGAIN_S
                lost = await self._consume(channel, self._session)
            except LinkLost as error:
                lost = str(error)
            self.consuming = False
            if self._stop.is_set():
                return
            log.warning("channel_lost", queue=self.queue, reason=lost)
            self._forget()
            await asyncio.wait({link.closed}, timeout=again_s)
            again_s = min(AGAIN_S_MAX, again_s * 2)

    async def _consume(self, channel: Channel, session: Session) -> str:
        while True:
            self._changed.clear()
            if self._stop.is_set():
                await channel.cancel()
                return "stopping"
            if self.paused and self.consuming:
                await channel.cancel()
                self.consuming = False
            elif not self.paused and not self.consuming:
                await channel.consume(self.queue, prefetch=self.prefetch, took=session.took)
                self.consuming = True
            changed = asyncio.ensure_future(self._changed.wait())
            ends: set[asyncio.Future[Any]] = {changed, channel.closed, channel.cancelled}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            changed.cancel()
            if channel.closed.done():
                return channel.closed.result()
            if channel.cancelled.done():
                await channel.close()
                return "the queue was taken away"

    def _forget(self) -> None:
        """What came over a channel that is gone is the broker's again, unless it runs already."""
        session, self._session = self._session, None
        if session is not None:
            self.works.hand.leave(lambda one: one.source is session)


class Session:
    """What came over one channel, and what was said of it."""

    def __init__(self, intake: Intake, channel: Channel) -> None:
        """Nothing has come yet."""
        self.intake, self.channel, self.queue = intake, channel, intake.queue
        self._tags = Tags()
        self._loop = asyncio.get_running_loop()
        self._flushing = False
        self._late: asyncio.TimerHandle | None = None
        self._many = max(1, intake.prefetch // 2)

    def took(self, tag: int, body: bytes) -> None:
        """A message was delivered."""
        intake = self.intake
        self._tags.came(tag)
        message = admitted(body, self.queue, intake.works.actors, intake.works.parts)
        delivery = Delivery(message, tag, self)
        if message.actor_name not in intake.works.parts:
            log.error("message_without_actor", queue=self.queue, reason=str(message.kwargs.get("reason")))
            delivery.fail()
            self.end(delivery)
        elif intake.stopping:
            delivery.requeue = True
            self.end(delivery)
        else:
            intake.works.hand.take(delivery)

    def end(self, delivery: Delivery) -> None:
        """Say of a message what became of it."""
        if delivery.requeue:
            self._tags.said(delivery.tag)
            self.channel.nack(delivery.tag, requeue=True)
            return
        hooks, what = self.intake.works.hooks, "nack" if delivery.failed else "ack"
        hooks.before(what, delivery)
        if delivery.failed:
            self._tags.said(delivery.tag)
            self.channel.nack(delivery.tag, requeue=False)
        else:
            self._tags.ended(delivery.tag)
            if not self._flushing:
                self._flushing = True
                self._loop.call_soon(self.flush)
        hooks.after(what, delivery)

    def flush(self, *, everything: bool = False) -> None:
        """Acknowledge what ended in this turn of the loop, in one frame where nothing unfinished is before it."""
        self._flushing = False
        if (last := self._tags.due()) is not None:
            self.channel.ack(last, multiple=True)
        if not self._tags.behind:
            return
        if everything or self._tags.behind >= self._many:
            for tag in self._tags.out_of_turn():
                self.channel.ack(tag)
        elif self._late is None:
            self._late = self._loop.call_later(HELD_S, self._flush_late)

    def _flush_late(self) -> None:
        self._late = None
        self.flush(everything=True)
