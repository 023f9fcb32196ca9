"""What a worker has in hand: so many messages at once, each a task on the loop, and the others in order behind them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any, Literal, Protocol

import structlog
from dramatiq import Message, MessageProxy
from dramatiq.middleware import Shutdown, SkipMessage, TimeLimitExceeded

from ops.engine.admission import Part
from ops.engine.hooks import Hooks

log = structlog.get_logger(__name__)

THREADS_MAX = 8  # for actors that are not async
LOOK_EVERY_S = 1.0
IGNORED_S = 5.0
"""A message that goes on so long after it was cancelled is told of, and stays in hand until it ends."""

Why = Literal["limit", "leaving"]


class Taken(Protocol):
    """Where a delivery came from, and where it goes when it has come to its end."""

    queue: str

    def end(self, delivery: Delivery) -> None:
        """Acknowledge it, or give it back, as its marks say."""
        ...


class Delivery(MessageProxy):
    """A message as middleware knows it, with its tag and its channel.  ``requeue``: it was not worked on to its end."""

    def __init__(self, message: Message[Any], tag: int, source: Taken) -> None:
        """Nothing has happened to it yet."""
        super().__init__(message)
        self.__dict__.update(message.__dict__)  # what a proxy otherwise looks for in vain, then asks the message for
        self.tag, self.source = tag, source
        self.requeue = False


class Hand:
    """Runs deliveries.  Everything here is called on the loop."""

    def __init__(self, parts: dict[str, Part], hooks: Hooks, *, room: int) -> None:
        """At most ``room`` at once."""
        self._parts, self._hooks, self._room = parts, hooks, room
        self.loop = asyncio.get_running_loop()
        self._running: dict[asyncio.Task[None], tuple[Delivery, float]] = {}
        self._cancelled: dict[asyncio.Task[None], tuple[Why, float]] = {}
        self._waiting: list[tuple[int, int, Delivery]] = []
        self._number = count()
        self._context = copy_context()
        self._first: asyncio.Task[None] | None = None  # has begun in this turn of the loop
        self._pool: ThreadPoolExecutor | None = None
        self._empty = asyncio.Event()
        self.stubborn: set[str] = set()
        self.closed = False

    def __len__(self) -> int:
        """How many run."""
        return len(self._running)

    def take(self, delivery: Delivery) -> None:
        """Run it now or as soon as there is room, the actor's priority first and then first come, first served."""
        part = self._parts.get(delivery.actor_name)
        heappush(self._waiting, (part.priority if part else 0, next(self._number), delivery))
        if self._first is None and len(self._running) < self._room and not self.closed:
            self._first = self._task(self._work_through())
            self.loop.call_soon(self._start_others)  # its turn comes when the first task has done what it can

    def leave(self, which: Callable[[Delivery], bool]) -> list[Delivery]:
        """Hand out those that have not begun."""
        left = [entry[2] for entry in self._waiting if which(entry[2])]
        if left:
            self._waiting = [entry for entry in self._waiting if not which(entry[2])]
            heapify(self._waiting)
        return left

    async def emptied(self) -> None:
        """Wait until nothing runs, once it is closed."""
        if self._running:
            await self._empty.wait()

    def cancel_all(self) -> None:
        """Cancel what runs; it goes back to its queue."""
        for task in list(self._running):
            self._cancel(task, "leaving")

    def look(self) -> None:
        """Cancel what is over its time limit, and tell of what does not heed."""
        now = self.loop.time()
        for task, (delivery, began) in list(self._running.items()):
            part = self._parts.get(delivery.actor_name)
            if (told := self._cancelled.get(task)) is not None:
                if now - told[1] > IGNORED_S and delivery.message_id not in self.stubborn:
                    self.stubborn.add(delivery.message_id)
                    log.error("message_ignores_its_end", actor=delivery.actor_name, message=delivery.message_id)
            elif part is not None and part.limit_s is not None and now - began > part.limit_s:
                self._cancel(task, "limit")

    def close(self) -> None:
        """Let go of the threads; one that is stuck in an actor ends with the process."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self.loop.create_task(work, context=self._context.copy())  # what another message left in its is not seen

    async def _work_through(self) -> None:
        """Work on what came, one after the other, for as long as nothing of it has to wait for anything.

        A task for each is dear where an actor does little.  The same one goes on only where no message could tell: it
        never waited, it was not cancelled, and its context is as it was.
        """
        task, clean = asyncio.current_task(), copy_context()
        assert task is not None
        for _ in range(self._room):
            if not self._waiting or len(self._running) >= self._room or self.closed:
                return
            delivery = heappop(self._waiting)[2]
            self._running[task] = (delivery, self.loop.time())
            await self._work(delivery)
            if self._first is not task or task.cancelling() or copy_context() != clean:
                return

    def _start_others(self) -> None:
        self._first = None
        while self._waiting and len(self._running) < self._room and not self.closed:
            delivery = heappop(self._waiting)[2]
            self._running[self._task(self._work(delivery))] = (delivery, self.loop.time())

    async def _work(self, delivery: Delivery) -> None:
        hooks = self._hooks
        try:
            hooks.before_process(delivery)
            result = None if delivery.failed else await self._play(delivery)
            hooks.after_process(delivery, result=result)
        except SkipMessage:
            hooks.after_skip(delivery)
        except BaseException as error:  # noqa: BLE001  whatever it is, middleware decides what becomes of the message
            why = self._why(delivery, error)
            delivery.stuff_exception(why)
            hooks.after_process(delivery, exception=why)
            delivery.clear_exception()
        finally:
            task = asyncio.current_task()
            assert task is not None
            self._ended(task)

    def _play(self, delivery: Delivery) -> Any:
        part = self._parts[delivery.actor_name]
        if part.is_async:
            return part.run(*delivery.args, **delivery.kwargs)
        if self._pool is None:
            self._pool = ThreadPoolExecutor(min(self._room, THREADS_MAX), thread_name_prefix="sync actors")
        call = partial(copy_context().run, part.run, *delivery.args, **delivery.kwargs)
        return self.loop.run_in_executor(self._pool, call)

    def _why(self, delivery: Delivery, error: BaseException) -> BaseException:
        task = asyncio.current_task()
        told = self._cancelled.get(task) if task is not None else None
        if told is None or not isinstance(error, asyncio.CancelledError):
            return error
        if told[0] == "leaving":
            delivery.requeue = True
            return Shutdown("the worker leaves")
        return TimeLimitExceeded(f"longer than {self._parts[delivery.actor_name].limit_s:g} s")

    def _cancel(self, task: asyncio.Task[None], why: Why) -> None:
        if task not in self._cancelled:
            self._cancelled[task] = (why, self.loop.time())
            task.add_done_callback(self._cut_off)
        task.cancel()

    def _cut_off(self, task: asyncio.Task[None]) -> None:
        if task in self._running:  # it was cancelled before its first step
            self._running[task][0].requeue = True
            self._ended(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        delivery, _ = self._running.pop(task)
        if self._cancelled:
            self._cancelled.pop(task, None)
            self.stubborn.discard(delivery.message_id)
        delivery.source.end(delivery)
        if self._first is None:
            self._start_others()
        if self.closed and not self._running:
            self._empty.set()
