"""The limit as a client of the gateway meets it: headers, refusals, waiting, and what nobody can be made to pay for."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from random import Random
from uuid import uuid4

import pytest
from aiohttp import ClientSession
from redis.asyncio import Redis

from gateway.edge.settings import EdgeSettings
from gateway.limit import Limits, Policy, RateLimiter, Silent
from gateway.problems import MEDIA_TYPE, QUOTA_EXCEEDED
from ops.embedded import Stack
from tests.integration.gateway.conftest import Gateway
from tests.integration.gateway.limit_clock import KEPT, START
from tests.integration.gateway.limited import AS_ADMIN, AS_USER, limited_gateway

FIELDS = {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "RateLimit-Policy", "RateLimit"}
Answer = tuple[int, dict[str, str], dict[str, object]]


class Limited:
    """A gateway whose limiter lives in the test's time, and a user that nobody used before."""

    def __init__(self, client: ClientSession, limiter: RateLimiter, redis: Redis) -> None:
        self.client, self.limiter, self.redis, self.clock = client, limiter, redis, START

    async def forward(self, ms: int) -> None:
        self.clock += ms
        await self.redis.set("clock", self.clock)
        self.limiter.forget_refusals()  # they are kept by this process's clock, which nobody moves

    async def get(self, path: str = "hello", who: dict[str, str] = AS_USER) -> Answer:
        async with self.client.get(path, headers=who) as answer:
            return answer.status, dict(answer.headers), await answer.json(content_type=None)

    async def statuses(self, many: int) -> list[int]:
        return [(await self.get())[0] for _ in range(many)]


@pytest.fixture
async def limited(gateway: Gateway, stack: Stack) -> AsyncIterator[Limited]:
    url = stack.redis.start().database_url(10)
    policy = Policy(budget_s=20.0, address=Limits(20, 100))
    limiter = RateLimiter(url, policy, Silent(), None, rng=Random(1), prefix=f"http:{uuid4()}:", script=KEPT)
    settings = EdgeSettings(user_limits=Limits(60, 100), admin_limits=Limits(60, 100).times(5))
    async with Redis.from_url(url) as redis:
        await redis.set("clock", START)
        await limiter.open()
        async with limited_gateway(gateway, limiter, settings=settings) as client:
            yield Limited(client, limiter, redis)
        await limiter.close()


async def test_case_39_the_61st_call_in_any_60_s_is_refused_and_an_administrators_301st(limited: Limited) -> None:
    assert await limited.statuses(61) == [200] * 60 + [429]
    told = [(await limited.get(who=AS_ADMIN))[0] for _ in range(301)]
    assert told == [200] * 300 + [429]
    await limited.forward(59_999)
    assert await limited.statuses(1) == [429]
    await limited.forward(1)
    assert await limited.statuses(41) == [200] * 40 + [429], "then the hour is full: 100 calls"
    await limited.forward(3_600_000 - 60_000 - 1)
    assert await limited.statuses(1) == [429]
    await limited.forward(1)
    assert await limited.statuses(1) == [200]


async def test_case_40_a_burst_before_the_edge_of_a_minute_leaves_nothing_for_one_after_it(limited: Limited) -> None:
    await limited.forward(60_000 - START % 60_000 + 59_900)
    assert await limited.statuses(60) == [200] * 60
    await limited.forward(200)
    assert await limited.statuses(60) == [429] * 60


async def test_case_41_every_answer_after_authentication_tells_the_limit(limited: Limited) -> None:
    answers = {200: await limited.get(), 403: await limited.get("works"), 500: await limited.get("missing")}
    answers[422] = await limited.get("hello?unknown=1")
    await limited.statuses(56)
    answers[429] = await limited.get()
    for status, (told, headers, _) in answers.items():
        assert told == status
        assert headers.keys() >= FIELDS, f"{status} lacks some"
        assert headers["X-RateLimit-Reset"].isdecimal()
        assert re.fullmatch(r'"minute";r=\d+;t=\d+,"hour";r=\d+;t=\d+', headers["RateLimit"])
        assert ("Retry-After" in headers) is (status == 429)


async def test_case_42_a_refusal_is_a_problem_that_names_the_windows(limited: Limited) -> None:
    await limited.statuses(60)
    status, headers, problem = await limited.get()
    assert (status, headers["Content-Type"], problem["type"]) == (429, MEDIA_TYPE, QUOTA_EXCEEDED)
    assert (problem["status"], problem["code"], problem["violated-policies"]) == (429, "rate_limited", ["minute"])
    assert 60 <= int(headers["Retry-After"]) <= 66
    await limited.forward(60_000)
    await limited.statuses(40)
    assert (await limited.get())[2]["violated-policies"] == ["hour"]


async def test_case_43_who_waits_retry_after_is_admitted_and_a_second_less_is_too_little(limited: Limited) -> None:
    await limited.statuses(1)
    await limited.forward(53_700)
    await limited.statuses(59)
    status, headers, _ = await limited.get()
    assert (status, headers["Retry-After"]) == (429, "7")
    await limited.forward(6_000)
    assert await limited.statuses(1) == [429]
    await limited.forward(1_000)
    assert await limited.statuses(1) == [200]


async def test_case_44_five_hundred_refused_calls_leave_the_other_window_as_it_was(limited: Limited) -> None:
    await limited.statuses(60)
    told = set()
    for _ in range(500):
        status, headers, _ = await limited.get()
        told.add((status, headers["RateLimit"].partition('"hour";')[2].partition(";")[0]))
    assert told == {(429, "r=40")}
    await limited.forward(60_000)
    assert await limited.statuses(1) == [200]


async def test_case_46_forged_tokens_cost_their_sender_and_nobody_else(limited: Limited) -> None:
    forged = [(await limited.get(who={"Authorization": "Bearer user."}))[0] for _ in range(1000)]
    assert forged == [401] * 20 + [429] * 980
    status, headers, _ = await limited.get()
    assert (status, headers["X-RateLimit-Remaining"]) == (200, "59")


async def test_case_47_another_x_forwarded_for_with_each_request_changes_nobody_s_quota(limited: Limited) -> None:
    spoofed = [{"X-Forwarded-For": f"203.0.113.{number}"} for number in range(61)]
    assert [(await limited.get("open", one))[0] for one in spoofed[:21]] == [200] * 20 + [429]
    assert [(await limited.get(who={**AS_USER, **one}))[0] for one in spoofed] == [200] * 60 + [429]
