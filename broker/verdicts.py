"""What the limiter answers: granted or wait, in values that callers act on and sentences that people read.  Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from broker.limits import Budget, Limits, Period, pace_allows_at, paced_amount, time_of_us

WaitState = Literal["quota", "pace", "rate", "concurrency", "closed", "breaker"]
BreakerState = Literal["closed", "open", "half_open"]


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to one call.  It ends by itself at ``expires_at``, so that a killed worker gives its slot back."""

    id: str
    provider: str
    cost: int
    period: Period | None  # to which the cost is charged; None: nothing is charged
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Granted:
    """Call after ``delay_s`` seconds.  ``probe``: the one call that tries whether the provider works again."""

    lease: Lease
    delay_s: float = 0.0
    probe: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Not now: ask again at ``until``; ``reason`` says why, with the time, for people."""

    until: datetime
    reason: str
    state: WaitState


@dataclass(frozen=True, slots=True)
class ProviderStatus:
    """How a provider stands.  Amounts are in the unit of the budget; None where there is no budget.

    ``allowed`` is what the pace lets be spent by now; ``account_left`` what the provider last said is left, less what
    was spent since; ``next_at`` when the pace allows the next call of cost 1 (None: not before ``period.end``).
    """

    provider: str
    budget: Budget | None
    period: Period | None
    spent: int | None
    allowed: int | None
    account_left: int | None
    next_at: datetime | None
    in_flight: int
    concurrency: int | None
    breaker: BreakerState
    failures: int
    breaker_until: datetime | None
    closed_until: datetime | None
    closed_reason: str | None


@dataclass(frozen=True, slots=True)
class Because:
    """A refusal of ``lua/acquire.lua``: the state says what ``a`` and ``b`` mean, a closing brings its ``text``."""

    state: WaitState
    until: datetime
    a: int = 0
    b: int = 0
    text: str = ""


def sentence(because: Because, limits: Limits, cost: int) -> str:
    """Put a refusal into words, with its time."""
    a, b, until = because.a, because.b, said(because.until)
    if because.text:  # closed by the answer of a provider, or by a person
        return f"{because.text}: wait until {until}"
    match because.state:
        case "quota":
            text = _used_up(until, a, b, limits.budget, cost)
        case "pace":
            unit = limits.budget.unit if limits.budget else "calls"
            text = f"pacing: {a} of {b} {unit} spent, next at {until}"
        case "rate":
            text = f"rate: {limits.rates[a - 1]}, next slot at {until}"
        case "concurrency":
            text = f"concurrency: {a} of {b} calls are under way, ask again at {until}"
        case "breaker" if b:
            text = f"circuit half open after {a} failures, one call is trying; ask again at {until}"
        case "breaker":
            text = f"circuit open after {a} failures until {until}"
        case "closed":
            text = f"closed: wait until {until}"
    return text


def _used_up(until: str, spent: int, amount: int, budget: Budget | None, cost: int) -> str:
    if budget is not None and cost > budget.amount:
        return f"a call of {cost} {budget.unit} never fits a budget of {budget}; it is asked again at {until}"
    if budget is not None and amount < budget.amount:
        left = max(amount - spent, 0)
        return f"the account has {left} {budget.unit} left for a call of {cost}: wait until {until}"
    if spent < amount:
        return f"budget of {budget} has {amount - spent} left for a call of {cost}: wait until {until}"
    return f"budget of {budget} is used up until {until}"


def said(time: datetime) -> str:
    """Write a time as people read it: UTC, to the minute, or to the second where that matters."""
    utc = time.astimezone(UTC)
    return utc.strftime("%Y-%m-%dT%H:%MZ" if utc.second == 0 else "%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True)
class Told:
    """What Redis holds of a provider: hashes as they are kept there."""

    budget: Mapping[str, str]
    breaker: Mapping[str, str]
    closed: Mapping[str, str]
    in_flight: int


def status_of(provider: str, limits: Limits, now: datetime, period: Period | None, told: Told) -> ProviderStatus:
    """Read the hashes of ``lua/*.lua`` as of ``now``."""
    spent = allowed = left = next_at = None
    if limits.budget is not None and period is not None:
        spent = int(told.budget["spent"])
        left = int(told.budget["total"]) - spent if "total" in told.budget else None
        amount = limits.budget.amount if left is None else min(limits.budget.amount, spent + left)
        allowed = paced_amount(period, amount=amount, now=now) if amount > 0 else 0
        next_at = pace_allows_at(period, amount=amount, spent=spent, cost=1)
    open_until = _later("open_until", told.breaker, now)
    closed_until = _later("until", told.closed, now)
    return ProviderStatus(
        provider=provider,
        budget=limits.budget,
        period=period,
        spent=spent,
        allowed=allowed,
        account_left=left,
        next_at=next_at,
        in_flight=told.in_flight,
        concurrency=limits.concurrency,
        breaker=_breaker(told.breaker, open_until),
        failures=int(told.breaker.get("failures", 0)),
        breaker_until=open_until,
        closed_until=closed_until,
        closed_reason=told.closed["reason"] if closed_until else None,
    )


def _breaker(fields: Mapping[str, str], open_until: datetime | None) -> BreakerState:
    if open_until is not None:
        return "open"
    return "half_open" if "open_until" in fields else "closed"


def _later(name: str, fields: Mapping[str, str], now: datetime) -> datetime | None:
    time = time_of_us(int(fields[name])) if name in fields else None
    return time if time is not None and time > now else None
