"""A paced budget lasts its period: even use is never refused, eager use is slowed but never stopped."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from broker.limits import Period, burst, pace_allows_at, paced_amount, period_at

US = timedelta(microseconds=1)
MONTH = period_at("month", datetime(2026, 11, 5, tzinfo=UTC))
PERIODS = st.sampled_from([period_at(kind, datetime(2026, 11, 5, tzinfo=UTC)) for kind in ("day", "week", "month")])
AMOUNTS = st.integers(1, 1_000_000)
COSTS = st.integers(1, 50)


def eager(period: Period, amount: int, costs: list[int]) -> list[tuple[datetime, int]]:
    """What somebody gets who asks again at the very moment that he was told: times and costs."""
    now, spent, got = period.start, 0, []
    for cost in costs:
        at = pace_allows_at(period, amount=amount, spent=spent, cost=cost)
        if at is None:
            break
        now = max(now, at)
        spent += cost
        got.append((now, cost))
    return got


@given(PERIODS, st.integers(1, 400), COSTS)
def test_even_use_is_never_refused(period: Period, calls: int, cost: int) -> None:
    amount = calls * cost
    for done in range(calls):
        now = period.start + period.length * done / calls
        at = pace_allows_at(period, amount=amount, spent=done * cost, cost=cost)
        assert at is not None
        assert at <= now + US


@given(PERIODS, st.integers(1, 3000), st.lists(COSTS, max_size=200))
def test_eager_use_spends_no_more_than_the_line_and_the_burst(period: Period, amount: int, costs: list[int]) -> None:
    spent = 0
    for now, cost in eager(period, amount, costs):
        spent += cost
        line = amount * ((now - period.start) / period.length)
        assert spent <= min(amount, line + burst(amount, cost) + 1e-6)


@given(PERIODS, st.integers(1, 300), st.integers(1, 9))
def test_eager_use_is_slowed_but_gets_all_of_the_amount(period: Period, calls: int, cost: int) -> None:
    amount = calls * cost
    got = eager(period, amount, [cost] * (calls + 1))
    assert sum(cost for _, cost in got) == amount
    waits = [later - earlier for (earlier, _), (later, _) in pairwise(got)]
    assert max(waits, default=timedelta(0)) <= period.length / calls + 2 * US
    assert got[-1][0] < period.end


@given(PERIODS, AMOUNTS, st.data())
def test_asking_at_the_time_told_is_granted(period: Period, amount: int, data: st.DataObject) -> None:
    cost = data.draw(st.integers(1, min(amount, 100)))
    spent = data.draw(st.integers(0, amount - cost))
    at = pace_allows_at(period, amount=amount, spent=spent, cost=cost)
    assert at is not None
    assert period.start <= at < period.end
    if cost == 1:
        assert spent + 1 <= paced_amount(period, amount=amount, now=at + US)


def test_what_was_not_used_stays_usable_until_the_period_ends() -> None:
    eve = MONTH.end - timedelta(hours=1)
    at = pace_allows_at(MONTH, amount=3000, spent=0, cost=2900)
    assert at is not None
    assert at < eve
    assert paced_amount(MONTH, amount=3000, now=eve) == 3000


def test_more_than_the_amount_is_never_allowed() -> None:
    assert pace_allows_at(MONTH, amount=3000, spent=3000, cost=1) is None
    assert pace_allows_at(MONTH, amount=10, spent=0, cost=11) is None
    assert paced_amount(MONTH, amount=3000, now=MONTH.end + timedelta(days=9)) == 3000


def test_the_burst_is_a_twentieth_or_the_call_itself() -> None:
    assert burst(3000) == 150
    assert burst(10) == 1
    assert burst(100, cost=25) == 25
    assert paced_amount(MONTH, amount=3000, now=MONTH.start) == 150


def test_an_eager_month_of_3000_calls_waits_about_a_quarter_of_an_hour_after_its_burst() -> None:
    got = eager(MONTH, 3000, [1] * 152)
    assert got[149][0] == MONTH.start
    assert got[150][0] == MONTH.start + timedelta(minutes=14, seconds=24)
