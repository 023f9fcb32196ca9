"""What was dropped since it was last told: counted at once, told in one line when records arrive again."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

REASONS = ("full", "gave_up", "refused", "too_old", "too_new", "closed")


@dataclass(frozen=True, slots=True)
class Loss:
    """Records that will not arrive, by reason, dropped between two moments."""

    by_reason: dict[str, int]
    since: datetime
    until: datetime

    @property
    def records(self) -> int:
        """How many in all."""
        return sum(self.by_reason.values())


class Losses:
    """Adds up what is dropped; safe for several threads."""

    def __init__(self, count: Callable[[str, int], object], clock: Callable[[], float] = time.time) -> None:
        """``count`` is told of every drop; ``clock`` gives seconds since 1970."""
        self._count, self._clock = count, clock
        self._lock = threading.Lock()
        self._untold: Counter[str] = Counter()
        self._since = self._until = 0.0

    def add(self, reason: str, records: int) -> None:
        """Note that records were dropped."""
        if not records:
            return
        now = self._clock()
        with self._lock:
            if not self._untold:
                self._since = now
            self._until = now
            self._untold[reason] += records
        self._count(reason, records)

    def told(self) -> Loss | None:
        """Give what was dropped since the last time, or None; the next time begins anew."""
        with self._lock:
            if not self._untold:
                return None
            untold, self._untold = dict(self._untold), Counter()
            return Loss(untold, datetime.fromtimestamp(self._since, UTC), datetime.fromtimestamp(self._until, UTC))
