"""Guessing passwords is slow: so many wrong ones for one account from one network, and from one network for all.

Nothing is counted against the account itself, so that nobody can lock its owner out.  An attempt is charged before the
password is looked at and given back when it was right: guesses at the same time are not guessed for free.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from hashlib import sha256
from math import ceil
from time import monotonic
from typing import Any, TypeVar

from redis.exceptions import RedisError

from gateway.problems import Problem

ANSWER_S = 0.25
REST_S = 0.5
R = TypeVar("R")

# One window per count, from its first attempt on.  KEYS are of one network, and so of one slot of a cluster.
_CHARGE = """
for i = 1, 2 do
    if tonumber(redis.call('GET', KEYS[i]) or '0') >= tonumber(ARGV[i]) then
        local first = redis.call('SET', KEYS[i] .. ':told', '1', 'NX', 'PX', ARGV[3])
        return {i, redis.call('PTTL', KEYS[i]), first and 1 or 0}
    end
end
for i = 1, 2 do
    if redis.call('INCR', KEYS[i]) == 1 then
        redis.call('PEXPIRE', KEYS[i], ARGV[3])
    end
end
return {0, 0, 0}
"""
_GIVE_BACK = """
redis.call('DEL', KEYS[1], KEYS[1] .. ':told')
if tonumber(redis.call('GET', KEYS[2]) or '0') > 0 then
    redis.call('DECR', KEYS[2])
end
"""


@dataclass(frozen=True, slots=True)
class Guesses:
    """How many wrong passwords are taken in any ``window_s``: for an account from a network, and from a network."""

    account: int = 10
    network: int = 100
    window_s: float = 900.0


class TooMany(Exception):
    """No more guesses from here.  ``spread``: over accounts; ``first``: nobody was told so far in this window."""

    def __init__(self, *, wait_s: float, spread: bool, first: bool) -> None:
        super().__init__(f"wait {wait_s:.0f} s")
        self.wait_s, self.spread, self.first = wait_s, spread, first

    def problem(self) -> Problem:
        """What the client is told."""
        wait = max(1, ceil(self.wait_s))
        return Problem("rate_limited", "too many wrong passwords; wait", headers={"Retry-After": str(wait)})


def away() -> Problem:
    """What is said while Redis is: nobody logs in uncounted."""
    return Problem("unavailable", "logins wait for the limiter", headers={"Retry-After": "2"})


@dataclass(slots=True)
class LoginThrottle:
    """The counts, in Redis, for all gateways together; while it is away every question is ``unavailable``."""

    redis: Any
    guesses: Guesses = field(default_factory=Guesses)
    clock: Callable[[], float] = field(default=monotonic)
    _resting_until: float = 0.0

    async def charge(self, account: str, network: str) -> None:
        """Count an attempt.  Raises TooMany, or the problem ``unavailable``."""
        limits = (self.guesses.account, self.guesses.network, round(1000 * self.guesses.window_s))
        full, wait_ms, first = await self._ask(lambda: self.redis.eval(_CHARGE, 2, *_keys(account, network), *limits))
        if full:
            raise TooMany(wait_s=max(wait_ms, 0) / 1000, spread=full == 2, first=bool(first))

    async def give_back(self, account: str, network: str) -> None:
        """The password was right: forget what was counted for this account from here."""
        await self._ask(lambda: self.redis.eval(_GIVE_BACK, 2, *_keys(account, network)))

    async def reachable(self) -> None:
        """Raise ``unavailable`` where Redis is away."""
        await self._ask(self.redis.ping)

    async def _ask(self, question: Callable[[], Awaitable[R]]) -> R:
        if self.clock() < self._resting_until:
            raise away()
        try:
            async with asyncio.timeout(ANSWER_S):
                return await question()
        except (RedisError, OSError, TimeoutError):
            self._resting_until = self.clock() + REST_S
            raise away() from None


def _keys(account: str, network: str) -> tuple[str, str]:
    # Names that nobody has are counted as well, and are not kept as they were typed: a password is typed here at times.
    named = sha256(account.encode(errors="replace")).hexdigest()[:32]
    return f"sluice:login:{{{network}}}:{named}", f"sluice:login:{{{network}}}"
