"""Bring a database to the newest schema, safely while others start at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.exc import OperationalError

from ledger.engine import database_url, unreachable

_LOCK = 0x5_1_0_1_C_E  # one number for all who migrate a Sluice database
_WAIT = "300s"  # for another migration to end
_LOCK_TIMEOUT = "10s"  # for one table: a migration gives up rather than queue everybody behind it


def upgrade(url: str, revision: str = "head") -> None:
    """Apply what is missing up to ``revision``.  Several at once: one works, the rest wait and find nothing to do."""
    with _connected(url) as connection:
        connection.execute(text(f"SET lock_timeout = '{_WAIT}'"))
        connection.execute(text("SELECT pg_advisory_lock(:number)"), {"number": _LOCK})
        connection.execute(text(f"SET lock_timeout = '{_LOCK_TIMEOUT}'"))
        connection.commit()
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        connection.commit()  # closing the session gives the lock back


def head() -> str:
    """Name the newest revision that this code brings."""
    newest = ScriptDirectory.from_config(_config()).get_current_head()
    assert newest is not None
    return newest


def current(url: str) -> str | None:
    """Name the revision that the database is at; None for an empty one."""
    with _connected(url) as connection:
        return MigrationContext.configure(connection).get_current_revision()


def _config() -> Config:
    return Config(Path(__file__).with_name("alembic.ini"))


@contextmanager
def _connected(url: str) -> Iterator[Connection]:
    address = database_url(url)
    engine = create_engine(
        address,
        poolclass=NullPool,
        connect_args={"application_name": "sluice migrate", "connect_timeout": 10, "options": "-c timezone=UTC"},
    )
    try:
        connection = engine.connect()
    except OperationalError as error:
        raise unreachable(address, error) from None
    with connection:
        yield connection
