"""Bring a database to the newest schema, safely while others start at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
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
SCRIPTS = Path(__file__).with_name("migrations")


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long a statement may wait for a lock, and run, in seconds; ``statement_s`` 0 is without end.

    A migration gives up rather than queue everybody behind it; each one has its own transaction, so what was done
    before stays.
    """

    lock_s: float = 10.0
    statement_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Step:
    """One migration: the revision it leads to, what it is about, and the SQL that it runs, statement by statement."""

    revision: str
    about: str
    statements: tuple[str, ...]


def upgrade(url: str, revision: str = "head", *, bounds: Bounds = Bounds(), scripts: Path = SCRIPTS) -> None:
    """Apply what is missing up to ``revision``.  Several at once: one works, the rest wait and find nothing to do."""
    with _connected(url) as connection:
        connection.execute(text(f"SET lock_timeout = '{_WAIT}'"))
        connection.execute(text("SELECT pg_advisory_lock(:number)"), {"number": _LOCK})
        connection.execute(text(f"SET lock_timeout = {round(bounds.lock_s * 1000)}"))
        connection.execute(text(f"SET statement_timeout = {round(bounds.statement_s * 1000)}"))
        connection.commit()
        config = _config(scripts)
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        connection.commit()  # closing the session gives the lock back


def head(scripts: Path = SCRIPTS) -> str:
    """Name the newest revision that this code brings."""
    newest = ScriptDirectory.from_config(_config(scripts)).get_current_head()
    assert newest is not None
    return newest


def revisions(scripts: Path = SCRIPTS) -> tuple[str, ...]:
    """Name every revision that this code knows, the oldest first."""
    history = ScriptDirectory.from_config(_config(scripts)).walk_revisions()
    return tuple(script.revision for script in history)[::-1]


def steps(after: str | None, scripts: Path = SCRIPTS) -> list[Step]:
    """Write down what would run behind the revision ``after`` (None: all), in order; asks no database."""
    history = list(ScriptDirectory.from_config(_config(scripts)).walk_revisions())[::-1]
    known = [script.revision for script in history]
    begin = known.index(after) + 1 if after is not None else 0
    return [
        Step(script.revision, (script.doc or "").split("\n")[0], _written(script.revision, below, scripts))
        for below, script in zip([None, *known], history, strict=False)
    ][begin:]


def _written(revision: str, below: str | None, scripts: Path) -> tuple[str, ...]:
    lines = _Statements()
    config = _config(scripts)
    config.output_buffer = lines
    command.upgrade(config, f"{below}:{revision}" if below else revision, sql=True)
    return tuple(lines.written)


_OF_ALEMBIC = ("-- Running", "UPDATE alembic_version", "INSERT INTO alembic_version", "CREATE TABLE alembic_version")


class _Statements(StringIO):
    """Alembic writes one statement at a time: nothing has to be taken apart."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[str] = []

    def write(self, text: str, /) -> int:
        statement = text.strip().rstrip(";").strip()
        if statement and statement not in ("BEGIN", "COMMIT") and not statement.startswith(_OF_ALEMBIC):
            self.written.append(statement)
        return len(text)


def current(url: str) -> str | None:
    """Name the revision that the database is at; None for an empty one."""
    with _connected(url) as connection:
        return MigrationContext.configure(connection).get_current_revision()


def _config(scripts: Path) -> Config:
    config = Config(Path(__file__).with_name("alembic.ini"))
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    return config


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
