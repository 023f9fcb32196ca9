"""Migrating a database in use: refused where it would hold others up, tried again where others hold it up."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.health import readiness
from ledger import migrate
from ledger.migrate import SCRIPTS, Bounds
from ops.embedded import Stack
from ops.migrating import CannotMigrate, applied, planned
from ops.schema_probe import schema_fits
from tests.terminal import Shell, bare

NOWHERE = "redis://127.0.0.1:9/0"
QUICK = Bounds(lock_s=0.2, statement_s=5)
pytestmark = pytest.mark.timeout(300)  # each command is a process of its own
Scripts = Callable[..., Path]


@pytest.fixture
def scripts(tmp_path: Path) -> Scripts:
    """Our own history with one migration more, which runs these statements."""

    def made(*statements: str) -> Path:
        folder = tmp_path / "migrations"
        shutil.copytree(SCRIPTS, folder, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        body = "".join(f"    op.execute({statement!r})\n" for statement in statements)
        (folder / "versions" / "next.py").write_text(
            f'"""What comes next."""\nfrom alembic import op\nrevision = "next"\n'
            f'down_revision = "{migrate.head()}"\nbranch_labels = depends_on = None\n\n\ndef upgrade():\n{body}'
        )
        return folder

    return made


@pytest.fixture
def shell(ledger_url: str, tmp_path: Path) -> Shell:
    return bare(tmp_path).given(SLUICE_DATABASE_URL=ledger_url, SLUICE_REDIS_URL=NOWHERE, SLUICE_BROKER_URL=NOWHERE)


@pytest.fixture
def big(ledger_url: str) -> str:
    """A table of 50 rows, where 50 are many."""
    with psycopg.connect(ledger_url) as conn:
        conn.execute("DROP TABLE IF EXISTS crowd")
        conn.execute("CREATE TABLE crowd AS SELECT n, n AS known FROM generate_series(1, 50) n")
        conn.execute("ALTER TABLE crowd ADD CHECK (known IS NOT NULL)")
        conn.execute("ANALYZE crowd")
    return ledger_url


def test_a_plan_names_what_it_would_do_to_a_table_with_many_rows(big: str, scripts: Scripts) -> None:
    history = scripts("ALTER TABLE crowd ALTER COLUMN n TYPE BIGINT", "ALTER TABLE crowd ALTER known SET NOT NULL")
    (step,) = planned(big, big_rows=50, scripts=history).steps
    assert [danger.why for danger in step.dangers] == ["rewrites the table under an exclusive lock"]
    assert (step.revision, step.about, step.kind) == ("next", "What comes next.", "contract")
    assert planned(big, big_rows=51, scripts=history).steps[0].dangers == ()


def test_a_lock_that_cannot_be_had_is_let_go_and_tried_for_again(big: str, scripts: Scripts) -> None:
    history, said = scripts("ALTER TABLE crowd ADD COLUMN more INT"), list[str]()
    with psycopg.connect(big) as other:
        other.execute("SELECT * FROM crowd")

        def others_have_their_turn(_: float) -> None:
            with psycopg.connect(big) as third:  # nobody queues behind a migration that waits
                third.execute("SET lock_timeout = '100ms'")
                third.execute("SELECT * FROM crowd")
            if len(said) == 2:
                other.rollback()

        took = applied(big, bounds=QUICK, attempts=5, scripts=history, told=said.append, sleep=others_have_their_turn)
    assert took == 3
    assert said[0].startswith("attempt 1: canceling statement due to lock timeout; again in 1 s")
    assert migrate.current(big) == "next"
    migrate_back(big)


def test_attempts_come_to_an_end_and_nothing_is_half_done(big: str, scripts: Scripts) -> None:
    history = scripts("CREATE TABLE made (n int)", "ALTER TABLE crowd ADD COLUMN more INT")
    with psycopg.connect(big) as other:
        other.execute("SELECT * FROM crowd")
        with pytest.raises(CannotMigrate, match="2 times: the database is at 0"):
            applied(big, bounds=QUICK, attempts=2, scripts=history, sleep=lambda _: None)
    with psycopg.connect(big) as conn:
        assert conn.execute("SELECT to_regclass('made')").fetchone() == (None,)


def test_a_statement_that_takes_too_long_and_one_that_fails_are_told_in_one_line(big: str, scripts: Scripts) -> None:
    with pytest.raises(CannotMigrate, match="--statement-timeout"):
        applied(big, bounds=Bounds(1, 0.2), attempts=2, scripts=scripts("SELECT pg_sleep(9)"), sleep=lambda _: None)
    with pytest.raises(CannotMigrate, match='taken back: relation "nothing" does not exist'):
        applied(big, bounds=QUICK, attempts=2, scripts=scripts("DROP TABLE crowd", "SELECT FROM nothing"))
    assert migrate.current(big) == migrate.head()


async def test_a_schema_that_is_newer_than_the_code_is_fine_and_one_that_is_older_is_not(
    ledger: AsyncEngine, ledger_url: str, shell: Shell
) -> None:
    probes = {"schema": schema_fits(ledger)}
    found = await readiness(probes)
    assert (found.status, found.schema) == ("ready", migrate.head())
    for at, status in (("from the future", "ready"), (migrate.revisions()[-2], "not ready")):
        async with ledger.begin() as conn:
            await conn.exec_driver_sql("UPDATE alembic_version SET version_num = %s", (at,))
        assert (await readiness(probes)).status == status
        if status == "ready":
            assert "newer code has migrated it" in shell.fails("migrate")
            assert "newer code has migrated it" in shell.fails("migrate", "--plan")
    assert (await readiness(probes)).checks == {"schema": "SchemaBehind"}
    migrate_back(ledger_url)
    assert (await readiness(probes)).status == "ready"


@pytest.fixture
def old_url(stack: Stack) -> Iterator[str]:
    """A database one release back, whose user has changed their mind sixty times."""
    server = stack.postgres.start()
    with psycopg.connect(server.admin_url, autocommit=True) as admin:
        admin.execute("CREATE DATABASE a_release_back OWNER sluice")
    url = server.database_url("a_release_back")
    migrate.upgrade(url, "0008")
    with psycopg.connect(url) as conn:
        conn.execute("SET LOCAL sluice.user_id = 'alice'")
        conn.execute(
            """INSERT INTO policies SELECT 'alice', now() + n * interval '1 s', 'user_coin', false
                FROM generate_series(1, 60) n"""
        )
        conn.commit()
        conn.execute("ANALYZE policies")
    yield url
    with psycopg.connect(server.admin_url, autocommit=True) as admin:
        admin.execute("DROP DATABASE a_release_back WITH (FORCE)")


def test_the_command_tells_its_plan_refuses_and_migrates(old_url: str, shell: Shell) -> None:
    shell = shell.given(SLUICE_DATABASE_URL=old_url)
    plan = json.loads(shell.run("migrate", "--plan", "--big", "50", "--json", exits=1))
    assert (plan["from"], plan["to"], plan["steps"][0]["kind"]) == ("0008", migrate.head(), "expand")
    assert "reads all rows under a lock" in shell.run("migrate", "--plan", "--big", "50", exits=1)
    assert "--allow-rewrite" in shell.fails("migrate", "--big", "50")
    assert migrate.current(old_url) == "0008"
    told = shell.one("migrate", "--big", "50", "--allow-rewrite")
    assert (told["from"], told["to"], told["attempts"]) == ("0008", migrate.head(), 1)
    assert f"{migrate.head()} -> {migrate.head()}" in shell.run("migrate")
    assert "nothing is to be done" in shell.run("migrate", "--plan")


def migrate_back(url: str) -> None:
    """The database is what it was, and says so."""
    with psycopg.connect(url) as conn:
        conn.execute("UPDATE alembic_version SET version_num = %s", [migrate.head()])
