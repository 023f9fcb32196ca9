"""What stands about a provider as a whole: may it be called, what is left, and every call that was made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

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
    """Write how a provider is to stand, whatever it was; back at ok, the jobs that waited for it are due at once."""
    await conn.execute(_STAND, {"name": name, "state": state, "reason": reason, "until": until, "now": now})
    if state == "ok":
        await _wake(conn, name, now)


async def found(
    conn: AsyncConnection,
    name: str,
    state: Literal["disabled", "used_up"],
    *,
    reason: str,
    until: datetime | None = None,
    now: datetime,
) -> None:
    """Write what a worker found out; what an operator has paused stays paused, and not for less than ``until``."""
    await conn.execute(_FOUND, {"name": name, "state": state, "reason": reason, "until": until, "now": now})


async def over(conn: AsyncConnection, name: str, *, now: datetime) -> Standing:
    """Let a provider be called again whose time is over; give how it stands, for who has said otherwise meanwhile."""
    if (await conn.execute(_OVER, {"name": name, "now": now})).rowcount:
        await _wake(conn, name, now)
    return await standing(conn, name)


async def mended(conn: AsyncConnection, name: str, *, now: datetime) -> None:
    """Let a provider be called again that was disabled; one that is paused or used up stays so."""
    if (await conn.execute(_MENDED, {"name": name, "now": now})).rowcount:
        await _wake(conn, name, now)


async def _wake(conn: AsyncConnection, name: str, now: datetime) -> None:
    await conn.execute(_WAKE, {"name": name, "now": now})


async def call_number(conn: AsyncConnection) -> int:
    """Take the number of a call that is to be written, so that writing it again changes nothing."""
    return int((await conn.execute(_NUMBER)).scalar_one())


async def called(conn: AsyncConnection, call: Call, *, number: int | None = None, remaining: int | None = None) -> None:
    """Write down a call, and what the provider said is left; with its ``number`` once, however often it is said."""
    await conn.execute(_CALLED, {**asdict(call), "number": number})
    await heard_all(conn, [(call, remaining)])


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


_STAND = text(
    """INSERT INTO providers (name, state, reason, until, updated_at) VALUES (:name, :state, :reason, :until, :now)
    ON CONFLICT (name) DO UPDATE SET state = :state, reason = :reason, until = :until, updated_at = :now"""
)

_PAUSED = "providers.state = 'paused' AND (providers.until IS NULL OR providers.until > :now)"

_FOUND = text(
    f"""INSERT INTO providers (name, state, reason, until, updated_at) VALUES (:name, :state, :reason, :until, :now)
    ON CONFLICT (name) DO UPDATE SET updated_at = :now,
        state = CASE WHEN {_PAUSED} THEN providers.state ELSE :state END,
        reason = CASE WHEN {_PAUSED} THEN providers.reason ELSE :reason END,
        until = CASE WHEN NOT ({_PAUSED}) THEN CAST(:until AS timestamptz)
            WHEN providers.until IS NOT NULL THEN greatest(providers.until, :until) END"""  # noqa: S608  constants only
)

_OK = "UPDATE providers SET state = 'ok', reason = NULL, until = NULL, updated_at = :now WHERE name = :name"

_OVER = text(f"{_OK} AND state <> 'ok' AND until <= :now")

_MENDED = text(f"{_OK} AND state = 'disabled'")

_WAKE = text(
    """UPDATE jobs SET run_at = :now, published_at = NULL
    WHERE queue = 'fetch.' || CAST(:name AS text) AND state = 'waiting' AND reason LIKE 'provider %'"""
)

_NUMBER = text("SELECT nextval(pg_get_serial_sequence('calls', 'id'))")

_CALLED = text(
    """INSERT INTO calls (id, provider, dataset, job_id, at, status, outcome, cost, seconds) OVERRIDING SYSTEM VALUE
    VALUES (coalesce(CAST(:number AS bigint), nextval(pg_get_serial_sequence('calls', 'id'))),
        :provider, :dataset, :job, :at, :status, :outcome, :cost, :seconds)
    ON CONFLICT (id) DO NOTHING"""
)

_LEFT = text(
    """INSERT INTO providers (name, state, remaining, updated_at) VALUES (:name, 'ok', :remaining, :now)
    ON CONFLICT (name) DO UPDATE SET remaining = :remaining, updated_at = :now"""
)
