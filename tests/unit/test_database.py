"""What is said to the database again while it is away or keeps us waiting, and what is not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import psycopg
import pytest
from psycopg import errors
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from workers.database import transact

PASSING = (
    errors.LockNotAvailable("a lock took too long"),
    errors.QueryCanceled("the statement took too long"),
    errors.IdleInTransactionSessionTimeout("the transaction stood idle"),
    errors.DeadlockDetected("two in each other's way"),
    errors.AdminShutdown("the server goes down"),
    psycopg.OperationalError("connection refused"),
)


class Flaky:
    """A database that fails so often, each time in the same way, and then works."""

    def __init__(self, error: Exception, times: int) -> None:
        self.error, self.left = error, times

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[None]:
        yield
        if self.left:
            self.left -= 1
            raise self.error


async def answer(_: AsyncConnection) -> int:
    return 7


def database(error: Exception, times: int = 1) -> AsyncEngine:
    return cast(AsyncEngine, Flaky(error, times))


@pytest.mark.parametrize("cause", PASSING, ids=lambda cause: type(cause).__name__)
async def test_what_passes_is_tried_again(cause: psycopg.Error) -> None:
    assert await transact(database(OperationalError("SELECT", None, cause)), answer) == 7


@pytest.mark.parametrize("error", [PoolTimeoutError("no connection came free"), ConnectionResetError()])
async def test_a_connection_that_does_not_come_free_is_waited_for(error: Exception) -> None:
    assert await transact(database(error), answer) == 7


async def test_what_stays_wrong_is_raised_at_once() -> None:
    flaky: Any = Flaky(IntegrityError("INSERT", None, errors.UniqueViolation("it is there")), 1)
    with pytest.raises(DBAPIError):
        await transact(flaky, answer, patience_s=60.0)
    assert flaky.left == 0


async def test_patience_comes_to_an_end() -> None:
    with pytest.raises(OperationalError):
        await transact(database(OperationalError("SELECT", None, PASSING[0]), times=99), answer, patience_s=0.0)
