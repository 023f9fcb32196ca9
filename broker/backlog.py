"""What waits, as the rows tell: they know since when, which no broker does, also while the broker is gone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from broker.messages import DEDUP, POST

DEAD_MAX = 10_000
STREAMS_MAX = 200
LIVE = ("queued", "running", "waiting")


@dataclass(frozen=True, slots=True)
class Backlog:
    """Work that is due: ``since`` when the oldest of each queue is, for queues that have any.

    ``undispatched`` jobs are due and no message was sent for them; ``dead`` ones failed for good, counted up to
    DEAD_MAX; ``live`` are all that have not ended, by state.
    """

    since: Mapping[str, datetime]
    undispatched: int
    undispatched_since: datetime | None
    dead: int
    live: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Freshness:
    """An enabled stream, and when its last complete pull ended (its beginning where there was none)."""

    stream: str
    since: datetime
    interval_s: int | None


async def backlog(conn: AsyncConnection, *, now: datetime) -> Backlog:
    """Read what waits at ``now``.  A page waits from its fetch on, for dedup or, once that has read it, for post."""
    rows = (await conn.execute(_JOBS, {"now": now})).all()
    pages = (await conn.execute(_PAGES, {"now": now})).one()
    dead = (await conn.execute(_DEAD, {"limit": DEAD_MAX})).scalar_one()
    live = dict.fromkeys(LIVE, 0)
    for row in rows:
        live[row.state] += row.jobs
    times = {queue: _earliest(row.since for row in rows if row.queue == queue) for queue in {row.queue for row in rows}}
    times |= {DEDUP: pages.dedup, POST: pages.post}
    return Backlog(
        since={queue: first for queue, first in times.items() if first is not None},
        undispatched=sum(row.undispatched for row in rows),
        undispatched_since=_earliest(row.undispatched_since for row in rows),
        dead=dead,
        live=live,
    )


async def freshness(conn: AsyncConnection) -> list[Freshness]:
    """Read when each enabled stream was last complete; the first STREAMS_MAX by name."""
    rows = await conn.execute(_STREAMS, {"limit": STREAMS_MAX})
    return [Freshness(row.name, row.since, row.interval_s) for row in rows]


def _earliest(times: Iterable[datetime | None]) -> datetime | None:
    return min((time for time in times if time is not None), default=None)


_JOBS = text(
    """SELECT queue, state, count(*) AS jobs, min(run_at) FILTER (WHERE due) AS since,
        count(*) FILTER (WHERE due AND published_at IS NULL) AS undispatched,
        min(run_at) FILTER (WHERE due AND published_at IS NULL) AS undispatched_since
    FROM (SELECT queue, state, run_at, published_at,
            landed < want AND run_at <= :now AND (lease_until IS NULL OR lease_until < :now) AS due
        FROM jobs WHERE state IN ('queued', 'running', 'waiting')) live
    GROUP BY queue, state"""
)

_PAGES = text(
    """SELECT min(fetched_at) FILTER (WHERE sends = 0) AS dedup, min(fetched_at) FILTER (WHERE sends > 0) AS post
    FROM pages WHERE state = 'landed' AND (lease_until IS NULL OR lease_until < :now)"""
)

_DEAD = text("SELECT count(*) FROM (SELECT FROM jobs WHERE state = 'failed' LIMIT :limit) failed")

# The newest job that succeeded: reading each stream's jobs from the newest on stops at the first.
_STREAMS = text(
    """SELECT s.name, s.interval_s, coalesce(last.at, s.created_at) AS since
    FROM streams s LEFT JOIN LATERAL (
        SELECT finished_at AS at FROM jobs WHERE stream_id = s.id AND state = 'succeeded'
        ORDER BY id DESC LIMIT 1) last ON true
    WHERE s.enabled ORDER BY s.name LIMIT :limit"""
)
