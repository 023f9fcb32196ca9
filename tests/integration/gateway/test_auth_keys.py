"""API keys, and the keys that sign: shown once, good for so long, dead at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from gateway.auth import apikeys, keys, revocations, users
from gateway.auth.apikeys import ENDED_KEPT, KEYS_MAX
from gateway.auth.audit import Origin
from gateway.auth.keys import OtherSecret
from gateway.auth.master import Master
from gateway.auth.service import KEYS_AT_ONCE, open_auth
from tests.integration.gateway.accounts import House, house_settings, open_house
from tests.integration.gateway.conftest import Gateway
from tests.workshop import eventually

pytestmark = pytest.mark.usefixtures("no_guesses")

PROMISED_S = 1.0
OPERATOR = Origin("operator")


# -- API keys ----------------------------------------------------------------------------------------------------------


async def test_case_37_a_key_is_shown_once_and_works_until_it_is_revoked(house: House) -> None:
    tokens = await house.tokens(await house.add())
    asked = {"name": "nightly", "scopes": ["jobs:read", "account:read"]}
    made = await house.ask("POST", "auth/api-keys", tokens["access_token"], json=asked)
    assert made.status == 201
    text, key = made.body["api_key"], made.body["key"]["id"]
    assert text.startswith(f"slc_{key}_")
    me = await house.ask("GET", "auth/me", text)
    assert (me.status, me.body["scopes"]) == (200, ["account:read", "jobs:read"])
    listed = await house.ask("GET", "auth/api-keys", tokens["access_token"])
    assert [one["id"] for one in listed.body] == [key]
    assert listed.body[0]["last_used_at"] is not None
    assert text not in str(listed.body)
    assert text.rpartition("_")[2] not in str(listed.body)
    assert await house.status(f"slc_{key}_{'a' * 43}") == 401
    assert await house.status(f"slc_{'0' * 16}_{text[-43:]}") == 401
    assert await house.status(text.upper()) == 401
    assert (await house.ask("POST", "auth/api-keys", text, json=asked)).status == 403, "keys make no keys"
    assert (await house.ask("POST", "auth/logout", text, json={})).status == 403
    other = (await house.tokens(await house.add()))["access_token"]
    assert (await house.ask("DELETE", f"auth/api-keys/{key}", other)).status == 404
    assert await house.status(text) == 200
    assert (await house.ask("DELETE", f"auth/api-keys/{key}", tokens["access_token"])).status == 204
    assert await house.status(text) == 401


async def test_wrong_keys_from_anybody_take_a_few_connections_and_no_more(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once: Counter[str] = Counter()
    go_on = asyncio.Event()

    async def accept(*_: object, **__: object) -> None:
        at_once["now"] += 1
        at_once["most"] = max(at_once["most"], at_once["now"])
        at_once["all"] += 1
        await go_on.wait()
        at_once["now"] -= 1

    monkeypatch.setattr(apikeys, "accept", accept)
    wrong = [asyncio.create_task(house.status(f"slc_{n:016x}_{'a' * 43}")) for n in range(30)]

    async def busy() -> bool:
        return at_once["now"] == KEYS_AT_ONCE

    await eventually(busy)
    assert await house.status("slc_no-key-at-all") == 401, "what has not even the form waits for nobody"
    go_on.set()
    assert set(await asyncio.gather(*wrong)) == {401}
    assert (at_once["most"], at_once["all"]) == (KEYS_AT_ONCE, 30)


async def test_case_37_an_expired_key_is_refused_also_where_it_was_seen(house: House) -> None:
    tokens = await house.tokens(await house.add())
    asked = {"name": "short", "scopes": ["account:read"], "expires_in_days": 1}
    text = (await house.ask("POST", "auth/api-keys", tokens["access_token"], json=asked)).body["api_key"]
    house.clock.by = timedelta(hours=23, minutes=59, seconds=50)
    try:
        assert await house.status(text) == 200
        house.clock.by = timedelta(days=1)
        assert await house.status(text) == 401
    finally:
        house.clock.by = timedelta(0)


async def test_a_key_is_charged_to_its_owner_and_may_no_more_than_its_owner(house: House) -> None:
    user = await house.add()
    tokens = await house.tokens(user, scope="account:write account:read jobs:read")
    more = {"name": "more", "scopes": ["jobs:write"]}
    assert (await house.ask("POST", "auth/api-keys", tokens["access_token"], json=more)).code == "forbidden"
    self_ = {"name": "self", "scopes": ["account:write"]}
    assert (await house.ask("POST", "auth/api-keys", tokens["access_token"], json=self_)).code == "invalid"
    made = await house.ask("POST", "auth/api-keys", tokens["access_token"], json={"name": "n", "scopes": ["jobs:read"]})
    principal = await house.auth.authenticator.check(f"Bearer {made.body['api_key']}")
    by_token = await house.auth.authenticator.check(f"Bearer {tokens['access_token']}")
    assert principal.quota == by_token.quota == f"user:{user.id}", "more keys are not more requests"
    assert principal.user == str(user.id)


async def test_a_disabled_users_key_is_refused_at_once_and_works_again_when_enabled(house: House) -> None:
    user = await house.add("service", password_hash=None)
    async with house.auth.changing() as conn:
        _, text = await apikeys.create(
            conn, OPERATOR, user.id, name="k", scopes=["account:read"], expires_at=None,
            pepper=house.auth.master.key("api keys"), now=house.clock(),
        )  # fmt: skip
    assert await house.status(text) == 200
    async with house.auth.changing() as conn:
        await users.disable(conn, OPERATOR, user.id, now=house.clock())
    assert await house.status(text) == 401
    async with house.auth.changing() as conn:
        await users.enable(conn, OPERATOR, user.id)
    assert await house.status(text) == 200


async def test_a_user_has_so_many_good_keys_and_those_that_ended_do_not_pile_up(house: House) -> None:
    user = await house.add()

    async def make() -> str:
        async with house.auth.changing() as conn:
            made, _ = await apikeys.create(
                conn, OPERATOR, user.id, name="k", scopes=["jobs:read"], expires_at=None,
                pepper=house.auth.master.key("api keys"), now=house.clock(),
            )  # fmt: skip
        return made.id

    good = [await make() for _ in range(KEYS_MAX)]
    with pytest.raises(apikeys.BadKey, match="revoke one first"):
        await make()
    for _ in range(ENDED_KEPT + 2):
        async with house.auth.changing() as conn:
            assert await apikeys.withdraw(conn, OPERATOR, user.id, good.pop(0), now=house.clock())
        good.append(await make())
    async with house.database.connect() as conn:
        told = await apikeys.listed(conn, user.id)
    assert [one.id for one in told if one.revoked_at is None] == good[::-1], "the newest first"
    assert len(told) <= KEYS_MAX + ENDED_KEPT + 1


# -- signing keys ------------------------------------------------------------------------------------------------------


async def key_set(house: House) -> list[dict[str, str]]:
    async with house.session.get(f"{house.url}/.well-known/jwks.json") as answer:
        assert answer.status == 200
        assert "max-age" in answer.headers["Cache-Control"]
        found: list[dict[str, str]] = (await answer.json())["keys"]
    assert all(set(one) == {"kty", "crv", "x", "y", "kid", "use", "alg"} for one in found), "public members alone"
    return found


async def test_case_31_keys_are_published_then_sign_then_verify_then_are_gone(gateway: Gateway, house: House) -> None:
    user = await house.add()
    old = (await house.tokens(user))["access_token"]
    (before,) = [one["kid"] for one in await key_set(house)]
    now = house.clock()
    async with house.auth.changing() as conn:
        kid = await keys.add_key(conn, house.auth.master, now=now, signs_from=now + timedelta(hours=1))
        await revocations.revoke(conn, "keys", kid)
    assert {one["kid"] for one in await key_set(house)} == {before, kid}, "published before it signs"
    assert await house.status(old) == 200
    try:
        house.clock.by = timedelta(minutes=59, seconds=50)
        late = (await house.tokens(user))["access_token"]
        house.clock.by = timedelta(hours=1)
        new = (await house.tokens(user))["access_token"]
        assert [await house.status(token) for token in (late, new)] == [200, 200]
        assert {one["kid"] for one in await key_set(house)} == {before, kid}
        house.clock.by = timedelta(hours=1, minutes=16)
        assert [one["kid"] for one in await key_set(house)] == [kid]
        assert await house.status(late) == 401
        newest = (await house.tokens(user))["access_token"]
        assert await house.status(newest) == 200
    finally:
        house.clock.by = timedelta(0)
    async with house.auth.changing() as conn:
        await keys.drop_key(conn, kid, house.clock())
        await revocations.revoke(conn, "keys", kid)


async def test_case_31_a_key_that_is_dropped_dies_at_once_in_every_process(gateway: Gateway, house: House) -> None:
    async with open_house(gateway.parts) as other:
        tokens = await house.tokens(await house.add())
        assert [await one.status(tokens["access_token"]) for one in (house, other)] == [200, 200]
        now = house.clock()
        kid, _ = house.auth.ring.signer(now)
        async with house.auth.changing() as conn:
            await keys.drop_key(conn, kid, now)
            await keys.first_key(conn, house.auth.master, now)
            await revocations.revoke(conn, "keys", kid)

        async def refused() -> bool:
            return house.refuses(tokens["access_token"]) and other.refuses(tokens["access_token"])

        await eventually(refused, within_s=PROMISED_S)
        assert kid not in {one["kid"] for one in await key_set(other)}
        fresh = await other.refresh(tokens["refresh_token"])
        assert fresh.status == 200, "the session goes on"
        assert await house.status(fresh.body["access_token"]) == 200


async def test_case_32_a_gateway_with_another_secret_does_not_start(gateway: Gateway, house: House) -> None:
    settings = replace(house_settings(), master=Master("quite another master, of chance: 8c1f60d2e97b4a35"))
    with pytest.raises(OtherSecret):
        async with open_auth(gateway.parts.database, gateway.parts.redis, settings):
            pytest.fail("it opened")


async def test_case_32_no_private_key_lies_in_the_database_as_it_is(house: House) -> None:
    async with house.database.connect() as conn:
        rows = (await conn.execute(text("SELECT public, sealed FROM signing_keys WHERE sealed IS NOT NULL"))).all()
    assert rows
    for row in rows:
        assert set(row.public) == {"kty", "crv", "x", "y"}
        assert b"\x2a\x86\x48\xce\x3d" not in row.sealed, "the name of elliptic curves, in plain DER"


async def test_a_gateway_that_is_told_of_keys_it_cannot_open_goes_on_without_them(
    gateway: Gateway, house: House
) -> None:
    """What was dropped is dropped all the same; it signs nothing until it is started with the secret of the others."""
    tokens = await house.tokens(await house.add())
    now, before = house.clock(), house.auth.ring.signer(house.clock())[0]
    other = Master("quite another master, of chance: 8c1f60d2e97b4a35")
    async with house.auth.changing() as conn:
        await keys.drop_key(conn, before, now)
        kid = await keys.add_key(conn, other, now=now, signs_from=now)
        await revocations.revoke(conn, "keys", kid)
    assert house.refuses(tokens["access_token"])
    assert (await house.refresh(tokens["refresh_token"])).status == 503
    async with house.auth.changing() as conn:
        await keys.drop_key(conn, kid, house.clock())
        made = await keys.first_key(conn, house.auth.master, house.clock())
        await revocations.revoke(conn, "keys", made.signer(house.clock())[0])
    assert (await house.log_in(await house.add())).status == 200
