"""Publishing over a connection that may be lost: opened by the first who needs it, again by the first who misses it.

What the broker did not answer for is sent again, so a message may arrive twice, and none of which ``publish`` returned
is missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from pika import URLParameters

from broker.amqp import Channel, Link, LinkLost, open_link
from broker.outbox import NotTaken, Outbox, Outgoing

T = TypeVar("T")
AGAIN_S, AGAIN_S_MAX = 0.05, 1.0


class Publisher:
    """Publishes to these queues (name -> arguments), which it declares; waits ``patience_s`` for a broker."""

    def __init__(self, url: str, queues: Mapping[str, Mapping[str, Any]], patience_s: float) -> None:
        self._parameters = URLParameters(url)
        self._queues = queues
        self._patience_s = patience_s
        self._outbox: Outbox | None = None
        self._preparing: asyncio.Task[Outbox] | None = None
        self._under_way = 0
        self._ended = asyncio.Event()
        self._closed = False

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        """Send, and wait until the broker has taken all; raises NotTaken or LinkLost when patience is at its end."""
        if self._closed:
            raise LinkLost("the connection was closed")
        if not messages:
            return
        now = asyncio.get_running_loop().time
        pause_s, since, left = AGAIN_S, now(), messages
        self._under_way += 1
        try:
            while True:
                try:
                    await (await self._ready()).publish(left, since=since)
                except (NotTaken, LinkLost) as error:
                    if isinstance(error, NotTaken) and len(error.messages) < len(left):
                        left, since = error.messages, now()  # it takes some: patience begins anew for the others
                    if now() - since >= self._patience_s:
                        raise
                else:
                    return
                await asyncio.sleep(pause_s)
                pause_s = min(AGAIN_S_MAX, pause_s * 2)
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._ended.set()

    async def channel(self) -> Channel:
        """Open a channel of its own for questions; raises LinkLost."""
        return await (await self._ready()).link.channel()

    async def answered(self, question: Coroutine[Any, Any, T]) -> T:
        """Wait for an answer; a connection over which none comes is given up.  Raises LinkLost."""
        try:
            async with asyncio.timeout(self._patience_s):
                return await question
        except TimeoutError:
            if self._outbox is not None and not self._outbox.link.blocked:
                self._outbox.link.drop()
            raise LinkLost(f"no answer within {self._patience_s:g} s") from None

    async def close(self) -> None:
        """Take nothing more, wait until what is under way has been confirmed or given up, and say goodbye."""
        self._closed = True
        if self._under_way:
            self._ended.clear()
            await self._ended.wait()
        if self._preparing is not None:
            self._preparing.cancel()
            await asyncio.wait({self._preparing})
        if self._outbox is not None:
            await self._outbox.link.close()

    async def _ready(self) -> Outbox:
        """Give the open outbox; whoever needs one waits for the same attempt to open it.  Raises LinkLost."""
        outbox = self._outbox
        if outbox is not None and outbox.is_ready:
            return outbox
        if self._preparing is None:
            self._preparing = asyncio.create_task(self._prepare())
            self._preparing.add_done_callback(self._prepared)
        try:
            async with asyncio.timeout(self._patience_s):
                return await asyncio.shield(self._preparing)
        except TimeoutError:
            raise LinkLost(f"no connection within {self._patience_s:g} s") from None

    async def _prepare(self) -> Outbox:
        outbox = self._outbox
        if outbox is None or not outbox.is_open:
            if outbox is not None:
                await outbox.link.close()
            outbox = self._outbox = await self._open()
        elif outbox.undeclared:
            outbox.undeclared = False  # whose queues are there need not wait
            await self._declare(outbox.link)
        return outbox

    def _prepared(self, task: asyncio.Task[Outbox]) -> None:
        self._preparing = None
        if not task.cancelled():
            task.exception()  # was told to those who waited, if any still did

    async def _open(self) -> Outbox:
        link = await open_link(self._parameters)
        try:
            await self._declare(link)
            return await Outbox.open(link, self._patience_s)
        except BaseException:
            link.drop()
            raise

    async def _declare(self, link: Link) -> None:
        channel = await link.channel()
        for queue, arguments in self._queues.items():
            await channel.declare(queue, arguments)
        channel.leave()
