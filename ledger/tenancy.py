"""Whose rows a transaction may see and write: the database decides, by role and by row-level security.

Nobody sees anybody's books without naming a user; reading all of them is a role of its own, for proofs and operators.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from psycopg import AsyncConnection as Driver
from psycopg import AsyncCursor, Error
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

WRITER, AUDITOR = "sluice_app", "sluice_audit"


@asynccontextmanager
async def acting_for(conn: AsyncConnection, user: str) -> AsyncIterator[None]:
    """Read and write one user's books inside the block, and nothing of another's; part of the caller's transaction.

    Raises RuntimeError inside another such block: the end of the inner one would end the outer one's protection too.
    """
    if (await conn.execute(_ENTER, {"user": user})).scalar_one():
        raise RuntimeError("this transaction acts for a user already")
    await conn.execute(text(f"SET LOCAL ROLE {WRITER}"))
    yield
    # After an error the transaction is lost, and what was set for it with it.
    await conn.execute(text("RESET ROLE"))
    await conn.execute(_ACT, {"user": ""})


@asynccontextmanager
async def auditing(conn: AsyncConnection) -> AsyncIterator[None]:
    """Read everybody's books inside the block, and write nothing; part of the caller's transaction."""
    await conn.execute(text(f"SET LOCAL ROLE {AUDITOR}"))
    yield
    await conn.execute(text("RESET ROLE"))


async def one_writer(conn: AsyncConnection, user: str) -> None:
    """Wait until nobody else writes this user's books; held to the end of the transaction.

    Who writes for several users in one transaction takes them in sorted order.
    """
    await conn.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": f"books {user}"})


@asynccontextmanager
async def driver_cursor(conn: AsyncConnection) -> AsyncIterator[AsyncCursor[Any]]:
    """Lend the driver's own cursor, since only it can COPY; its errors leave as SQLAlchemy's, like all others."""
    driver = cast("Driver[Any]", (await conn.get_raw_connection()).driver_connection)
    try:
        async with driver.cursor() as cursor:
            yield cursor
    except Error as error:
        if driver.closed:
            await conn.invalidate(error)  # the pool must not lend it again
        raise DBAPIError.instance(None, None, error, Error, connection_invalidated=driver.closed) from error


_ENTER = text("SELECT current_setting('sluice.user_id', true), set_config('sluice.user_id', :user, true)")
_ACT = text("SELECT set_config('sluice.user_id', :user, true)")
