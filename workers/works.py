"""What the three actors work with: opened once per process, on the loop that uses it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from broker import jobs, pages
from broker.jobs import Claimed
from broker.limiter import ProviderLimiter
from broker.messages import Hint
from broker.pages import LandedPage
from broker.producer import BrokerUnreachableError, Producer
from workers.database import transact
from workers.http import Fetcher
from workers.items import Provider
from workers.observer import Observer, Silent

log = structlog.get_logger(__name__)
Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Read the system's clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Policy:
    """How patient a worker is.

    ``lease`` is how long a claim is valid without a sign of life; ``attempts_max`` fetches in a row may fail, and
    ``deliveries_max`` starts of dedup may kill their worker, before a person must look.
    """

    lease: timedelta = timedelta(seconds=60)
    attempts_max: int = 8
    deliveries_max: int = 5
    sends_max: int = 50


@dataclass(slots=True)
class Works:
    """The open services of one worker process, the jobs in its hands (``held``), and the pages (``reading``)."""

    name: str
    database: AsyncEngine
    producer: Producer
    limiter: ProviderLimiter
    fetcher: Fetcher
    providers: Mapping[str, Provider]
    policy: Policy = field(default_factory=Policy)
    observer: Observer = field(default_factory=Silent)
    clock: Clock = utc_now
    rng: Random = field(default_factory=Random)
    held: dict[UUID, int] = field(default_factory=dict)
    reading: dict[UUID, int] = field(default_factory=dict)

    @contextmanager
    def hold(self, job: Claimed) -> Iterator[None]:
        """Keep the job's lease alive while the block runs."""
        self.held[job.id] = job.fence
        try:
            yield
        finally:
            if self.held.get(job.id) == job.fence:  # else it was claimed anew by this very process, and is still held
                del self.held[job.id]

    @contextmanager
    def reads(self, page: LandedPage) -> Iterator[None]:
        """Keep the page's lease alive while the block runs: it may have to wait for its turn to be read."""
        self.reading[page.id] = page.deliveries
        try:
            yield
        finally:
            if self.reading.get(page.id) == page.deliveries:
                del self.reading[page.id]


async def say(works: Works, hint: Hint) -> None:
    """Send a hint; where the broker will not take it the row is written, and the dispatcher says it again."""
    try:
        await works.producer.send([hint])
    except BrokerUnreachableError as error:
        log.warning("hint_not_sent", error=str(error))


@asynccontextmanager
async def heartbeat(works: Works) -> AsyncIterator[None]:
    """Renew the leases of all jobs and pages in hand, in one commit, three times as often as they run out."""

    every_s = works.policy.lease.total_seconds() / 3

    async def renew(conn: AsyncConnection) -> None:
        now, lease = works.clock(), works.policy.lease
        if works.held:
            await jobs.renew(conn, works.held, now=now, lease=lease)
        if works.reading:
            await pages.renew(conn, works.reading, now=now, lease=lease)

    async def beat() -> None:
        while True:
            await asyncio.sleep(every_s)
            if works.held or works.reading:
                try:
                    await transact(works.database, renew, patience_s=every_s)
                except (SQLAlchemyError, OSError) as error:
                    log.warning(
                        "heartbeat_missed", error=type(error).__name__, jobs=len(works.held), pages=len(works.reading)
                    )

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
