"""What was asked and answered: calls, credits, statuses and faults, and the good answers of each single request."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from ops.sandbox.answers import Answer


class Counts:
    """Counts of one sandbox since it started."""

    def __init__(self) -> None:
        self._calls: Counter[tuple[str, str]] = Counter()
        self._spent: Counter[tuple[str, str]] = Counter()
        self._statuses: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._faults: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._good: Counter[tuple[str, str, str, int]] = Counter()
        self._spoiled: Counter[tuple[str, str, str, int]] = Counter()

    def fault(self, provider: str, kind: str) -> None:
        """Count one answer that a fault touched."""
        self._faults[provider][kind] += 1

    def answered(self, provider: str, path: str, answer: Answer, *, spoiled: bool) -> None:
        """Count one answer; a 200 is charged whether or not it arrived whole."""
        endpoint = answer.endpoint or path.strip("/")
        self._calls[provider, endpoint] += 1
        self._statuses[provider][str(answer.status)] += 1
        if answer.status == 200:
            self._spent[provider, endpoint] += answer.cost
            (self._spoiled if spoiled else self._good)[provider, endpoint, answer.request, answer.page] += 1

    def report(self) -> dict[str, Any]:
        """Give everything as JSON: ``requests`` has one row for each endpoint, payload and page that got a 200."""
        requests = sorted(self._good.keys() | self._spoiled.keys())
        return {
            "endpoints": [
                {"provider": provider, "endpoint": endpoint, "calls": calls, "cost": self._spent[provider, endpoint]}
                for (provider, endpoint), calls in sorted(self._calls.items())
            ],
            "statuses": {provider: dict(counted) for provider, counted in self._statuses.items()},
            "faults": {provider: dict(counted) for provider, counted in self._faults.items()},
            "requests": [
                {
                    "provider": asked[0],
                    "endpoint": asked[1],
                    "request": asked[2],
                    "page": asked[3],
                    "ok": self._good[asked],
                    "spoiled": self._spoiled[asked],
                }
                for asked in requests
            ],
        }
