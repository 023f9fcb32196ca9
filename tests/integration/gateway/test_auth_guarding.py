"""Guessing, the record, and what happens while a store is away."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from argon2 import PasswordHasher
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from structlog.testing import capture_logs

from gateway.auth import users
from gateway.auth.audit import Origin
from gateway.auth.metrics import AUDIT_FAILURES
from gateway.auth.throttle import Guesses, TooMany
from gateway.problems import Problem
from ledger.tenancy import acting_for
from tests.integration.gateway.accounts import (
    CHEAP,
    PASSWORD,
    Answer,
    House,
    house_settings,
    open_house,
)
from tests.integration.gateway.conftest import Gateway
from tests.workshop import eventually

PROMISED_S = 1.0
OPERATOR = Origin("operator")
pytestmark = pytest.mark.usefixtures("no_guesses")

ELSEWHERE = Origin(address="198.51.100.20")


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
