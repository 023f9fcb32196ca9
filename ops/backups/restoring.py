"""Bring a backup back: load it, compare every row with the manifest, and make due again what was under way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
from psycopg import sql
from sqlalchemy.engine import make_url

from ledger import migrate
from ledger.tenancy import AUDITOR, WRITER
from ops.backups.access import Access, access
from ops.backups.contents import Connection, Contents, contents
from ops.backups.manifest import BOOKS, WORKS, Manifest
from ops.backups.programs import BackupTrouble, found, run

TIMEOUT_S = 6 * 3600.0
FENCE_LEAP = 1_000_000
"""Workers of the lost world hold fences that the backup has never seen: ours must be above all of those."""


def load(url: str, folder: Path, manifest: Manifest, *, force: bool) -> Access:
    """Load a checked backup into a database; give what the replaced ledger knew of who may come in.

    A database that holds anything is refused without ``force``, and emptied with it; one in use is refused always.
    Raises BackupTrouble.
    """
    if manifest.contents.revision not in migrate.revisions():
        newest = migrate.head()
        raise BackupTrouble(
            f"the backup is at {manifest.contents.revision}, newer than this code ({newest}): use newer code"
        )
    with psycopg.connect(url, connect_timeout=10, application_name="sluice restore") as conn:
        program = found("pg_restore", max(manifest.server, conn.info.server_version // 10_000))
        if conn.info.server_version // 10_000 < manifest.server:
            raise BackupTrouble(f"the backup is of PostgreSQL {manifest.server}, this server is older")
        before = access(conn)
        _make_room(conn, force=force)
        for role in (WRITER, AUDITOR):
            conn.execute(_ROLE.format(role=sql.Literal(role)))
    common = ["--no-owner", "--exit-on-error"]
    # Triggers, keys and row-level security come last: what is loaded was judged when it was posted.
    for file, section in ((WORKS, "pre-data"), (WORKS, "data"), (BOOKS, "data"), (WORKS, "post-data")):
        run(program, url, [*common, f"--section={section}", str(folder / file)], timeout_s=TIMEOUT_S)
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("ANALYZE")
    return before


def differences(url: str, manifest: Manifest) -> list[str]:
    """Compare a database with a manifest, row by row; nothing where they are the same."""
    with psycopg.connect(url) as conn:
        return list(_different(contents(conn), manifest.contents))


def redispatch(url: str) -> tuple[int, int]:
    """Make everything due that was under way, and fence off whoever still holds it; give counts of jobs and pages."""
    with psycopg.connect(url) as conn:
        jobs = conn.execute(
            """UPDATE jobs SET published_at = NULL, lease_until = NULL, fence = fence + %s
                WHERE state IN ('queued', 'running', 'waiting')""",
            [FENCE_LEAP],
        ).rowcount
        pages = conn.execute("UPDATE pages SET published_at = NULL, lease_until = NULL WHERE state = 'landed'").rowcount
    return jobs, pages


@contextmanager
def scratch(url: str) -> Iterator[str]:
    """Make an empty database beside this one, and drop it at the end; raises BackupTrouble without the right to."""
    name = f"sluice_drill_{uuid4().hex[:12]}"
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=10) as conn:
            conn.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
    except psycopg.errors.InsufficientPrivilege:
        raise BackupTrouble(
            "a drill needs a database of its own: ALTER ROLE ... CREATEDB, or restore elsewhere"
        ) from None
    try:
        yield make_url(url).set(database=name).render_as_string(hide_password=False)
    finally:
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _make_room(conn: Connection, *, force: bool) -> None:
    others = conn.execute(
        """SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
            AND backend_type = 'client backend'"""
    ).fetchone()
    held = conn.execute(
        "SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'v') AND relnamespace = current_schema()::regnamespace"
    ).fetchone()
    assert others is not None
    assert held is not None
    if held[0] and not force:
        raise BackupTrouble("this database is not empty: --force drops everything in it first")
    if others[0]:
        raise BackupTrouble(f"{others[0]} others are connected: stop workers, dispatcher and gateways first")
    if held[0]:
        conn.execute(_EMPTY)


def _different(there: Contents, wanted: Contents) -> Iterator[str]:
    if there.revision != wanted.revision:
        yield f"schema {there.revision}, and {wanted.revision} was backed up"
    for name in sorted({*there.tables, *wanted.tables}):
        if (now := there.tables.get(name)) != (then := wanted.tables.get(name)):
            yield f"{name}: {now.rows if now else 'no'} rows, and {then.rows if then else 'no'} were backed up" + (
                ", with other contents" if now and then and now.rows == then.rows else ""
            )
    if there.chains != wanted.chains:
        yield "the chains of the books end elsewhere"


_EMPTY = """DO $$
DECLARE
    one record;
BEGIN
    FOR one IN SELECT format('%I', relname) AS name, relkind FROM pg_class
        WHERE relkind IN ('r', 'v') AND relnamespace = current_schema()::regnamespace
    LOOP
        IF to_regclass(one.name) IS NOT NULL THEN
            EXECUTE format('DROP %s %s CASCADE', CASE one.relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END, one.name);
        END IF;
    END LOOP;
    FOR one IN SELECT oid::regprocedure AS name FROM pg_proc WHERE pronamespace = current_schema()::regnamespace LOOP
        EXECUTE format('DROP ROUTINE IF EXISTS %s CASCADE', one.name);
    END LOOP;
END $$"""

# Roles belong to a server, and are in no dump; the same as the migration that first needed them (0004) makes.
_ROLE = sql.SQL("""DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {role}) THEN
        EXECUTE format('CREATE ROLE %I NOLOGIN NOINHERIT', {role});
    END IF;
    IF current_setting('server_version_num')::int >= 160000 THEN
        IF NOT pg_has_role(current_user, {role}, 'SET') THEN
            EXECUTE format('GRANT %I TO CURRENT_USER WITH INHERIT FALSE, SET TRUE', {role});
        END IF;
    ELSIF NOT pg_has_role(current_user, {role}, 'MEMBER') THEN
        EXECUTE format('GRANT %I TO CURRENT_USER', {role});
    END IF;
END $$""")
