"""Providers that fail, and providers that are closed."""

from __future__ import annotations

import asyncio

from broker.limiter import (
    Breaker,
    Granted,
    Limits,
    Wait,
)
from tests.integration.limiter.world import SECOND, START, World, granted, refused


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
