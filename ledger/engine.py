"""Open and close the ledger's PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
from sqlalchemy import URL, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

DRIVER = "postgresql+psycopg"
OLDEST_SERVER = 150_000  # server_version_num
_SETTINGS = {
    "timezone": "UTC",
    "statement_timeout": "60s",
    "lock_timeout": "20s",
    "idle_in_transaction_session_timeout": "120s",
    # Hundreds of milliseconds of compilation would be spent on statements that take one.
    "jit": "off",
}


class LedgerUnreachable(ConnectionError):
    """The ledger's database cannot be used; the text is one line, and never holds the password."""


def database_url(url: str) -> URL:
    """Accept ``postgresql://``, ``postgres://`` or ``postgresql+psycopg://``; always give the last."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise LedgerUnreachable("the database URL cannot be read; expected postgresql://user@host/name") from None
    if parsed.drivername not in {"postgresql", "postgres", DRIVER}:
        raise LedgerUnreachable(f"the ledger needs PostgreSQL, not {parsed.drivername}")
    return parsed.set(drivername=DRIVER)


@asynccontextmanager
async def open_ledger(
    url: str,
    *,
    pool_size: int = 5,
    application_name: str = "sluice",
    connect_timeout_s: int = 10,
    asks_first: bool = True,
) -> AsyncIterator[AsyncEngine]:
    """Give an engine that has answered once; raise LedgerUnreachable when it does not.

    Sessions speak UTC, give up a statement after 60 s and a lock after 20 s.  The engine belongs to the running loop.
    A connection is asked whether it lives before each use; ``asks_first=False`` spares those who try again that trip.
    """
    address = database_url(url)
    engine = create_async_engine(
        address,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=30,
        pool_pre_ping=asks_first,
        pool_recycle=1800,
        json_serializer=lambda value: orjson.dumps(value).decode(),
        json_deserializer=orjson.loads,
        connect_args={
            "application_name": application_name,
            "connect_timeout": connect_timeout_s,
            "options": " ".join(f"-c {name}={value}" for name, value in _SETTINGS.items()),
        },
    )
    try:
        await _greet(engine, address)
        yield engine
    finally:
        await engine.dispose()


async def _greet(engine: AsyncEngine, address: URL) -> None:
    try:
        async with engine.connect() as conn:
            version = int((await conn.execute(text("SHOW server_version_num"))).scalar_one())
    except (DBAPIError, PoolTimeoutError, OSError) as error:
        raise unreachable(address, error) from None
    if version < OLDEST_SERVER:
        raise LedgerUnreachable(f"{where(address)} is PostgreSQL {version // 10_000}; 15 or later is needed")


def unreachable(address: URL, error: Exception) -> LedgerUnreachable:
    """Say in one line which database did not answer, and why."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    lines = str(cause).strip().splitlines()
    return LedgerUnreachable(f"{where(address)} does not answer: {lines[0] if lines else type(cause).__name__}")


def where(address: URL) -> str:
    """Name the database without user or password."""
    host = address.host or address.query.get("host") or "the local socket"
    port = f":{address.port}" if address.port else ""
    return f"PostgreSQL at {host}{port}/{address.database or ''}"
