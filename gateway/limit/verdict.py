"""What the limiter decides, and how a client is told.

Everything a client reads (X-RateLimit-*, the two fields of draft-ietf-httpapi-ratelimit-headers, Retry-After and the
problem document) comes from one verdict, so that it agrees.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from random import Random
from typing import Literal, NamedTuple

from gateway.problems import Problem

MINUTE_MS, HOUR_MS = 60_000, 3_600_000
JITTER_FROM_S = 10
JITTER = 0.1
LIMIT_MAX = 1_000_000

Source = Literal["redis", "cache", "local"]


@dataclass(frozen=True, slots=True)
class Limits:
    """How many calls are admitted in any 60 s and in any 3600 s.  ``arguments`` is how the script is told."""

    minute: int = 60
    hour: int = 1000
    arguments: bytes = field(init=False, repr=False, compare=False)
    policy: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not (1 <= self.minute <= LIMIT_MAX and 1 <= self.hour <= LIMIT_MAX):
            raise ValueError(f"limits must lie between 1 and {LIMIT_MAX}: {self.minute} a minute, {self.hour} an hour")
        written = (f"${len(str(one))}\r\n{one}\r\n" for one in (self.minute, self.hour))
        object.__setattr__(self, "arguments", "".join(written).encode())
        object.__setattr__(self, "policy", f'"minute";q={self.minute};w=60,"hour";q={self.hour};w=3600')

    def times(self, factor: int) -> Limits:
        """A multiple of both, as administrators have."""
        return Limits(self.minute * factor, self.hour * factor)


class Verdict(NamedTuple):
    """One decision.  ``clock_ms`` is Redis's time of it (epoch); a wait lasts until more of that window is free.

    A window is violated when the call was refused and nothing of it is left.
    """

    admitted: bool
    limits: Limits
    clock_ms: int
    minute_left: int
    minute_wait_ms: int
    hour_left: int
    hour_wait_ms: int
    source: Source = "redis"

    @property
    def violated(self) -> list[str]:
        """The windows for whose sake the call was refused."""
        if self.admitted:
            return []
        left = (("minute", self.minute_left), ("hour", self.hour_left))
        return [name for name, remaining in left if remaining == 0]

    @property
    def retry_ms(self) -> int:
        """How long until a call would be admitted; 0 when this one was."""
        if self.admitted:
            return 0
        return max(0 if self.minute_left else self.minute_wait_ms, 0 if self.hour_left else self.hour_wait_ms)

    def later(self, by_ms: int) -> Verdict:
        """The same refusal, told so much later."""
        _, limits, clock, minute, minute_wait, hour, hour_wait, _ = self
        waits = max(0, minute_wait - by_ms), max(0, hour_wait - by_ms)
        return Verdict(False, limits, clock + by_ms, minute, waits[0], hour, waits[1], "cache")


def headers(verdict: Verdict, rng: Random) -> dict[str, str]:
    """Write a verdict for a client; Retry-After only on a refusal.

    X-RateLimit-* tell of the window that binds: the one with the smaller share left, on a refusal the one with the
    longest wait.  X-RateLimit-Reset is the epoch second in which its next call is free.
    """
    admitted, limits, clock, minute_left, minute_wait, hour_left, hour_wait, _ = verdict
    if admitted:
        by_minute = minute_left * limits.hour <= hour_left * limits.minute
    else:
        by_minute = minute_left == 0 and (hour_left > 0 or minute_wait >= hour_wait)
    limit, left, wait = (limits.minute, minute_left, minute_wait) if by_minute else (limits.hour, hour_left, hour_wait)
    told = {
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": str(left),
        "X-RateLimit-Reset": str(-(-(clock + wait) // 1000)),
        "RateLimit-Policy": limits.policy,
        "RateLimit": (
            f'"minute";r={minute_left};t={-(-minute_wait // 1000)},"hour";r={hour_left};t={-(-hour_wait // 1000)}'
        ),
    }
    if not admitted:
        told["Retry-After"] = str(_retry_after(wait, rng))
    return told


def _retry_after(wait_ms: int, rng: Random) -> int:
    # Never earlier than the wait; where clients have long to wait they are spread, so that they do not return as one.
    seconds = max(1, -(-wait_ms // 1000))
    return seconds + math.floor(seconds * JITTER * rng.random()) if seconds > JITTER_FROM_S else seconds


def refusal(verdict: Verdict, rng: Random) -> Problem:
    """Make the 429 of a verdict that did not admit."""
    violated = verdict.violated
    quotas = {"minute": f"{verdict.limits.minute} a minute", "hour": f"{verdict.limits.hour} an hour"}
    return Problem(
        "rate_limited",
        f"Admitted are {' and '.join(quotas[name] for name in violated)}",
        headers=headers(verdict, rng),
        **{"violated-policies": violated},
    )
