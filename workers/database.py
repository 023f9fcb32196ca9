"""One transaction, tried again while the database is away: no credit is spent and no work is dropped meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

R = TypeVar("R")
log = structlog.get_logger(__name__)

# Serialisation failure, deadlock; a lock or a statement that took too long, a transaction that stood idle too long; the
# server is going down, coming up, or too full to let us in.
_AGAIN = frozenset({"40001", "40P01", "55P03", "57014", "25P03", "57P01", "57P02", "57P03", "53300"})
AWAY = (DBAPIError, PoolTimeoutError, OSError)
"""What ``transact`` raises where the database stayed away; not each of these is such a case: ask ``is_away``."""

PAID_S = 240.0
"""How long what was paid for is told to the database again and again: almost as long as a message may take."""


async def transact(
    database: AsyncEngine, work: Callable[[AsyncConnection], Awaitable[R]], *, patience_s: float = 60.0
) -> R:
    """Run ``work`` in a transaction; it may run several times, so it must be safe to repeat.

    Raises the last error once the database has been away, or has kept us waiting, for ``patience_s``.
    """
    pause_s, deadline = 0.05, asyncio.get_running_loop().time() + patience_s
    while True:
        try:
            async with database.begin() as conn:
                return await work(conn)
        except AWAY as error:
            if not is_away(error) or asyncio.get_running_loop().time() >= deadline:
                raise
            state = _sqlstate(error)  # a lock that took too long is told from a server that is away
            log.warning("database_away", error=type(error).__name__, sqlstate=state, retry_in_s=pause_s)
        await asyncio.sleep(pause_s)
        pause_s = min(2.0, pause_s * 2)


def is_away(error: Exception) -> bool:
    """Tell whether the same transaction may work later, as it stands."""
    if not isinstance(error, DBAPIError):
        return True
    state = _sqlstate(error)
    if state is None:
        return error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)
    return state in _AGAIN or state.startswith("08")


def _sqlstate(error: Exception) -> str | None:
    state: str | None = getattr(getattr(error, "orig", None), "sqlstate", None)
    return state
