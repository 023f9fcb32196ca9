"""Who may call: tokens, windows, concurrency and the month's quota of one provider, as configured."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import datetime
from time import monotonic

from ops.sandbox.config import Allowance


class Meter:
    """Counts one provider's calls.  Windows use the machine's time (a frozen clock would never refill them), the month
    is that of the sandbox's clock."""

    def __init__(self, allowance: Allowance, elapsed: Callable[[], float] = monotonic) -> None:
        self.allowance = allowance
        self.in_flight = 0
        self._elapsed = elapsed
        self._calls: deque[float] = deque()
        self._spent: dict[tuple[int, int], int] = {}

    def refusal(self, token: str | None, now: datetime, cost: int, in_flight: int) -> tuple[str, str] | None:
        """Give the kind of a refusal and its detail (the scope of a rate), or None; a passed call takes its place.

        ``in_flight`` are the calls that were being answered when this one came.
        """
        allowed = self.allowance
        if not token:
            return "no_token", ""
        if allowed.keys is not None and token not in allowed.keys:
            return "bad_token", token
        if allowed.concurrency is not None and in_flight >= allowed.concurrency:
            return "concurrency", ""
        if (remaining := self.remaining(now)) is not None and cost > remaining:
            return "quota", ""
        if scope := self._full_window():
            return "rate", scope
        self._calls.append(self._elapsed())
        return None

    def _full_window(self) -> str:
        moment = self._elapsed()
        while self._calls and self._calls[0] <= moment - 60:
            self._calls.popleft()
        if self.allowance.per_second is not None and self._within(1.0) >= self.allowance.per_second:
            return "second"
        if self.allowance.per_minute is not None and len(self._calls) >= self.allowance.per_minute:
            return "minute"
        return ""

    def _within(self, seconds: float) -> int:
        since = self._elapsed() - seconds
        count = 0
        for at in reversed(self._calls):
            if at <= since:
                break
            count += 1
        return count

    def charge(self, cost: int, now: datetime) -> None:
        """Spend from this month's quota."""
        month = (now.year, now.month)
        self._spent[month] = self._spent.get(month, 0) + cost

    def spent(self, now: datetime) -> int:
        """Say what this month has cost so far."""
        return self._spent.get((now.year, now.month), 0)

    def remaining(self, now: datetime) -> int | None:
        """Say what is left of this month's quota (None: no end)."""
        return None if self.allowance.quota is None else max(0, self.allowance.quota - self.spent(now))

    def windows(self) -> list[tuple[str, int, int, int]]:
        """Give (scope, limit, remaining, seconds until it turns) of each configured window, narrowest first."""
        found = []
        for scope, limit, length in (
            ("second", self.allowance.per_second, 1.0),
            ("minute", self.allowance.per_minute, 60.0),
        ):
            if limit is not None:
                found.append((scope, limit, max(0, limit - self._within(length)), int(length)))
        return found
