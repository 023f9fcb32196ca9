"""The script against the model: every decision, remainder and wait of many random calls, on a real Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from random import Random

import pytest
from redis.asyncio import Redis

from gateway.limit.client import RING
from gateway.limit.verdict import HOUR_MS, MINUTE_MS, Limits
from ops.embedded import Stack
from tests.integration.gateway.limit_clock import CLOCKED, START, TIME, Call, Clocked
from tests.limit_model import Model

USER, ADMIN = Limits(), Limits().times(5)
CALLS, BATCH, CALLERS = 100_000, 500, 40
DAY_MS = 24 * HOUR_MS


@pytest.fixture
async def script(stack: Stack) -> AsyncIterator[Clocked]:
    async with Redis.from_url(stack.redis.start().database_url(10)) as redis:
        yield await Clocked.on(redis)
        await redis.flushdb()


class Caller:
    """One quota of the walk; how it asks changes now and then."""

    def __init__(self, number: int) -> None:
        self.rng = Random(number)
        self.key, self.model = f"model:{number}", Model()
        self.clock, self.limits, self.step_ms = START + self.rng.randrange(10**9), USER, 1000

    def next(self) -> Call:
        rng = self.rng
        chance = rng.random()
        if chance < 0.003:
            self.limits = rng.choice([USER, ADMIN, Limits(rng.randint(1, 90), rng.randint(1, 1500))])
        elif chance < 0.006:
            self.step_ms = rng.choice([0, 1, 30, 300, 900, 1100, 3600, 4000, MINUTE_MS])
        elif chance > 0.9995:
            self.clock += rng.choice([MINUTE_MS, HOUR_MS, 3 * HOUR_MS, 60 * DAY_MS]) + rng.randint(-2, 2)
        elif chance > 0.997:
            self.clock -= rng.choice([1, 700, MINUTE_MS, HOUR_MS // 2, 2 * HOUR_MS])
        self.clock += round(self.step_ms * rng.uniform(0, 2))
        return self.key, self.clock, self.limits, self._stamps() if 0.5 < chance < 0.501 else None

    def _stamps(self) -> list[int]:
        """Calls that were admitted while Redis was away; some are known by now to have been long ago."""
        spread = self.rng.choice([1000, MINUTE_MS, 2 * HOUR_MS])
        return sorted(self.clock - self.rng.randrange(spread) for _ in range(self.rng.randint(0, 70)))

    def expected(self, call: Call) -> tuple[int, ...] | None:
        _, clock, limits, stamps = call
        if stamps is None:
            return self.model.decide(clock, limits)
        self.model.push(clock, stamps)
        return None


def test_the_scripts_clock_is_replaced_and_nothing_else() -> None:
    lines = list(zip(RING.splitlines(), CLOCKED.splitlines(), strict=True))
    assert [ours for ours, clocked in lines if ours != clocked] == [TIME]


async def test_a_hundred_thousand_random_calls_are_decided_as_the_model_decides(script: Clocked) -> None:
    callers, verdicts = [Caller(number) for number in range(CALLERS)], {0: 0, 1: 0}
    for _ in range(CALLS // BATCH + 1):
        asked = [callers[n % CALLERS] for n in range(BATCH)]
        calls = [caller.next() for caller in asked]
        for caller, call, told in zip(asked, calls, await script.many(calls), strict=True):
            if (expected := caller.expected(call)) is not None:
                assert told == expected, f"caller {call[0]} at {call[1]} under {call[2]}"
                verdicts[told[0]] += 1
        for caller in callers:
            caller.model.trim()
    assert sum(verdicts.values()) >= CALLS
    assert min(verdicts.values()) > CALLS // 10, f"the walk must meet both answers often: {verdicts}"


class TestBoundaries:
    @pytest.mark.parametrize("limits", [USER, ADMIN], ids=["user", "admin"])
    async def test_case_39_one_more_than_the_minute_allows_is_refused_until_the_first_is_60_s_old(
        self, script: Clocked, limits: Limits
    ) -> None:
        key = f"case39:minute:{limits.minute}"
        told = await script.many([(key, START + n, limits, None) for n in range(limits.minute)])
        assert [one[0] for one in told] == [1] * limits.minute
        assert [one[2] for one in told] == list(range(limits.minute - 1, -1, -1))
        refused = await script(key, START + 59_999, limits)
        assert refused[:4] == (0, START + 59_999, 0, 1)
        assert (await script(key, START + 60_000, limits))[0] == 1
        assert (await script(key, START + 60_000, limits))[0] == 0

    @pytest.mark.parametrize("limits", [USER, ADMIN], ids=["user", "admin"])
    async def test_case_39_one_more_than_the_hour_allows_is_refused_until_the_first_is_an_hour_old(
        self, script: Clocked, limits: Limits
    ) -> None:
        key, step = f"case39:hour:{limits.hour}", HOUR_MS // limits.hour - 1
        told = await script.many([(key, START + n * step, limits, None) for n in range(limits.hour)])
        assert [one[0] for one in told] == [1] * limits.hour
        refused = await script(key, START + HOUR_MS - 1, limits)
        assert (refused[0], refused[2] > 0, refused[4:]) == (0, True, (0, 1))
        assert (await script(key, START + HOUR_MS, limits))[0] == 1

    async def test_case_40_a_burst_after_the_edge_of_a_minute_is_refused_for_the_burst_before_it(
        self, script: Clocked
    ) -> None:
        minute = START - START % MINUTE_MS
        before = [("case40", minute + 59_900, USER, None)] * 60
        after = [("case40", minute + 60_100, USER, None)] * 60
        assert [told[0] for told in await script.many(before)] == [1] * 60
        assert [told[0] for told in await script.many(after)] == [0] * 60

    async def test_case_44_refused_calls_charge_nothing_and_the_user_recovers_on_time(self, script: Clocked) -> None:
        await script.many([("case44", START, USER, None)] * 60)
        before = await script.redis.dump("case44")
        told = await script.many([("case44", START + n, USER, None) for n in range(500)])
        assert {one[0] for one in told} == {0}
        assert {one[4] for one in told} == {USER.hour - 60}
        assert await script.redis.dump("case44") == before
        assert (await script("case44", START + MINUTE_MS, USER))[0::4] == (1, USER.hour - 61)

    async def test_a_lower_role_acts_at_once_and_says_when_enough_has_left(self, script: Clocked) -> None:
        await script.many([("lower", START + n, ADMIN, None) for n in range(100)])
        refused = await script("lower", START + 100, USER)
        assert refused[:4] == (0, START + 100, 0, 40 + MINUTE_MS - 100)
        assert (await script("lower", START + 39 + MINUTE_MS, USER))[0] == 0
        assert (await script("lower", START + 40 + MINUTE_MS, USER))[0] == 1

    async def test_what_redis_reads_after_the_deadline_charges_nothing(self, script: Clocked) -> None:
        assert (await script("late", START + 51, USER, deadline=START + 50))[0] == -1
        assert not await script.redis.exists("late")
        assert (await script("late", START + 50, USER, deadline=START + 50))[0] == 1

    async def test_a_log_lives_longer_than_the_hour_it_counts_and_not_for_ever(self, script: Clocked) -> None:
        await script("life", START, USER)
        assert HOUR_MS < await script.redis.pttl("life") <= 3 * HOUR_MS
        await script.redis.persist("life")
        await script("life", START + HOUR_MS - 1000, USER)
        assert await script.redis.pttl("life") == -1
        await script("life", START + HOUR_MS, USER)
        assert await script.redis.pttl("life") > HOUR_MS

    @pytest.mark.parametrize(("limits", "bytes_max"), [(USER, 6_500), (ADMIN, 25_000)], ids=["user", "admin"])
    async def test_a_full_log_is_small(self, script: Clocked, limits: Limits, bytes_max: int) -> None:
        step = HOUR_MS // limits.hour - 1
        await script.many([("full", START + n * step, limits, None) for n in range(3 * limits.hour)])
        assert int(await script.redis.memory_usage("full") or 0) in range(1000, bytes_max + 1)
        await script.redis.delete("full")
