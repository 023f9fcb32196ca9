"""Redis frozen under a running gateway: bounded answers, no 500, and exact again with every call charged once."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from random import Random
from typing import cast
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from gateway.limit import Limits, Outage, Policy, RateLimiter, Silent, open_limiter
from gateway.limit.client import Undecided
from gateway.limit.observer import Failure, Outcome
from gateway.problems import Problem
from ops.embedded.redis import Redis as RedisServer
from tests.integration.gateway.conftest import Gateway
from tests.integration.gateway.limited import AS_ADMIN, AS_USER, limited_gateway

FROZEN_CALLS = 300


class Counts(Silent):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.outcomes: Counter[Outcome] = Counter()
        self.failures: Counter[Failure] = Counter()
        self.states: list[bool] = []
        self.replays = 0

    def decided(self, outcome: Outcome, seconds: float) -> None:
        self.outcomes[outcome] += 1

    def failed(self, failure: Failure) -> None:
        self.failures[failure] += 1

    def degraded(self, is_open: bool) -> None:
        self.states.append(is_open)

    def replayed(self, stamps: int) -> None:
        self.replays += stamps


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis of this module's own, to be frozen."""
    with RedisServer(tmp_path_factory.mktemp("frozen")) as server:
        yield server


@pytest.fixture
async def redis(server: RedisServer) -> AsyncIterator[Redis]:
    async with Redis.from_url(server.url) as redis:
        yield redis


@pytest.fixture
def frozen(server: RedisServer) -> Iterator[Callable[[], None]]:
    """Freeze it when called; it always goes on after the test."""
    yield server.pause
    server.resume()


@pytest.fixture
def quota() -> str:
    return f"user:{uuid4()}"


async def until(true: Callable[[], Awaitable[bool] | bool]) -> None:
    async with asyncio.timeout(20):
        while True:
            answer = true()
            if answer if isinstance(answer, bool) else await answer:
                return
            await asyncio.sleep(0.01)


async def charged(redis: Redis, quota: str) -> int:
    header = cast(bytes, await redis.getrange(f"sluice:limit:{quota}", 4, 7))
    return int.from_bytes(header, "little")


async def test_case_48_a_frozen_redis_is_bounded_degraded_and_exact_again_after(
    gateway: Gateway, server: RedisServer, redis: Redis, frozen: Callable[[], None]
) -> None:
    counts, outages, user = Counts(), list[Outage](), str(uuid4())

    async def report(outage: Outage) -> None:
        outages.append(outage)

    async with (
        open_limiter(server.url, observer=counts, report=report) as limiter,
        limited_gateway(gateway, limiter, user=user) as client,
    ):

        async def ask(path: str = "hello", who: dict[str, str] = AS_USER, method: str = "GET") -> tuple[int, float]:
            began = time.perf_counter()
            async with client.request(method, path, headers=who) as answer:
                if answer.status in (429, 503):
                    assert int(answer.headers["Retry-After"]) >= 1
                return answer.status, time.perf_counter() - began

        statuses = Counter([(await ask())[0] for _ in range(20)])
        frozen()
        while not limiter.is_degraded:
            statuses[(await ask())[0]] += 1
        assert [one[0] for one in [await ask("login", {}, "POST"), await ask("works", AS_ADMIN)]] == [503, 503]
        answers = [await ask() for _ in range(FROZEN_CALLS)]
        statuses += Counter(status for status, _ in answers)
        assert sorted(took for _, took in answers)[FROZEN_CALLS // 2] < 0.06, "nobody waits for Redis any more"
        server.resume()
        await until(lambda: not limiter.is_degraded)
        statuses += Counter([(await ask())[0] for _ in range(20)])
        assert statuses == {200: 60, 429: statuses.total() - 60}, "never one more than the limit, and no 500"
        assert await charged(redis, f"user:{user}") == 60, "every call is charged once, also those Redis never saw"
        assert [status for status, _ in [await ask("works", AS_ADMIN), await ask("login", {}, "POST")]] == [200, 200]
    assert counts.states == [True, False]
    assert counts.failures["late"] >= 5
    assert counts.replays == counts.outcomes["admitted_locally"] >= outages[-1].admitted > 30
    assert [outage.ended is None for outage in outages] == [True, False]


async def test_what_a_frozen_redis_reads_afterwards_charges_nothing(
    server: RedisServer, redis: Redis, frozen: Callable[[], None], quota: str
) -> None:
    async with open_limiter(server.url) as limiter:
        assert (await limiter.charge(quota, Limits())).minute_left == 59
        frozen()
        verdicts = await asyncio.gather(*(limiter.charge(quota, Limits()) for _ in range(4)))
        assert {verdict.source for verdict in verdicts} == {"local"}
        server.resume()
        await until(lambda: limiter.client.connected and not limiter.is_degraded)
        await until(lambda: _owes_nothing(redis, quota, 5))
        assert (await limiter.charge(quota, Limits())).minute_left == 54


async def _owes_nothing(redis: Redis, quota: str, stamps: int) -> bool:
    return await charged(redis, quota) == stamps


async def test_a_question_that_may_take_long_lengthens_no_other(
    server: RedisServer, frozen: Callable[[], None], quota: str
) -> None:
    async with open_limiter(server.url) as limiter:
        frozen()
        long, short = limiter.client.ping(5.0), limiter.client.decide(quota, Limits())
        await asyncio.wait([long.answer, short.answer], return_when=asyncio.FIRST_COMPLETED)
        assert isinstance(short.answer.exception(), Undecided)
        assert not long.answer.done()
        server.resume()
        await long.answer


async def test_each_of_four_processes_admits_a_fourth_and_redis_learns_of_all(
    server: RedisServer, redis: Redis, frozen: Callable[[], None], quota: str
) -> None:
    policy = Policy(processes=4, probe_s=0.05)
    async with (
        open_limiter(server.url, policy) as one,
        open_limiter(server.url, policy) as two,
        open_limiter(server.url, policy) as three,
        open_limiter(server.url, policy) as four,
    ):
        limiters = [one, two, three, four]
        frozen()
        verdicts = await asyncio.gather(*(limiter.charge(quota, Limits()) for limiter in limiters for _ in range(40)))
        assert sum(verdict.admitted for verdict in verdicts) == 60
        assert all(limiter.is_degraded for limiter in limiters)
        server.resume()
        await until(lambda: not any(limiter.is_degraded for limiter in limiters))
        assert await charged(redis, quota) == 60
        assert not (await one.charge(quota, Limits())).admitted


async def test_a_strict_policy_answers_503_rather_than_guess(
    server: RedisServer, frozen: Callable[[], None], quota: str
) -> None:
    async with open_limiter(server.url, Policy(strict=True)) as limiter:
        assert (await limiter.charge(quota, Limits())).admitted
        frozen()
        for _ in range(7):
            with pytest.raises(Problem) as refused:
                await limiter.charge(quota, Limits())
            assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "1"})
        with pytest.raises(Problem):
            limiter.guard()
        server.resume()
        await until(lambda: not limiter.is_degraded)
        assert (await limiter.charge(quota, Limits())).minute_left == 58


async def test_a_redis_that_was_never_there_is_an_outage_and_not_an_error(quota: str, server: RedisServer) -> None:
    limiter = RateLimiter("redis://127.0.0.1:1/0", Policy(), Silent(), None, rng=Random(1))
    await limiter.open()
    verdicts = [await limiter.charge(quota, Limits()) for _ in range(61)]
    assert [verdict.admitted for verdict in verdicts] == [True] * 60 + [False]
    assert limiter.is_degraded
    await limiter.close()


async def test_audit_trouble_does_not_keep_the_limiter_from_coming_back(
    server: RedisServer, frozen: Callable[[], None], quota: str
) -> None:
    async def report(_: Outage) -> None:
        raise ConnectionError("the audit's database is away")

    async with open_limiter(server.url, Policy(probe_s=0.05), report=report) as limiter:
        frozen()
        await asyncio.gather(*(limiter.charge(quota, Limits()) for _ in range(8)))
        assert limiter.is_degraded
        server.resume()
        await until(lambda: not limiter.is_degraded)
