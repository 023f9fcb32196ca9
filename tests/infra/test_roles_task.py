"""The task ``roles`` that Terraform defines: its script against a real PostgreSQL, by a master user as RDS has one."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from ops.embedded import Stack
from ops.embedded.postgres import programs

SCRIPT = Path(__file__).parents[2] / "ops" / "terraform" / "modules" / "stack" / "roles.sh"


@pytest.fixture(scope="module")
def admin(stack: Stack) -> Iterator[psycopg.Connection]:
    """A superuser of the session's server."""
    with psycopg.connect(stack.postgres.start().admin_url, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="module")
def name() -> str:
    """In place of ``sluice``, which the server has already: role and database."""
    return f"roles_{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="module")
def master(admin: psycopg.Connection, name: str) -> Iterator[str]:
    """A user that may make roles and databases and is no superuser."""
    master = f"master_{name}"
    admin.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEDB CREATEROLE PASSWORD 'm'").format(sql.Identifier(master)))
    yield master
    admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
    for role in (name, master):
        admin.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))


def run(admin: psycopg.Connection, master: str, name: str, password: str) -> None:
    """Run the script as the container would, with another name for Sluice's role."""

    given = {
        "PATH": f"{programs()}:{os.environ['PATH']}",
        "PGHOST": admin.info.host,
        "PGPORT": str(admin.info.port),
        "PGUSER": master,
        "PGPASSWORD": "m",
        "PGDATABASE": "postgres",
        "SLUICE_DB_PASSWORD": password,
    }
    script = SCRIPT.read_text().replace("sluice", name)
    subprocess.run(["sh", "-ceu", script], env=given, check=True, timeout=60)


def test_the_role_and_its_database_are_made_and_a_second_run_gives_the_new_password(
    admin: psycopg.Connection, master: str, name: str
) -> None:
    run(admin, master, name, "first")
    run(admin, master, name, "it's the second")
    row = admin.execute(
        "SELECT rolsuper, rolbypassrls, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = %s", [name]
    ).fetchone()
    assert row == (False, False, True, True)
    with psycopg.connect(
        host=admin.info.host, port=admin.info.port, user=name, password="it's the second", dbname=name
    ) as mine:
        assert mine.execute(
            "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s", [name]
        ).fetchone() == (name,)
