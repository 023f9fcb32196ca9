"""Messages on their way out over one channel, each until the broker has answered for it.

The broker numbers what it is sent, and answers by number: taken or refused, for one message or for all up to it.  What
no queue takes it returns, and then says that it has "taken" it.  All that is put here in one turn of the loop leaves in
one write; at most ``WINDOW`` messages are unanswered, and nothing is sent while the broker says that it is blocked.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from pika.spec import Basic

from broker.amqp import Channel, Link
from broker.publication import publication

WINDOW = 1000


class Outgoing(NamedTuple):
    """A message to a queue; the id tells it from others that are under way."""

    queue: str
    id: str
    body: bytes


class NotTaken(Exception):
    """The broker did not take these; why is the text."""

    def __init__(self, messages: Sequence[Outgoing], why: str) -> None:
        super().__init__(why)
        self.messages = messages


class _Batch:
    """What one caller sends.  ``done`` when the broker has answered for all, or nobody waits for that any more."""

    __slots__ = ("back", "done", "left", "moved", "sent", "why")

    def __init__(self, done: asyncio.Future[None], left: int, moved: float) -> None:
        self.done, self.left, self.moved = done, left, moved
        self.sent = False
        self.back: list[Outgoing] = []
        self.why = ""


class Outbox:
    """A channel for publishing.  ``undeclared``: a message came back because its queue is not there."""

    def __init__(self, link: Link, channel: Channel, patience_s: float) -> None:
        self.link, self._channel, self._patience_s = link, channel, patience_s
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[_Batch, Outgoing, bytes]] = deque()
        self._unanswered: dict[int, tuple[_Batch, Outgoing]] = {}
        self._first, self._last = 1, 0  # no number below the first is unanswered; the last one sent
        self._returned: set[str] = set()
        self._batches: set[_Batch] = set()
        self._progress = self._loop.time()
        self._flushing = False
        self._looking: asyncio.TimerHandle | None = None
        self.undeclared = False

    @classmethod
    async def open(cls, link: Link, patience_s: float) -> Outbox:
        """Open a channel on this link, of which it is the only one to publish; raises LinkLost."""
        channel = await link.channel()
        outbox = cls(link, channel, patience_s)
        await channel.confirm(outbox._answered, outbox._came_back)
        channel.closed.add_done_callback(outbox._lost)
        link.on_unblocked = outbox._flush_soon
        return outbox

    @property
    def is_open(self) -> bool:
        """Whether the channel is there."""
        return not (self._channel.closed.done() or self.link.closed.done())

    @property
    def is_ready(self) -> bool:
        """Whether it makes sense to put messages here."""
        return self.is_open and not self.undeclared

    async def publish(self, messages: Sequence[Outgoing], *, since: float) -> None:
        """Send these, and wait until the broker has taken all; raises NotTaken with those that it has not.

        ``since``: when the caller began to wait.  Who has waited for ``patience_s`` without an answer gets none.
        """
        if not self.is_open:
            raise NotTaken(messages, "the connection is lost")
        channel, batch = self._channel, _Batch(self._loop.create_future(), len(messages), since)
        self._waiting.extend([(batch, one, publication(channel.number, *one, channel.body_max)) for one in messages])
        self._batches.add(batch)
        self._flush_soon()
        if self._looking is None:
            self._look_later()
        try:
            await batch.done
        finally:
            self._batches.discard(batch)
        if batch.back:
            raise NotTaken(batch.back, batch.why)

    def _flush_soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        waiting, unanswered, number = self._waiting, self._unanswered, self._last
        if self.link.blocked or not waiting:
            return
        now, frames = self._loop.time(), []
        while waiting and len(unanswered) < WINDOW:
            batch, message, written = waiting.popleft()
            if batch.done.done():
                continue  # its caller has left
            if not batch.sent:
                batch.sent, batch.moved = True, now
            number += 1
            unanswered[number] = batch, message
            frames.append(written)
        self._last = number
        if frames:
            self._channel.publish(b"".join(frames))

    def _answered(self, answer: Any) -> None:
        method, refused = answer.method, isinstance(answer.method, Basic.Nack)
        self._progress = self._loop.time()
        if method.multiple:
            numbers: Collection[int] = range(self._first, method.delivery_tag + 1)
            self._first = method.delivery_tag + 1
        else:
            numbers = (method.delivery_tag,)
        for number in numbers:
            if (entry := self._unanswered.pop(number, None)) is not None:
                self._settle(*entry, "it was refused" if refused else "")
        if self._waiting:
            self._flush_soon()

    def _settle(self, batch: _Batch, message: Outgoing, why: str) -> None:
        if self._returned and message.id in self._returned:
            self._returned.discard(message.id)
            why = f"there is no queue {message.queue}"
        if why:
            batch.back.append(message)
            batch.why = why
        batch.left -= 1
        batch.moved = self._progress
        if not batch.left and not batch.done.done():
            batch.done.set_result(None)

    def _came_back(self, _: object, __: object, properties: Any, ___: bytes) -> None:
        self.undeclared = True
        self._returned.add(properties.message_id)

    def _lost(self, closed: asyncio.Future[str]) -> None:
        self._give_back(self._batches, closed.result())
        self._waiting.clear()
        self._unanswered.clear()

    def _give_back(self, batches: Collection[_Batch], why: str) -> None:
        """Say of all that these still wait for that it was not taken."""
        entries = [*self._unanswered.values(), *((batch, message) for batch, message, _ in self._waiting)]
        for batch, message in entries:
            if batch in batches:
                batch.back.append(message)
        for batch in batches:
            batch.why = why
            if not batch.done.done():
                batch.done.set_result(None)

    def _look_later(self) -> None:
        self._looking = self._loop.call_later(min(1.0, self._patience_s / 10), self._look)

    def _look(self) -> None:
        """Let those go who have waited too long; a connection over which no answers come is given up."""
        self._looking = None
        late = self._loop.time() - self._patience_s
        overdue = {one for one in self._batches if one.moved <= late and (one.sent or self._progress <= late)}
        if overdue and self.link.blocked:
            self._give_back(overdue, "it is under an alarm, and takes nothing")
        elif overdue:
            self._give_back(overdue, f"no answer within {self._patience_s:g} s")
            self.link.drop()
        if self._batches:
            self._look_later()
