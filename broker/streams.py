"""Streams: what is asked for again and again, by interval or cron, and how far it has got."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_COLUMNS = """id, name, provider, dataset, params, interval_s, cron, overlap_s, priority, watermark, enabled,
    pause_reason, next_run_at"""


@dataclass(frozen=True, slots=True)
class NewStream:
    """A schedule: one of ``interval_s`` and ``cron`` (UTC); ``overlap_s`` is how far behind its watermark it reads."""

    name: str
    provider: str
    dataset: str
    params: Mapping[str, Any]
    interval_s: int | None = 300
    cron: str | None = None
    overlap_s: int = 3600
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Stream:
    """A schedule as it stands; ``watermark`` is the newest ``happened_at`` of its last complete pull."""

    id: int
    name: str
    provider: str
    dataset: str
    params: Mapping[str, Any]
    interval_s: int | None
    cron: str | None
    overlap_s: int
    priority: int
    watermark: datetime | None
    enabled: bool
    pause_reason: str | None
    next_run_at: datetime | None


async def add(conn: AsyncConnection, new: NewStream, *, now: datetime) -> Stream:
    """Write a stream, or change the one of that name; it is due at once."""
    row = await conn.execute(
        text(
            f"""INSERT INTO streams (name, provider, dataset, params, interval_s, cron, overlap_s, priority,
                next_run_at, created_at)
            VALUES (:name, :provider, :dataset, CAST(:params AS jsonb), :interval_s, :cron, :overlap_s, :priority,
                :now, :now)
            ON CONFLICT (name) DO UPDATE SET provider = :provider, dataset = :dataset, params = CAST(:params AS jsonb),
                interval_s = :interval_s, cron = :cron, overlap_s = :overlap_s, priority = :priority
            RETURNING {_COLUMNS}"""  # noqa: S608  only the constant above goes in
        ),
        {
            "name": new.name,
            "provider": new.provider,
            "dataset": new.dataset,
            "params": orjson.dumps(dict(new.params)).decode(),
            "interval_s": None if new.cron else new.interval_s,
            "cron": new.cron,
            "overlap_s": new.overlap_s,
            "priority": new.priority,
            "now": now,
        },
    )
    return Stream(**row.one()._mapping)


async def listed(conn: AsyncConnection) -> list[Stream]:
    """Read all streams, by name."""
    rows = await conn.execute(text(f"SELECT {_COLUMNS} FROM streams ORDER BY name"))  # noqa: S608
    return [Stream(**row._mapping) for row in rows]


async def named(conn: AsyncConnection, name: str) -> Stream | None:
    """Read one stream by its name."""
    row = (await conn.execute(text(f"SELECT {_COLUMNS} FROM streams WHERE name = :name"), {"name": name})).one_or_none()  # noqa: S608
    return Stream(**row._mapping) if row else None


async def due(conn: AsyncConnection, *, now: datetime) -> list[Stream]:
    """Read the enabled streams whose time has come and that have no job under way."""
    rows = await conn.execute(
        text(
            f"""SELECT {_COLUMNS} FROM streams
            WHERE enabled AND next_run_at <= :now AND NOT EXISTS (
                SELECT FROM jobs WHERE stream_id = streams.id AND jobs.state IN ('queued', 'running', 'waiting'))
            ORDER BY next_run_at FOR UPDATE SKIP LOCKED"""  # noqa: S608
        ),
        {"now": now},
    )
    return [Stream(**row._mapping) for row in rows]


async def set_next(conn: AsyncConnection, stream: int, at: datetime) -> None:
    """Say when the stream is due again."""
    await conn.execute(text("UPDATE streams SET next_run_at = :at WHERE id = :id"), {"id": stream, "at": at})


async def pause(conn: AsyncConnection, name: str, *, reason: str) -> bool:
    """Stop asking, for a reason that others can read; jobs already there go on."""
    done = await conn.execute(
        text("UPDATE streams SET enabled = false, pause_reason = :reason WHERE name = :name"),
        {"name": name, "reason": reason},
    )
    return done.rowcount == 1


async def resume(conn: AsyncConnection, name: str, *, now: datetime) -> bool:
    """Ask again, from now on."""
    done = await conn.execute(
        text("UPDATE streams SET enabled = true, pause_reason = NULL, next_run_at = :now WHERE name = :name"),
        {"name": name, "now": now},
    )
    return done.rowcount == 1


async def remove(conn: AsyncConnection, name: str) -> bool:
    """Forget the schedule; its jobs and pages stay, and those under way go on."""
    stream = await named(conn, name)
    if stream is None:
        return False
    for statement in (
        "UPDATE jobs SET stream_id = NULL WHERE stream_id = :id",
        "UPDATE pages SET stream_id = NULL WHERE stream_id = :id",
        "DELETE FROM streams WHERE id = :id",
    ):
        await conn.execute(text(statement), {"id": stream.id})
    return True
