"""When a stream is due again, and what job it becomes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.streams import Stream
from broker.timetable import BadScheduleError, cron_after, next_run, pull_job

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
STREAM = Stream(
    id=7,
    name="news",
    provider="cryptopanic",
    dataset="posts",
    params={"plan": "growth/v2"},
    interval_s=300,
    cron=None,
    overlap_s=3600,
    priority=3,
    watermark=None,
    enabled=True,
    pause_reason=None,
    next_run_at=NOW,
)


def test_a_stream_is_due_again_an_interval_after_it_was() -> None:
    assert next_run(STREAM, NOW) == NOW + 5 * MINUTE
    assert next_run(STREAM, NOW + 2 * MINUTE) == NOW + 5 * MINUTE


def test_runs_that_were_missed_are_not_made_up_for_and_the_beat_is_kept() -> None:
    assert next_run(STREAM, NOW + 62 * MINUTE) == NOW + 65 * MINUTE
    assert next_run(STREAM, NOW + 60 * MINUTE) == NOW + 65 * MINUTE


@given(st.integers(0, 10**6), st.integers(1, 10**5))
def test_the_next_run_is_never_in_the_past_and_at_most_an_interval_away(late_s: int, interval_s: int) -> None:
    now = NOW + timedelta(seconds=late_s)
    following = next_run(replace(STREAM, interval_s=interval_s), now)
    assert now < following <= now + timedelta(seconds=interval_s)


def test_a_cron_line_names_times_in_utc() -> None:
    assert next_run(replace(STREAM, interval_s=None, cron="30 6 * * 1-5"), NOW) == datetime(
        2026, 11, 23, 6, 30, tzinfo=UTC
    )
    assert cron_after("0 12 * * *", NOW) == NOW + timedelta(days=1)


@pytest.mark.parametrize("line", ["", "often", "61 * * * *", "* * * *", "0 0 30 2 *"])
def test_a_line_that_names_no_time_is_refused(line: str) -> None:
    with pytest.raises(BadScheduleError):
        cron_after(line, NOW)


def test_the_first_pull_has_no_beginning() -> None:
    job = pull_job(STREAM)
    assert job.args == {"provider": "cryptopanic", "dataset": "posts", "params": {"plan": "growth/v2"}}
    assert (job.kind, job.queue, job.priority, job.stream_id) == ("fetch", "fetch.cryptopanic", 3, 7)


def test_a_later_pull_reaches_behind_the_watermark_by_the_overlap() -> None:
    job = pull_job(replace(STREAM, watermark=NOW))
    assert job.args["since"] == "2026-11-20T11:00:00+00:00"


def test_a_backfill_of_a_stream_begins_at_the_beginning() -> None:
    assert "since" not in pull_job(replace(STREAM, watermark=NOW), kind="backfill").args
