"""A backup comes back row by row, and what was under way goes on without being posted twice."""

from __future__ import annotations

import json
from asyncio import to_thread
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from broker.messages import DEDUP, fetch_queue
from ledger import migrate
from ops.backups.manifest import BOOKS, WORKS, checked
from ops.backups.programs import BackupTrouble, found, run
from ops.backups.proving import proved
from ops.backups.restoring import differences, scratch
from ops.embedded import Stack
from tests.bookshop import Desk, row
from tests.terminal import Shell, bare
from tests.workshop import Workshop

TRADES = [row("buy", "2", "100", day=1), row("sell", "1", "150", day=2), row("income", "0.5", "120", day=3)]
NOWHERE = "redis://127.0.0.1:9/0"
pytestmark = pytest.mark.timeout(300)  # each command is a process of its own


@dataclass
class Half:
    """A ledger in the middle of its work, and its backup."""

    shop: Workshop
    shell: Shell
    url: str
    folder: Path
    told: dict[str, Any]

    async def figures(self) -> dict[str, Any]:
        """What must come out the same, whatever happens on the way."""
        counts = "sum(found) AS found, sum(new) AS new, sum(duplicate) AS duplicate, sum(posted) AS posted"
        (jobs,) = await self.shop.rows(f"SELECT {counts} FROM jobs")
        with psycopg.connect(self.url) as conn:
            conn.execute("SET ROLE sluice_audit")
            books = conn.execute("SELECT external_id, kind, body_hash FROM entries ORDER BY 1").fetchall()
            moved = conn.execute("SELECT count(*), sum(amount) FROM transfers").fetchone()
        states = {one.state for one in await self.shop.rows("SELECT DISTINCT state FROM jobs")}
        return {
            "items": await self.shop.keys("cryptopanic"),
            "revisions": await self.shop.value("SELECT count(*) FROM revisions"),
            "jobs": dict(jobs._mapping),
            "states": states,
            "books": books,
            "moved": moved,
        }


@pytest.fixture
async def half(shop: Workshop, ledger_url: str, tmp_path: Path) -> Half:
    desk, shell = Desk(shop, "alice"), bare(tmp_path)
    shell = shell.given(SLUICE_DATABASE_URL=ledger_url, SLUICE_REDIS_URL=NOWHERE, SLUICE_BROKER_URL=NOWHERE)
    await desk.give(TRADES)
    await shop.ask()
    await shop.deliver(fetch_queue("cryptopanic"))
    assert shop.mailbox.waiting() == {DEDUP: 1}
    await desk.ask([row("buy", "3", "90", day=4)], source="later")
    told = json.loads(shell.run("backup", str(tmp_path / "kept"), "--json"))
    return Half(shop, shell, ledger_url, tmp_path / "kept", told)


async def test_what_was_restored_goes_on_and_posts_nothing_twice(half: Half) -> None:
    await half.shop.settle()
    ended = await half.figures()
    assert ended["states"] == {"succeeded"}
    await half.shop.database.dispose()

    told, said = half.shell.both("restore", str(half.folder), "--force", "--json")
    account = json.loads(told)
    assert account["wrong"] == []
    assert (account["jobs_due_again"], account["pages_due_again"], account["published"]) == (2, 1, 0)
    assert "nothing is lost" in account["warning"]
    assert account["rpo_s"] > 0
    assert account["rto_s"] > 0
    assert said == ""
    manifest = checked(half.folder)
    assert differences(half.url, manifest) != []  # jobs that were made due again
    again = await half.figures()
    assert len(again["books"]) < len(ended["books"])
    assert again["states"] == {"succeeded", "queued", "running"}

    await half.shop.settle()
    assert await half.figures() == ended
    assert [one["diverges"] for one in half.shell.one("verify", "--user", "alice")] == [None] * 6


async def test_a_drill_proves_a_backup_beside_the_ledger_and_leaves_nothing(half: Half, stack: Stack) -> None:
    before = await half.figures()
    account = half.shell.one("restore", str(half.folder), "--drill")
    assert (account["wrong"], account["drill"], account["published"]) == ([], True, 0)
    assert (account["rows"], account["entries"]) == (half.told["rows"], half.told["entries"])
    assert account["entries"] >= len(TRADES)
    assert await half.figures() == before
    with psycopg.connect(stack.postgres.admin_url) as conn:
        assert conn.execute("SELECT count(*) FROM pg_database WHERE datname LIKE 'sluice_drill%'").fetchone() == (0,)


async def test_a_ledger_that_holds_anything_is_refused(half: Half) -> None:
    before = await half.figures()
    assert "--force" in half.shell.fails("restore", str(half.folder))
    assert "others are connected" in half.shell.fails("restore", str(half.folder), "--force")
    assert "there already" in half.shell.fails("backup", str(half.folder))
    assert await half.figures() == before


def let_in(url: str) -> dict[str, list[Any]]:
    """What a ledger lets in: API keys, users, signing keys that are good, and sessions that are open."""
    asked = {
        "keys": "SELECT id FROM api_keys WHERE revoked_at IS NULL ORDER BY 1",
        "users": "SELECT name FROM users WHERE enabled ORDER BY 1",
        "signing": "SELECT kid FROM signing_keys WHERE dropped_at IS NULL ORDER BY 1",
        "sessions": "SELECT id FROM sessions WHERE ended_at IS NULL",
    }
    with psycopg.connect(url) as conn:
        return {what: [one for (one,) in conn.execute(sql).fetchall()] for what, sql in asked.items()}


async def test_what_was_revoked_since_the_backup_stays_revoked(shop: Workshop, ledger_url: str, tmp_path: Path) -> None:
    shell = bare(tmp_path).given(SLUICE_DATABASE_URL=ledger_url, SLUICE_REDIS_URL=NOWHERE, SLUICE_BROKER_URL=NOWHERE)
    kept = str(tmp_path / "kept")
    await shop.database.dispose()
    with psycopg.connect(ledger_url) as conn:
        conn.execute(_PEOPLE)
    shell.run("backup", kept)
    before = let_in(ledger_url)
    assert before == {"keys": ["k1", "k2"], "users": ["ann", "bob"], "signing": ["s1"], "sessions": before["sessions"]}
    with psycopg.connect(ledger_url) as conn:
        conn.execute("UPDATE api_keys SET revoked_at = now() WHERE id = 'k1'")
        conn.execute("UPDATE users SET enabled = false WHERE name = 'bob'")
        conn.execute("UPDATE signing_keys SET dropped_at = now() WHERE kid = 's1'")

    told = shell.one("restore", kept, "--force")["closed"]
    assert told == {
        "sessions": 1,
        "keys_revoked": 1,
        "keys_good": 1,
        "users_disabled": 1,
        "signing_keys_dropped": 1,
        "left": [],
    }
    assert let_in(ledger_url) == {"keys": ["k2"], "users": ["ann"], "signing": [], "sessions": []}

    with psycopg.connect(ledger_url) as conn:  # the ledger is lost: nobody can say what it had revoked
        conn.execute("DROP TABLE api_keys, signing_keys")
    assert "API keys: 2 revoked, 0 good" in shell.run("restore", kept, "--force")
    assert let_in(ledger_url)["keys"] == []
    assert "API keys: 0 revoked, 2 good" in shell.run("restore", kept, "--force", "--keep-api-keys")
    assert let_in(ledger_url)["keys"] == ["k1", "k2"]


_PEOPLE = """
INSERT INTO users (id, name, role, created_at) VALUES
    ('00000000-0000-0000-0000-00000000000a', 'ann', 'admin', now()),
    ('00000000-0000-0000-0000-00000000000b', 'bob', 'user', now());
INSERT INTO sessions (id, user_id, address, created_at, ends_at)
    VALUES (gen_random_uuid(), '00000000-0000-0000-0000-00000000000b', '', now(), now() + interval '1 hour');
INSERT INTO api_keys (id, user_id, name, digest, scopes, created_at) VALUES
    ('k1', '00000000-0000-0000-0000-00000000000a', 'one', '', '{}', now()),
    ('k2', '00000000-0000-0000-0000-00000000000a', 'two', '', '{}', now());
INSERT INTO signing_keys (kid, public, created_at, signs_from) VALUES ('s1', '{}', now(), now())
"""


async def test_a_backup_from_before_the_newest_migration_is_brought_to_this_codes_schema(
    stack: Stack, tmp_path: Path
) -> None:
    with scratch(stack.postgres.start().url) as url:
        migrate.upgrade(url, "0008")
        shell = bare(tmp_path).given(SLUICE_DATABASE_URL=url, SLUICE_REDIS_URL=NOWHERE, SLUICE_BROKER_URL=NOWHERE)
        shell.run("backup", str(tmp_path / "kept"))
        told = shell.one("restore", str(tmp_path / "kept"), "--force")
        assert (told["wrong"], told["schema"], told["schema_kept"]) == ([], migrate.head(), "0008")
        assert migrate.current(url) == migrate.head()


@pytest.mark.parametrize("name", [WORKS, BOOKS])
async def test_a_damaged_backup_is_refused_before_anything_is_touched(half: Half, name: str) -> None:
    before = await half.figures()
    await half.shop.database.dispose()
    file = half.folder / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert "damaged" in half.shell.fails("restore", str(half.folder), "--force")
    file.unlink()
    assert "missing" in half.shell.fails("restore", str(half.folder), "--force")
    (half.folder / "manifest.json").unlink()
    assert "no manifest.json" in half.shell.fails("restore", str(half.folder), "--drill")
    assert await half.figures() == before


async def test_several_processes_prove_books_as_one_does(shop: Workshop, ledger_url: str) -> None:
    for name in ("ann", "ben", "cat"):
        await Desk(shop, name).give(TRADES)
    with psycopg.connect(ledger_url) as conn:
        conn.execute("SET ROLE sluice_app")
        conn.execute("SELECT set_config('sluice.user_id', 'ben', true)")
        conn.execute("UPDATE balances SET amount = amount + 1 WHERE user_id = 'ben'")
    one, several = [await to_thread(proved, ledger_url, processes=count) for count in (1, 2)]
    assert one == several
    assert {found.user for found in several if found.diverges} == {"ben"}
    assert {"ann", "ben", "cat"} <= {found.user for found in several}


async def test_a_row_that_differs_from_the_backup_is_named(half: Half) -> None:
    manifest = checked(half.folder)
    assert differences(half.url, manifest) == []
    async with half.shop.database.begin() as conn:
        await conn.exec_driver_sql("UPDATE jobs SET priority = 7 WHERE kind = 'fetch'")
    (told,) = differences(half.url, manifest)
    assert told.startswith("jobs: 3 rows")
    assert "other contents" in told


def test_a_password_is_on_no_command_line(tmp_path: Path) -> None:
    spy = tmp_path / "pg_dump"
    spy.write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/said\nenv > {tmp_path}/env\ncat "$PGPASSFILE" > {tmp_path}/pass\n'
    )
    spy.chmod(0o700)
    run(spy, "postgresql://olga:se:cret@127.0.0.1:5432/books", ["--file=x"], timeout_s=10)
    assert "se:cret" not in (tmp_path / "said").read_text() + (tmp_path / "env").read_text()
    assert "user=olga" in (tmp_path / "said").read_text()
    assert (tmp_path / "pass").read_text() == "*:*:*:*:se\\:cret\n"


def test_what_a_program_says_went_wrong_is_told(tmp_path: Path) -> None:
    broken = tmp_path / "pg_dump"
    broken.write_text("#!/bin/sh\necho 'pg_dump: warning: hm' >&2\necho 'pg_dump: error: no room' >&2\nexit 1\n")
    broken.chmod(0o700)
    with pytest.raises(BackupTrouble, match="pg_dump: error: no room"):
        run(broken, "postgresql://olga@127.0.0.1:5432/books", [], timeout_s=10)


def test_a_program_older_than_the_server_is_refused() -> None:
    assert found("pg_restore", 15).name == "pg_restore"
    with pytest.raises(BackupTrouble, match="pg_dump 99 or newer is needed"):
        found("pg_dump", 99)


def test_an_empty_database_is_no_backup(postgres_url: str, tmp_path: Path) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as conn:
        conn.execute("CREATE SCHEMA elsewhere")
    shell = bare(tmp_path).given(
        SLUICE_DATABASE_URL=f"{postgres_url}?options=-csearch_path%3Delsewhere",
        SLUICE_REDIS_URL=NOWHERE,
        SLUICE_BROKER_URL=NOWHERE,
    )
    assert "nothing to back up" in shell.fails("backup", str(tmp_path / "kept"))
    assert list(tmp_path.iterdir()) == []
