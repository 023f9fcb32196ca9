"""Going away in good order: readiness fails first, answers say to come to another, event streams end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import structlog

log = structlog.get_logger(__name__)


class Draining:
    """Whether this process is on its way out."""

    def __init__(self) -> None:
        self.now = False
        self._following: set[asyncio.Future[None]] = set()
        self._in_hand = 0
        self._empty: asyncio.Event | None = None

    def begin(self) -> None:
        """Fail readiness, close connections after their answers, end the event streams."""
        self.now = True
        for going in self._following:
            if not going.done():
                going.set_result(None)

    def enter(self) -> None:
        """Count a request in."""
        self._in_hand += 1

    def leave(self) -> None:
        """Count it out."""
        self._in_hand -= 1
        if self._empty is not None and not self._in_hand:
            self._empty.set()

    async def answered(self, grace_s: float) -> bool:
        """Wait until no request is in hand, but not for ever; give whether that came."""
        self._empty = asyncio.Event()
        if not self._in_hand:
            return True
        try:
            async with asyncio.timeout(grace_s):
                await self._empty.wait()
        except TimeoutError:
            log.warning("requests_unanswered", count=self._in_hand, after_s=grace_s)
            return False
        return True

    async def until_draining(self, chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        """Hand on what comes, and end when this process goes: clients come back with Last-Event-ID, to another.

        A stream whose source fails ends too: its status went out long ago, and coming back is what clients do anyway.
        """

        async def following() -> bytes | None:
            return await anext(chunks, None)

        going: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._following.add(going)
        coming: asyncio.Task[bytes | None] | None = None
        either: tuple[asyncio.Future[Any], ...]
        try:
            async with aclosing(chunks):
                while not self.now:
                    coming = asyncio.create_task(following())
                    either = (coming, going)
                    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                    if not coming.done() or (chunk := coming.result()) is None:
                        break
                    yield chunk
                await _ended(coming)
        except Exception as error:  # noqa: BLE001  whatever the source raises, the client is told by the end
            log.warning("stream_failed", error=type(error).__name__)
        finally:
            self._following.discard(going)
            await _ended(coming)


async def _ended(task: asyncio.Task[bytes | None] | None) -> None:
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
