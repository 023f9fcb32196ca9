"""The limiter's client of Redis: one connection per process, and all questions of one turn of the loop in one write.

Each question has a deadline of its own, and Redis is told of it: what it reads later (it was frozen, and its socket was
not) is answered "too late" and charges nothing.  So nothing is ever replayed for want of an answer, only where Redis
said that it did nothing: the script was unknown (NOSCRIPT), or the question came too late for a clock that was set.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import hiredis

from gateway.limit.address import RedisAddress
from gateway.limit.link import Command, Link, encode
from gateway.limit.observer import Failure
from gateway.limit.verdict import Limits

RING = Path(__file__).with_name("ring.lua").read_text(encoding="utf-8")
CONNECT_S = 1.0
RECONNECT_S = 0.2
SILENT_S_MAX = 5.0  # what a frozen Redis is given before its connection is taken for dead
PATIENCE_S = 1.0
READ_S = 0.001
WAITING_MAX = 20_000
TOO_LATE = -1
# The server at the other end of this connection cannot decide, and another one may by now stand at its address.
ELSEWHERE = ("READONLY", "LOADING", "MASTERDOWN", "NOAUTH", "WRONGPASS", "CLUSTERDOWN", "MOVED")


class Undecided(Exception):
    """Redis did not decide in time; decide without it."""

    def __init__(self, failure: Failure, detail: str = "") -> None:
        super().__init__(failure)
        self.failure, self.detail = failure, detail


class LimitClient:
    """Asks the script.  Made on the loop that it is used on.  ``late`` hears of replies nobody waited for any more.

    ``budget_s``: how long a question may take.  ``script`` is another only in tests, which set the clock.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "sluice:limit:",
        budget_s: float = 0.05,
        script: str = RING,
        late: Callable[[Command, list[int]], None] | None = None,
    ) -> None:
        self.address = RedisAddress.of(url)
        self.budget_s = budget_s
        self._prefix, self._script, self._late = prefix, script.encode(), late
        sha = hashlib.sha1(self._script, usedforsecurity=False).hexdigest()
        self._evalsha = f"$7\r\nEVALSHA\r\n$40\r\n{sha}\r\n$1\r\n1\r\n".encode()
        self._loop = asyncio.get_running_loop()
        self._link: Link | None = None
        self._unsent: list[Command] = []
        self._turn: asyncio.Handle | None = None
        self._sweep: asyncio.TimerHandle | None = None
        self._sweep_at = math.inf
        self._keeper: asyncio.Task[None] | None = None
        self._gone = asyncio.Event()
        self._settled = asyncio.Event()  # the first attempt to connect has ended
        self._down = False
        self._loading = False
        self._ahead_ms: float | None = None  # Redis's clock less the loop's

    async def open(self) -> None:
        """Connect; a Redis that is not there is connected to when it comes."""
        self._keeper = self._loop.create_task(self._keep_connected(), name="limiter connection")
        await self._settled.wait()

    async def close(self) -> None:
        """Leave; what is still asked is undecided."""
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
        if self._link is not None:
            self._link.abort()
            self._lose(self._link)
        for handle in (self._turn, self._sweep):
            if handle is not None:
                handle.cancel()

    @property
    def connected(self) -> bool:
        """Whether there is a connection whose greeting was answered."""
        return self._link is not None

    def now_ms(self) -> int:
        """Redis's clock, as far as it can be known here."""
        if self._ahead_ms is None:
            return int(time.time() * 1000)
        return int(self._ahead_ms + self._loop.time() * 1000)

    # -- asking -------------------------------------------------------------------------------------------------------

    def decide(self, quota: str, limits: Limits) -> Command:
        """Ask for one call; the answer is the script's list, or raises Undecided."""
        key = f"{self._prefix}{quota}".encode()
        head = b"*7\r\n%b$%d\r\n%b\r\n%b" % (self._evalsha, len(key), key, limits.arguments)
        return self._ask(head, self.budget_s, timed=True)

    def push(self, quota: str, limits: Limits, stamps: Sequence[int]) -> Command:
        """Charge calls that were admitted without Redis."""
        key = f"{self._prefix}{quota}".encode()
        words = [b"$%d\r\n%b\r\n" % (len(word), word) for word in (key, struct.pack(f"<{len(stamps)}d", *stamps))]
        head = b"*8\r\n%b%b%b%b" % (self._evalsha, words[0], limits.arguments, words[1])
        return self._ask(head, PATIENCE_S, timed=True)

    def forget(self, quota: str) -> Command:
        """Drop everything that is known of a quota."""
        return self._ask(encode(b"DEL", f"{self._prefix}{quota}".encode()), PATIENCE_S, timed=False)

    def ping(self, budget_s: float) -> Command:
        """Ask for a sign of life."""
        return self._ask(encode(b"PING"), budget_s, timed=False)

    def _ask(self, head: bytes, budget_s: float, *, timed: bool) -> Command:
        command = Command(head, self._loop.create_future(), self._loop.time() + budget_s, timed)
        if self._down or len(self._unsent) >= WAITING_MAX:
            command.answer.set_exception(Undecided("lost" if self._down else "late"))
        else:
            self._queue(command)
        return command

    def _queue(self, command: Command) -> None:
        self._unsent.append(command)
        if self._turn is None:
            self._turn = self._loop.call_soon(self._flush)
        if command.expires < self._sweep_at:
            self._arm(command.expires)

    def _flush(self) -> None:
        self._turn = None
        if self._link is None:
            return
        now, ahead, words, sent = self._loop.time(), self._ahead_ms, [], self._link.sent
        for command in self._unsent:
            if command.answer.done():
                continue
            words.append(command.head)
            if command.timed:
                until = 0 if ahead is None else int(ahead + command.expires * 1000)
                words.append(b"$%d\r\n%d\r\n" % (len(str(until)), until))
            command.sent = now
            sent.append(command)
        self._unsent.clear()
        if words:
            self._link.write(words)

    # -- being answered -----------------------------------------------------------------------------------------------

    def _settle(self, command: Command, reply: Any) -> None:
        answer = command.answer
        if answer.done():
            if self._late is not None and command.timed and type(reply) is list:
                self._late(command, reply)
            return
        if type(reply) is list and command.timed:
            self._ahead_ms = reply[1] - command.sent * 1000
            if reply[0] == TOO_LATE:  # yet not too late for us: Redis's clock was set, and now we know
                self._queue(command)
                return
        elif isinstance(reply, hiredis.HiredisError):
            self._settle_error(command, str(reply))
            return
        answer.set_result(reply)

    def _settle_error(self, command: Command, error: str) -> None:
        if error.startswith("NOSCRIPT"):
            if not self._loading:
                self._loading = True
                load = Command(encode(b"SCRIPT", b"LOAD", self._script), self._loop.create_future(), 0.0, timed=False)
                load.expires = self._loop.time() + CONNECT_S
                load.answer.add_done_callback(self._loaded)
                self._queue(load)
            self._queue(command)
            return
        command.answer.set_exception(Undecided("broken", error))
        if error.startswith(ELSEWHERE) and self._link is not None:
            self._link.abort()

    def _loaded(self, answer: asyncio.Future[Any]) -> None:
        self._loading = False
        if not answer.cancelled():
            answer.exception()  # whoever waits for the script is told by its own deadline

    def _expire(self) -> None:
        """Tell those whose time is over, and look again when the next one's is."""
        self._sweep, self._sweep_at, now, following = None, math.inf, self._loop.time(), math.inf
        sent = () if self._link is None else self._link.sent
        for command in (*sent, *self._unsent):
            if command.answer.done():
                continue
            if command.expires <= now:
                command.answer.set_exception(Undecided("late"))
            else:
                following = min(following, command.expires)
        if following < math.inf:
            self._arm(following)
        if self._link is not None and sent and now - max(self._link.heard, sent[0].sent) > SILENT_S_MAX:
            self._link.abort()

    def _arm(self, at: float) -> None:
        if self._sweep is not None:
            self._sweep.cancel()
        self._sweep, self._sweep_at = self._loop.call_at(at, self._look), at

    def _look(self) -> None:
        # This process itself may have been held up, and the answers lie in the socket: a loop that runs its timers
        # first would not have read them yet.
        self._sweep = self._loop.call_later(READ_S, self._expire)

    # -- being connected ----------------------------------------------------------------------------------------------

    async def _keep_connected(self) -> None:
        while True:
            try:
                async with asyncio.timeout(CONNECT_S):
                    await self._connect()
            except (OSError, Undecided, hiredis.HiredisError):
                self._fail_unsent()
                self._settled.set()
                await asyncio.sleep(RECONNECT_S)
                continue
            self._down = False
            self._settled.set()
            if self._unsent:
                self._flush()
            began = self._loop.time()
            await self._gone.wait()
            if self._loop.time() - began < CONNECT_S:  # it lets us in and throws us out
                await asyncio.sleep(RECONNECT_S)

    async def _connect(self) -> None:
        self._gone.clear()
        link = await self.address.connect(lambda: Link(self._settle, self._lose))
        try:
            for words in (*self.address.greeting(), (b"SCRIPT", b"LOAD", self._script)):
                await self._greet(link, words)
            began = self._loop.time()
            seconds, micros = await self._greet(link, (b"TIME",))
        except BaseException:
            link.abort()
            raise
        self._ahead_ms = int(seconds) * 1000 + int(micros) / 1000 - began * 1000
        if self._gone.is_set():
            raise ConnectionResetError("lost while greeting")
        self._link = link

    async def _greet(self, link: Link, words: tuple[bytes, ...]) -> Any:
        command = Command(encode(*words), self._loop.create_future(), self._loop.time() + CONNECT_S, timed=False)
        link.sent.append(command)
        link.write([command.head])
        return await command.answer

    def _lose(self, link: Link) -> None:
        """Whoever waits for this connection will not be answered; whether they were charged cannot be known."""
        for command in link.sent:
            if not command.answer.done():
                command.answer.set_exception(Undecided("lost"))
        link.sent.clear()
        if self._link in (None, link):
            self._link = None
            self._gone.set()

    def _fail_unsent(self) -> None:
        self._down = True
        for command in self._unsent:
            if not command.answer.done():
                command.answer.set_exception(Undecided("lost"))
        self._unsent.clear()
