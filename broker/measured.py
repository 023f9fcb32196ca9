"""What the quality of a stream is reckoned from: one look at its pages and jobs, put through ``broker/quality.py``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from broker.quality import (
    Figures,
    Schedule,
    Timeliness,
    Volume,
    accuracy,
    duplicate_rate,
    timeliness,
    usual,
)

WINDOW = timedelta(hours=24)
EARLIER_WINDOWS = 7


@dataclass(frozen=True, slots=True)
class StreamQuality:
    """One stream in one window that ends now; counts are rows of its pages, ``rejects`` reason to count."""

    stream: str
    provider: str
    dataset: str
    enabled: bool
    figures: Figures
    timeliness: Timeliness
    volume: Volume
    pages: int
    malformed: int
    dead: int
    found: int
    rejected: int
    duplicate: int
    rejects: Mapping[str, int]
    succeeded: int
    failed: int

    @property
    def duplicate_rate(self) -> float | None:
        """The share of rows that were known already; None where there was no row."""
        return duplicate_rate(self.found, self.duplicate)


async def quality(
    conn: AsyncConnection, *, now: datetime, window: timedelta = WINDOW, stream: str | None = None
) -> list[StreamQuality]:
    """Measure every stream, or the one of that name, over the ``window`` that ends ``now``; by name."""
    asked = {"since": now - window, "now": now, "stream": stream}
    rows = (await conn.execute(_FIGURES, asked)).all()
    reasons = _by_stream(await conn.execute(_REASONS, asked))
    earlier = await _earlier(conn, rows, now, window)
    return [_measured(row, reasons.get(row.id, {}), earlier.get(row.id, []), now, window) for row in rows]


def _measured(
    row: Row[Any], reasons: Mapping[str, int], earlier: Sequence[int], now: datetime, window: timedelta
) -> StreamQuality:
    interval = None if row.interval_s is None else timedelta(seconds=row.interval_s)
    schedule = Schedule(interval, row.cron, anchor=row.next_run_at or row.created_at)
    start = max(now - window, row.created_at)
    timely = timeliness(schedule, row.successes, last_success=row.last_success, start=start, now=now)
    return StreamQuality(
        stream=row.name,
        provider=row.provider,
        dataset=row.dataset,
        enabled=row.enabled,
        # Nobody expects a paused stream to keep to its schedule.
        figures=Figures(row.complete, timely.figure if row.enabled else None, accuracy(row.found, row.rejected)),
        timeliness=timely,
        volume=Volume(row.new, usual(earlier)),
        pages=row.pages,
        malformed=row.malformed,
        dead=row.dead,
        found=row.found,
        rejected=row.rejected,
        duplicate=row.duplicate,
        rejects=reasons,
        succeeded=len(row.successes),
        failed=row.failed,
    )


def _by_stream(rows: Any) -> dict[int, dict[str, int]]:
    reasons: dict[int, dict[str, int]] = {}
    for row in rows:
        reasons.setdefault(row.stream_id, {})[row.reason] = row.count
    return reasons


async def _earlier(
    conn: AsyncConnection, streams: Sequence[Row[Any]], now: datetime, window: timedelta
) -> dict[int, list[int]]:
    """Give the new items in each earlier window that the stream has seen from its beginning to its end."""
    rows = await conn.execute(_EARLIER, {"now": now, "window": window, "count": EARLIER_WINDOWS})
    new = {(row.stream_id, row.place): row.new for row in rows}
    return {
        one.id: [
            new.get((one.id, place), 0)
            for place in range(1, EARLIER_WINDOWS + 1)
            if one.created_at <= now - window * (place + 1)
        ]
        for one in streams
    }


_FIGURES = text(
    """SELECT s.id, s.name, s.provider, s.dataset, s.enabled, s.interval_s, s.cron, s.next_run_at, s.created_at,
        p.complete, p.pages, p.malformed, p.dead, p.found, p.rejected, p.duplicate, p.new,
        j.successes, j.failed, last.at AS last_success
    FROM streams s
    CROSS JOIN LATERAL (
        SELECT avg(complete) AS complete, count(*) AS pages, count(*) FILTER (WHERE state = 'malformed') AS malformed,
            count(*) FILTER (WHERE state = 'dead') AS dead, coalesce(sum(found), 0)::bigint AS found,
            coalesce(sum(rejected), 0)::bigint AS rejected, coalesce(sum(duplicate), 0)::bigint AS duplicate,
            coalesce(sum(new), 0)::bigint AS new
        FROM pages WHERE stream_id = s.id AND fetched_at >= :since AND fetched_at < :now) p
    CROSS JOIN LATERAL (
        SELECT coalesce(array_agg(finished_at) FILTER (WHERE state = 'succeeded'), '{}') AS successes,
            count(*) FILTER (WHERE state = 'failed') AS failed
        FROM jobs WHERE stream_id = s.id AND finished_at >= :since AND finished_at <= :now) j
    CROSS JOIN LATERAL (
        SELECT max(finished_at) AS at FROM jobs WHERE stream_id = s.id AND state = 'succeeded') last
    WHERE CAST(:stream AS text) IS NULL OR s.name = :stream ORDER BY s.name"""
)

_REASONS = text(
    """SELECT stream_id, reject ->> 'reason' AS reason, count(*) AS count
    FROM pages JOIN streams ON streams.id = stream_id
    CROSS JOIN LATERAL jsonb_array_elements(rejects) AS reject
    WHERE fetched_at >= :since AND fetched_at < :now AND (CAST(:stream AS text) IS NULL OR streams.name = :stream)
    GROUP BY 1, 2 ORDER BY count DESC, reason"""
)

_EARLIER = text(
    """SELECT stream_id, new, place FROM (
        SELECT stream_id, sum(new)::bigint AS new,
            floor(extract(epoch FROM CAST(:now AS timestamptz) - fetched_at)
                / extract(epoch FROM CAST(:window AS interval)))::int AS place
        FROM pages
        WHERE stream_id IS NOT NULL AND fetched_at < CAST(:now AS timestamptz) - CAST(:window AS interval)
            AND fetched_at >= CAST(:now AS timestamptz) - CAST(:window AS interval) * (:count + 1)
        GROUP BY 1, 3) counted"""
)
