"""The rate limit as a sentence: a list of stamps and what counts of it.  Slow, and obviously right."""

from __future__ import annotations

from bisect import bisect_right

from gateway.limit.verdict import HOUR_MS, MINUTE_MS, Limits

Told = tuple[int, int, int, int, int, int]


class Model:
    """One quota.  Times are whole milliseconds of Redis's clock, which may run back."""

    def __init__(self) -> None:
        self.stamps: list[int] = []

    def decide(self, clock: int, limits: Limits) -> Told:
        """Charge a call if both windows have room, and tell what the script tells."""
        now = self._now(clock)
        windows = ((MINUTE_MS, limits.minute), (HOUR_MS, limits.hour))
        admitted = all(len(self._counting(now, window)) < limit for window, limit in windows)
        if admitted:
            self.stamps.append(now)
        minute, hour = (self._window(clock, now, window, limit) for window, limit in windows)
        return (int(admitted), clock, *minute, *hour)

    def push(self, clock: int, stamps: list[int]) -> None:
        """Charge calls that were admitted elsewhere, in the order they are told."""
        now = self._now(clock)
        for stamp in stamps:
            newest = self.stamps[-1] if self.stamps else 0
            late = min(now, max(newest, stamp))
            if late > now - HOUR_MS:
                self.stamps.append(late)

    def _now(self, clock: int) -> int:
        newest = self.stamps[-1] if self.stamps else clock
        if newest - clock > HOUR_MS:  # the clock was wrong before
            self.stamps.clear()
            return clock
        return max(clock, newest)

    def _counting(self, now: int, window: int) -> list[int]:
        return self.stamps[bisect_right(self.stamps, now - window) :]  # they never run back

    def _window(self, clock: int, now: int, window: int, limit: int) -> tuple[int, int]:
        counting = self._counting(now, window)
        if not counting:
            return limit, 0
        first_to_matter = counting[max(0, len(counting) - limit)]
        return max(0, limit - len(counting)), first_to_matter + window - clock

    def trim(self) -> None:
        """Forget what can never count again, so that the list stays short."""
        if self.stamps:
            self.stamps = self._counting(self.stamps[-1], HOUR_MS)
