"""Queues that an operator has paused are closed in this process, and open again when the row is gone.

The rows are read again and again (``broker/pauses.py``).  A queue's lock is given back only when nothing more is taken
from it and nothing of it is in hand: that is how ``sluice queues drain`` knows.  While the database is away a queue
stays as it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol

import dramatiq
import structlog
from dramatiq.worker import ConsumerThread
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from broker import pauses
from ops.engine import AsyncWorker
from ops.engine.intake import Intake

log = structlog.get_logger(__name__)

WHO = "operator"
LOOK_EVERY_S = 1.0


class Tap(Protocol):
    """One queue of this process's worker."""

    def close(self, why: str) -> None:
        """Take nothing more."""
        ...

    def open(self) -> None:
        """Take messages again."""
        ...

    def is_shut(self) -> bool:
        """Whether nothing more is taken, and nothing that was taken waits for its turn."""
        ...


def taps_of(worker: AsyncWorker | dramatiq.Worker) -> dict[str, Tap]:
    """Give the queues of a worker that has booted, by name."""
    if isinstance(worker, AsyncWorker):
        return {name: OfIntake(intake) for name, intake in worker.intakes.items()}
    return {name: OfThread(thread) for name, thread in worker.consumers.items()}


class OfIntake:
    """A queue of our own engine; others may keep it closed for their own reasons."""

    def __init__(self, intake: Intake) -> None:
        """Nothing changes yet."""
        self._intake = intake

    def close(self, why: str) -> None:
        self._intake.pause(WHO, why)

    def open(self) -> None:
        self._intake.resume(WHO)

    def is_shut(self) -> bool:
        if self._intake.consuming or not self._intake.paused:
            return False
        self._intake.give_back()  # what came before the broker had heard of it, and has not begun
        return True


class OfThread:
    """A queue of Dramatiq's own consumers.  It is shut once all that it took has been acknowledged."""

    def __init__(self, thread: ConsumerThread) -> None:
        """Nothing changes yet."""
        self._thread = thread

    def close(self, why: str) -> None:
        log.info("queue_paused", queue=self._thread.queue_name, by=WHO, reason=why)
        self._thread.pause()

    def open(self) -> None:
        log.info("queue_resumed", queue=self._thread.queue_name, by=WHO)
        self._thread.resume()

    def is_shut(self) -> bool:
        consumer: Any = self._thread.consumer
        # RabbitMQ's consumer and that of Redis remember under different names what they gave out.
        given = getattr(consumer, "known_tags", None) or getattr(consumer, "queued_message_ids", None)
        return self._thread.paused_event.is_set() and not given


class Pausing:
    """Keeps the queues of one process as the rows say, on the loop that it is followed on."""

    def __init__(self, database: AsyncEngine, taps: Mapping[str, Tap], in_hand: Callable[[str], bool]) -> None:
        """``in_hand`` says whether a message of a queue is being worked on."""
        self._database, self._taps, self._in_hand = database, taps, in_hand
        self._closed: set[str] = set()
        self._held: set[str] = set()

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        """Follow the rows while the block runs; it begins when they have been read once, or could not be."""
        looked = asyncio.Event()
        following = asyncio.create_task(self._follow(looked))
        await looked.wait()
        try:
            yield
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    async def _follow(self, looked: asyncio.Event) -> None:
        told = False
        while True:
            try:
                async with self._connection() as conn:
                    while True:
                        await self.look(conn)
                        told = False
                        looked.set()
                        await asyncio.sleep(LOOK_EVERY_S)
            except (SQLAlchemyError, OSError) as error:
                if not told:  # once an outage
                    log.warning("pauses_not_read", error=f"{type(error).__name__}: {error}".splitlines()[0][:300])
                told = True
            looked.set()
            await asyncio.sleep(LOOK_EVERY_S)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection]:
        async with self._database.connect() as conn:
            try:
                yield await conn.execution_options(isolation_level="AUTOCOMMIT")
            finally:
                self._held.clear()
                await conn.invalidate()  # locks belong to the connection, and the connection goes back to a pool

    async def look(self, conn: AsyncConnection) -> None:
        """Read the rows once, and do as they say; the locks are this connection's."""
        paused = {one.queue: one for one in await pauses.listed(conn)}
        for name in self._taps.keys() & paused.keys() - self._closed:
            self._taps[name].close(f"{paused[name].who}: {paused[name].reason}")
            self._closed.add(name)
        idle = {name for name in self._closed & paused.keys() if self._taps[name].is_shut() and not self._in_hand(name)}
        wanted = self._taps.keys() - idle
        await pauses.hold(conn, wanted - self._held)  # before a queue is opened: nobody may think it idle
        await pauses.let_go(conn, self._held - wanted)
        self._held = wanted
        for name in self._closed - paused.keys():
            self._taps[name].open()
            self._closed.discard(name)
