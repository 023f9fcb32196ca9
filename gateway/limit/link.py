"""One connection to Redis: commands out, replies in, in order, and nothing else.

A reply costs a feed to hiredis, a look at the oldest command and a call: the limiter asks on every request, and the
usual client spends ten times as long on a command as Redis does.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import hiredis


class Command:
    """What was asked.  ``head`` is the command as it is sent, but for the deadline at its end if it is ``timed``.

    ``expires`` and ``sent`` are times of the loop.  A command whose ``answer`` is done is waited for no more, but its
    reply still comes and is still counted.  ``stamp`` (quota, millisecond) is what was decided without Redis meanwhile.
    """

    __slots__ = ("answer", "expires", "head", "sent", "stamp", "timed")

    def __init__(self, head: bytes, answer: asyncio.Future[Any], expires: float, timed: bool) -> None:
        self.head, self.answer, self.expires, self.timed = head, answer, expires, timed
        self.sent = 0.0
        self.stamp: tuple[str, int] | None = None


Settle = Callable[[Command, Any], None]
Lost = Callable[["Link"], None]


class Link(asyncio.Protocol):
    """The protocol.  ``settle`` is given each command and its reply (an exception where Redis told of an error)."""

    def __init__(self, settle: Settle, lost: Lost) -> None:
        self._loop = asyncio.get_running_loop()
        self._settle, self._lost = settle, lost
        self._reader = hiredis.Reader()
        self._transport: asyncio.Transport | None = None
        self.sent: deque[Command] = deque()
        self.heard = 0.0  # time of the loop at which anything came last

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def write(self, words: list[bytes]) -> None:
        """Send what belongs together in one write."""
        assert self._transport is not None, "a link is used once it is connected"
        self._transport.write(b"".join(words))

    def data_received(self, data: bytes) -> None:
        """Match replies with commands."""
        reader, sent, settle = self._reader, self.sent, self._settle
        self.heard = self._loop.time()
        reader.feed(data)
        try:
            while (reply := reader.gets()) is not False:
                settle(sent.popleft(), reply)
        except (hiredis.ProtocolError, IndexError):
            self.abort()  # not Redis, or not in step: no later reply can be trusted

    def connection_lost(self, _: Exception | None) -> None:
        """Say so once."""
        self._lost(self)

    def abort(self) -> None:
        """Leave without a word."""
        if self._transport is not None:
            self._transport.abort()


def encode(*words: bytes) -> bytes:
    """Write a command as Redis reads it."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)
