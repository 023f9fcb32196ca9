"""The limiter on a real Redis, with a clock that the test moves."""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from broker.limiter import (
    Breaker,
    Budget,
    Granted,
    LimiterUnreachable,
    Limits,
    ProviderLimiter,
    Rate,
    UnknownProvider,
    Wait,
    open_limiter,
)
from broker.limits import PeriodKind, pace_allows_at, period_at

START = datetime(2026, 11, 10, 9, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
PLAIN = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@dataclass
class Clock:
    """Stands still until it is moved."""

    now: datetime = START

    def __call__(self) -> datetime:
        return self.now

    def forward(self, by: timedelta) -> None:
        self.now += by


@dataclass
class World:
    """One provider of its own on the shared Redis, and what the database says was spent."""

    redis: Redis
    clock: Clock = field(default_factory=Clock)
    name: str = field(default_factory=lambda: f"p{uuid.uuid4().hex}")
    spent: int = 0
    asked: list[tuple[str, datetime]] = field(default_factory=list)

    async def spent_since(self, provider: str, start: datetime) -> int:
        self.asked.append((provider, start))
        return self.spent

    def limiter(self, limits: Limits, breaker: Breaker | None = None) -> ProviderLimiter:
        return ProviderLimiter(
            redis=self.redis,
            limits={self.name: limits},
            spent_since=self.spent_since,
            breaker=breaker or Breaker(jitter=0.0),
            spread_s=0.0,
            clock=self.clock,
            rng=Random(7),
        )

    async def flush(self) -> None:
        keys = [key async for key in self.redis.scan_iter(f"{{sluice:{self.name}}}*")]
        await self.redis.delete(*keys)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = Redis.from_pool(BlockingConnectionPool.from_url(redis_url, max_connections=20))
    yield client
    await client.aclose()


@pytest.fixture
def world(redis: Redis) -> World:
    return World(redis)


async def granted(limiter: ProviderLimiter, provider: str, cost: int = 1, patience_s: float = 2.0) -> Granted:
    answer = await limiter.acquire(provider, cost, patience_s=patience_s)
    assert isinstance(answer, Granted), answer
    return answer


async def refused(limiter: ProviderLimiter, provider: str, cost: int = 1, patience_s: float = 2.0) -> Wait:
    answer = await limiter.acquire(provider, cost, patience_s=patience_s)
    assert isinstance(answer, Wait), answer
    return answer


class TestRates:
    @PLAIN
    @given(
        rates=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3000)), min_size=1, max_size=3),
        asks=st.lists(st.tuples(st.integers(0, 900), st.sampled_from([0.0, 0.5, 2.0])), min_size=1, max_size=40),
    )
    async def test_no_window_ever_holds_more_than_its_calls_and_no_slot_is_wasted(
        self, redis: Redis, rates: list[tuple[int, int]], asks: list[tuple[int, float]]
    ) -> None:
        world = World(redis)
        limiter = world.limiter(Limits(tuple(Rate(calls, ms / 1000) for calls, ms in rates)))
        slots: list[datetime] = []
        for gap_ms, patience_s in asks:
            world.clock.forward(gap_ms * timedelta(milliseconds=1))
            best = earliest(world.clock.now, slots, rates)
            answer = await limiter.acquire(world.name, patience_s=patience_s)
            if isinstance(answer, Granted):
                slots.append(world.clock.now + timedelta(seconds=answer.delay_s))
                assert slots[-1] == best
                assert answer.delay_s <= patience_s
            else:
                assert answer.state == "rate"
                assert answer.until >= best > world.clock.now + timedelta(seconds=patience_s)
        assert not any(crowded(slots, first, calls, ms) for first in slots for calls, ms in rates)

    async def test_a_clock_that_lags_behind_does_not_get_more(self, world: World) -> None:
        limiter = world.limiter(Limits((Rate(1, 1.0),)))
        await granted(limiter, world.name)
        world.clock.forward(-SECOND / 2)
        assert (await granted(limiter, world.name)).delay_s == pytest.approx(1.5, abs=1e-5)

    async def test_a_slot_from_a_clock_that_was_set_back_blocks_nobody(self, world: World) -> None:
        limiter = world.limiter(Limits((Rate(1, 1.0),)))
        world.clock.forward(timedelta(hours=1))
        await granted(limiter, world.name)
        world.clock.forward(-timedelta(hours=1))
        assert (await granted(limiter, world.name)).delay_s == 0

    async def test_a_hundred_refused_callers_come_back_at_different_times(self, world: World) -> None:
        limiter = world.limiter(Limits((Rate(10, 1.0),)))
        answers = await asyncio.gather(*(limiter.acquire(world.name) for _ in range(120)))
        waits = [answer for answer in answers if isinstance(answer, Wait)]
        assert len(waits) == 100
        assert len({wait.until for wait in waits}) == 100
        assert max(wait.until for wait in waits) <= START + 34 * SECOND
        assert waits[0].reason.startswith("rate: 10 calls a second, next slot at 2026-11-10T09:00:")

    async def test_windows_are_stretched_by_the_spread_of_arrivals(self, world: World) -> None:
        limiter = world.limiter(Limits((Rate(1, 1.0),)))
        limiter.spread_s = 0.25
        await granted(limiter, world.name)
        assert (await granted(limiter, world.name)).delay_s == pytest.approx(1.25, abs=1e-5)


def earliest(now: datetime, slots: list[datetime], rates: list[tuple[int, int]]) -> datetime:
    """The first time not before the last slot at which one more call crowds no window: by trying all that matter."""
    tick = timedelta(microseconds=1)
    ends = [slot + ms * timedelta(milliseconds=1) + tick for slot in slots for _, ms in rates]
    start = max([now, *slots])
    for at in sorted({start, *(end for end in ends if end > start)}):
        if not any(crowded([*slots, at], first, calls, ms) for first in [*slots, at] for calls, ms in rates):
            return at
    raise AssertionError("a slot is always free in the end")


def crowded(slots: list[datetime], first: datetime, calls: int, ms: int) -> bool:
    return sum(first <= slot <= first + ms * timedelta(milliseconds=1) for slot in slots) > calls


class TestConcurrency:
    async def test_a_slot_given_back_is_free_at_once(self, world: World) -> None:
        limiter = world.limiter(Limits(concurrency=2))
        first, _ = await granted(limiter, world.name), await granted(limiter, world.name)
        wait = await refused(limiter, world.name)
        assert (wait.state, wait.until) == ("concurrency", START + SECOND)
        await limiter.release(first.lease)
        await limiter.release(first.lease)
        await granted(limiter, world.name)
        await refused(limiter, world.name)

    async def test_a_killed_worker_gives_its_slot_back(self, world: World) -> None:
        limiter = world.limiter(Limits(concurrency=1, timeout_s=40))
        lost = await granted(limiter, world.name)
        world.clock.now = lost.lease.expires_at - timedelta(microseconds=1)
        await refused(limiter, world.name)
        world.clock.now = lost.lease.expires_at
        await granted(limiter, world.name)

    async def test_a_late_release_takes_no_slot_from_another(self, world: World) -> None:
        limiter = world.limiter(Limits(concurrency=1))
        lost = await granted(limiter, world.name)
        world.clock.now = lost.lease.expires_at
        await granted(limiter, world.name)
        await limiter.release(lost.lease)
        assert (await refused(limiter, world.name)).state == "concurrency"


class TestBudgets:
    async def test_a_used_up_quota_stops_until_the_month_turns(self, world: World) -> None:
        world.clock.now = datetime(2026, 11, 30, 23, 59, 50, tzinfo=UTC)
        world.spent = 2999
        limiter = world.limiter(Limits(budget=Budget(3000, "month")))
        await granted(limiter, world.name)
        wait = await refused(limiter, world.name)
        december = datetime(2026, 12, 1, tzinfo=UTC)
        assert (wait.state, wait.until) == ("quota", december)
        assert wait.reason == "budget of 3000 calls a month is used up until 2026-12-01T00:00Z"
        world.clock.now = december - timedelta(microseconds=1)
        await refused(limiter, world.name)
        world.clock.now, world.spent = december, 0
        await granted(limiter, world.name)
        assert world.asked == [(world.name, datetime(2026, 11, 1, tzinfo=UTC)), (world.name, december)]

    async def test_a_reserved_slot_never_slips_into_the_next_period(self, world: World) -> None:
        world.clock.now = datetime(2026, 11, 10, 23, 59, 59, 500000, tzinfo=UTC)
        limiter = world.limiter(Limits((Rate(1, 1.0),), budget=Budget(1000, "day")))
        await granted(limiter, world.name)
        wait = await refused(limiter, world.name)
        assert wait.until > datetime(2026, 11, 11, tzinfo=UTC)

    async def test_an_eager_user_gets_all_of_the_amount_before_the_day_ends(self, world: World) -> None:
        world.clock.now = datetime(2026, 11, 10, tzinfo=UTC)
        limiter = world.limiter(Limits(budget=Budget(60, "day")))
        for _ in range(60):
            answer = await limiter.acquire(world.name)
            if isinstance(answer, Wait):
                assert answer.state == "pace"
                assert answer.until - world.clock.now <= timedelta(minutes=24)
                world.clock.now = answer.until
                await granted(limiter, world.name)
        assert (await refused(limiter, world.name)).state == "quota"
        assert world.clock.now < datetime(2026, 11, 11, tzinfo=UTC)

    @PLAIN
    @given(
        kind=st.sampled_from(["day", "week", "month"]),
        spending=st.tuples(st.integers(1, 1_000_000), st.floats(0, 1), st.integers(1, 60)),
        offset=st.integers(-3, 3).map(lambda us: us * timedelta(microseconds=1)),
    )
    async def test_the_script_keeps_the_pace_that_is_written_in_python(
        self, redis: Redis, kind: PeriodKind, spending: tuple[int, float, int], offset: timedelta
    ) -> None:
        amount, share, cost = spending
        world = World(redis, spent=int(amount * share))
        period = period_at(kind, START)
        at = pace_allows_at(period, amount=amount, spent=world.spent, cost=cost)
        limiter = world.limiter(Limits(budget=Budget(amount, kind)))
        world.clock.now = max(period.start, (at or START) + offset)
        answer = await limiter.acquire(world.name, cost)
        if at is None:
            assert isinstance(answer, Wait)
            assert (answer.state, answer.until) == ("quota", period.end)
        elif world.clock.now >= at:
            assert isinstance(answer, Granted)
        else:
            assert isinstance(answer, Wait)
            assert (answer.state, answer.until) == ("pace", at)

    async def test_a_call_that_costs_nothing_is_free_of_a_used_up_budget(self, world: World) -> None:
        world.spent = 90
        limiter = world.limiter(Limits(budget=Budget(90, "month", "credits")))
        await refused(limiter, world.name)
        await granted(limiter, world.name, cost=0)
        assert (await limiter.status(world.name)).spent == 90

    async def test_a_refused_call_costs_nothing(self, world: World) -> None:
        limiter = world.limiter(Limits((Rate(1, 60.0),), budget=Budget(1000, "day")))
        await granted(limiter, world.name)
        for _ in range(5):
            assert (await refused(limiter, world.name)).state == "rate"
        assert (await limiter.status(world.name)).spent == 1


class TestSettling:
    async def test_what_was_charged_replaces_what_was_booked_once(self, world: World) -> None:
        limiter = world.limiter(Limits(budget=Budget(1000, "day", "credits")))
        lease = (await granted(limiter, world.name, cost=5)).lease
        await limiter.settle(lease, charged=0)
        await limiter.settle(lease, charged=0)
        assert (await limiter.status(world.name)).spent == 0

    async def test_an_account_with_less_than_the_budget_sets_the_pace(self, world: World) -> None:
        world.clock.now = datetime(2026, 11, 1, tzinfo=UTC)
        limiter = world.limiter(Limits(budget=Budget(1000, "month", "credits")))
        lease = (await granted(limiter, world.name, cost=5)).lease
        await limiter.settle(lease, charged=5, remaining=15)
        status = await limiter.status(world.name)
        assert (status.spent, status.account_left) == (5, 15)
        wait = await refused(limiter, world.name, cost=5)
        assert (wait.state, wait.until) == ("pace", datetime(2026, 11, 8, 12, tzinfo=UTC))
        wait = await refused(limiter, world.name, cost=16)
        assert wait.reason == "the account has 15 credits left for a call of 16: wait until 2026-12-01T00:00Z"

    async def test_an_account_that_was_filled_up_counts_again_but_never_above_the_budget(self, world: World) -> None:
        limiter = world.limiter(Limits(budget=Budget(1000, "day", "credits")))
        await limiter.settle((await granted(limiter, world.name)).lease, remaining=1)
        world.clock.now = datetime(2026, 11, 10, 12, 0, tzinfo=UTC)
        await limiter.settle((await granted(limiter, world.name)).lease, remaining=50_000)
        assert (await refused(limiter, world.name, cost=999)).state == "quota"
        await granted(limiter, world.name, cost=500)

    async def test_settling_after_a_flush_leaves_the_count_to_the_database(self, world: World) -> None:
        limiter = world.limiter(Limits(budget=Budget(1000, "day")))
        lease = (await granted(limiter, world.name)).lease
        await world.flush()
        await limiter.settle(lease, charged=3, remaining=7)
        world.spent = 42
        assert (await limiter.status(world.name)).spent == 42


class TestSeeding:
    async def test_a_flushed_redis_is_restored_before_anything_is_granted(self, world: World) -> None:
        limiter = world.limiter(Limits(budget=Budget(10, "day")))
        await granted(limiter, world.name)
        await world.flush()
        world.spent = 10
        assert (await refused(limiter, world.name)).state == "quota"

    async def test_many_who_find_the_count_missing_lose_none(self, world: World) -> None:
        world.spent = 80
        world.clock.now = datetime(2026, 11, 10, 23, 59, tzinfo=UTC)
        limiter = world.limiter(Limits(budget=Budget(100, "day")))
        answers = await asyncio.gather(*(limiter.acquire(world.name) for _ in range(50)))
        assert sum(isinstance(answer, Granted) for answer in answers) == 20

    async def test_a_seed_never_lowers_the_count(self, world: World) -> None:
        limiter = world.limiter(Limits(budget=Budget(100, "day")))
        await limiter.seed_spent(world.name, START, 30)
        await limiter.seed_spent(world.name, START, 20)
        assert (await limiter.status(world.name)).spent == 30
        assert world.asked == []


class TestBreaker:
    async def test_it_opens_after_failures_in_a_row_and_one_probe_goes_through(self, world: World) -> None:
        limiter = world.limiter(Limits())
        for _ in range(4):
            assert await limiter.failed(world.name) is None
        await granted(limiter, world.name)
        assert await limiter.failed(world.name) == START + 30 * SECOND
        wait = await refused(limiter, world.name)
        assert (wait.state, wait.until) == ("breaker", START + 30 * SECOND)
        assert wait.reason == "circuit open after 5 failures until 2026-11-10T09:00:30Z"
        world.clock.now = wait.until
        answers = await asyncio.gather(*(limiter.acquire(world.name) for _ in range(20)))
        assert sum(isinstance(answer, Granted) and answer.probe for answer in answers) == 1
        assert sum(isinstance(answer, Wait) and answer.state == "breaker" for answer in answers) == 19
        await limiter.succeeded(world.name)
        assert not (await granted(limiter, world.name)).probe

    async def test_a_success_in_between_starts_the_count_again(self, world: World) -> None:
        limiter = world.limiter(Limits())
        for _ in range(3):
            for _ in range(4):
                await limiter.failed(world.name)
            await limiter.succeeded(world.name)
        await granted(limiter, world.name)

    async def test_each_failed_probe_doubles_the_time_up_to_a_quarter_of_an_hour(self, world: World) -> None:
        limiter = world.limiter(Limits(), Breaker(failures=1, jitter=0.0))
        spans = []
        for _ in range(8):
            until = await limiter.failed(world.name)
            assert until is not None
            spans.append((until - world.clock.now).total_seconds())
            world.clock.now = until
            assert (await granted(limiter, world.name)).probe
        assert spans == [30, 60, 120, 240, 480, 900, 900, 900]

    async def test_jitter_lengthens_an_opening_but_not_beyond_the_longest(self, world: World) -> None:
        limiter = world.limiter(Limits(), Breaker(failures=1, jitter=0.1))
        until = await limiter.failed(world.name)
        assert until is not None
        assert START + 30 * SECOND < until < START + 33 * SECOND

    async def test_failures_of_calls_under_way_do_not_lengthen_an_opening(self, world: World) -> None:
        limiter = world.limiter(Limits(), Breaker(failures=1, jitter=0.0))
        assert await limiter.failed(world.name) == await limiter.failed(world.name) == START + 30 * SECOND

    async def test_a_probe_that_was_killed_or_ends_without_verdict_makes_room_for_the_next(self, world: World) -> None:
        limiter = world.limiter(Limits(), Breaker(failures=1, jitter=0.0))
        await limiter.failed(world.name)
        world.clock.forward(30 * SECOND)
        first = await granted(limiter, world.name)
        assert "one call is trying" in (await refused(limiter, world.name)).reason
        await limiter.release(first.lease)
        second = await granted(limiter, world.name)
        world.clock.now = second.lease.expires_at
        assert (await granted(limiter, world.name)).probe


class TestClosing:
    async def test_a_closed_provider_waits_and_the_longest_closing_holds(self, world: World) -> None:
        limiter = world.limiter(Limits())
        await limiter.close_until(world.name, START + 60 * SECOND, "provider answered 429")
        await limiter.close_until(world.name, START + 10 * SECOND, "shorter")
        await limiter.close_until(world.name, START - SECOND, "over already")
        wait = await refused(limiter, world.name)
        assert (wait.state, wait.until) == ("closed", START + 60 * SECOND)
        assert wait.reason == "provider answered 429: wait until 2026-11-10T09:01Z"
        world.clock.forward(60 * SECOND)
        await granted(limiter, world.name)

    async def test_a_quota_that_the_provider_calls_used_up_is_said_to_be_a_quota(self, world: World) -> None:
        limiter = world.limiter(Limits())
        await limiter.close_until(world.name, START + 60 * SECOND, "API monthly quota exceeded", "quota")
        assert (await refused(limiter, world.name)).state == "quota"

    async def test_reopening_forgets_closings_and_failures(self, world: World) -> None:
        limiter = world.limiter(Limits(), Breaker(failures=1))
        await limiter.failed(world.name)
        await limiter.close_until(world.name, START + 60 * SECOND, "paused")
        await limiter.reopen(world.name)
        await granted(limiter, world.name)


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
