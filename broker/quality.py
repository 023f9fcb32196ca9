"""How good a stream is: three figures from 0 to 1, a score, and a level.  Pure.

    score = 0.3 completeness + 0.4 timeliness + 0.3 accuracy

A figure without data is None, "unknown": it is neither 0 nor 1, and the weights of the others are scaled to fill its
place.  Ages are timedeltas from end to end, so that days count.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import Literal

from cronsim import CronSim

Level = Literal["ok", "alert", "high", "unknown"]

COMPLETENESS_WEIGHT, TIMELINESS_WEIGHT, ACCURACY_WEIGHT = 0.3, 0.4, 0.3
ALERT_BELOW, HIGH_BELOW = 0.7, 0.5
BASELINE_WINDOWS_MIN = 3  # fewer earlier windows say nothing about what is usual


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a stream is due: every ``interval`` counted from ``anchor``, or by a cron line (UTC)."""

    interval: timedelta | None
    cron: str | None
    anchor: datetime

    def due_times(self, start: datetime, end: datetime) -> list[datetime]:
        """Give the times t at which it is due, start <= t < end, and the one after them."""
        if self.cron:
            return _cron_times(self.cron, start, end)
        step = self.interval or timedelta(minutes=5)
        first = self.anchor + step * -((self.anchor - start) // step)
        times = [first]
        while times[-1] < end:
            times.append(times[-1] + step)
        return times

    def after(self, moment: datetime) -> tuple[datetime, datetime]:
        """Give the first time after ``moment`` at which it is due, and the one after that, its deadline."""
        just_after = moment + timedelta(microseconds=1)
        horizon = just_after
        while len(times := self.due_times(just_after, horizon)) < 2:
            horizon = times[-1] + timedelta(microseconds=1)
        return times[0], times[1]


def _cron_times(line: str, start: datetime, end: datetime) -> list[datetime]:
    times: list[datetime] = []
    for at in CronSim(line, start - timedelta(microseconds=1)):
        times.append(at)
        if at >= end:
            break
    return times


@dataclass(frozen=True, slots=True)
class Timeliness:
    """How a stream keeps to its schedule: due runs that had their chance, and those that succeeded in time."""

    due: int
    on_time: int
    age: timedelta | None  # since the last success; None: there never was one
    figure: float | None


@dataclass(frozen=True, slots=True)
class Volume:
    """New items in the window, beside the median of the windows of the same length before it (None: unknown)."""

    new: int
    usual: float | None

    @property
    def ratio(self) -> float | None:
        """How the window compares with what is usual; 1 is as usual, None where that is unknown or nothing."""
        return self.new / self.usual if self.usual else None


@dataclass(frozen=True, slots=True)
class Figures:
    """The three figures of one stream in one window, 0 to 1, None where there is no data."""

    completeness: float | None
    timeliness: float | None
    accuracy: float | None

    @property
    def score(self) -> float | None:
        """The weighted mean of the figures that are known; None when none is."""
        weighed = (
            (COMPLETENESS_WEIGHT, self.completeness),
            (TIMELINESS_WEIGHT, self.timeliness),
            (ACCURACY_WEIGHT, self.accuracy),
        )
        known = [(weight, figure) for weight, figure in weighed if figure is not None]
        if not known:
            return None
        return sum(weight * figure for weight, figure in known) / sum(weight for weight, _ in known)

    @property
    def level(self) -> Level:
        """What the score asks for: nothing, a look (alert), a look now (high)."""
        return level_of(self.score)


def level_of(score: float | None) -> Level:
    """Name the level of a score."""
    if score is None:
        return "unknown"
    return "high" if score < HIGH_BELOW else "alert" if score < ALERT_BELOW else "ok"


def timeliness(
    schedule: Schedule,
    successes: Sequence[datetime],
    *,
    last_success: datetime | None,
    start: datetime,
    now: datetime,
) -> Timeliness:
    """Judge the runs due from ``start`` (the window, or the stream's first day) to ``now``.

    A due run is on time when a success ended before the next one was due.  The one that is due now still has its
    chance, and counts only when it has taken it.  The figure is the share of runs on time, and never more than what the
    age of the last success allows: 1 until the run after it is overdue, then falling with the intervals that passed.
    """
    times = schedule.due_times(start, now)
    slots = [(due, deadline) for due, deadline in pairwise(times) if due < now]
    ended = sorted(successes)
    kept = [_any_within(ended, due, deadline) for due, deadline in slots]
    judged = [good for good, (_, deadline) in zip(kept, slots, strict=True) if good or deadline <= now]
    share = sum(judged) / len(judged) if judged else None
    fresh = freshness(schedule, last_success, now)
    known = [figure for figure in (share, fresh) if figure is not None]
    age = None if last_success is None else now - last_success
    return Timeliness(len(judged), sum(judged), age, min(known) if known else None)


def _any_within(ended: Sequence[datetime], due: datetime, deadline: datetime) -> bool:
    place = bisect_right(ended, due)
    return place < len(ended) and ended[place] <= deadline


def freshness(schedule: Schedule, last_success: datetime | None, now: datetime) -> float | None:
    """Give 1 while the run after the last success is not overdue, then interval / time since it was due."""
    if last_success is None:
        return None
    due, deadline = schedule.after(last_success)
    return 1.0 if now <= deadline else (deadline - due) / (now - due)


def accuracy(found: int, rejected: int) -> float | None:
    """Give the share of rows that were not rejected; None where there was no row."""
    return None if found == 0 else 1 - rejected / found


def duplicate_rate(found: int, duplicate: int) -> float | None:
    """Give the share of rows that were known already; overlap makes some, all is nothing new."""
    return None if found == 0 else duplicate / found


def usual(earlier: Sequence[int]) -> float | None:
    """Give the median of earlier windows; None where there are too few to say."""
    return float(median(earlier)) if len(earlier) >= BASELINE_WINDOWS_MIN else None
