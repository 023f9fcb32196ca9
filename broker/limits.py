"""What a provider allows, and the arithmetic of it: rates, calendar periods, and the pace of a budget.  Pure.

The pace of a budget is a straight line over its period with a head start: after a call of ``cost``, what is spent
may be at most ``amount * elapsed / length + burst``, where ``burst = max(cost, amount / 20)``.  Even use is never
refused, a share not used yet stays usable until the period ends, and an eager user waits for the line to catch up
with the next call: never longer than the share of time that the call itself is worth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

PeriodKind = Literal["day", "week", "month"]
BURST_DIVISOR = 20  # the head start is a twentieth, 5 %, of the amount; lua/acquire.lua is given the same figure

_SPANS = {1.0: "second", 60.0: "minute", 3600.0: "hour", 86400.0: "day"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Rate:
    """At most ``calls`` in any ``per_s`` seconds."""

    calls: int
    per_s: float

    def __post_init__(self) -> None:
        if self.calls < 1 or not 0 < self.per_s < math.inf:
            raise ValueError(f"a rate needs at least one call in a time above zero: {self.calls} in {self.per_s} s")

    def __str__(self) -> str:
        span = _SPANS.get(self.per_s)
        return f"{self.calls} calls a {span}" if span else f"{self.calls} calls in {self.per_s:g} seconds"


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be spent in one calendar period (UTC), in the provider's own unit."""

    amount: int
    period: PeriodKind
    unit: Literal["calls", "credits"] = "calls"

    def __post_init__(self) -> None:
        if self.amount < 1:
            raise ValueError(f"a budget of {self.amount} {self.unit} allows nothing; disable the provider instead")

    def __str__(self) -> str:
        return f"{self.amount} {self.unit} a {self.period}"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a provider allows where its headers do not say: start from the smallest."""

    rates: tuple[Rate, ...] = ()
    concurrency: int | None = None
    budget: Budget | None = None
    timeout_s: float = 40.0

    def __post_init__(self) -> None:
        if self.concurrency is not None and self.concurrency < 1:
            raise ValueError(f"a concurrency of {self.concurrency} allows nothing; disable the provider instead")
        if not 0 < self.timeout_s < math.inf:
            raise ValueError(f"a request needs a time-out above zero, not {self.timeout_s} s")


@dataclass(frozen=True, slots=True)
class Period:
    """One calendar period in UTC: from ``start`` up to, but not including, ``end``."""

    start: datetime
    end: datetime

    @property
    def length(self) -> timedelta:
        """How long it lasts."""
        return self.end - self.start


def period_at(kind: PeriodKind, now: datetime) -> Period:
    """Return the day, ISO week (from Monday) or month in UTC that ``now`` is in."""
    day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    match kind:
        case "day":
            return Period(day, day + timedelta(days=1))
        case "week":
            monday = day - timedelta(days=day.weekday())
            return Period(monday, monday + timedelta(days=7))
        case "month":
            first = day.replace(day=1)
            return Period(first, (first + timedelta(days=31)).replace(day=1))


def burst(amount: int, cost: int = 1) -> int:
    """How far a call of ``cost`` may be ahead of the straight line, in the unit of the budget."""
    return max(cost, -(-amount // BURST_DIVISOR))


def pace_allows_at(period: Period, *, amount: int, spent: int, cost: int) -> datetime | None:
    """When a call of ``cost`` keeps to the pace, though not before the period starts; None: not in this period."""
    if spent + cost > amount:
        return None
    ahead = spent + cost - burst(amount, cost)
    # Floats, in the order of lua/acquire.lua: both give the same microsecond.
    wait_us = math.ceil(float(ahead) * (period.length // _MICROSECOND) / amount)
    return period.start + max(wait_us, 0) * _MICROSECOND


def paced_amount(period: Period, *, amount: int, now: datetime) -> int:
    """How much the pace allows to have been spent by ``now``, by calls of cost 1."""
    elapsed = min(max(now - period.start, timedelta(0)), period.length)
    return min(amount, amount * (elapsed // _MICROSECOND) // (period.length // _MICROSECOND) + burst(amount))


def us_of_time(time: datetime) -> int:
    """Microseconds since 1970: what the scripts reckon with, exact in their doubles until the year 2255."""
    return (time - _EPOCH) // _MICROSECOND


def time_of_us(us: int) -> datetime:
    """The time that is ``us`` microseconds after the beginning of 1970."""
    return _EPOCH + us * _MICROSECOND
