"""Guessing, API keys, signing keys, the record, and what happens while a store is away."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from argon2 import PasswordHasher
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from structlog.testing import capture_logs

from gateway.auth import apikeys, keys, revocations, users
from gateway.auth.audit import Origin
from gateway.auth.keys import OtherSecret
from gateway.auth.master import Master
from gateway.auth.metrics import AUDIT_FAILURES
from gateway.auth.service import open_auth
from gateway.auth.throttle import Guesses, TooMany
from gateway.problems import Problem
from ledger.tenancy import acting_for
from tests.integration.gateway.accounts import (
    CHEAP,
    PASSWORD,
    Answer,
    House,
    forget_guesses,
    house_settings,
    open_house,
)
from tests.integration.gateway.conftest import Gateway
from tests.workshop import eventually

PROMISED_S = 1.0
OPERATOR = Origin("operator")
ELSEWHERE = Origin(address="198.51.100.20")


@pytest.fixture(scope="module")
async def house(gateway: Gateway) -> AsyncIterator[House]:
    async with open_house(gateway.parts) as opened:
        yield opened


@pytest.fixture(autouse=True)
async def no_guesses(gateway: Gateway) -> None:
    await forget_guesses(gateway.parts.redis, ("127.0.0.1", "198.51.100.20", "2001:db8::/64"))


# -- passwords ---------------------------------------------------------------------------------------------------------


def told(answer: Answer) -> dict[str, Any]:
    """What an answer says, but for what differs from request to request."""
    own = ("x-request-id", "date", "content-length")  # ids of requests are counted, so that their lengths differ
    headers = {name: value for name, value in answer.headers.items() if name.lower() not in own}
    return {"headers": headers, **{name: value for name, value in answer.body.items() if name != "request_id"}}


async def test_case_33_unknown_wrong_and_disabled_are_refused_alike_and_cost_one_hash_each(house: House) -> None:
    """The same work in each case: one password verified with the same parameters, one read, one record."""
    user, disabled, service = await house.add(), await house.add(), await house.add("service", password_hash=None)
    async with house.database.begin() as conn:
        await users.disable(conn, OPERATOR, disabled.id, now=house.clock())
    before = house.auth.passwords.verified
    answers = [
        await house.log_in("nobody-of-this-name"),
        await house.log_in(user, "not the password"),
        await house.log_in(disabled),
        await house.log_in(service),
        await house.log_in(""),
        await house.log_in(user, "x" * 1024),
    ]
    assert house.auth.passwords.verified - before == len(answers)
    assert {answer.status for answer in answers} == {401}
    assert [told(answer) for answer in answers] == [told(answers[0])] * len(answers)


def test_case_33_the_hash_of_nobody_costs_what_a_real_one_costs(house: House) -> None:
    nobody, real = house.auth.passwords._nobody, CHEAP.hash("anything")
    assert nobody.split("$")[:4] == real.split("$")[:4]


async def test_case_34_guesses_are_few_from_one_address_and_the_owner_gets_in_from_another(house: House) -> None:
    user = await house.add()
    answers = [await house.log_in(user, f"guess {n}") for n in range(11)]
    assert [answer.status for answer in answers] == [401] * 10 + [429]
    assert 890 <= int(answers[-1].headers["Retry-After"]) <= 900
    assert (await house.log_in(user)).status == 429, "right now not even the right one, from here"
    assert await house.auth.login(ELSEWHERE, user.name, PASSWORD)
    assert (await house.log_in(await house.add())).status == 200, "others from here"


async def test_case_34_guesses_at_the_same_time_are_not_free(house: House) -> None:
    for n in range(10):
        await house.auth.throttle.charge("somebody", "198.51.100.20")
        assert n < 10
    with pytest.raises(TooMany):
        await house.auth.throttle.charge("somebody", "198.51.100.20")


async def test_case_35_guesses_spread_over_accounts_end_the_address(house: House) -> None:
    assert Guesses() == Guesses(account=10, network=100, window_s=900.0), "twenty, so that the test is quick"
    house.auth.throttle.guesses = Guesses(network=20)
    try:
        answers = [await house.log_in(f"somebody-{n}", "password1") for n in range(23)]
    finally:
        house.auth.throttle.guesses = Guesses()
    assert [answer.status for answer in answers] == [401] * 20 + [429] * 3
    found = await house.audit(about="network:127.0.0.1")
    assert found.count(("credential_stuffing", "refused")) >= 1


async def test_an_ipv6_network_is_one_guesser(house: House) -> None:
    user = await house.add()
    for n in range(10):
        with pytest.raises(Problem, match="invalid_credentials"):
            await house.auth.login(Origin(address=f"2001:db8::{n:x}"), user.name, "a wrong one")
    with pytest.raises(Problem, match="rate_limited"):
        await house.auth.login(Origin(address="2001:db8::ffff:1"), user.name, PASSWORD)


async def test_case_36_a_hash_follows_when_the_parameters_rise(gateway: Gateway, house: House) -> None:
    user = await house.add()
    dearer = replace(house_settings(), hasher=PasswordHasher(time_cost=2, memory_cost=128, parallelism=1))
    async with open_house(gateway.parts, dearer) as other:
        assert (await other.log_in(user)).status == 200
        kept = (await other.auth.user(user.id)).password_hash
        assert kept is not None
        assert "m=128,t=2,p=1" in kept
        assert (await other.log_in(user)).status == 200
        assert (await other.auth.user(user.id)).password_hash == kept


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


# -- the record --------------------------------------------------------------------------------------------------------


async def test_case_74_what_is_done_and_refused_is_recorded_once(house: House) -> None:
    user, admin = await house.add(), await house.add("admin")
    tokens, power = await house.tokens(user), (await house.tokens(admin))["access_token"]
    await house.log_in(user, "a wrong password")
    made = await house.ask("POST", "auth/api-keys", tokens["access_token"], json={"name": "k", "scopes": ["jobs:read"]})
    key = made.body["key"]["id"]
    await house.ask("DELETE", f"auth/api-keys/{key}", tokens["access_token"])
    await house.ask("PATCH", f"users/{user.id}", power, json={"role": "service"})
    assert (await house.ask("GET", "users", tokens["access_token"])).status == 403
    await house.ask("POST", "auth/logout", tokens["access_token"], json={})
    mine = await house.audit(actor=str(user.id))
    made_and_revoked = [("api_key.create", "done"), ("api_key.revoke", "done")]
    assert mine == [("login", "done"), *made_and_revoked, ("scope.refused", "refused"), ("logout", "done")]
    about = await house.audit(about=f"user:{user.id}")
    assert about.count(("login", "refused")) == 1
    assert await house.audit(actor=str(admin.id)) == [("login", "done"), ("user.role", "done")]
    async with house.database.connect() as conn:
        row = (
            await conn.execute(text("SELECT * FROM audit WHERE actor = :me ORDER BY id"), {"me": str(user.id)})
        ).first()
    assert row is not None
    assert row.request_id
    assert row.address == "127.0.0.1"
    assert row.at.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit SET actor = 'nobody'", "DELETE FROM audit", "TRUNCATE audit", "DELETE FROM audit WHERE id = 0"],
)
async def test_case_74_the_record_only_grows_whoever_asks(house: House, statement: str) -> None:
    with pytest.raises(DBAPIError, match="only grows"):
        async with house.database.begin() as conn:
            await conn.execute(text(statement))


async def test_what_acts_for_a_user_sees_no_account_and_adds_to_the_record_alone(house: House) -> None:
    async def as_user(statement: str) -> None:
        async with house.database.begin() as conn, acting_for(conn, "somebody"):
            await conn.execute(text(statement))

    await as_user("INSERT INTO audit (actor, action, object, outcome) VALUES ('a', 'test', 'b', 'done')")
    tables = ("users", "sessions", "refresh_tokens", "api_keys", "signing_keys", "revocations", "audit")
    for statement in (
        *(f"SELECT 1 FROM {table}" for table in tables),
        "DELETE FROM audit",
        "UPDATE users SET role = 'admin'",
    ):
        with pytest.raises(DBAPIError, match="permission denied"):
            await as_user(statement)


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


async def test_case_75_without_the_record_nothing_privileged_is_done_and_reads_go_on(house: House) -> None:
    user, admin = await house.add(), await house.tokens(await house.add("admin"))
    token, before = admin["access_token"], AUDIT_FAILURES._value.get()
    async with house.database.begin() as conn:
        await conn.execute(text("ALTER TABLE audit RENAME TO audit_away"))
    try:
        answers = [
            await house.ask("PATCH", f"users/{user.id}", token, json={"role": "admin"}),
            await house.ask("POST", "users", token, json={"name": f"{user.name}x"}),
            await house.ask("POST", "auth/api-keys", token, json={"name": "k", "scopes": ["jobs:read"]}),
            await house.log_in(user),
            await house.log_in(user, "a wrong password"),
        ]
        assert [(answer.status, "Retry-After" in answer.headers) for answer in answers] == [(503, True)] * 5
        assert (await house.ask("GET", "auth/me", token)).status == 200
        assert (await house.ask("GET", "jobs", token)).status == 200
    finally:
        async with house.database.begin() as conn:
            await conn.execute(text("ALTER TABLE audit_away RENAME TO audit"))
    assert AUDIT_FAILURES._value.get() == before + 5
    assert (await house.auth.user(user.id)).role == "user"
    assert (await house.ask("GET", "auth/api-keys", token)).body == []
    assert (await house.log_in(f"{user.name}x")).status == 401


# -- stores that are away ----------------------------------------------------------------------------------------------


async def test_without_redis_nobody_logs_in_and_everybody_who_is_in_goes_on(gateway: Gateway, house: House) -> None:
    user = await house.add()
    tokens, other = await house.tokens(user), await house.tokens(user)
    async with Redis.from_url("redis://127.0.0.1:9") as away, open_house(replace(gateway.parts, redis=away)) as lonely:
        for answer in (await lonely.log_in(user), await lonely.refresh(tokens["refresh_token"])):
            assert (answer.status, answer.code) == (503, "unavailable")
            assert int(answer.headers["Retry-After"]) >= 1
        assert await lonely.status(tokens["access_token"]) == 200
        # The row says it, Redis would only have said it sooner.
        assert (await house.ask("POST", "auth/logout", other["access_token"], json={})).status == 204

        async def refused() -> bool:
            return lonely.refuses(other["access_token"])

        await eventually(refused, within_s=PROMISED_S)
        assert (await lonely.ask("POST", "auth/logout", tokens["access_token"], json={})).status == 204


async def test_case_73_nothing_secret_is_logged(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """Nor told in an error, nor kept in the record."""
    user = await house.add()
    with capture_logs() as lines, caplog.at_level(logging.DEBUG):
        tokens = await house.tokens(user)
        made = await house.ask(
            "POST", "auth/api-keys", tokens["access_token"], json={"name": "k", "scopes": ["jobs:read"]}
        )
        second = (await house.refresh(tokens["refresh_token"])).body
        await house.log_in(user, "wrong but secret")
        await house.ask("GET", f"auth/me?access_token={tokens['access_token']}")
        house.clock.by = timedelta(seconds=25)
        await house.refresh(tokens["refresh_token"])
        house.clock.by = timedelta(0)
        await house.status(second["access_token"])
    async with house.database.connect() as conn:
        record = (await conn.execute(text("SELECT string_agg(audit::text, ' ') FROM audit"))).scalar_one()
        kept = (
            await conn.execute(text("SELECT string_agg(refresh_tokens::text, ' ') FROM refresh_tokens"))
        ).scalar_one()
    shown = f"{lines} {caplog.text} {record} {kept}"
    secrets = [PASSWORD, "wrong but secret", made.body["api_key"]]
    secrets += [one[name] for one in (tokens, second) for name in ("access_token", "refresh_token")]
    assert [secret[:12] for secret in secrets if secret in shown] == []
