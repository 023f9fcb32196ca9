"""Dramatiq's worker, without a thread for each message in hand.

Dramatiq runs an async actor by blocking a thread until its coroutine on the event loop is done: as many threads as
messages, and two switches between threads for each of them.  Here one thread hands messages over to the loop, which
runs their coroutines side by side, and one thread gives them back to their queues.  Consumers, messages, middleware
and the order of shutdown are Dramatiq's own, on RabbitMQ and on Redis.

Hooks around messages are called on the loop, so they must not block.  ``TimeLimit``, which interrupts threads, has no
place here: our actors bound themselves (``workers/actors.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from queue import SimpleQueue
from threading import Semaphore, Thread
from typing import cast

import dramatiq
from dramatiq import MessageProxy
from dramatiq.asyncio import get_event_loop_thread
from dramatiq.middleware import SkipMessage
from dramatiq.worker import WorkerThread


class LoopWorker(dramatiq.Worker):
    """A worker with at most ``in_hand`` messages under way.  Every actor of its broker must be async."""

    def __init__(self, broker: dramatiq.Broker, *, in_hand: int, idle_ms: int) -> None:
        super().__init__(broker, worker_threads=1, worker_timeout=idle_ms)
        self._in_hand = in_hand
        self.queue_prefetch = min(2 * in_hand, 65535)  # the next ones are here when a shared commit sets many free

    def _add_worker(self) -> None:
        thread = _HandOver(self, in_hand=self._in_hand)
        thread.start()
        self.workers.append(thread)


class _HandOver(WorkerThread):
    def __init__(self, worker: LoopWorker, *, in_hand: int) -> None:
        super().__init__(
            broker=worker.broker,
            consumers=worker.consumers,
            work_queue=worker.work_queue,
            worker_timeout=worker.worker_timeout,
        )
        thread = get_event_loop_thread()
        assert thread is not None, "the AsyncIO middleware starts the loop"
        self._loop = thread.loop
        self._in_hand = in_hand
        self._room = Semaphore(in_hand)
        self._working: set[asyncio.Task[None]] = set()
        self._done: SimpleQueue[MessageProxy | None] = SimpleQueue()

    def run(self) -> None:
        giving_back = Thread(target=self._give_back, name="giving back", daemon=True)
        giving_back.start()
        super().run()
        for _ in range(self._in_hand):  # all room is free again when the last message has come to its end
            self._room.acquire()
        self._done.put(None)
        giving_back.join()

    def process_message(self, message: MessageProxy) -> None:
        self._room.acquire()
        self._loop.call_soon_threadsafe(self._start, message)

    def _start(self, message: MessageProxy) -> None:
        task = self._loop.create_task(self._work(message))
        self._working.add(task)
        task.add_done_callback(self._working.discard)

    async def _work(self, message: MessageProxy) -> None:
        try:
            self.broker.emit_before("process_message", message)
            if not message.failed:
                await _coroutine(self.broker.get_actor(message.actor_name))(*message.args, **message.kwargs)
            self.broker.emit_after("process_message", message, result=None)
        except SkipMessage:
            self.broker.emit_after("skip_message", message)
        except BaseException as error:  # noqa: BLE001  whatever it is, middleware decides what becomes of the message
            self.broker.emit_after("process_message", message, exception=error)
        finally:
            self._room.release()
            self._done.put(message)

    def _give_back(self) -> None:
        # In a thread of its own: an acknowledgement is a round trip on Redis, and waits while a broker is away.
        while (message := self._done.get()) is not None:
            self.consumers[message.queue_name].post_process_message(message)
            self.work_queue.task_done()


def _coroutine(actor: dramatiq.Actor[..., object]) -> Callable[..., Awaitable[object]]:
    """Give what an actor was made of, before Dramatiq wrapped it to block a thread."""
    return cast("Callable[..., Awaitable[object]]", actor.fn.__wrapped__)  # type: ignore[attr-defined]
