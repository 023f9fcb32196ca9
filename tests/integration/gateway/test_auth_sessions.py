"""Log in, go on, log out, and what was revoked: over HTTP, against real stores."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from gateway.auth import revocations, users
from gateway.auth.audit import Origin
from gateway.auth.sessions import Spans
from tests.integration.gateway.accounts import PASSWORD, House, house_settings, open_house
from tests.integration.gateway.conftest import Gateway
from tests.workshop import eventually

pytestmark = pytest.mark.usefixtures("no_guesses")

PROMISED_S = 1.0


@pytest.fixture(scope="module")
async def neighbour(gateway: Gateway) -> AsyncIterator[House]:
    """Another process of the same system, which hears nothing from Redis: it only looks at the rows."""
    async with open_house(gateway.parts) as opened:
        yield opened


async def test_a_login_answers_as_oauth_does_and_the_token_works(house: House) -> None:
    user = await house.add()
    answer = await house.log_in(user, grant_type="password", scope="")
    assert answer.status == 200
    assert answer.body["token_type"] == "Bearer"
    assert answer.body["expires_in"] == 900
    assert answer.body["refresh_token"].startswith("slr_")
    assert answer.headers["Cache-Control"] == "no-store"
    me = await house.ask("GET", "auth/me", answer.body["access_token"])
    assert (me.status, me.body["name"], me.body["role"]) == (200, user.name, "user")
    assert me.body["scopes"] == sorted(answer.body["scope"].split())


async def test_case_10_a_profile_has_exactly_its_documented_fields(house: House) -> None:
    tokens = await house.tokens(await house.add())
    me = await house.ask("GET", "auth/me", tokens["access_token"])
    assert set(me.body) == {"id", "name", "display_name", "role", "scopes", "created_at", "last_login_at"}


async def test_case_09_nobody_changes_their_own_role(house: House) -> None:
    user = await house.add()
    token = (await house.tokens(user))["access_token"]
    for body in ({"role": "admin"}, {"display_name": "A", "role": "admin"}, {"display_name": "A", "enabled": True}):
        answer = await house.ask("PATCH", "auth/me", token, json=body)
        assert (answer.status, answer.code) == (422, "invalid")
    assert (await house.auth.user(user.id)).role == "user"
    changed = await house.ask("PATCH", "auth/me", token, json={"display_name": "Ann B."})
    assert (changed.status, changed.body["display_name"], changed.body["role"]) == (200, "Ann B.", "user")


async def test_a_token_has_the_scopes_that_were_asked_for_and_no_others(house: House) -> None:
    user = await house.add()
    tokens = await house.tokens(user, scope="jobs:read account:read")
    assert tokens["scope"] == "account:read jobs:read"
    again = await house.refresh(tokens["refresh_token"])
    assert again.body["scope"] == "account:read jobs:read"
    assert (await house.log_in(user, scope="admin:write")).code == "invalid"
    assert (await house.log_in(user, scope="nonsense")).code == "invalid"


async def test_case_12_a_token_without_the_scope_is_told_which_it_needs(house: House) -> None:
    token = (await house.tokens(await house.add(), scope="jobs:read"))["access_token"]
    answer = await house.ask("POST", "jobs", token, json={"kind": "probe"}, headers={"Idempotency-Key": "k-12"})
    assert (answer.status, answer.code) == (403, "insufficient_scope")
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="insufficient_scope", scope="jobs:write"'


async def test_case_16_without_a_token_no_quota_of_a_user_is_charged(house: House) -> None:
    house.limiter.charged.clear()
    answer = await house.ask("GET", "auth/me")
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert set(house.limiter.charged) == {"address:127.0.0.1"}


async def test_case_22_two_authorization_headers_are_refused(house: House) -> None:
    token = (await house.tokens(await house.add()))["access_token"]
    both = [("Authorization", f"Bearer {token}"), ("Authorization", f"Bearer {token}")]
    async with house.session.get(f"{house.url}/api/v1/auth/me", headers=both) as answer:
        assert answer.status == 400


async def test_case_23_a_long_authorization_is_refused(house: House) -> None:
    assert await house.status("a" * 4097) in (401, 431)
    assert await house.status("a" * 7000) in (401, 431)


async def test_case_24_a_token_in_the_query_is_none(house: House) -> None:
    token = (await house.tokens(await house.add()))["access_token"]
    answer = await house.ask("GET", f"auth/me?access_token={token}")
    assert answer.status == 401
    assert token not in str(answer.body)


async def test_case_25_a_denied_token_is_refused_within_a_second_by_every_process(
    house: House, neighbour: House
) -> None:
    """Also while each has it among the tokens that it verified a moment ago."""
    tokens = await house.tokens(await house.add())
    other = await house.tokens(await house.add())
    token = tokens["access_token"]
    assert [await one.status(token) for one in (house, neighbour)] == [200, 200]
    assert not house.refuses(token)
    credential = (await house.auth.authenticator.check(f"Bearer {token}")).credential
    async with house.auth.changing() as conn:
        await revocations.revoke(conn, "credential", credential)

    async def refused() -> bool:
        return house.refuses(token) and neighbour.refuses(token)

    await eventually(refused, within_s=PROMISED_S)
    assert [await one.status(token) for one in (house, neighbour)] == [401, 401]
    assert await house.status(other["access_token"]) == 200


async def test_case_25_without_redis_to_tell_it_the_row_is_seen_within_a_second(neighbour: House) -> None:
    tokens = await neighbour.tokens(await neighbour.add())
    principal = await neighbour.auth.authenticator.check(f"Bearer {tokens['access_token']}")
    async with neighbour.database.begin() as conn:  # nobody is told
        await revocations.revoke(conn, "credential", principal.credential)

    async def refused() -> bool:
        return neighbour.refuses(tokens["access_token"])

    await eventually(refused, within_s=PROMISED_S)


async def test_a_process_that_starts_later_knows_what_was_revoked_before(gateway: Gateway, house: House) -> None:
    tokens = await house.tokens(await house.add())
    assert (await house.ask("POST", "auth/logout", tokens["access_token"], json={})).status == 204
    async with open_house(gateway.parts) as late:
        assert late.refuses(tokens["access_token"])


async def test_logging_out_ends_this_session_and_no_other(house: House) -> None:
    user = await house.add()
    one, two = await house.tokens(user), await house.tokens(user)
    assert (await house.ask("POST", "auth/logout", one["access_token"], json={})).status == 204
    assert [await house.status(one["access_token"]), (await house.refresh(one["refresh_token"])).status] == [401, 401]
    assert [await house.status(two["access_token"]), (await house.refresh(two["refresh_token"])).status] == [200, 200]


async def test_case_26_logged_out_everywhere_all_earlier_tokens_are_dead(house: House, neighbour: House) -> None:
    user = await house.add()
    earlier = [await house.tokens(user) for _ in range(3)]
    assert (await house.ask("POST", "auth/logout", earlier[0]["access_token"], json={"everywhere": True})).status == 204
    for tokens in earlier:
        assert await house.status(tokens["access_token"]) == 401
        assert (await house.refresh(tokens["refresh_token"])).status == 401

    async def refused() -> bool:
        return all(neighbour.refuses(tokens["access_token"]) for tokens in earlier)

    await eventually(refused, within_s=PROMISED_S)
    later = await house.tokens(user)  # in the same second
    assert await house.status(later["access_token"]) == 200


async def test_case_26_a_disabled_user_has_no_token_left(house: House) -> None:
    user, admin = await house.add(), await house.tokens(await house.add("admin"))
    tokens = await house.tokens(user)
    answer = await house.ask("PATCH", f"users/{user.id}", admin["access_token"], json={"enabled": False})
    assert (answer.status, answer.body["enabled"]) == (200, False)
    assert [await house.status(tokens["access_token"]), (await house.refresh(tokens["refresh_token"])).status] == [
        401,
        401,
    ]
    assert (await house.log_in(user)).code == "invalid_credentials"
    await house.ask("PATCH", f"users/{user.id}", admin["access_token"], json={"enabled": True})
    assert [await house.status(tokens["access_token"]), (await house.log_in(user)).status] == [401, 200]


async def test_case_27_a_refresh_token_used_again_after_the_grace_ends_the_family(house: House) -> None:
    user = await house.add()
    first = await house.tokens(user)
    second = (await house.refresh(first["refresh_token"])).body
    house.clock.by += timedelta(seconds=21)
    try:
        assert (await house.refresh(first["refresh_token"])).status == 401
        assert (await house.refresh(second["refresh_token"])).status == 401
        for tokens in (first, second):
            assert await house.status(tokens["access_token"]) == 401
    finally:
        house.clock.by = timedelta(0)
    assert ("token_reuse", "refused") in await house.audit(about=str(user.id))


async def test_case_27_a_token_whose_successor_was_used_is_stolen_also_within_the_grace(house: House) -> None:
    first = await house.tokens(await house.add())
    second = (await house.refresh(first["refresh_token"])).body
    third = (await house.refresh(second["refresh_token"])).body
    assert (await house.refresh(first["refresh_token"])).status == 401
    assert (await house.refresh(third["refresh_token"])).status == 401


async def test_case_28_two_refreshes_at_once_get_the_same_successor(house: House, neighbour: House) -> None:
    first = await house.tokens(await house.add())
    answers = await asyncio.gather(
        *(one.refresh(first["refresh_token"]) for one in (house, neighbour, house, neighbour))
    )
    assert [answer.status for answer in answers] == [200] * 4
    assert len({answer.body["refresh_token"] for answer in answers}) == 1
    assert answers[0].body["refresh_token"] != first["refresh_token"]
    assert (await house.refresh(answers[0].body["refresh_token"])).status == 200


async def test_case_28_two_networks_with_one_token_are_two_people_whoever_came_first(house: House) -> None:
    user = await house.add()
    first = await house.tokens(user)
    thief = await house.auth.refresh(Origin(address="198.51.100.7"), first["refresh_token"])
    assert (await house.refresh(first["refresh_token"])).status == 401, "the owner, a moment later"
    assert (await house.refresh(thief.refresh_token)).status == 401
    assert await house.status(thief.access_token) == 401
    assert ("token_reuse", "refused") in await house.audit(about=str(user.id))


async def test_case_29_a_session_ends_after_thirty_days_of_daily_use_and_seven_without(house: House) -> None:
    daily, idle = await house.tokens(await house.add()), await house.tokens(await house.add())
    token = daily["refresh_token"]
    try:
        for day in range(1, 30):
            house.clock.by = timedelta(days=day)
            answer = await house.refresh(token)
            assert answer.status == 200, day
            token = answer.body["refresh_token"]
            if day == 6:
                still = (await house.refresh(idle["refresh_token"])).body["refresh_token"]
            if day == 14:
                assert (await house.refresh(still)).status == 401, "eight days without a refresh"
        house.clock.by = timedelta(days=30, seconds=1)
        assert (await house.refresh(token)).status == 401
    finally:
        house.clock.by = timedelta(0)


async def test_a_user_has_so_many_sessions_and_the_one_that_was_not_used_for_longest_ends(gateway: Gateway) -> None:
    async with open_house(gateway.parts, house_settings(spans=Spans(most=3))) as house:
        user = await house.add()
        first, second, third = [await house.tokens(user) for _ in range(3)]
        house.clock.by += timedelta(minutes=1)
        first = (await house.refresh(first["refresh_token"])).body
        fourth = await house.tokens(user)
        assert (await house.refresh(second["refresh_token"])).status == 401

        async def refused() -> bool:
            return house.refuses(second["access_token"])

        await eventually(refused, within_s=PROMISED_S)
        for kept in (first, third, fourth):
            assert not house.refuses(kept["access_token"])
        assert [one for one in await house.audit(actor=str(user.id)) if one[0] != "login"] == [
            ("session.displaced", "done")
        ]


async def test_refresh_tokens_that_can_tell_nothing_any_more_do_not_pile_up(house: House) -> None:
    user = await house.add()
    token = (await house.tokens(user))["refresh_token"]
    for _ in range(5):
        house.clock.by += timedelta(days=3)
        token = (await house.refresh(token)).body["refresh_token"]
    house.clock.by = timedelta(0)
    count = "SELECT count(*) FROM refresh_tokens JOIN sessions ON id = session_id WHERE user_id = :user"
    async with house.database.connect() as conn:
        assert (await conn.execute(text(count), {"user": user.id})).scalar_one() == 3


async def test_case_30_each_kind_of_token_is_good_for_its_own_use_alone(house: House) -> None:
    tokens = await house.tokens(await house.add())
    assert (await house.refresh(tokens["access_token"])).status == 401
    assert await house.status(tokens["refresh_token"]) == 401
    assert (await house.ask("GET", "jobs", tokens["refresh_token"])).status == 401


async def test_case_15_a_lowered_role_holds_for_the_old_token_within_a_second(house: House, neighbour: House) -> None:
    user, admin = await house.add("admin"), await house.tokens(await house.add("admin"))
    token = (await house.tokens(user))["access_token"]
    assert [(await one.ask("GET", "users", token)).status for one in (house, neighbour)] == [200, 200]
    answer = await house.ask("PATCH", f"users/{user.id}", admin["access_token"], json={"role": "user"})
    assert (answer.status, answer.body["role"]) == (200, "user")
    assert (await house.ask("GET", "users", token)).status == 403

    async def lowered() -> bool:
        principal = neighbour.auth.authenticator.known(f"Bearer {token}")
        return principal is not None and not principal.is_admin

    await eventually(lowered, within_s=PROMISED_S)
    assert (await neighbour.ask("GET", "users", token)).status == 403
    assert (await neighbour.ask("GET", "jobs", token)).status == 200
    assert (await house.ask("PATCH", f"users/{user.id}", token, json={"role": "admin"})).status == 403


async def test_a_raised_role_gives_an_old_token_nothing_and_a_refreshed_one_everything(house: House) -> None:
    user, admin = await house.add(), await house.tokens(await house.add("admin"))
    tokens = await house.tokens(user)
    await house.ask("PATCH", f"users/{user.id}", admin["access_token"], json={"role": "admin"})
    assert (await house.ask("GET", "users", tokens["access_token"])).status == 403
    fresh = (await house.refresh(tokens["refresh_token"])).body
    assert (await house.ask("GET", "users", fresh["access_token"])).status == 200


async def test_the_last_administrator_stays_one(house: House) -> None:
    async with house.database.connect() as conn:
        *others, last = [one for one in await users.listed(conn) if one.role == "admin" and one.enabled]
        for one in others:
            await users.set_role(conn, Origin("operator"), one.id, "user")
        with pytest.raises(users.LastAdministrator):
            await users.disable(conn, Origin("operator"), last.id, now=house.clock())
        with pytest.raises(users.LastAdministrator):
            await users.set_role(conn, Origin("operator"), last.id, "service")
        await conn.rollback()


async def test_a_new_password_ends_the_other_sessions(house: House) -> None:
    user = await house.add()
    here, there = await house.tokens(user), await house.tokens(user)
    change = {"current": PASSWORD, "new": "ünïcode ☂ and spaces "}
    assert (await house.ask("POST", "auth/password", here["access_token"], json=change)).status == 204
    assert [await house.status(one["access_token"]) for one in (here, there)] == [200, 401]
    assert (await house.log_in(user)).status == 401
    assert (await house.log_in(user, "ünïcode ☂ and spaces ")).status == 200
    assert (await house.log_in(user, "ünïcode ☂ and spaces")).status == 401
    wrong = await house.ask("POST", "auth/password", here["access_token"], json={**change, "current": "not it at all"})
    assert wrong.code == "invalid_credentials"


async def test_users_are_listed_added_and_not_added_twice(house: House) -> None:
    operator = await house.add("admin")
    admin = (await house.tokens(operator))["access_token"]
    new: dict[str, Any] = {"name": f"N{UUID(int=0x5EED).hex[-6:]}", "password": PASSWORD}
    made = await house.ask("POST", "users", admin, json=new)
    assert (made.status, made.body["name"], made.body["role"]) == (201, new["name"].lower(), "user")
    assert (await house.ask("POST", "users", admin, json=new)).code == "conflict"
    assert (await house.ask("POST", "users", admin, json={"name": "a b"})).code == "invalid"
    assert (
        await house.ask("POST", "users", admin, json={"name": "weak", "password": "password1"})
    ).code == "weak_password"
    first = await house.ask("GET", "users?limit=2", admin)
    rest = await house.ask("GET", f"users?limit=100&cursor={first.body['next_cursor']}", admin)
    names = [one["name"] for one in first.body["data"] + rest.body["data"]]
    assert names == sorted(set(names))
    assert "password" not in str(rest.body)
    assert (await house.audit(actor=str(operator.id))).count(("users.read", "done")) == 2
    assert (await house.ask("POST", f"users/{made.body['id']}/logout", admin)).status == 204
    assert (await house.ask("PATCH", f"users/{UUID(int=1)}", admin, json={"role": "user"})).status == 404


def test_what_a_house_is_made_of_shows_no_secret(house: House) -> None:
    shown = repr(house_settings()) + repr(house.auth.ring.rows) + repr(house.auth.master)
    assert "a master of tests" not in shown
    assert "$argon2" not in shown
