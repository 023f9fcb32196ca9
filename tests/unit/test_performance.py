"""How well money did: known answers, and where a figure is not defined."""

from __future__ import annotations

import json
import math
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.performance import Day, performance, xirr
from tests.golden import SHARED

FIRST = date(2025, 1, 1)
KNOWN = SHARED / "15_performance.json"


def days(*told: tuple[float, float]) -> list[Day]:
    """Days in a row: equity at the end, flow before trading."""
    return [Day(FIRST + timedelta(days=n), equity, flow) for n, (equity, flow) in enumerate(told)]


@pytest.mark.skipif(not KNOWN.is_file(), reason="no folder ../shared/pnl/golden beside the checkout")
def test_the_known_answers() -> None:
    told = json.loads(KNOWN.read_text())
    series = zip(told["days"], told["equity"], told["flows"], strict=True)
    done = performance([Day(date.fromisoformat(on), equity, flow) for on, equity, flow in series])
    for name, expected in told["expected"].items():
        assert getattr(done, name) == pytest.approx(expected, abs=told["tolerance"]), name


def test_a_series_worked_by_hand() -> None:
    """100 becomes 110; 90 more come and 200 become 190; half is taken and 95 become 114."""
    done = performance(days((110, 100), (190, 90), (114, -95)))
    returns = [0.1, -0.05, 0.2]
    mean = sum(returns) / 3
    assert done.twr == pytest.approx(1.1 * 0.95 * 1.2 - 1)
    assert done.max_drawdown == pytest.approx(-0.05)
    spread = math.sqrt(sum((one - mean) ** 2 for one in returns) / 2)
    assert done.sharpe == pytest.approx(mean / spread * math.sqrt(365))
    assert done.sortino == pytest.approx(mean / math.sqrt(0.05**2 / 3) * math.sqrt(365))


def test_a_tenth_in_a_year_is_a_rate_of_a_tenth() -> None:
    assert xirr([Day(FIRST, 100, 100), Day(FIRST + timedelta(days=365), 110)]) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("told", "undefined"),
    [
        ([], {"twr", "xirr", "max_drawdown", "sharpe", "sortino"}),
        ([(100.0, 100.0)], {"xirr", "sharpe", "sortino"}),
        ([(100.0, 100.0), (100.0, 0.0)], {"sharpe", "sortino"}),
        ([(100.0, 100.0), (120.0, 0.0)], {"sortino"}),
        ([(100.0, 100.0), (0.0, -150.0)], {"twr", "xirr", "max_drawdown", "sharpe", "sortino"} - {"xirr"}),
    ],
)
def test_what_is_not_defined_is_unknown(told: list[tuple[float, float]], undefined: set[str]) -> None:
    done = performance(days(*told))
    names = ("twr", "xirr", "max_drawdown", "sharpe", "sortino")
    assert {name for name in names if getattr(done, name) is None} == undefined


def test_money_that_is_lost_wholly_has_fallen_by_all() -> None:
    assert performance(days((100, 100), (0, 0))).max_drawdown == -1


def test_days_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="in order"):
        performance([Day(FIRST, 1, 1), Day(FIRST, 2)])


@settings(deadline=None)
@given(st.lists(st.floats(-0.5, 0.5), min_size=2, max_size=30), st.floats(1, 1e6))
def test_without_flows_the_rate_is_the_return_of_the_whole_time(returns: list[float], begin: float) -> None:
    series, equity = [Day(FIRST, begin, begin)], begin
    for n, one in enumerate(returns, 1):
        equity *= 1 + one
        series.append(Day(FIRST + timedelta(days=n), equity))
    done = performance(series)
    growth = math.log(equity / begin) * 365 / len(returns)
    assert done.twr == pytest.approx(equity / begin - 1, abs=1e-9)
    if -10 < growth < 30:  # beyond, a rate is too near to -1 to tell its digits
        assert done.xirr is not None
        assert math.log1p(done.xirr) == pytest.approx(growth, abs=1e-6)
