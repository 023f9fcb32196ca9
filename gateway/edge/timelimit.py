"""How long handlers may work: one timer looks after all of them, where one each would cost every request.

A handler is stopped up to a twentieth of the limit later than the limit says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

PARTS = 20


class TimeLimit:
    """``await limit.within(work)`` raises TimeoutError when the work takes longer than ``limit_s``."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._began: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()
        self._ticking = False

    async def within(self, work: Awaitable[Any]) -> Any:
        """Do the work in the current task."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        self._began[task] = loop.time()
        if not self._ticking:
            self._ticking = True
            loop.call_later(self._limit_s / PARTS, self._tick, loop)
        try:
            return await work
        except asyncio.CancelledError:
            if task in self._late and task.uncancel() == 0:
                raise TimeoutError from None
            raise
        finally:
            del self._began[task]
            self._late.discard(task)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        late_since = loop.time() - self._limit_s
        for task, began in self._began.items():
            if began <= late_since and task not in self._late:
                self._late.add(task)
                task.cancel()
        self._ticking = bool(self._began)
        if self._ticking:
            loop.call_later(self._limit_s / PARTS, self._tick, loop)
