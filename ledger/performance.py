"""How well money did: TWR, XIRR, drawdown, Sharpe, Sortino, of a series of days.  Pure.

Definitions.  ``equity`` is the worth of everything at the end of a day, after that day's flow.  A ``flow`` is an
outside deposit (+) or withdrawal (-), counted before the day's trading.  The daily return is
equity[i] / (equity[i-1] + flow[i]) - 1, with nothing before the first day.  TWR is the product of (1 + return) - 1.
The drawdown is the smallest of index / running peak - 1, the index starting at 1.  Sharpe is mean / sample deviation
x sqrt(365) at a risk-free rate of 0; Sortino divides by sqrt(mean(min(0, return)**2)).  XIRR is Act/365 on dated flows
(deposits negative) and the last equity as an inflow.

These are ratios of a model, not books: they are floats, and None where they are not defined.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

DAYS_A_YEAR = 365
_TINY = 1e-13
GROWTH_MAX = 600.0
"""The logarithm of the largest yearly factor that is looked at: a tenth in a day is 35."""
_Curve = Callable[[float], float]


@dataclass(frozen=True, slots=True)
class Day:
    """One day's end: worth of everything, and what came in (+) or went out (-) before trading."""

    on: date
    equity: float
    flow: float = 0.0


@dataclass(frozen=True, slots=True)
class Performance:
    """The figures; None where one is not defined."""

    twr: float | None
    xirr: float | None
    max_drawdown: float | None
    sharpe: float | None
    sortino: float | None


def performance(days: Sequence[Day]) -> Performance:
    """Work out all figures of consecutive days, oldest first.  Errors: ``ValueError`` for days out of order."""
    if any(later.on <= earlier.on for earlier, later in pairwise(days)):
        raise ValueError("days must come in order, each once")
    returns = daily_returns(days)
    if returns is None:
        return Performance(None, xirr(days), None, None, None)
    return Performance(twr(returns), xirr(days), max_drawdown(returns), sharpe(returns), sortino(returns))


def daily_returns(days: Sequence[Day]) -> list[float] | None:
    """Give each day's return; a day that began with nothing has 0, and debt makes the series undefined (None)."""
    returns: list[float] = []
    before = 0.0
    for day in days:
        invested = before + day.flow
        if invested < 0 or (invested == 0 and day.equity):
            return None
        returns.append(day.equity / invested - 1 if invested else 0.0)
        before = day.equity
    return returns


def twr(returns: Sequence[float]) -> float | None:
    """Chain the returns."""
    return math.prod(1 + one for one in returns) - 1 if returns else None


def max_drawdown(returns: Sequence[float]) -> float | None:
    """Give the deepest fall below an earlier peak, as a fraction <= 0."""
    if not returns:
        return None
    index = peak = 1.0
    deepest = 0.0
    for one in returns:
        index *= 1 + one
        peak = max(peak, index)
        deepest = min(deepest, index / peak - 1)
    return deepest


def sharpe(returns: Sequence[float]) -> float | None:
    """Give mean over sample deviation, a year's worth; None for fewer than two days or returns that never vary."""
    if len(returns) < 2:
        return None
    mean = math.fsum(returns) / len(returns)
    spread = math.sqrt(math.fsum((one - mean) ** 2 for one in returns) / (len(returns) - 1))
    return mean / spread * math.sqrt(DAYS_A_YEAR) if spread > _TINY else None


def sortino(returns: Sequence[float]) -> float | None:
    """Give mean over downside deviation, a year's worth; None where no day lost anything."""
    if not returns:
        return None
    downside = math.sqrt(math.fsum(min(0.0, one) ** 2 for one in returns) / len(returns))
    mean = math.fsum(returns) / len(returns)
    return mean / downside * math.sqrt(DAYS_A_YEAR) if downside > _TINY else None


def xirr(days: Sequence[Day]) -> float | None:
    """Find the yearly rate at which all flows and the last equity are worth nothing on the first day.

    None where flows never change sign, or all fall on one day: no rate makes them meet.
    """
    if len(days) < 2:
        return None
    flows = [((day.on - days[0].on).days / DAYS_A_YEAR, -day.flow) for day in days if day.flow]
    flows.append(((days[-1].on - days[0].on).days / DAYS_A_YEAR, days[-1].equity))
    if not (any(amount < 0 for _, amount in flows) and any(amount > 0 for _, amount in flows)):
        return None

    def worth(growth: float) -> float:
        return math.fsum(amount * math.exp(-growth * years) for years, amount in flows)

    bracket = _bracket(worth)
    return math.expm1(_bisected(worth, *bracket)) if bracket else None


def _bracket(worth: _Curve) -> tuple[float, float] | None:
    """Look outward from no growth, in growing steps, for the nearest change of sign."""
    reach, step = 0.0, 0.05
    while reach < GROWTH_MAX:
        for low, high in ((reach, reach + step), (-reach - step, -reach)):
            try:
                if (worth(low) > 0) != (worth(high) > 0):
                    return low, high
            except OverflowError:
                continue
        reach, step = reach + step, step * 1.5
    return None


def _bisected(worth: _Curve, low: float, high: float) -> float:
    rising = worth(high) > 0
    while high - low > 1e-15 * max(1.0, abs(low), abs(high)):
        middle = (low + high) / 2
        if middle in {low, high}:
            break
        if (worth(middle) > 0) == rising:
            high = middle
        else:
            low = middle
    return (low + high) / 2
