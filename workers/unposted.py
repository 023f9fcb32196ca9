"""What this process has read off pages and not yet posted: it spares post the reading of the page once more.

Nothing depends on it.  The page's row is the truth: what is not here any more, or was read by another process, is read
again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sized
from typing import Generic, TypeVar
from uuid import UUID

T = TypeVar("T", bound=Sized)

ROWS_MAX = 10_000  # some 30 MB of them
KEPT_S_MAX = 60.0  # whose message has not come by then is posted by another process


class Unposted(Generic[T]):
    """The rows of the pages that were read last, by page; the oldest make room."""

    def __init__(self, *, rows_max: int = ROWS_MAX, clock: Callable[[], float] = time.monotonic) -> None:
        self._rows_max = rows_max
        self._clock = clock
        self._kept: dict[UUID, tuple[float, T]] = {}
        self._rows = 0

    def keep(self, page: UUID, rows: T) -> None:
        """Keep what a page has for post."""
        self.take(page)
        self._kept[page] = (self._clock(), rows)
        self._rows += len(rows)
        while self._kept and (self._rows > self._rows_max or self._clock() - self._oldest() > KEPT_S_MAX):
            self.take(next(iter(self._kept)))

    def take(self, page: UUID) -> T | None:
        """Give what was kept, and forget it; None where nothing is known of the page."""
        if page not in self._kept:
            return None
        _, rows = self._kept.pop(page)
        self._rows -= len(rows)
        return rows

    def _oldest(self) -> float:
        return next(iter(self._kept.values()))[0]
