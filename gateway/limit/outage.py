"""When Redis is taken for away, and what it must be told when it is back."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime

from gateway.limit.verdict import Limits

FAILURES = 5
WITHIN_S = 1.0
STAMPS_MAX = 200_000


@dataclass(frozen=True, slots=True)
class Outage:
    """One time without Redis, told when it begins (``ended`` is None) and when it is over; times are aware."""

    began: datetime
    ended: datetime | None = None
    admitted: int = 0
    refused: int = 0


class Breaker:
    """Opens after five failures within a second; whoever probes closes it."""

    def __init__(self) -> None:
        self.is_open = False
        self._failures: deque[float] = deque(maxlen=FAILURES)

    def failed(self, now: float) -> bool:
        """Note one; True if this one opens it."""
        self._failures.append(now)
        if self.is_open or len(self._failures) < FAILURES or now - self._failures[0] > WITHIN_S:
            return False
        self.is_open = True
        return True

    def close(self) -> None:
        """Redis decides again."""
        self.is_open = False
        self._failures.clear()


class Owed:
    """Calls that were admitted here and that Redis has not been told of, by quota, each list ascending."""

    def __init__(self) -> None:
        self.count = 0
        self._stamps: dict[str, tuple[Limits, list[int]]] = {}

    def add(self, quota: str, limits: Limits, stamp: int) -> bool:
        """Keep one; False if there are too many to keep any more."""
        if self.count >= STAMPS_MAX:
            return False
        self._stamps.setdefault(quota, (limits, []))[1].append(stamp)
        self.count += 1
        return True

    def withdraw(self, quota: str, stamp: int) -> None:
        """Redis did charge this one, as a reply that came too late says."""
        held = self._stamps.get(quota)
        if held is not None and stamp in held[1]:
            held[1].remove(stamp)
            self.count -= 1

    def take(self, many: int) -> list[tuple[str, Limits, list[int]]]:
        """Take so many quotas out."""
        names = [name for name, _ in zip(self._stamps, range(many), strict=False)]
        taken = [(name, *self._stamps.pop(name)) for name in names]
        self.count -= sum(len(stamps) for _, _, stamps in taken)
        return [one for one in taken if one[2]]

    def give_back(self, quota: str, limits: Limits, stamps: list[int]) -> None:
        """Keep what could not be told after all."""
        _, later = self._stamps.pop(quota, (limits, []))
        self._stamps[quota] = (limits, [*stamps, *later])
        self.count += len(stamps)
