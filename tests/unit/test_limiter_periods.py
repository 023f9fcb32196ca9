"""Budgets turn at calendar borders in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.limits import Budget, Limits, PeriodKind, Rate, period_at, time_of_us, us_of_time

KINDS = st.sampled_from(["day", "week", "month"])
TIMES = st.datetimes(
    min_value=datetime(2000, 1, 1),  # noqa: DTZ001 - hypothesis wants them naive and adds the zone itself
    max_value=datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.integers(-14, 14).map(lambda hours: timezone(timedelta(hours=hours))),
)


@pytest.mark.parametrize(
    ("kind", "now", "start", "end"),
    [
        ("day", "2026-02-28T23:59:59.999999", "2026-02-28", "2026-03-01"),
        ("day", "2026-03-01T00:00:00", "2026-03-01", "2026-03-02"),
        ("week", "2026-11-22T23:59:59", "2026-11-16", "2026-11-23"),
        ("week", "2026-11-23T00:00:00", "2026-11-23", "2026-11-30"),
        ("week", "2027-01-01T12:00:00", "2026-12-28", "2027-01-04"),
        ("month", "2026-11-30T23:59:59.999999", "2026-11-01", "2026-12-01"),
        ("month", "2026-12-31T10:00:00", "2026-12-01", "2027-01-01"),
        ("month", "2028-02-29T10:00:00", "2028-02-01", "2028-03-01"),
        ("month", "2026-01-31T10:00:00", "2026-01-01", "2026-02-01"),
    ],
)
def test_a_period_runs_between_calendar_borders(kind: PeriodKind, now: str, start: str, end: str) -> None:
    period = period_at(kind, utc(now))
    assert (period.start, period.end) == (utc(start), utc(end))


def test_a_time_of_another_zone_counts_as_the_utc_day_it_is() -> None:
    tokyo = datetime(2026, 12, 1, 8, 59, tzinfo=timezone(timedelta(hours=9)))
    assert period_at("month", tokyo).start == utc("2026-11-01")


@given(KINDS, TIMES)
def test_periods_follow_one_another_without_gap_or_overlap(kind: PeriodKind, now: datetime) -> None:
    period = period_at(kind, now)
    assert period.start <= now < period.end
    assert period_at(kind, period.start) == period
    assert period_at(kind, period.end).start == period.end
    assert period_at(kind, period.start - timedelta(microseconds=1)).end == period.start


@given(TIMES)
def test_microseconds_keep_a_time_exactly(now: datetime) -> None:
    assert time_of_us(us_of_time(now)) == now
    assert us_of_time(now) < 2**53


def test_limits_that_allow_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one call"):
        Rate(0, 1.0)
    with pytest.raises(ValueError, match="above zero"):
        Rate(1, 0.0)
    with pytest.raises(ValueError, match="allows nothing"):
        Budget(0, "day")
    with pytest.raises(ValueError, match="allows nothing"):
        Limits(concurrency=0)
    with pytest.raises(ValueError, match="time-out"):
        Limits(timeout_s=0)


def test_limits_read_as_people_say_them() -> None:
    assert str(Rate(2, 1.0)) == "2 calls a second"
    assert str(Rate(300, 60)) == "300 calls a minute"
    assert str(Rate(5, 0.5)) == "5 calls in 0.5 seconds"
    assert str(Budget(3000, "month")) == "3000 calls a month"
    assert str(Budget(90, "week", "credits")) == "90 credits a week"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
