"""What stands about a provider as a whole: may it be called, what is left, and every call that was made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

State = Literal["ok", "disabled", "paused", "used_up"]


@dataclass(frozen=True, slots=True)
class Standing:
    """May the provider be called, and if not: why, and until when (None: until a person helps)."""

    name: str
    state: State
    reason: str | None
    until: datetime | None
    remaining: int | None


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP call as it went; ``status`` None where nothing came back, ``cost`` in the budget's unit."""

    provider: str
    dataset: str
    job: UUID | None
    at: datetime
    status: int | None
    outcome: str
    cost: int
    seconds: float


async def standing(conn: AsyncConnection, name: str) -> Standing:
    """Read a provider's row; one that was never written is ok."""
    found = await conn.execute(
        text("SELECT name, state, reason, until, remaining FROM providers WHERE name = :name"), {"name": name}
    )
    row = found.one_or_none()
    return Standing(**row._mapping) if row else Standing(name, "ok", None, None, None)


async def standings(conn: AsyncConnection) -> list[Standing]:
    """Read every provider's row, by name."""
    rows = await conn.execute(text("SELECT name, state, reason, until, remaining FROM providers ORDER BY name"))
    return [Standing(**row._mapping) for row in rows]


async def stand(
    conn: AsyncConnection, name: str, state: State, *, reason: str | None, until: datetime | None = None, now: datetime
) -> None:
    """Write how a provider stands; back at ok, the jobs that waited for it are due at once."""
    await conn.execute(
        text(
            """INSERT INTO providers (name, state, reason, until, updated_at)
            VALUES (:name, :state, :reason, :until, :now)
            ON CONFLICT (name) DO UPDATE SET state = :state, reason = :reason, until = :until, updated_at = :now"""
        ),
        {"name": name, "state": state, "reason": reason, "until": until, "now": now},
    )
    if state == "ok":
        await conn.execute(
            text(
                """UPDATE jobs SET run_at = :now, published_at = NULL
                WHERE queue = 'fetch.' || CAST(:name AS text) AND state = 'waiting' AND reason LIKE 'provider %'"""
            ),
            {"name": name, "now": now},
        )


async def over(conn: AsyncConnection, stood: Standing, *, now: datetime) -> None:
    """The time that a provider was not to be called for is over, unless something else was said meanwhile."""
    if await standing(conn, stood.name) == stood:
        await stand(conn, stood.name, "ok", reason=None, now=now)


async def called(conn: AsyncConnection, call: Call, *, remaining: int | None = None) -> None:
    """Write down a call, and what the provider said is left."""
    await called_all(conn, [(call, remaining)])


async def called_all(conn: AsyncConnection, calls: Sequence[tuple[Call, int | None]]) -> None:
    """Write down several calls, each with what its provider said is left; what the last one heard holds."""
    rows = [
        {
            "provider": call.provider,
            "dataset": call.dataset,
            "job": call.job,
            "at": call.at,
            "status": call.status,
            "outcome": call.outcome,
            "cost": call.cost,
            "seconds": call.seconds,
        }
        for call, _ in calls
    ]
    await conn.execute(_CALLED, {"rows": orjson.dumps(rows).decode()})
    await heard_all(conn, calls)


async def heard_all(conn: AsyncConnection, calls: Sequence[tuple[Call, int | None]]) -> None:
    """Write down what each call's provider said is left, where it said so; the calls themselves are written already."""
    left = {call.provider: (remaining, call.at) for call, remaining in calls if remaining is not None}
    for name, (remaining, at) in sorted(left.items()):
        await conn.execute(_LEFT, {"name": name, "remaining": remaining, "now": at})


async def spent_since(conn: AsyncConnection, name: str, since: datetime) -> int:
    """Sum what a provider has cost since then: the truth that a flushed Redis is filled from."""
    total = await conn.execute(
        text("SELECT coalesce(sum(cost), 0) FROM calls WHERE provider = :name AND at >= :since"),
        {"name": name, "since": since},
    )
    return int(total.scalar_one())


_CALLED = text(
    """INSERT INTO calls (provider, dataset, job_id, at, status, outcome, cost, seconds)
    SELECT provider, dataset, job, at, status, outcome, cost, seconds
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(provider text, dataset text, job uuid, at timestamptz,
        status smallint, outcome text, cost int, seconds float8)"""
)

_LEFT = text(
    """INSERT INTO providers (name, state, remaining, updated_at) VALUES (:name, 'ok', :remaining, :now)
    ON CONFLICT (name) DO UPDATE SET remaining = :remaining, updated_at = :now"""
)
