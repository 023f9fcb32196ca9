"""Whether to try again, and when: one answer.

Retrying happens at one level, the job; nothing below it tries twice.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random

from workers.items import Malformed, QuotaUsedUp, RetryLater

BASE = timedelta(seconds=2)
CAP = timedelta(minutes=15)
DOUBLINGS_MAX = 16
JITTER = 0.1
JITTER_MAX = timedelta(seconds=30)


def backoff(error: Exception, attempt: int, rng: Random, now: datetime) -> timedelta | None:
    """Say how long to wait before the next attempt, or None to stop trying.

    ``attempt`` counts the attempts already made, from 1.  What a provider asks for (``after``, ``until``) is a floor:
    a little is added so that all who wait do not come back at once, and nothing is ever taken off.  Everything else
    waits a random part of an exponential (full jitter).  A used-up quota without a known end gives None: the caller
    knows the budget's period, this function does not.
    """
    match error:
        case RetryLater(after=timedelta() as asked):
            return _a_little_more(max(asked, timedelta(0)), rng)
        case RetryLater() | Malformed():
            return rng.random() * _ceiling(attempt)
        case QuotaUsedUp(until=datetime() as turns):
            return _a_little_more(max(turns - now, timedelta(0)), rng)
        case _:
            return None


def _ceiling(attempt: int) -> timedelta:
    return min(CAP, BASE * 2.0 ** min(max(attempt - 1, 0), DOUBLINGS_MAX))


def _a_little_more(asked: timedelta, rng: Random) -> timedelta:
    return asked + rng.random() * min(max(asked * JITTER, timedelta(seconds=1)), JITTER_MAX)
