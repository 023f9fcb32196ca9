"""What a period allows, what a call cost, and where the count comes from."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from broker.limiter import (
    Budget,
    Granted,
    Limits,
    Rate,
    Wait,
)
from broker.limits import PeriodKind, pace_allows_at, period_at
from tests.integration.limiter.world import PLAIN, START, World, granted, refused


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

    async def test_an_account_that_was_filled_up_counts_again_when_somebody_says_so(self, world: World) -> None:
        limiter = world.limiter(Limits(budget=Budget(1000, "month", "credits")))
        await limiter.settle((await granted(limiter, world.name, cost=5)).lease, charged=5, remaining=0)
        assert (await refused(limiter, world.name, cost=5)).reason.startswith("the account has 0 credits left")
        await limiter.reopen(world.name)
        await granted(limiter, world.name, cost=5)
        status = await limiter.status(world.name)
        assert (status.spent, status.account_left) == (10, None)

    @pytest.mark.parametrize("order", list(permutations(["first", "second", "third"])))
    async def test_calls_under_way_at_a_flush_are_counted_once_however_they_end(
        self, world: World, order: tuple[str, ...]
    ) -> None:
        limiter = world.limiter(Limits(budget=Budget(1000, "day", "credits")))
        leases = {name: (await granted(limiter, world.name, cost=2)).lease for name in ("first", "second")}
        await world.flush()
        world.spent = 10  # what was written before
        leases["third"] = (await granted(limiter, world.name, cost=2)).lease
        for name in order:
            for _ in range(2):
                await limiter.settle(leases[name], charged=3)
        assert (await limiter.status(world.name)).spent == 10 + 3 * 3
        assert len(world.asked) == 2


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
