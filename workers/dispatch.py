"""The dispatcher: looks at the rows, and says again what no message is on its way for.

Any number may run; the one that holds a PostgreSQL advisory lock leads, the others wait for it to go.  Everything it
does may be done twice without harm.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from dramatiq.encoder import MessageData
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from broker import due, jobs
from broker.envelope import Envelope
from broker.jobs import NewJob
from broker.kinds import UnfitJobError
from broker.messages import DEDUP, JOBS, POST, DedupPage, Hint, WorkOnJob
from broker.producer import BrokerUnreachableError, Dead, Producer
from workers.inbox import accepted
from workers.schedule import run_due

log = structlog.get_logger(__name__)

LEADER = 0x51_0_1CE_D15  # one number for all dispatchers of a database
DEAD_AT_ONCE = 100
_TOLD = ("kind", "args", "idempotency_key", "priority", "body", "reason")  # of a job, or of what nobody could read
_JOB = {"kind", "args", "idempotency_key", "priority"}
GAVE_UP = "the broker gave up on this message: its worker failed or died on it several times"
_TROUBLE = (SQLAlchemyError, OSError, BrokerUnreachableError)


@dataclass(frozen=True, slots=True)
class Dispatcher:
    """What a dispatcher works with.  ``lost_after``: a published row that nobody took by then was lost on the way.

    ``while_leading`` gives a block that lasts as long as this one leads: for what only one of several should do.
    """

    database: AsyncEngine
    producer: Producer
    queues: Sequence[str]
    clock: Callable[[], datetime]
    lost_after: timedelta = timedelta(seconds=30)
    every_s: float = 0.5
    while_leading: Callable[[], AbstractAsyncContextManager[object]] = nullcontext

    async def run(self, stop: asyncio.Event) -> None:
        """Lead when nobody else does, until told to stop; whatever is away is waited for."""
        while not stop.is_set():
            try:
                async with self._leadership() as leads:
                    if leads is not None:
                        await self._lead(leads, stop)
            except _TROUBLE as error:
                log.warning("dispatcher_waits", error=f"{type(error).__name__}: {error}"[:300])
            await _pause(stop, self.every_s)

    async def tick(self) -> int:
        """Do everything once; give the number of hints that were sent."""
        async with self.database.begin() as conn:
            await run_due(conn, now=self.clock())
            await due.forget_answers(conn, now=self.clock())
        hints = await self._say_due()
        await self._collect_dead()
        return hints

    async def _lead(self, leads: AsyncConnection, stop: asyncio.Event) -> None:
        log.info("dispatcher_leads")
        async with self.while_leading():
            while not stop.is_set():
                await self.tick()
                await leads.execute(text("SELECT 1"))  # a lost connection has lost the lock with it
                await leads.commit()
                await _pause(stop, self.every_s)

    async def _say_due(self) -> int:
        depths = {queue: await self.producer.depth(queue) for queue in self.queues}
        empty = [queue for queue, depth in depths.items() if depth == 0]
        now = self.clock()
        async with self.database.begin() as conn:
            wanted = await due.jobs(conn, empty=empty, now=now, lost_after=self.lost_after)
            landed = await due.pages(
                conn, dedup_empty=DEDUP in empty and POST in empty, now=now, lost_after=self.lost_after
            )
        hints: list[Hint] = [WorkOnJob(queue) for _, queue in wanted]
        hints += [DedupPage(page) for page in landed]
        try:
            await self.producer.send(hints)
        except BrokerUnreachableError:
            async with self.database.begin() as conn:
                await due.unsay(conn, [*(job for job, _ in wanted), *landed])
            raise
        if hints:
            log.info("dispatched", jobs=Counter(queue for _, queue in wanted), pages=len(landed))
        return len(hints)

    async def _collect_dead(self) -> None:
        for queue in self.queues:
            await self.producer.collect_dead(queue, DEAD_AT_ONCE, self._write_dead)

    async def _write_dead(self, dead: Sequence[Dead]) -> None:
        """A hint that the broker gave up on is no loss, its row is there; a job that came as a message would be one."""
        async with self.database.begin() as conn:
            for one in dead:
                fields = Envelope().decode(one.body)
                if one.queue == JOBS:
                    await self._keep_dead(conn, fields)
                log.warning("dead_letter", queue=one.queue, actor=fields["actor_name"])

    async def _keep_dead(self, conn: AsyncConnection, message: MessageData) -> None:
        """Keep a message as the failed job that it asked for, which can be retried, or as one that nobody can read."""
        now, said = self.clock(), message["kwargs"]
        try:
            new = self._asked(message["actor_name"], said)
            await jobs.bury(conn, new, error=GAVE_UP, now=now)
        except (UnfitJobError, jobs.KeyReusedError) as error:
            kept = {name: said[name] for name in _TOLD if said.get(name) not in (None, 0)}
            await jobs.refuse(conn, queue=JOBS, error=f"{GAVE_UP}; {error}", args=kept, now=now)

    def _asked(self, actor: str, said: Mapping[str, Any]) -> NewJob:
        if actor != JOBS or "kind" not in said or not said.keys() <= _JOB:
            raise UnfitJobError("it asks for no job")
        new = accepted(**{"args": {}, "idempotency_key": None, "priority": 0, **said})
        if new.queue not in self.queues:
            raise UnfitJobError(f"there is no queue {new.queue!r}")
        return new

    @asynccontextmanager
    async def _leadership(self) -> AsyncIterator[AsyncConnection | None]:
        async with self.database.connect() as conn:
            won = (await conn.execute(text("SELECT pg_try_advisory_lock(:number)"), {"number": LEADER})).scalar_one()
            await conn.commit()
            try:
                yield conn if won else None
            finally:
                if won:
                    # The lock belongs to the connection, and the connection goes back to a pool.
                    await conn.invalidate()


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
