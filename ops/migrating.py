"""Migrating a database that is in use: what would be done, whether it may be, and trying again where it must wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.rows import TupleRow
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from ledger import migrate
from ledger.engine import database_url, unreachable
from ledger.migrate import SCRIPTS, Bounds, Step
from ops.schema_rules import Danger, breaks_old_code, columns_proven, dangers, tables_made

BIG_ROWS = 100_000
LOCKED, DEADLOCK, TOOK_TOO_LONG = "55P03", "40P01", "57014"
PAUSE_S, PAUSE_S_MAX = 1.0, 15.0


class CannotMigrate(Exception):
    """The database stays as it is; the text is one line and says what to do."""


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One migration that is to come.

    ``breaks`` says what code from before it may run into: it belongs into a release after the one that stopped needing
    what it takes away.  ``dangers`` are what it would do to big tables.
    """

    revision: str
    about: str
    statements: tuple[str, ...]
    breaks: tuple[str, ...]
    dangers: tuple[Danger, ...]

    @property
    def kind(self) -> str:
        """``expand`` where old code goes on beside it, else ``contract``."""
        return "contract" if self.breaks else "expand"


@dataclass(frozen=True, slots=True)
class Plan:
    """Where the database is (None: empty), where it is to go, and how."""

    current: str | None
    head: str
    steps: tuple[PlannedStep, ...]


def planned(url: str, *, big_rows: int = BIG_ROWS, scripts: Path = SCRIPTS) -> Plan:
    """Look at a database and say what is to be done; raises CannotMigrate and LedgerUnreachable."""
    current, head = migrate.current(url), migrate.head(scripts)
    if current is not None and current not in migrate.revisions(scripts):
        raise CannotMigrate(
            f"the database is at {current}, which this code does not know (its newest is {head}):"
            " newer code has migrated it; use that code, nothing has to be done here"
        )
    with psycopg.connect(plain(url), connect_timeout=10) as conn:
        big = {name for name, rows in _sizes(conn) if rows >= big_rows}
        proven = {(table, column) for table, column in conn.execute(_PROVEN)}
    return Plan(current, head, judged(migrate.steps(current, scripts), big, proven))


def judged(steps: list[Step], big: Collection[str], proven: Collection[tuple[str, str]]) -> tuple[PlannedStep, ...]:
    """Judge each step by what the database holds and by what the steps before it do."""
    fresh, known = set[str](), set(proven)
    made = []
    for step in steps:
        found, breaks = list[Danger](), list[str]()
        for statement in step.statements:
            fresh |= tables_made(statement)
            found += dangers(statement, set(big) - fresh, known)
            if why := breaks_old_code(statement, fresh):
                breaks.append(why)
            known |= columns_proven(statement)
        made.append(PlannedStep(step.revision, step.about, step.statements, tuple(breaks), tuple(found)))
    return tuple(made)


def applied(
    url: str,
    *,
    bounds: Bounds,
    attempts: int,
    scripts: Path = SCRIPTS,
    told: Callable[[str], object] = lambda _: None,
    sleep: Callable[[float], object] = time.sleep,
) -> int:
    """Bring the database to the newest schema; give how many attempts it took.

    A lock that cannot be had is waited for between attempts, never within one: a waiting ALTER TABLE holds up everybody
    who comes after it.  Raises CannotMigrate.
    """
    for attempt in range(1, attempts + 1):
        try:
            migrate.upgrade(url, bounds=bounds, scripts=scripts)
        except DBAPIError as error:
            state = getattr(error.orig, "sqlstate", None)
            if state is None:
                raise unreachable(make_url(url), error) from None
            why = str(error.orig).splitlines()[0]
            if state == TOOK_TOO_LONG:
                raise CannotMigrate(f"{why}: give it longer with --statement-timeout, or do it in batches") from None
            if state not in (LOCKED, DEADLOCK):
                raise CannotMigrate(f"a migration failed and was taken back: {why}") from None
            if attempt == attempts:
                at = f"the database is at {migrate.current(url) or 'nothing'}"
                raise CannotMigrate(f"{why}, {attempts} times: {at}; try again when less goes on") from None
            pause = min(PAUSE_S_MAX, PAUSE_S * 2 ** (attempt - 1))
            told(f"attempt {attempt}: {why}; again in {pause:g} s")
            sleep(pause)
        else:
            return attempt
    raise AssertionError("at least one attempt")


def plain(url: str) -> str:
    """The address as the driver and PostgreSQL's own programs take it."""
    return database_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def _sizes(conn: psycopg.Connection[TupleRow]) -> list[TupleRow]:
    return conn.execute(
        """SELECT c.relname, greatest(c.reltuples, s.n_live_tup, 0)::bigint
             FROM pg_class c JOIN pg_stat_user_tables s ON s.relid = c.oid
            WHERE c.relnamespace = current_schema()::regnamespace"""
    ).fetchall()


_PROVEN = r"""
SELECT c.relname, (regexp_match(pg_get_constraintdef(k.oid), '^CHECK \(\(("?)(\w+)\1 IS NOT NULL\)\)$'))[2]
  FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
 WHERE k.contype = 'c' AND k.convalidated AND c.relnamespace = current_schema()::regnamespace
   AND pg_get_constraintdef(k.oid) ~ '^CHECK \(\(("?)(\w+)\1 IS NOT NULL\)\)$'
"""
