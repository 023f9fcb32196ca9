"""What is in a database, table by table: how many rows, and one number over all of them; where each chain stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from ledger.tenancy import AUDITOR

Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows, and the sum of their 64-bit hashes: equal for equal rows, whatever order they lie in."""

    rows: int
    digest: str


@dataclass(frozen=True, slots=True)
class Head:
    """The last batch of one user's chain."""

    batch: int
    hash: str


@dataclass(frozen=True, slots=True)
class Contents:
    """A database at one moment."""

    revision: str
    tables: Mapping[str, Table]
    chains: Mapping[str, Head]


def guarded(conn: Connection) -> list[str]:
    """Name the tables whose rows not even their owner may read: the books."""
    found = conn.execute(
        """SELECT relname FROM pg_class WHERE relkind = 'r' AND relforcerowsecurity
            AND relnamespace = current_schema()::regnamespace ORDER BY 1"""
    )
    return [name for (name,) in found]


def sequences(conn: Connection) -> list[str]:
    """Name the counters behind identity columns."""
    found = conn.execute(
        """SELECT relname FROM pg_class WHERE relkind = 'S'
            AND relnamespace = current_schema()::regnamespace ORDER BY 1"""
    )
    return [name for (name,) in found]


def contents(conn: Connection) -> Contents:
    """Read all of it inside the caller's transaction."""
    # Numbers and times must be written the same on every server, or equal rows would differ.
    for setting in ("timezone = 'UTC'", "extra_float_digits = 1", "bytea_output = 'hex'", "datestyle = 'ISO'"):
        conn.execute(sql.SQL("SET LOCAL {}").format(sql.SQL(setting)))
    conn.execute("SET LOCAL statement_timeout = 0")
    books = set(guarded(conn))
    names = conn.execute(
        """SELECT relname FROM pg_class WHERE relkind = 'r'
            AND relnamespace = current_schema()::regnamespace ORDER BY relname COLLATE "C" """
    ).fetchall()
    revision = conn.execute("SELECT version_num FROM alembic_version").fetchone()
    assert revision is not None
    tables = {name: _table(conn, name, audited=name in books) for (name,) in names}
    return Contents(revision[0], tables, _chains(conn) if "batches" in books else {})


def _table(conn: Connection, name: str, *, audited: bool) -> Table:
    if audited:
        conn.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(AUDITOR)))
    counted = conn.execute(
        sql.SQL("SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text FROM {} t").format(
            sql.Identifier(name)
        )
    ).fetchone()
    if audited:
        conn.execute("RESET ROLE")
    assert counted is not None
    return Table(counted[0], counted[1])


def _chains(conn: Connection) -> dict[str, Head]:
    conn.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(AUDITOR)))
    rows = conn.execute(
        """SELECT DISTINCT ON (user_id) user_id, n, encode(hash, 'hex') FROM batches
            ORDER BY user_id, n DESC"""
    ).fetchall()
    conn.execute("RESET ROLE")
    return {user: Head(n, hash_) for user, n, hash_ in rows}
