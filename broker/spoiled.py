"""Pages that could not be read: a malformed one is asked for again, a dead one waits for a person."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


async def malformed(
    conn: AsyncConnection, page: UUID, *, reason: str, until: datetime, attempts_max: int, now: datetime
) -> None:
    """Keep the page as evidence and ask for the same one again later, or give up after so many attempts.

    A job that has ended meanwhile, by another of its pages or by a person, stays ended.
    """
    await conn.execute(
        _MALFORMED, {"page": page, "reason": reason, "until": until, "attempts_max": attempts_max, "now": now}
    )


async def bury(conn: AsyncConnection, page: UUID, *, reason: str, now: datetime) -> None:
    """Make the page and its job dead letters; the page is kept, so a mended parser can have it again."""
    await conn.execute(_BURY, {"page": page, "reason": reason, "now": now})


_MALFORMED = text(
    """WITH bad AS (
        UPDATE pages SET state = 'malformed', reason = :reason, lease_until = NULL
        WHERE id = :page AND state = 'landed' RETURNING job_id, seq),
    tries AS (
        SELECT bad.job_id, 1 + count(pages.id) AS n
        FROM bad LEFT JOIN pages ON pages.job_id = bad.job_id AND pages.seq = bad.seq AND pages.state = 'malformed'
        GROUP BY bad.job_id)
    UPDATE jobs SET landed = landed - 1, published_at = NULL, run_at = :until,
        last_error = CASE WHEN state = 'failed' THEN last_error ELSE :reason END,
        state = CASE WHEN state IN ('cancelled', 'failed') THEN state
            WHEN tries.n >= :attempts_max THEN 'failed' ELSE 'waiting' END,
        reason = CASE WHEN state IN ('cancelled', 'failed') OR tries.n >= :attempts_max THEN NULL
            ELSE 'retry: ' || :reason END,
        finished_at = CASE WHEN state NOT IN ('cancelled', 'failed') AND tries.n >= :attempts_max THEN :now
            ELSE finished_at END
    FROM tries WHERE jobs.id = tries.job_id"""
)

_BURY = text(
    """WITH dead AS (
        UPDATE pages SET state = 'dead', reason = :reason, lease_until = NULL
        WHERE id = :page AND state = 'landed' RETURNING job_id)
    UPDATE jobs SET state = 'failed', reason = NULL, last_error = :reason, finished_at = :now
    FROM dead WHERE jobs.id = dead.job_id AND jobs.state <> 'cancelled'"""
)
