"""What the dispatcher has to say again: rows that are due and that no message is on its way for.

Marking comes first and is committed before anything is sent: a worker that is quicker than the commit would find the
row locked, and the hint would be wasted.  ``unsay`` takes the marks back when the broker would not take the messages.

Three ways to be due: never published (or waiting until now), published and lost, or left by a worker whose lease ran
out.  A published row counts as lost only when its queue is empty or after a very long time: a deep queue is no loss,
and one that an operator keeps closed (``broker/pauses.py``) none at all, however long.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

LOST_FOR_SURE = timedelta(minutes=30)
ANSWERS_KEPT_FOR = timedelta(hours=24)


async def jobs(
    conn: AsyncConnection, *, empty: Collection[str], now: datetime, lost_after: timedelta, limit: int = 2000
) -> list[tuple[UUID, str]]:
    """Mark due jobs as published, and give each one's id and queue; ``empty``: queues in which no message waits."""
    rows = await conn.execute(
        _JOBS,
        {
            "now": now,
            "lost": now - lost_after,
            "lost_for_sure": now - LOST_FOR_SURE,
            "empty": list(empty),
            "limit": limit,
        },
    )
    return [(row.id, row.queue) for row in rows]


async def pages(
    conn: AsyncConnection, *, dedup_empty: bool, now: datetime, lost_after: timedelta, limit: int = 2000
) -> list[UUID]:
    """Mark landed pages that nobody is working on as published, and name them."""
    rows = await conn.execute(
        _PAGES,
        {
            "now": now,
            "lost": now - lost_after if dedup_empty else now - LOST_FOR_SURE,
            "empty": dedup_empty,
            "limit": limit,
        },
    )
    return [row.id for row in rows]


async def unsay(conn: AsyncConnection, unsent: Sequence[UUID]) -> None:
    """Nothing is on its way for these jobs and pages after all."""
    for table in ("jobs", "pages"):
        await conn.execute(
            text(f"UPDATE {table} SET published_at = NULL WHERE id = ANY(:ids)"),  # noqa: S608  one of two words
            {"ids": list(unsent)},
        )


async def live(conn: AsyncConnection) -> int:
    """Count the jobs that have not come to an end."""
    count = await conn.execute(text("SELECT count(*) FROM jobs WHERE state IN ('queued', 'running', 'waiting')"))
    return int(count.scalar_one())


async def forget_answers(conn: AsyncConnection, *, now: datetime, limit: int = 1000) -> None:
    """Forget some of the answers that are too old to be given again for their Idempotency-Key."""
    await conn.execute(
        text(
            """DELETE FROM idempotency WHERE (owner, key) IN (
                SELECT owner, key FROM idempotency WHERE created_at <= :old ORDER BY created_at LIMIT :limit)"""
        ),
        {"old": now - ANSWERS_KEPT_FOR, "limit": limit},
    )


_JOBS = text(
    """WITH due AS (
        SELECT id FROM jobs
        WHERE state IN ('queued', 'running', 'waiting') AND landed < want AND run_at <= :now
            AND (lease_until IS NULL OR lease_until < :now)
            AND (published_at IS NULL
                OR published_at < :lost_for_sure AND queue <> ALL (ARRAY(SELECT queue FROM queue_pauses))
                OR published_at < :lost AND queue = ANY(:empty)
                OR lease_until < :now AND published_at < lease_until)
        ORDER BY priority DESC, run_at, id LIMIT :limit FOR UPDATE SKIP LOCKED)
    UPDATE jobs SET published_at = :now FROM due WHERE jobs.id = due.id RETURNING jobs.id, jobs.queue"""
)

_PAGES = text(
    """WITH due AS (
        SELECT id FROM pages
        WHERE state = 'landed' AND (lease_until IS NULL OR lease_until < :now)
            AND (published_at IS NULL OR lease_until < :now AND published_at < lease_until
                OR published_at < :lost AND (:empty OR NOT EXISTS (
                    SELECT FROM queue_pauses WHERE queue IN ('dedup', 'post'))))
        ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED)
    UPDATE pages SET published_at = :now FROM due WHERE pages.id = due.id RETURNING pages.id"""
)
