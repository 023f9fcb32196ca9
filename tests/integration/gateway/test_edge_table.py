"""What holds for every route there is, read from the table: a new route is tested by being there."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from aiohttp import ClientSession

from gateway.app import TABLE
from gateway.problems import KINDS
from gateway.routes import Route
from tests.integration.gateway.accounts import House, forget_guesses, open_house
from tests.integration.gateway.conftest import ALICE, Gateway

ANYBODY = {
    "POST /api/v1/login/access-token",
    "POST /api/v1/auth/refresh",
    "GET /api/v1/openapi.json",
    "GET /api/v1/docs",
    "GET /healthz",
    "GET /readyz",
    "GET /.well-known/jwks.json",
}
"""The only routes that ask for no token: one more is a decision that this test wants to see."""
SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
}


def table(gateway: Gateway) -> list[tuple[str, str, Route]]:
    """Every route with an address that fits it."""
    return [(route.method, re.sub(r"\{\w+\}", "1", route.path), route) for route in gateway.app[TABLE]]


async def test_case_11_every_route_has_a_policy_and_only_these_are_open(gateway: Gateway) -> None:
    assert {f"{route.method} {route.path}" for _, _, route in table(gateway) if route.needs is None} == ANYBODY
    scopes = {scope for known in gateway.people.values() for scope in known.scopes}
    assert {route.needs for _, _, route in table(gateway) if route.needs} <= scopes


async def test_case_11_a_user_gets_403_from_every_route_of_administrators(
    gateway: Gateway, alice: ClientSession
) -> None:
    admins = [one for one in table(gateway) if (one[2].needs or "").startswith("admin:")]
    assert len(admins) > 10
    for method, path, route in admins:
        async with alice.request(method, f"{gateway.url}{path}", json={}) as answer:
            assert (answer.status, (await answer.json())["code"]) == (403, "insufficient_scope"), path
            challenge = f'Bearer error="insufficient_scope", scope="{route.needs}"'
            assert answer.headers["WWW-Authenticate"] == challenge


async def test_case_11_no_method_that_a_route_does_not_have_gets_past_it(
    gateway: Gateway, alice: ClientSession
) -> None:
    methods: dict[str, set[str]] = {}
    for method, path, _ in table(gateway):
        methods.setdefault(path, set()).add(method)
    for path, known in methods.items():
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - known:
            async with alice.request(method, f"{gateway.url}{path}") as answer:
                assert answer.status == 405, (method, path)
                assert set(answer.headers["Allow"].split(", ")) - {"HEAD"} == known, path


async def test_case_16_without_a_token_every_other_route_says_401_and_no_users_quota_is_used(
    gateway: Gateway, nobody: ClientSession
) -> None:
    limiter = gateway.limiter
    before = {quota: count for quota, count in limiter.charged.items() if not quota.startswith("address:")}
    for method, path, route in table(gateway):
        if route.needs is None:
            continue
        async with nobody.request(method, f"{gateway.url}{path}") as answer:
            assert (answer.status, (await answer.json())["code"]) == (401, "unauthenticated"), path
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
            assert not {name for name in answer.headers if "RateLimit" in name}
    after = {quota: count for quota, count in limiter.charged.items() if not quota.startswith("address:")}
    assert after == before
    assert limiter.charged["address:127.0.0.1"] > 0


async def test_whoever_asks_without_a_token_is_counted_by_address_but_for_machines(
    gateway: Gateway, nobody: ClientSession
) -> None:
    for method, path, route in table(gateway):
        if route.needs is not None:
            continue
        before = gateway.limiter.charged["address:127.0.0.1"]
        async with nobody.request(method, f"{gateway.url}{path}") as answer:
            assert answer.status < 500
        charged = gateway.limiter.charged["address:127.0.0.1"] - before
        assert charged == (route.tag not in ("health", "keys")), path


async def test_every_answer_of_every_route_has_the_security_headers_and_a_documented_status(
    gateway: Gateway,
) -> None:
    async with open_house(gateway.parts) as house:
        await forget_guesses(gateway.parts.redis)
        token = (await house.tokens(await house.add("admin")))["access_token"]
        document = (await house.ask("GET", "openapi.json")).body
        for one in table(gateway):
            await every_header(house, one, token, document)


async def every_header(house: House, one: tuple[str, str, Route], token: str, document: dict[str, Any]) -> None:
    """Ask one route with nothing but a token."""
    method, path, route = one
    if path.endswith("auth/logout"):
        return  # it would take the token away from those that follow
    headers = {"Authorization": f"Bearer {token}"}
    async with house.session.request(method, f"{house.url}{path}", headers=headers) as answer:
        assert SECURITY.items() <= dict(answer.headers).items(), path
        assert "Content-Security-Policy" in answer.headers
        assert "Cache-Control" in answer.headers
        assert "X-Request-Id" in answer.headers
        assert "Server" not in answer.headers
        assert answer.status < 500, (path, await answer.text())
        known = document["paths"][route.path][route.method.lower()]["responses"]
        assert str(answer.status) in known, (method, path, await answer.text())
        if answer.status >= 400 and answer.content_type != "application/json":
            body = await answer.json()
            assert (body["status"], KINDS[body["code"]].status) == (answer.status, answer.status)


@pytest.mark.parametrize(
    "header",
    [
        {"X-HTTP-Method-Override": "DELETE"},
        {"X-Method-Override": "POST"},
        {"X-Original-URL": "/api/v1/users"},
        {"X-Rewrite-URL": "/api/v1/users"},
        {"X-User-Id": "00000000-0000-0000-0000-000000000b0b"},
        {"X-Role": "admin"},
        {"X-Forwarded-User": "admin"},
        {"X-Forwarded-Prefix": "/api/v1/users"},
    ],
    ids=str,
)
async def test_case_13_headers_that_pretend_to_be_somebody_or_something_else_are_ignored(
    gateway: Gateway, alice: ClientSession, header: dict[str, str]
) -> None:
    async with alice.get("jobs") as plain, alice.get("jobs", headers=header) as tricked:
        assert (plain.status, tricked.status) == (200, 200)
        assert await plain.json() == await tricked.json()
    async with alice.get("users", headers=header) as refused:
        assert refused.status == 403
    assert gateway.people["alice-token"].user == ALICE


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1//jobs",
        "//api/v1/jobs",
        "/api/v1/jobs/",
        "/api/v1/jobs.",
        "/api/v1/jobs/..%2fusers",
        "/api/v1/jobs/..%2Fadmin%2Fjobs",
        "/api/v1/jobs/../users",
        "/api/v1/jobs/%2e%2e/users",
        "/api/v1/jobs/..%5cusers",
        "/api/v1/jobs/..;/users",
        "/V1/jobs",
        "/API/V1/jobs",
        "/api/v1/Jobs",
        "/api/v1/jobs%00",
        "/api/v1/jobs%20",
        "/api/v1/jobs/%00",
        "/api/v1/jobs;role=admin",
        "/api/v1/./jobs",
        "/api/v2/jobs",
        "/.git/config",
        "/debug",
        "/metrics",
        "/docs",
    ],
)
async def test_case_14_a_path_that_only_looks_like_one_is_404(gateway: Gateway, path: str) -> None:
    _, _, port = gateway.url.rpartition(":")
    reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin-token\r\nConnection: close\r\n\r\n"
    writer.write(head.encode())
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 404 "), answer
    assert b'"code":"not_found"' in answer
