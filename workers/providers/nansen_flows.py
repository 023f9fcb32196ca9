"""The windows of ``tgm/flows``: which buckets a pull covers, and what must be asked to get them.

Three facts rule this file.  A range of at most 7 days comes in hours, a longer one in days.  The first bucket of every
answer has zero in- and outflow, although the same hour has real values in a window that starts earlier.  The answer
begins with the bucket *after* the one that ``from`` falls on; so a window is asked one bucket and one second early, and
whatever lies before the window, and the answer's first bucket in any case, is dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ledger.model import Item
from workers.items import Pull
from workers.providers import reading

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
HOURLY_MAX = timedelta(days=7)
UNASKED = timedelta(days=6)  # what a pull without a beginning covers
_SECOND = timedelta(seconds=1)
_SLICE = HOURLY_MAX - 2 * HOUR  # with the early bucket still within the seven days


@dataclass(frozen=True, slots=True)
class Window:
    """The buckets that start from ``start`` to ``end``, both included."""

    start: datetime
    end: datetime
    bucket: timedelta

    @property
    def asked(self) -> dict[str, str]:
        """The ``date`` of the request."""
        return {"from": reading.stamp(self.start - self.bucket - _SECOND), "to": reading.stamp(self.end)}

    def real(self, items: tuple[Item, ...], *, first_page: bool) -> tuple[Item, ...]:
        """Keep the buckets with real values: those inside the window, less the answer's first."""
        first = min((item.happened_at for item in items), default=None) if first_page else None
        return tuple(item for item in items if item.happened_at >= self.start and item.happened_at != first)


def windows(pull: Pull) -> tuple[Window, ...]:
    """Cut what the pull covers into windows, newest first; the same for every page of the pull.

    A job's own ``date`` of more than 7 days is asked in days, as the provider means it; a pull from a watermark always
    in hours, so that a stream that was away for a fortnight does not mix its hours with days.
    """
    asked = pull.params.get("date")
    start = reading.asked_start(asked["from"]) if asked else pull.since or pull.until - UNASKED
    end = reading.asked_end(asked["to"]) if asked else pull.until
    start = min(start, end)
    if asked and end - start > HOURLY_MAX:
        return (Window(_floor(start, DAY), end, DAY),)
    return tuple(_hourly(_floor(start, HOUR), end))


def _hourly(start: datetime, end: datetime) -> Iterator[Window]:
    while end - start > _SLICE:
        cut = _floor(end - _SLICE, HOUR) + HOUR
        yield Window(cut, end, HOUR)
        end = cut - _SECOND
    yield Window(start, end, HOUR)


def _floor(at: datetime, bucket: timedelta) -> datetime:
    whole = at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return whole.replace(hour=0) if bucket == DAY else whole
