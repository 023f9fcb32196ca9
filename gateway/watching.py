"""One look at the rows for everybody who follows a job at this process: a thousand streams ask what one would.

A look of its own for each stream cost a millisecond and a half, twice a second: some hundred quiet streams, which five
dozen users may open for one request each, would have been all that a process does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from broker import views
from broker.views import JobView

log = structlog.get_logger(__name__)

Seen = asyncio.Future[JobView | None]


class Watch:
    """Those who wait for the next look; it is taken ``after_s`` after the first of them came."""

    def __init__(self) -> None:
        self.looks = 0
        self._waiting: dict[UUID, list[Seen]] = {}
        self._looking: asyncio.Task[None] | None = None
        self._here = 0

    @property
    def idle(self) -> bool:
        """Whether nobody follows anything."""
        return self._looking is None and not self._here

    async def next(self, database: AsyncEngine, job: UUID, *, after_s: float) -> JobView | None:
        """Give a job as it stands at the next look; None where there is none any more, or the database is away.

        The caller has read the job as its owner before: whose a job is never changes, and is not asked again.
        """
        seen: Seen = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(job, []).append(seen)
        self._here += 1
        if self._looking is None:
            self._looking = asyncio.create_task(self._look_on(database, after_s))
        try:
            return await seen
        finally:
            self._here -= 1
            if not self._here and self._looking is not None:
                self._looking.cancel()
                self._looking = None
                self._waiting.clear()

    async def _look_on(self, database: AsyncEngine, after_s: float) -> None:
        while self._waiting:
            await asyncio.sleep(after_s)
            waiting, self._waiting = self._waiting, {}
            found = await self._found(database, list(waiting))
            for job, those in waiting.items():
                for one in those:
                    if not one.done():
                        one.set_result(found.get(job))
        self._looking = None

    async def _found(self, database: AsyncEngine, jobs: Sequence[UUID]) -> dict[UUID, JobView]:
        self.looks += 1
        try:
            async with database.connect() as conn:
                return {job.id: job for job in await views.get_jobs(conn, jobs)}
        except Exception as error:  # noqa: BLE001  whatever it is, those who wait must not wait for ever
            log.warning("jobs_not_looked_at", error=type(error).__name__)
            return {}
