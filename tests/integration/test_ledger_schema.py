"""The migrations make what the tables say, safely when several start at once; a bad database is told in one line."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from psycopg import sql
from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.ext.asyncio import AsyncEngine

from ledger import migrate
from ledger.engine import LedgerUnreachable, database_url, open_ledger
from ledger.tables import metadata

CATALOG = """
SELECT 'column', table_name, column_name, data_type, is_nullable, collation_name, identity_generation, column_default
  FROM information_schema.columns WHERE table_schema = :schema AND table_name = ANY(:tables)
UNION ALL
SELECT 'index', tablename, indexname, replace(indexdef, :schema || '.', ''), '', '', '', ''
  FROM pg_indexes WHERE schemaname = :schema AND tablename = ANY(:tables)
UNION ALL
SELECT 'constraint', t.relname, c.conname, replace(pg_get_constraintdef(c.oid), :schema || '.', ''), '', '', '', ''
  FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid
 WHERE t.relnamespace = CAST(:schema AS regnamespace) AND t.relname = ANY(:tables)
ORDER BY 1, 2, 3
"""


def catalog(connection: Connection, schema: str) -> list[tuple[Any, ...]]:
    """Read what the server itself says about the ledger's tables."""
    given = {"schema": schema, "tables": list(metadata.tables)}
    return [tuple(row) for row in connection.execute(text(CATALOG), given)]


def test_migrations_from_nothing_make_the_tables_as_declared(ledger_url: str) -> None:
    engine = create_engine(database_url(ledger_url), poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text("CREATE SCHEMA declared"))
        connection.execute(text("SET LOCAL search_path TO declared"))
        metadata.create_all(connection)
        declared = catalog(connection, "declared")
        connection.rollback()
        assert catalog(connection, "public") == declared
        assert len(declared) > 60


def test_the_newest_revision_is_reached_and_named(ledger_url: str) -> None:
    assert migrate.current(ledger_url) == migrate.head()


@pytest.fixture
def empty_url(postgres_url: str) -> Iterator[str]:
    """An empty database of the test's own."""
    address = database_url(postgres_url)
    own = address.set(database=f"{address.database}_empty")
    with psycopg.connect(postgres_url, autocommit=True) as owner:
        owner.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(own.database or "")))
        yield own.render_as_string(hide_password=False)
        owner.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(own.database or "")))


async def test_several_migrations_at_once_are_one(empty_url: str) -> None:
    assert migrate.current(empty_url) is None
    await asyncio.gather(*(asyncio.to_thread(migrate.upgrade, empty_url) for _ in range(4)))
    assert migrate.current(empty_url) == migrate.head()


def test_the_way_down_leaves_nothing(empty_url: str) -> None:
    migrate.upgrade(empty_url)
    with create_engine(database_url(empty_url), poolclass=NullPool).connect() as connection:
        config = Config(Path(migrate.__file__).with_name("alembic.ini"))
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        assert catalog(connection, "public") == []


async def test_a_connection_speaks_utc_and_has_limits(ledger: AsyncEngine) -> None:
    async with ledger.connect() as conn:
        shown = [
            (await conn.execute(text(f"SHOW {name}"))).scalar_one()
            for name in ("timezone", "statement_timeout", "lock_timeout", "application_name")
        ]
    assert shown == ["UTC", "1min", "20s", "sluice"]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:secret@127.0.0.1:1/nowhere",
        "mysql://me:secret@127.0.0.1/x",
        "not a url secret",
        "postgresql://me:secret@/nowhere?host=/nonexistent",
    ],
)
async def test_a_database_that_cannot_be_used_is_one_line_without_its_password(url: str) -> None:
    with pytest.raises(LedgerUnreachable) as refusal:
        async with open_ledger(url, connect_timeout_s=2):
            pytest.fail("it opened")
    assert "\n" not in str(refusal.value)
    assert "secret" not in str(refusal.value)
    with pytest.raises(LedgerUnreachable):
        migrate.upgrade(url)
