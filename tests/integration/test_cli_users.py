"""``sluice user`` and ``sluice keys`` as people type them, over a database and nothing else."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path

import psycopg
import pytest

from tests.terminal import Shell, bare

PASSWORD = "gravel orchid 71 tuba"
pytestmark = pytest.mark.timeout(300)  # each command is a process of its own


@pytest.fixture(scope="module")
def shell(ledger_url: str, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Redis and the broker are nowhere: users and keys need neither."""
    nowhere = {"SLUICE_REDIS_URL": "redis://127.0.0.1:9/0", "SLUICE_BROKER_URL": "amqp://127.0.0.1:9/"}
    return bare(tmp_path_factory.mktemp("var")).given(SLUICE_DATABASE_URL=ledger_url, **nowhere)


def test_the_first_administrator_is_made_without_a_default_password(shell: Shell) -> None:
    assert "sluice user add NAME --role admin" in shell.run("user", "list")
    assert "--password-stdin" in shell.fails("user", "add", "olga", "--role", "admin")
    made = json.loads(shell.run("user", "add", "Olga", "--role", "admin", "--password-stdin", "--json", typed=PASSWORD))
    assert (made["name"], made["role"], made["enabled"]) == ("olga", "admin", True)
    assert made.keys() & {"password", "password_hash", "epoch"} == set()
    assert "already" in shell.fails("user", "add", "olga", "--generate")
    assert "last administrator" in shell.fails("user", "disable", "olga")
    assert "last administrator" in shell.fails("user", "role", "olga", "user")


@pytest.mark.parametrize("weak", ["short", "password1", "pavel-pavel", "sluice2026"])
def test_a_weak_password_is_refused(shell: Shell, weak: str) -> None:
    told, said = shell.both("user", "add", "pavel", "--password-stdin", exits=2, typed=weak)
    assert told == ""
    assert weak not in said
    assert "no user pavel" in shell.fails("user", "role", "pavel", "admin")


def test_a_user_is_added_changed_and_logged_out(shell: Shell) -> None:
    made = json.loads(shell.run("user", "add", "quentin", "--generate", "--json"))
    assert len(made["password"]) >= 20
    assert "quentin is admin" in shell.run("user", "role", "quentin", "admin")
    assert "disabled" in shell.run("user", "disable", "quentin")
    assert next(one for one in shell.lines("user") if one["name"] == "quentin")["enabled"] is False
    assert "enabled" in shell.run("user", "enable", "quentin")
    assert "password: " in shell.run("user", "password", "quentin", "--generate")
    assert "0 sessions" in shell.run("user", "logout", "quentin")


def test_a_service_has_keys_and_no_password(shell: Shell, ledger_url: str) -> None:
    shell.run("user", "add", "importer", "--role", "service")
    words = ("--name", "nightly", "--scope", "jobs:write", "--expires", "90d")
    text = shell.run("user", "key", "importer", *words).strip()
    assert text.startswith("slc_")
    assert "no key of this user" in shell.fails("user", "key", "importer", "--name", "n", "--scope", "admin:write")
    (key,) = shell.lines("user", "keys", "importer")
    assert (key["name"], key["scopes"], key["revoked_at"]) == ("nightly", ["jobs:write"], None)
    assert text.rpartition("_")[2] not in json.dumps(key)
    assert "is revoked" in shell.run("user", "revoke", "importer", key["id"])
    assert "has no key" in shell.fails("user", "revoke", "importer", "0" * 16)
    with psycopg.connect(ledger_url) as conn:
        done = {row[0] for row in conn.execute("SELECT action FROM audit WHERE actor = 'operator'")}
    assert done >= {"user.add", "api_key.create", "api_key.revoke"}


def test_keys_are_rotated_listed_and_dropped(shell: Shell) -> None:
    assert "first gateway" in shell.run("keys", "list")
    assert "a minute" in shell.fails("keys", "rotate", "--in", "5s")
    kid = shell.one("keys", "rotate")["kid"]
    assert {one["kid"] == kid: one["state"] for one in shell.lines("keys")} == {True: "published", False: "signing"}
    assert "already" in shell.fails("keys", "rotate")
    signs = next(one["kid"] for one in shell.lines("keys") if one["state"] == "signing")
    assert "is dropped" in shell.run("keys", "drop", signs, "--yes")
    states = {one["kid"]: one["state"] for one in shell.lines("keys")}
    assert (states.pop(signs), states.pop(kid)) == ("dropped", "published")
    assert list(states.values()) == ["signing"]
    assert "no key" in shell.fails("keys", "drop", "nothing", "--yes")


def test_the_secret_is_made_for_its_user_alone_and_another_one_opens_nothing(shell: Shell) -> None:
    shell.run("keys", "rotate", "--now", exits=2)  # one is published
    path = Path(shell.environment["SLUICE_VAR"]) / "signing-secret"
    assert path.stat().st_mode & 0o777 == 0o600
    other = shell.given(SLUICE_SIGNING_KEY=uuid.uuid4().hex + uuid.uuid4().hex)
    assert "same" in other.fails("keys", "rotate", "--now")
    assert "one of the two" in shell.both("keys", "drop", "--yes", exits=2)[1]
    assert "2 keys are dropped" in other.run("keys", "drop", "--all", "--yes")
    other.run("keys", "rotate")
    assert [one["state"] for one in shell.lines("keys")].count("dropped") == 3
    assert "not random" in shell.given(SLUICE_SIGNING_KEY="x" * 40).fails("keys", "rotate", "--now")


def test_a_users_name_stands_for_the_id_that_owns_the_books(shell: Shell, tmp_path: Path, ledger_url: str) -> None:
    user = json.loads(shell.run("user", "add", "rosa", "--generate", "--json"))["id"]
    with psycopg.connect(ledger_url) as conn:
        conn.execute("SELECT set_config('sluice.user_id', %s, false)", (user,))
        conn.execute(
            "INSERT INTO accounts (user_id, name, asset, opened_at) VALUES (%s, 'wallet:main', 'BTC', now())", (user,)
        )
    for words in (("pnl", "summary"), ("pnl", "lots"), ("statement",)):
        assert shell.run(*words, "--user", "rosa") == shell.run(*words, "--user", user)
    assert user in shell.run("verify", "--user", "rosa", "--json")
    assert "nobody-at-all" in shell.fails("verify", "--user", "nobody-at-all")
    assert os.environ.get("SLUICE_VAR") != shell.environment["SLUICE_VAR"]
