"""What this process itself admitted, kept warm, so that it can decide while Redis cannot.

Each of N gateway processes admits at most an N-th of a limit, so that together they keep to it in every window that
lies within the outage.  What Redis last said tightens that: of what was free then, an N-th is this process's share, and
what others had used counts as used for a whole window, since nobody here knows when it leaves.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable

from gateway.limit.verdict import HOUR_MS, MINUTE_MS, Limits, Verdict


class Trail:
    """The stamps of one quota, ascending, and Redis's last word on it."""

    __slots__ = ("known", "last", "stamps")

    def __init__(self) -> None:
        self.stamps = array("q")
        self.last: Verdict | None = None
        self.known = 0  # stamps that were here when Redis said it

    def note(self, verdict: Verdict) -> None:
        """Keep a decision of Redis."""
        self.last = verdict
        if verdict.admitted:
            self.add(verdict.clock_ms, verdict.limits.hour)
        self.known = len(self.stamps)

    def add(self, stamp: int, limit: int) -> None:
        """Keep an admission; what no limit can ask for goes."""
        stamps = self.stamps
        if stamps and stamp < stamps[-1]:
            stamp = stamps[-1]  # a clock that ran back
        stamps.append(stamp)
        if len(stamps) > 2 * limit + 64:
            gone = bisect_right(stamps, stamp - HOUR_MS)
            del stamps[:gone]
            self.known = max(0, self.known - gone)

    def left(self, limit: int, window_ms: int, now: int, processes: int) -> tuple[int, int]:
        """How many more of this window this process may admit, and the milliseconds until that grows (0: it cannot)."""
        stamps = self.stamps
        mine = len(stamps) - bisect_right(stamps, now - window_ms)
        cap, until = max(1, limit // processes), 0
        if self.last is not None and now - self.last.clock_ms < window_ms:
            told = self._share(self.last, limit, window_ms, processes)
            if told < cap:
                cap, until = told, self.last.clock_ms + window_ms
        if mine == 0 and not until:
            return cap, 0
        # One more is free when the oldest that counts has gone; while too many count, when all over the cap have.
        index = len(stamps) - max(1, min(mine, cap))
        frees = stamps[index] + window_ms if mine and cap > 0 else until
        wait = (min(frees, until) if until else frees) - now
        return max(0, cap - mine), max(1, wait)

    def _share(self, last: Verdict, limit: int, window_ms: int, processes: int) -> int:
        by_minute = window_ms == MINUTE_MS
        of, free = (last.limits.minute, last.minute_left) if by_minute else (last.limits.hour, last.hour_left)
        used = of - free
        # By number, not by time: two clocks that differ a little would make strangers of our own calls.
        mine = max(0, self.known - bisect_right(self.stamps, last.clock_ms - window_ms))
        return max(0, limit - used) // processes + mine


class LocalLog:
    """The trails of every quota seen within the last hour or two.  ``clock`` is the loop's, in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._young: dict[str, Trail] = {}
        self._old: dict[str, Trail] = {}
        self._turn_at = clock() + HOUR_MS / 1000

    def trail(self, quota: str) -> Trail:
        """Find or begin one."""
        if (found := self._young.get(quota)) is not None:
            return found
        if self._clock() >= self._turn_at:  # who was not seen since the last turn has nothing that still counts
            self._young, self._old = {}, self._young
            self._turn_at = self._clock() + HOUR_MS / 1000
        found = self._old.pop(quota, None) or Trail()
        self._young[quota] = found
        return found

    def decide(self, quota: str, limits: Limits, now: int, processes: int) -> Verdict:
        """Decide without Redis, and keep what is admitted."""
        trail = self.trail(quota)
        minute, _ = trail.left(limits.minute, MINUTE_MS, now, processes)
        hour, _ = trail.left(limits.hour, HOUR_MS, now, processes)
        admitted = minute > 0 and hour > 0
        if admitted:
            trail.add(now, limits.hour)
        minute, minute_wait = trail.left(limits.minute, MINUTE_MS, now, processes)
        hour, hour_wait = trail.left(limits.hour, HOUR_MS, now, processes)
        return Verdict(admitted, limits, now, minute, minute_wait, hour, hour_wait, "local")
