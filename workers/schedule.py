"""What is due: streams become jobs, at their interval or by their cron line (UTC), never two at a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from broker import jobs, streams
from broker.jobs import Receipt
from broker.timetable import next_run, pull_job


async def run_due(conn: AsyncConnection, *, now: datetime) -> Sequence[Receipt]:
    """Make a job for each stream that is due, and say when it is due again, in one transaction; no hint is sent."""
    due = await streams.due(conn, now=now)
    receipts = await jobs.enqueue(conn, [pull_job(stream) for stream in due], now=now, hinted=False) if due else []
    for stream in due:
        await streams.set_next(conn, stream.id, next_run(stream, now))
    return receipts
