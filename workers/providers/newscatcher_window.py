"""The time windows of a NewsCatcher search, kept whole inside the cursor: ``2`` or ``<from>|<to>|2``.

One query reaches at most 10,000 articles.  When a window holds more, it is walked again in the next shorter length
(30 d, 7 d, 3 d, 1 d, 6 h, 1 h, as the provider advises), newest part first; a part that still holds more is cut again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from workers.items import Pull
from workers.providers import reading

REACHABLE = 10_000
LENGTHS = tuple(timedelta(hours=hours) for hours in (720, 168, 72, 24, 6, 1))
UNASKED = timedelta(days=7)  # the provider's own default when a pull has no beginning
SPANS = (("1h", timedelta(hours=1)), ("24h", timedelta(days=1)), ("7d", timedelta(days=7)), ("30d", timedelta(days=30)))

Window = tuple[datetime, datetime]


def window_of(pull: Pull) -> Window:
    """Give what the pull covers: the job's own ``from`` and ``to``, else from its watermark to its fixed end."""
    start, end = pull.params.get("from"), pull.params.get("to")
    end = reading.asked_end(end) if end else pull.until
    start = reading.asked_start(start) if start else pull.since or end - UNASKED
    return _second(min(start, end)), _second(end)


def _second(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(microsecond=0)


def headline_span(pull: Pull) -> str:
    """Give the shortest ``when`` that reaches from the time of the call, however late that is, to the watermark."""
    if pull.since is None:
        return "7d" if pull.mode == "incremental" else "30d"
    age = (pull.asked_at or pull.until) - pull.since
    return next((name for name, span in SPANS if age <= span), "30d")


@dataclass(frozen=True, slots=True)
class Cursor:
    """A page of a window of the ``whole`` that the pull covers."""

    whole: Window
    window: Window
    page: int = 1

    @classmethod
    def read(cls, cursor: str | None, whole: Window) -> Cursor:
        """Read a cursor of our own making; None is the first page of the whole."""
        if cursor is None:
            return cls(whole, whole)
        *window, page = cursor.split("|")
        if not window:
            return cls(whole, whole, int(page))
        return cls(whole, (reading.as_instant(window[0]), reading.as_instant(window[1])), int(page))

    def __str__(self) -> str:
        if self.window == self.whole:
            return str(self.page)
        return f"{reading.stamp(self.window[0])}|{reading.stamp(self.window[1])}|{self.page}"

    def narrower(self) -> str | None:
        """Cut this window: give its newest part, or None when it is as short as it gets."""
        start, end = self.window
        length = next((length for length in LENGTHS if length < end - start), None)
        return None if length is None else str(Cursor(self.whole, (end - length, end)))

    def after(self, more: bool) -> str | None:
        """Give the next page of this window, else the window before it, of the same length; None at the beginning."""
        if more:
            return str(Cursor(self.whole, self.window, self.page + 1))
        start, end = self.window
        first = self.whole[0]
        if start <= first:
            return None
        return str(Cursor(self.whole, (max(first, start - (end - start)), start)))
