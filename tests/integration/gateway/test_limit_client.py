"""The client on a real Redis: one write per turn, scripts that were lost, connections that break, many processes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from gateway.limit import Limits, Policy, RateLimiter, open_limiter
from gateway.limit.link import Link
from ops.embedded import Stack
from tests.loopback import Loopback, self_signed

PATIENT = Policy(budget_s=20.0)
TOP = Path(__file__).parents[3]


@pytest.fixture
def url(stack: Stack) -> str:
    return stack.redis.start().database_url(10)


@pytest.fixture
async def limiter(url: str) -> AsyncIterator[RateLimiter]:
    async with open_limiter(url, PATIENT) as limiter:
        yield limiter


@pytest.fixture
async def redis(url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(url) as redis:
        yield redis


@pytest.fixture
def quota() -> str:
    return f"user:{uuid4()}"


async def charged(redis: Redis, quota: str) -> int:
    """How many stamps the log of a quota holds."""
    header = cast(bytes, await redis.getrange(f"sluice:limit:{quota}", 4, 7))
    return int.from_bytes(header, "little")


async def test_all_questions_of_one_turn_leave_in_one_write_and_are_answered_in_order(
    limiter: RateLimiter, quota: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes, write = [], Link.write

    def counted(link: Link, words: list[bytes]) -> None:
        writes.append(len(words))
        write(link, words)

    monkeypatch.setattr(Link, "write", counted)
    verdicts = await asyncio.gather(*(limiter.charge(quota, Limits(500)) for _ in range(100)))
    assert len(writes) == 1
    assert [verdict.minute_left for verdict in verdicts] == list(range(499, 399, -1))


async def test_case_45_two_hundred_calls_at_once_over_four_processes_with_ten_left_admit_ten(
    url: str, redis: Redis, limiter: RateLimiter, quota: str
) -> None:
    for _ in range(50):
        assert (await limiter.charge(quota, Limits(60))).admitted
    command = [sys.executable, "-m", "tests.integration.gateway.limit_racer", quota, "4", "50", "60"]
    pipe = asyncio.subprocess.PIPE
    racers = await asyncio.create_subprocess_exec(*command, cwd=TOP, stdin=pipe, stdout=pipe)
    told, _ = await racers.communicate(f"{url}\n".encode())
    assert int(told) == 10
    assert await charged(redis, quota) == 60


async def test_case_49_a_script_flush_under_load_refuses_nobody_and_charges_nobody_twice(
    redis: Redis, limiter: RateLimiter, quota: str
) -> None:
    limits, flushing = Limits(5000, 5000), True

    async def flush() -> None:
        while flushing:
            await redis.script_flush()

    async def ask() -> list[int]:
        return [(await limiter.charge(quota, limits)).minute_left for _ in range(100)]

    flusher = asyncio.create_task(flush())
    told = await asyncio.gather(*(ask() for _ in range(20)))
    flushing = False
    await flusher
    assert sorted(left for one in told for left in one) == list(range(3000, 5000))
    assert await charged(redis, quota) == 2000


async def test_a_connection_that_was_cut_is_made_anew(url: str, redis: Redis, limiter: RateLimiter, quota: str) -> None:
    assert (await limiter.charge(quota, Limits())).source == "redis"
    await redis.client_kill_filter(_type="normal", skipme=True)
    verdicts = [await limiter.charge(quota, Limits()) for _ in range(5)]
    assert all(verdict.admitted for verdict in verdicts)
    async with asyncio.timeout(10):
        while True:
            if (await limiter.charge(quota, Limits(5000))).source == "redis":
                break
            await asyncio.sleep(0)


async def test_a_refused_call_is_not_asked_again_while_the_refusal_is_true(
    redis: Redis, limiter: RateLimiter, quota: str
) -> None:
    limits = Limits(3)
    verdicts = [await limiter.charge(quota, limits) for _ in range(10)]
    assert [verdict.source for verdict in verdicts] == ["redis"] * 4 + ["cache"] * 6
    assert not any(verdict.admitted for verdict in verdicts[3:])
    assert limiter.denied(quota, limits) is not None
    assert (await limiter.charge(quota, Limits(4))).admitted, "another limit, another question"


async def test_a_reset_gives_the_whole_limit_back(limiter: RateLimiter, quota: str) -> None:
    for _ in range(4):
        verdict = await limiter.charge(quota, Limits(3))
    assert not verdict.admitted
    await limiter.reset(quota)
    assert (await limiter.charge(quota, Limits(3))).minute_left == 2


async def test_a_log_that_was_damaged_decides_alone_and_tells(redis: Redis, limiter: RateLimiter, quota: str) -> None:
    await redis.lpush(f"sluice:limit:{quota}", "not a log")
    assert (await limiter.charge(quota, Limits())).source == "local"
    assert not limiter.is_degraded


@pytest.mark.parametrize("scheme", ["unix", "rediss"])
async def test_redis_is_reached_over_a_unix_socket_and_over_tls(
    url: str, quota: str, scheme: str, tmp_path: Path
) -> None:
    password, target = url.removeprefix("redis://:").partition("@")[0], url.partition("@")[2].partition("/")[0]
    host, _, port = target.partition(":")
    if scheme == "unix":
        async with Loopback.on_socket(tmp_path / "r.sock", host, int(port)):
            reached = f"unix://:{password}@{tmp_path}/r.sock?db=10"
            async with open_limiter(reached, PATIENT) as limiter:
                assert (await limiter.charge(quota, Limits())).source == "redis"
    else:
        served, authority = self_signed(tmp_path)
        async with Loopback.on_port(host, int(port), tls=served) as loopback:
            reached = f"rediss://:{password}@localhost:{loopback.port}/10?ssl_ca_certs={authority}"
            async with open_limiter(reached, PATIENT) as limiter:
                assert (await limiter.charge(quota, Limits())).source == "redis"
            async with open_limiter(reached.partition("?")[0], Policy(budget_s=0.2)) as limiter:
                assert (await limiter.charge(quota, Limits())).source == "local", "a server that nobody vouches for"
