"""How often, and how many at a time."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from broker.limiter import (
    Granted,
    Limits,
    Rate,
    Wait,
)
from tests.integration.limiter.world import PLAIN, SECOND, START, World, granted, refused


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
