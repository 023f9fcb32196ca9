"""Dead letters: failed jobs, pages that no parser could read, messages that nobody could; read, replayed, purged.

A replay never pays again for a page that is there: a dead page is read once more, a failed fetch goes on behind the
pages it has.  What cannot be replayed (a message that was never a job) can only be purged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from broker import jobs


@dataclass(frozen=True, slots=True)
class DeadGroup:
    """Failed jobs with the same error (numbers and ids in it count as equal); ``example`` is the newest of them."""

    error: str
    kind: str
    provider: str | None
    jobs: int
    dead_pages: int
    first_at: datetime
    last_at: datetime
    example: UUID


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay did: jobs that go on, by the queue that each is hinted at, and those that cannot."""

    queues: Sequence[str]
    left: int


async def groups(conn: AsyncConnection, *, limit: int = 100) -> list[DeadGroup]:
    """Count failed jobs by what went wrong, the largest group first."""
    rows = await conn.execute(_GROUPS, {"limit": limit})
    return [DeadGroup(**row._mapping) for row in rows]


async def find(
    conn: AsyncConnection, *, error: str | None = None, provider: str | None = None, limit: int = 1000
) -> list[UUID]:
    """Name failed jobs, the oldest first; ``error`` is a part of the text, as a job or as a group shows it."""
    rows = await conn.execute(_FIND, {"error": error, "provider": provider, "limit": limit})
    return [row.id for row in rows]


async def newest(
    conn: AsyncConnection,
    *,
    error: str | None = None,
    provider: str | None = None,
    before: UUID | None = None,
    limit: int = 50,
) -> list[UUID]:
    """Name failed jobs as ``find`` does, those that were asked for last first; ``before`` goes on behind one."""
    rows = await conn.execute(_NEWEST, {"error": error, "provider": provider, "before": before, "limit": limit})
    return [row.id for row in rows]


async def replay(conn: AsyncConnection, wanted: Sequence[UUID], *, now: datetime) -> Replayed:
    """Ask again for failed jobs and their dead pages; send WorkOnJob to ``queues`` after the commit."""
    told = [await jobs.retry(conn, job, now=now) for job in sorted(wanted)]
    queues = [queue for queue in told if queue is not None]
    return Replayed(queues, len(wanted) - len(queues))


async def purge(conn: AsyncConnection, wanted: Sequence[UUID]) -> int:
    """Forget those that paid for nothing; give their number."""
    return sum([await jobs.purge(conn, job) for job in sorted(wanted)])


_LIKE = r"regexp_replace(coalesce(last_error, 'no reason'), '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d+', '#', 'g')"

_GROUPS = text(
    f"""SELECT {_LIKE} AS error, kind, args ->> 'provider' AS provider, count(*) AS jobs,
        coalesce(sum(dead.pages), 0)::int AS dead_pages, min(finished_at) AS first_at, max(finished_at) AS last_at,
        (array_agg(jobs.id ORDER BY finished_at DESC, jobs.id DESC))[1] AS example
    FROM jobs LEFT JOIN LATERAL (
        SELECT count(*) AS pages FROM pages WHERE job_id = jobs.id AND pages.state = 'dead') dead ON true
    WHERE jobs.state = 'failed' GROUP BY 1, 2, 3 ORDER BY jobs DESC, last_at DESC LIMIT :limit"""  # noqa: S608  only the constant above goes in
)

_WANTED = f"""SELECT id FROM jobs WHERE state = 'failed'
    AND (CAST(:error AS text) IS NULL OR strpos({_LIKE}, :error) > 0 OR strpos(last_error, :error) > 0)
    AND (CAST(:provider AS text) IS NULL OR args ->> 'provider' = :provider)"""  # noqa: S608

_FIND = text(f"{_WANTED} ORDER BY finished_at, id LIMIT :limit")

_NEWEST = text(f"{_WANTED} AND (CAST(:before AS uuid) IS NULL OR id < :before) ORDER BY id DESC LIMIT :limit")
