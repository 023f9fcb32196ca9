"""What changes while somebody is let in: a password that is looked at, a stream that is open."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest
from sqlalchemy import text

from gateway.auth import users
from gateway.auth.audit import Origin
from gateway.auth.passwords import Passwords
from gateway.auth.users import User
from tests.integration.gateway.accounts import CHEAP, KEPT, PASSWORD, House

pytestmark = pytest.mark.usefixtures("no_guesses")

OTHER_PASSWORD = "nine copper weirs 42"
OTHER_KEPT = CHEAP.hash(OTHER_PASSWORD)


@pytest.fixture
def changed_meanwhile(house: House, monkeypatch: pytest.MonkeyPatch) -> Callable[[User], None]:
    """Let a user's password be changed by somebody else just when it was found to be right."""
    verify = Passwords.verify

    def prepare(user: User) -> None:
        async def verified(self: Passwords, kept: str | None, password: str) -> bool:
            right = await verify(self, kept, password)
            if kept == KEPT:
                async with house.auth.changing() as conn:
                    await users.set_password(conn, Origin("operator"), user.id, OTHER_KEPT, now=house.clock())
            return right

        monkeypatch.setattr(Passwords, "verify", verified)

    return prepare


async def test_a_password_that_was_changed_while_it_was_looked_at_opens_nothing(
    house: House, changed_meanwhile: Callable[[User], None]
) -> None:
    """Nor does a hash that follows the parameters bring the old one back."""
    user = await house.add()
    changed_meanwhile(user)
    assert (await house.log_in(user)).code == "invalid_credentials"
    assert (await house.auth.user(user.id)).password_hash == OTHER_KEPT
    assert (await house.log_in(user, OTHER_PASSWORD)).status == 200


async def test_of_two_changes_of_a_password_the_second_must_know_the_first(
    house: House, changed_meanwhile: Callable[[User], None]
) -> None:
    user = await house.add()
    token = (await house.tokens(user))["access_token"]
    changed_meanwhile(user)
    asked = {"current": PASSWORD, "new": "third lantern by the weir 9"}
    assert (await house.ask("POST", "auth/password", token, json=asked)).status == 401
    assert (await house.auth.user(user.id)).password_hash == OTHER_KEPT


async def test_case_25_an_event_stream_tells_nothing_more_once_its_token_is_revoked(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.api.job_events.LOOK_EVERY_S", 0.02)
    tokens = await house.tokens(await house.add())
    asked = {"kind": "fetch", "args": {"provider": "cryptopanic", "dataset": "posts"}}
    key = {"Idempotency-Key": str(uuid4())}
    job = (await house.ask("POST", "jobs", tokens["access_token"], json=asked, headers=key)).body["id"]
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    async with house.session.get(f"{house.url}/api/v1/jobs/{job}/events", headers=headers) as answer:
        assert b"event: state\n" in [await answer.content.readline() for _ in range(5)]
        await house.ask("POST", "auth/logout", tokens["access_token"], json={})
        async with house.database.begin() as conn:
            await conn.execute(text("UPDATE jobs SET landed = 1 WHERE id = :id"), {"id": job})
        assert b"progress" not in await answer.content.read()
