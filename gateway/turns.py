"""So many at once for each user, the rest in turn: one user's slow questions leave connections for everybody else."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

AT_ONCE = 5


class Turns:
    """Those who come while ``at_once`` of the same name are inside wait for one of them to leave, first come first."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once = at_once
        self._gates: dict[str, asyncio.Semaphore] = {}
        self._here: Counter[str] = Counter()

    @asynccontextmanager
    async def taken(self, name: str) -> AsyncIterator[None]:
        """Wait for a turn and keep it to the end of the block."""
        gate = self._gates.setdefault(name, asyncio.Semaphore(self._at_once))
        self._here[name] += 1
        try:
            async with gate:
                yield
        finally:
            self._here[name] -= 1
            if not self._here[name]:
                del self._here[name], self._gates[name]
