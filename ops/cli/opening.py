"""Open what one command needs, and put into one line what can go wrong with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from broker.messages import WorkOnJob
from broker.producer import BrokerUnreachableError
from ledger.engine import unreachable
from ops.bootstrap import configured_providers, open_database, open_hints, server
from ops.cli.processes import started
from ops.settings import Settings

R = TypeVar("R")
NAME = "sluice command"


class CannotDo(Exception):
    """What was asked cannot be done; the text says why and what to do."""


class NeedsMigration(CannotDo):
    """The database has not this code's schema: run `sluice migrate`."""


def ask(work: Callable[[AsyncConnection], Coroutine[Any, Any, R]]) -> R:
    """Run one piece of work in one transaction, and give its answer."""
    return asyncio.run(_asked(started(), work))


async def _asked(settings: Settings, work: Callable[[AsyncConnection], Coroutine[Any, Any, R]]) -> R:
    async with opened(settings) as database:
        return await transact(database, settings, work)


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[AsyncEngine]:
    """Open the database for one command."""
    async with open_database(settings, name=NAME, pool_size=2) as database:
        yield database


async def transact(
    database: AsyncEngine, settings: Settings, work: Callable[[AsyncConnection], Coroutine[Any, Any, R]]
) -> R:
    """Run ``work`` in a transaction; raise NeedsMigration or LedgerUnreachable where that is what happened."""
    with said_clearly(settings):
        async with database.begin() as conn:
            return await work(conn)


@contextmanager
def said_clearly(settings: Settings) -> Iterator[None]:
    """Turn what a database says about itself into one line."""
    try:
        yield
    except ProgrammingError as error:
        if getattr(error.orig, "sqlstate", None) in ("42P01", "42703"):  # no such table, no such column
            raise NeedsMigration(NeedsMigration.__doc__) from None
        raise
    except DBAPIError as error:
        if error.connection_invalidated or error.orig is None or getattr(error.orig, "sqlstate", None) is None:
            raise unreachable(make_url(server(settings.database_url)), error) from None
        raise


async def hint(settings: Settings, queues: Sequence[str]) -> str | None:
    """Say that jobs of these queues are due; give a warning where the broker is away: the rows are written."""
    try:
        async with open_hints(settings, configured_providers(settings)) as producer:
            await producer.send([WorkOnJob(queue) for queue in queues])
    except BrokerUnreachableError as error:
        return f"{error}; nothing is lost: the dispatcher says it again when the broker is back"
    return None
