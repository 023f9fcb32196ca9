"""Calls that wait at the same moment share one commit.

``await together(item)`` returns when the batch that the item went with has been run: while one batch is under way the
next one gathers, so that a busy process commits hundreds of items at once and an idle one commits each at once.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

LINGER_S = 0.002
"""How long a batch gathers right after a shared one: what that one set free comes back within such a time, one by one,
and a commit for the first of them alone would make all the others wait."""

LANES = 2
"""So many batches that are full by weight run at once: while one is told to the database, it writes the other."""


class Together(Generic[T, R]):
    """Gather items and run them in batches, one batch at a time, in order of arrival.

    ``run`` gives one result per item.  A batch has at most ``size_max`` items.  Where items are large, ``weight_of``
    one says how large, and a batch ends with the item that brings it to ``weight_max``; whole batches of that weight
    run beside one another, two at a time.  Where a batch of several fails, each item is run alone, so that one bad item
    fails alone.  Where a run is cancelled, so are those who wait.
    """

    def __init__(
        self,
        run: Callable[[Sequence[T]], Awaitable[Sequence[R]]],
        *,
        size_max: int = 256,
        weight_of: Callable[[T], int] = lambda _: 0,
        weight_max: int = 1,
    ) -> None:
        self._run = run
        self._size_max = size_max
        self._weight_of = weight_of
        self._weight_max = weight_max
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._weight = 0  # of all that wait
        self._lanes = 0  # batches under way
        self._running: set[asyncio.Task[None]] = set()
        self._shared_at = -math.inf  # when the last batch of several was done

    async def __call__(self, item: T) -> R:
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        self._weight += self._weight_of(item)
        if self._lanes == 0 or (self._lanes < LANES and self._is_full()):
            self._lanes += 1
            running = asyncio.create_task(self._drain())
            self._running.add(running)
            running.add_done_callback(self._running.discard)
        return await future

    def _is_full(self) -> bool:
        return self._weight >= self._weight_max

    async def _drain(self) -> None:
        clock = asyncio.get_running_loop().time
        try:
            while self._waiting and (self._lanes == 1 or self._is_full()):
                busy = clock() - self._shared_at < 10 * LINGER_S and len(self._waiting) < self._size_max
                await asyncio.sleep(LINGER_S if busy else 0)  # whoever is ready in this turn of the loop comes along
                batch = self._next()
                await self._settle(batch)
                if len(batch) > 1:
                    self._shared_at = clock()
        finally:
            self._lanes -= 1
            if self._lanes == 0:  # and nobody waits, unless this was cut off
                _cancel(self._waiting)
                self._waiting.clear()
                self._weight = 0

    def _next(self) -> list[tuple[T, asyncio.Future[R]]]:
        size = weight = 0
        while size < min(self._size_max, len(self._waiting)) and weight < self._weight_max:
            weight += self._weight_of(self._waiting[size][0])
            size += 1
        batch = self._waiting[:size]
        del self._waiting[:size]
        self._weight -= weight
        return batch

    async def _settle(self, batch: Sequence[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            await self._tell(batch)
        finally:
            _cancel(batch)  # whom a run that was cut off has told nothing

    async def _tell(self, batch: Sequence[tuple[T, asyncio.Future[R]]]) -> None:
        if not batch:  # the other lane was quicker
            return
        try:
            results = await self._run([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001  whatever it is belongs to those who wait
            if len(batch) > 1:
                for one in batch:
                    await self._settle([one])
            elif not batch[0][1].done():
                batch[0][1].set_exception(error)
            return
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():
                future.set_result(result)


def _cancel(batch: Iterable[tuple[object, asyncio.Future[Any]]]) -> None:
    for _, future in batch:
        future.cancel()
