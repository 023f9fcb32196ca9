"""One limiter for all providers, shared by all workers through Redis: rates, concurrency, budgets, circuit breaker.

Every decision is one Lua call, so that it is exact however many workers ask at once.

- Rates: a sliding window log of granted times; never more than ``calls`` in *any* ``per_s`` seconds.  Slots are
  reserved up to ``patience_s`` ahead; who would have to wait longer is refused, with a time of its own to come back.
- Budgets: calendar periods in UTC, never more than the amount, paced (``broker/limits.py``).
- Circuit breaker: opens after a row of failures, for twice as long each time; one probe tries whether it works again.

Times of windows, leases and the breaker are Redis's own, one clock for all, unless a clock is given (tests).  The keys
of one provider share a hash tag, so that they live in one slot of a cluster, and all of them expire by themselves.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from json import dumps
from random import Random
from typing import Any, Literal, cast
from uuid import uuid4

from redis.asyncio import BlockingConnectionPool, Redis

from broker.limits import Budget, Limits, Period, Rate, period_at, time_of_us, us_of_time
from broker.scripts import (
    LimiterUnreachable,
    ScriptCall,
    Scripts,
    budget_key,
    key,
    lease_time,
    question,
    reaching,
    strings,
    text,
)
from broker.verdicts import Because, Granted, Lease, ProviderStatus, Told, Wait, WaitState, sentence, status_of

__all__ = [
    "Ask",
    "Breaker",
    "Budget",
    "Done",
    "Granted",
    "Lease",
    "LimiterUnreachable",
    "Limits",
    "ProviderLimiter",
    "ProviderStatus",
    "Rate",
    "UnknownProvider",
    "Wait",
    "open_limiter",
]

SpentSince = Callable[[str, datetime], Awaitable[int]]
Clock = Callable[[], datetime]

PATIENCE_S_MAX = 60.0  # lua/acquire.lua takes slots further ahead than this for the leavings of a wrong clock
ANSWER_S_MAX = 5.0  # Redis answers in under a millisecond: who waits longer than this is better told
CONNECTIONS_MAX = 32  # of one process; more callers than that wait for their turn


class UnknownProvider(LookupError):
    """The limiter was not told the limits of this provider."""


@dataclass(frozen=True, slots=True)
class Breaker:
    """Opens after ``failures`` in a row for ``open_s``, doubled after each failed probe up to ``open_s_max``."""

    failures: int = 5
    open_s: float = 30.0
    open_s_max: float = 900.0
    jitter: float = 0.1  # an opening is longer by up to this share, so that providers do not come back in step


@dataclass(frozen=True, slots=True)
class Ask:
    """A question for one call of ``cost`` (in the unit of the budget; 0 is free of it).

    What is granted is booked for ``lease``: the same question asked again is answered again, and booked once.
    """

    provider: str
    cost: int = 1
    lease: str = field(default_factory=lambda: uuid4().hex)


@dataclass(frozen=True, slots=True)
class Done:
    """A call that was answered: what its headers say was ``charged``, and what ``remaining`` of the account."""

    lease: Lease
    charged: int | None = None
    remaining: int | None = None


@dataclass(frozen=True, slots=True)
class _Asked:
    provider: str
    cost: int
    limits: Limits
    period: Period | None
    lease: str
    keys: list[str]
    text: str


@dataclass(slots=True)
class ProviderLimiter:
    """Who may call a provider, and when.  Every method raises LimiterUnreachable while Redis does not answer.

    ``spent_since(provider, period_start)`` says what was spent in a period by the database's calls: it is asked when
    Redis has no count (a new period, a flush) before anything is granted.  Calls under way at a flush are added as they
    are settled: settle a call after it is written.  ``spread_s`` stretches the windows of rates: calls do not reach the
    provider as evenly as they leave here.
    """

    redis: Redis
    limits: Mapping[str, Limits]
    spent_since: SpentSince
    breaker: Breaker = field(default_factory=Breaker)
    spread_s: float = 0.05
    clock: Clock | None = None
    rng: Random = field(default_factory=Random)
    _run: Scripts = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._run = Scripts(self.redis)

    async def acquire(self, provider: str, cost: int = 1, *, patience_s: float = 2.0) -> Granted | Wait:
        """Ask for one call.

        Granted: sleep ``delay_s``, at most ``patience_s``, call, then release.  Wait: nothing was booked.
        """
        return (await self.acquire_all([Ask(provider, cost)], patience_s=patience_s))[0]

    async def acquire_all(self, wanted: Sequence[Ask], *, patience_s: float = 2.0) -> list[Granted | Wait]:
        """Ask several questions as ``acquire`` does, in order and in one trip to Redis.

        Where it raises, some may have been booked: ask the same ones again.
        """
        asked = [self._asked(ask, patience_s) for ask in wanted]
        told = await self._run.all([("acquire", ask.keys, (ask.text,)) for ask in asked])
        return [await self._decided(ask, *answer) for ask, answer in zip(asked, told, strict=True)]

    def _asked(self, wanted: Ask, patience_s: float) -> _Asked:
        provider, cost, lease = wanted.provider, wanted.cost, wanted.lease
        if cost < 0 or not 0 <= patience_s <= PATIENCE_S_MAX:
            raise ValueError(f"cost {cost} must not be negative, patience {patience_s} s within {PATIENCE_S_MAX:g} s")
        limits, now = self._limits(provider), self._now()
        period = period_at(limits.budget.period, now) if limits.budget and cost else None
        names = [key(provider, name) for name in ("closed", "breaker", "leases", "slots", "promised")]
        keys = [*names, budget_key(provider, period), key(provider, "lease", lease)]
        ask = question(limits, cost, period, lease=lease, patience_s=patience_s, spread_s=self.spread_s)
        if self.clock is not None:
            ask["now"] = us_of_time(now)
        return _Asked(provider, cost, limits, period, lease, keys, dumps(ask))

    async def _decided(self, asked: _Asked, verdict: Any, *told: Any) -> Granted | Wait:
        while text(verdict) == "seed" and asked.period is not None:
            await self._seed_from_calls(asked.provider, asked.period)
            verdict, *told = await self._run("acquire", asked.keys, asked.text)
        if text(verdict) == "granted":
            at, slot, probe = told
            expires_at = time_of_us(slot) + lease_time(asked.limits)
            lease = Lease(asked.lease, asked.provider, asked.cost, asked.period, expires_at)
            return Granted(lease, (slot - at) / 1e6, probe == 1)
        _, state, until, a, b, words = told
        because = Because(cast("WaitState", text(state)), time_of_us(until), a, b, text(words))
        return Wait(because.until, sentence(because, asked.limits, asked.cost), because.state)

    async def done_all(self, ended: Sequence[Done]) -> None:
        """The providers answered sensibly, so their circuits are closed; settle and release the leases, in one trip."""
        names = sorted({done.lease.provider for done in ended})
        calls: list[ScriptCall] = []
        for done in ended:
            calls += [*_settling(done), ("release", _held(done.lease), (done.lease.id,))]
        await self._run.all(calls, first_delete=[key(name, "breaker") for name in names])

    async def release(self, lease: Lease) -> None:
        """Give the concurrency slot back; a second time, or after it expired, changes nothing."""
        await self._run("release", _held(lease), lease.id)

    async def settle(self, lease: Lease, charged: int | None = None, remaining: int | None = None) -> None:
        """Take over what the answer's headers say: ``charged`` for this call, ``remaining`` of the account.

        What remains can lower what may still be spent in the period, never raise it above the budget.
        """
        for name, keys, args in _settling(Done(lease, charged, remaining)):
            await self._run(name, keys, *args)

    async def succeeded(self, provider: str) -> None:
        """The provider answered sensibly (a refused request is sensible too): the circuit is closed."""
        self._limits(provider)
        with reaching():
            await self.redis.delete(key(provider, "breaker"))

    async def failed(self, provider: str) -> datetime | None:
        """The provider did not answer sensibly; return until when the circuit is open, or None."""
        self._limits(provider)
        rules = self.breaker
        jitter = 1.0 + rules.jitter * self.rng.random()
        now = "" if self.clock is None else us_of_time(self.clock())
        figures = (rules.failures, round(rules.open_s * 1e6), round(rules.open_s_max * 1e6), jitter)
        until = await self._run("failed", [key(provider, "breaker")], now, *figures)
        return time_of_us(until) if until else None

    async def close_until(
        self, provider: str, until: datetime, reason: str, state: Literal["closed", "quota"] = "closed"
    ) -> None:
        """Let nobody call before ``until``, for a ``reason`` like "provider answered 429"; the longest one holds."""
        self._limits(provider)
        keep_ms = (until - self._now()) // timedelta(milliseconds=1) + 1000
        if keep_ms > 1000:
            await self._run("close", [key(provider, "closed")], us_of_time(until), keep_ms, state, reason)

    async def reopen(self, provider: str) -> None:
        """Forget closings, failures and what the account had left: the cause is mended (a new key, a larger plan)."""
        budget = self._limits(provider).budget
        period = period_at(budget.period, self._now()) if budget else None
        with reaching():
            async with self.redis.pipeline(transaction=False) as pipe:
                pipe.delete(key(provider, "closed"), key(provider, "breaker"))
                pipe.hdel(budget_key(provider, period), "total")
                await pipe.execute()

    async def seed_spent(self, provider: str, period_start: datetime, spent: int) -> None:
        """Restore what was spent in the period that starts at ``period_start``; never lowers the count."""
        budget = self._limits(provider).budget
        if budget is not None:
            await self._seed(provider, period_at(budget.period, period_start), spent)

    async def status(self, provider: str) -> ProviderStatus:
        """Say how the provider stands, for people."""
        limits, now = self._limits(provider), self._now()
        period = period_at(limits.budget.period, now) if limits.budget else None
        with reaching():
            async with self.redis.pipeline(transaction=False) as pipe:
                pipe.hgetall(key(provider, "closed"))
                pipe.hgetall(key(provider, "breaker"))
                pipe.zcount(key(provider, "leases"), f"({us_of_time(now)}", "+inf")
                pipe.hgetall(budget_key(provider, period))
                closed, breaker, in_flight, kept = await pipe.execute()
        counted = strings(kept)
        if period is not None and "spent" not in counted:
            counted["spent"] = str(await self._seed_from_calls(provider, period))
        told = Told(budget=counted, breaker=strings(breaker), closed=strings(closed), in_flight=int(in_flight))
        return status_of(provider, limits, now, period, told)

    async def _seed_from_calls(self, provider: str, period: Period) -> int:
        return await self._seed(provider, period, await self.spent_since(provider, period.start))

    async def _seed(self, provider: str, period: Period, spent: int) -> int:
        keep = max(period.end - self._now(), timedelta(0)) + timedelta(days=1)
        keys = [budget_key(provider, period)]
        return int(await self._run("seed", keys, spent, keep // timedelta(milliseconds=1)))

    def _limits(self, provider: str) -> Limits:
        try:
            return self.limits[provider]
        except KeyError:
            raise UnknownProvider(f"no limits are known for provider {provider!r}") from None

    def _now(self) -> datetime:
        return self.clock() if self.clock else datetime.now(UTC)


def _held(lease: Lease) -> list[str]:
    return [key(lease.provider, "leases"), key(lease.provider, "breaker")]


def _settling(done: Done) -> list[ScriptCall]:
    lease = done.lease
    if lease.period is None or (done.charged is None and done.remaining is None):
        return []
    keys = [budget_key(lease.provider, lease.period), key(lease.provider, "lease", lease.id)]
    told = ("" if done.charged is None else done.charged, "" if done.remaining is None else done.remaining)
    return [("settle", keys, told)]


@asynccontextmanager
async def open_limiter(
    url: str, limits: Mapping[str, Limits], spent_since: SpentSince
) -> AsyncIterator[ProviderLimiter]:
    """Connect to the Redis at ``url``, or raise LimiterUnreachable; close the connections at the end."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS_MAX,
        timeout=ANSWER_S_MAX,
        socket_timeout=ANSWER_S_MAX,
        socket_connect_timeout=ANSWER_S_MAX,
    )
    redis = Redis.from_pool(pool)
    try:
        with reaching():
            await cast("Awaitable[Any]", redis.ping())
        yield ProviderLimiter(redis, limits, spent_since)
    finally:
        await redis.aclose()
