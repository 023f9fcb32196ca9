"""Queues that an operator keeps closed, as rows: every worker process reads them, and the dispatcher heeds them.

Messages wait in the broker meanwhile, and jobs are accepted as ever.  While a process may still have something of a
queue in hand it holds that queue's lock, shared, so that whoever drains it sees when nobody does any more; the lock of
a process that dies goes with its connection.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

HELD = 0x51_0_1CE  # the first half of all such locks of a database; the second is the queue's name, hashed


@dataclass(frozen=True, slots=True)
class Pause:
    """One closed queue."""

    queue: str
    who: str
    reason: str
    since: datetime

    @property
    def told(self) -> str:
        """Say it to a person."""
        return f"queue {self.queue} is paused by {self.who} since {self.since:%Y-%m-%d %H:%M:%SZ}: {self.reason}"


async def listed(conn: AsyncConnection) -> list[Pause]:
    """Read all that stand, by queue."""
    rows = await conn.execute(text("SELECT queue, who, reason, since FROM queue_pauses ORDER BY queue"))
    return [Pause(**row._mapping) for row in rows]


async def pause(conn: AsyncConnection, queues: Collection[str], *, who: str, reason: str, now: datetime) -> list[str]:
    """Close queues, and name those that were open; the others keep who closed them first, and why."""
    rows = await conn.execute(
        text(
            """INSERT INTO queue_pauses (queue, who, reason, since)
            SELECT queue, :who, :reason, :now FROM unnest(CAST(:queues AS text[])) AS given(queue)
            ORDER BY queue ON CONFLICT (queue) DO NOTHING RETURNING queue"""
        ),
        {"queues": sorted(queues), "who": who, "reason": reason, "now": now},
    )
    return sorted(row.queue for row in rows)


async def resume(conn: AsyncConnection, queues: Collection[str]) -> list[str]:
    """Open queues again, and name those that were closed."""
    rows = await conn.execute(
        text("DELETE FROM queue_pauses WHERE queue = ANY(:queues) RETURNING queue"), {"queues": sorted(queues)}
    )
    return sorted(row.queue for row in rows)


async def hold(conn: AsyncConnection, queues: Collection[str]) -> None:
    """Say that this process may have something of these queues in hand, for as long as this connection lives."""
    await _each(conn, "pg_advisory_lock_shared", queues)


async def let_go(conn: AsyncConnection, queues: Collection[str]) -> None:
    """Say that it has nothing of them in hand, and takes nothing."""
    await _each(conn, "pg_advisory_unlock_shared", queues)


async def holders(conn: AsyncConnection, queues: Collection[str]) -> Mapping[str, Sequence[str]]:
    """Name for each queue the processes that may have something of it in hand, as PostgreSQL knows them."""
    rows = await conn.execute(_HOLDERS, {"class": HELD, "queues": sorted(queues)})
    return {row.queue: row.names for row in rows}


async def _each(conn: AsyncConnection, function: str, queues: Collection[str]) -> None:
    if queues:
        await conn.execute(
            text(f"SELECT {function}(:class, hashtext(queue)) FROM unnest(CAST(:queues AS text[])) AS given(queue)"),  # noqa: S608  one of two words
            {"class": HELD, "queues": sorted(queues)},
        )


_HOLDERS = text(
    """SELECT queue, coalesce(array_agg(application_name ORDER BY application_name)
            FILTER (WHERE application_name IS NOT NULL), '{}') AS names
    FROM unnest(CAST(:queues AS text[])) AS given(queue)
    LEFT JOIN (pg_locks JOIN pg_stat_activity USING (pid)) ON locktype = 'advisory' AND objsubid = 2
        AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND classid::bigint = :class AND objid::bigint = hashtext(queue)::bigint & 4294967295
    GROUP BY queue"""
)
