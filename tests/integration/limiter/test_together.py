"""All limits at once, asked by many."""

from __future__ import annotations

import asyncio
import sys
import uuid
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from broker.limiter import (
    Breaker,
    Budget,
    Granted,
    LimiterUnreachable,
    Limits,
    Rate,
    UnknownProvider,
    open_limiter,
)
from broker.limits import period_at
from tests.integration.limiter.world import SECOND, START, World, granted, refused


class TestTogether:
    async def test_the_status_says_how_a_provider_stands(self, world: World) -> None:
        limiter = world.limiter(Limits((Rate(9, 1.0),), concurrency=3, budget=Budget(100, "day")), Breaker(failures=1))
        await granted(limiter, world.name)
        await limiter.failed(world.name)
        await limiter.close_until(world.name, START + 60 * SECOND, "provider answered 429")
        status = await limiter.status(world.name)
        assert (status.spent, status.allowed, status.in_flight, status.concurrency) == (1, 42, 1, 3)
        assert (status.breaker, status.failures) == ("open", 1)
        assert (status.closed_until, status.closed_reason) == (START + 60 * SECOND, "provider answered 429")
        assert status.period == period_at("day", START)

    async def test_the_same_lease_asked_for_twice_is_booked_once(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        limiter = world.limiter(Limits((Rate(1, 1.0),), concurrency=5, budget=Budget(100, "day")))
        fixed = uuid.uuid4()
        monkeypatch.setattr("broker.limiter.uuid4", lambda: fixed)
        first, again = await granted(limiter, world.name), await granted(limiter, world.name)
        assert first == again
        status = await limiter.status(world.name)
        assert (status.spent, status.in_flight) == (1, 1)

    async def test_every_key_is_in_one_slot_of_a_cluster_and_expires(self, world: World) -> None:
        limits = Limits((Rate(1, 1.0),), concurrency=1, budget=Budget(100, "day"))
        limiter = world.limiter(limits, Breaker(failures=2))
        await granted(limiter, world.name)
        await refused(limiter, world.name)
        await limiter.failed(world.name)
        await limiter.close_until(world.name, START + 60 * SECOND, "provider answered 429")
        keys = [key async for key in world.redis.scan_iter(f"*{world.name}*")]
        assert len(keys) == 7
        for key in keys:
            assert key.startswith(b"{sluice:" + world.name.encode() + b"}:")
            assert await world.redis.pttl(key) > 0

    async def test_without_a_given_clock_redis_tells_the_time(self, world: World, redis_url: str) -> None:
        async with open_limiter(redis_url, {world.name: Limits((Rate(1, 5.0),))}, world.spent_since) as limiter:
            await granted(limiter, world.name)
            seconds, microseconds = await world.redis.time()
            wait = await refused(limiter, world.name)
        now = datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=microseconds)
        assert now < wait.until <= now + 6 * SECOND

    async def test_an_unknown_provider_and_a_senseless_question_are_errors(self, world: World) -> None:
        limiter = world.limiter(Limits())
        with pytest.raises(UnknownProvider, match="nobody"):
            await limiter.acquire("nobody")
        with pytest.raises(ValueError, match="patience"):
            await limiter.acquire(world.name, patience_s=61)
        with pytest.raises(ValueError, match="cost"):
            await limiter.acquire(world.name, -1)

    async def test_an_unreachable_redis_grants_nothing(self) -> None:
        with pytest.raises(LimiterUnreachable, match="does not answer"):
            async with open_limiter("redis://127.0.0.1:1", {}, World(cast("Redis", None)).spent_since):
                raise AssertionError("never opened")
        async with Redis(host="127.0.0.1", port=1, retry=Retry(NoBackoff(), 0)) as nowhere:
            limiter = World(nowhere, name="x").limiter(Limits())
            with pytest.raises(LimiterUnreachable, match="does not answer"):
                await limiter.acquire("x")
            with pytest.raises(LimiterUnreachable):
                await limiter.succeeded("x")
            with pytest.raises(LimiterUnreachable):
                await limiter.status("x")


COMPETITOR = """
import asyncio, sys
from datetime import UTC, datetime
from redis.asyncio import Redis
from broker.limiter import Budget, Granted, Limits, ProviderLimiter

async def none_spent(provider, start):
    return 0

async def main(url, name):
    async with Redis.from_url(url) as redis:
        clock = lambda: datetime(2026, 11, 10, 23, 59, 59, tzinfo=UTC)
        limits = Limits(concurrency=150, budget=Budget(200, "day"))
        limiter = ProviderLimiter(redis, {name: limits}, none_spent, clock=clock)
        async def work():
            got = 0
            for _ in range(40):
                answer = await limiter.acquire(name)
                if isinstance(answer, Granted):
                    got += 1
                    await limiter.release(answer.lease)
            return got
        print(sum(await asyncio.gather(*(work() for _ in range(8)))))

asyncio.run(main(*sys.argv[1:]))
"""


async def test_processes_that_compete_spend_exactly_the_budget(world: World, redis_url: str) -> None:
    run = [sys.executable, "-c", COMPETITOR, redis_url, world.name]
    processes = [await asyncio.create_subprocess_exec(*run, stdout=asyncio.subprocess.PIPE) for _ in range(3)]
    printed = [await process.communicate() for process in processes]
    assert sum(int(out) for out, _ in printed) == 200


async def test_tasks_that_compete_never_hold_more_than_the_concurrency(world: World) -> None:
    limiter = world.limiter(Limits(concurrency=7))
    held, most = 0, 0

    async def work() -> None:
        nonlocal held, most
        for _ in range(10):
            answer = await limiter.acquire(world.name)
            if isinstance(answer, Granted):
                held += 1
                most = max(most, held)
                await asyncio.sleep(0)
                held -= 1
                await limiter.release(answer.lease)

    await asyncio.gather(*(work() for _ in range(40)))
    assert 1 < most <= 7
    assert (await limiter.status(world.name)).in_flight == 0
