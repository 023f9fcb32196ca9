"""The maths of quality: shares, schedules, ages, and what is not known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker import quality
from broker.quality import Figures, Schedule, Volume, accuracy, duplicate_rate, freshness, level_of, timeliness, usual

NOON = datetime(2026, 8, 17, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
HOURLY = Schedule(HOUR, None, anchor=NOON)
SHARES = st.none() | st.floats(0, 1)


def ended(*hours: float) -> list[datetime]:
    """Successes so many hours after noon."""
    return [NOON + HOUR * hour for hour in hours]


def test_the_score_weighs_completeness_timeliness_and_accuracy() -> None:
    assert Figures(1.0, 0.5, 0.0).score == pytest.approx(0.3 + 0.2)


def test_a_figure_without_data_is_neither_0_nor_1_in_the_score() -> None:
    assert Figures(None, 0.5, None).score == pytest.approx(0.5)
    assert Figures(0.8, None, 0.4).score == pytest.approx(0.6)


def test_without_any_data_the_score_and_its_level_are_unknown() -> None:
    assert Figures(None, None, None).score is None
    assert Figures(None, None, None).level == "unknown"


@pytest.mark.parametrize(
    ("score", "level"), [(1.0, "ok"), (0.7, "ok"), (0.69, "alert"), (0.5, "alert"), (0.49, "high"), (0.0, "high")]
)
def test_the_level_is_alert_below_7_tenths_and_high_below_5(score: float, level: str) -> None:
    assert level_of(score) == level


@given(SHARES, SHARES, SHARES)
def test_the_score_lies_between_the_figures_it_is_made_of(a: float | None, b: float | None, c: float | None) -> None:
    known = [figure for figure in (a, b, c) if figure is not None]
    score = Figures(a, b, c).score
    assert (score is None) == (not known)
    assert score is None or min(known) - 1e-9 <= score <= max(known) + 1e-9


def test_no_rows_say_nothing_about_accuracy_or_repetition() -> None:
    assert accuracy(0, 0) is None
    assert duplicate_rate(0, 0) is None


def test_accuracy_is_the_share_of_rows_that_were_not_rejected() -> None:
    assert accuracy(10, 3) == pytest.approx(0.7)
    assert accuracy(4, 4) == 0.0


def test_every_due_run_that_succeeded_before_the_next_is_on_time() -> None:
    told = timeliness(HOURLY, ended(0.1, 1.1, 2.1), last_success=ended(2.1)[0], start=NOON, now=NOON + 3 * HOUR)
    assert (told.due, told.on_time, told.figure) == (3, 3, 1.0)


def test_a_run_that_was_missed_counts_though_no_job_tells_of_it() -> None:
    told = timeliness(HOURLY, ended(0.1, 3.1), last_success=ended(3.1)[0], start=NOON, now=NOON + 4 * HOUR)
    assert (told.due, told.on_time) == (4, 2)
    assert told.figure == 0.5


def test_two_successes_in_one_interval_are_one_run_on_time() -> None:
    told = timeliness(HOURLY, ended(0.1, 0.2, 0.3), last_success=ended(0.3)[0], start=NOON, now=NOON + 2 * HOUR)
    assert (told.due, told.on_time) == (2, 1)


def test_the_run_that_is_due_now_still_has_its_chance() -> None:
    told = timeliness(HOURLY, ended(0.1), last_success=ended(0.1)[0], start=NOON, now=NOON + 1.5 * HOUR)
    assert (told.due, told.on_time, told.figure) == (1, 1, 1.0)


def test_a_stream_that_was_never_due_is_unknown() -> None:
    told = timeliness(HOURLY, [], last_success=None, start=NOON, now=NOON + timedelta(minutes=5))
    assert (told.due, told.age, told.figure) == (0, None, None)


def test_a_stream_that_never_succeeded_is_not_timely_at_all() -> None:
    told = timeliness(HOURLY, [], last_success=None, start=NOON, now=NOON + 5 * HOUR)
    assert (told.due, told.figure) == (5, 0.0)


def test_an_age_counts_its_days() -> None:
    last = NOON - timedelta(days=3, minutes=1)
    told = timeliness(HOURLY, [], last_success=last, start=NOON - HOUR, now=NOON)
    assert told.age == timedelta(days=3, minutes=1)
    assert freshness(HOURLY, last, NOON) == pytest.approx(1 / 72, rel=0.02)


def test_a_stream_is_fresh_until_the_run_after_its_last_success_is_overdue() -> None:
    assert freshness(HOURLY, NOON + timedelta(minutes=1), NOON + 2 * HOUR) == 1.0
    assert freshness(HOURLY, NOON + timedelta(minutes=1), NOON + 3 * HOUR) == 0.5


def test_a_weekend_does_not_age_a_stream_that_is_due_on_weekdays() -> None:
    weekdays = Schedule(None, "0 6 * * 1-5", anchor=NOON)
    friday, sunday = datetime(2026, 8, 21, 6, 1, tzinfo=UTC), datetime(2026, 8, 23, 20, tzinfo=UTC)
    assert freshness(weekdays, friday, sunday) == 1.0
    told = timeliness(weekdays, [friday], last_success=friday, start=sunday - timedelta(hours=24), now=sunday)
    assert (told.due, told.figure) == (0, 1.0)


@given(st.integers(-500, 500), st.integers(1, 200), st.integers(60, 90_000))
def test_due_times_are_a_grid_through_the_anchor(offset_min: int, length_min: int, step_s: int) -> None:
    schedule = Schedule(timedelta(seconds=step_s), None, anchor=NOON)
    start = NOON + timedelta(minutes=offset_min)
    end = start + timedelta(minutes=length_min)
    times = schedule.due_times(start, end)
    assert all((at - NOON) % timedelta(seconds=step_s) == timedelta() for at in times)
    assert start <= times[0] < start + timedelta(seconds=step_s)
    assert times[-1] >= end
    assert all(at < end for at in times[:-1])


def test_what_is_usual_is_the_median_of_enough_earlier_windows() -> None:
    assert usual([10, 1000, 12]) == 12
    assert usual([10, 12]) is None
    assert usual([0] * quality.BASELINE_WINDOWS_MIN) == 0


def test_a_volume_has_no_ratio_to_an_unknown_or_empty_baseline() -> None:
    assert Volume(5, None).ratio is None
    assert Volume(5, 0.0).ratio is None
    assert Volume(5, 10.0).ratio == 0.5
