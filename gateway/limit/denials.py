"""Refusals that are still true: who is refused once need not be looked up again before a call of theirs is free.

Refused calls charge nothing, so until the first stamp of either window leaves, everything that was told stays true, for
every process.  Only an operator's reset or other limits change it: an entry holds for its limits and for the count of
resets, and for ``KEEP_S`` at most, so that a reset whose news was lost is noticed too.
"""

from __future__ import annotations

from gateway.limit.verdict import Limits, Verdict

KEEP_S = 5.0
ENTRIES_MAX = 50_000


class Denials:
    """Times are the loop's."""

    def __init__(self) -> None:
        self.resets = 0
        self._told: dict[str, tuple[Limits, int, float, float, Verdict]] = {}

    def note(self, quota: str, verdict: Verdict, *, asked: float, heard: float) -> None:
        """Keep a refusal that Redis decided between these two times."""
        waits = [wait for wait in (verdict.minute_wait_ms, verdict.hour_wait_ms) if wait > 0]
        until = asked + min(min(waits, default=0) / 1000, KEEP_S)  # Redis may have decided as early as it was asked
        if until <= heard:
            return
        if len(self._told) >= ENTRIES_MAX:
            self._told = {name: told for name, told in self._told.items() if told[2] > heard}
            if len(self._told) >= ENTRIES_MAX:
                self._told.clear()
        self._told[quota] = (verdict.limits, self.resets, until, heard, verdict)

    def find(self, quota: str, limits: Limits, now: float) -> Verdict | None:
        """Tell the refusal as it is now, or None where Redis must be asked."""
        told = self._told.get(quota)
        if told is None:
            return None
        held, resets, until, heard, verdict = told
        if now >= until or resets != self.resets or held != limits:
            del self._told[quota]
            return None
        return verdict.later(int((now - heard) * 1000))  # it may have been decided as late as it was heard

    def forget(self, quota: str) -> None:
        """Drop one, as after a reset here."""
        self._told.pop(quota, None)
