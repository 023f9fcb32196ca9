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
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from queue import SimpleQueue
from threading import Semaphore, Thread
from typing import cast

import dramatiq
from dramatiq import MessageProxy
from dramatiq.asyncio import get_event_loop_thread
from dramatiq.middleware import SkipMessage
from dramatiq.worker import ConsumerThread, WorkerThread


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
        self._taken: deque[MessageProxy] = deque()
        self._ended: list[MessageProxy] = []
        self._done: SimpleQueue[list[MessageProxy]] = SimpleQueue()

    def run(self) -> None:
        giving_back = Thread(target=self._give_back, name="giving back", daemon=True)
        giving_back.start()
        super().run()
        for _ in range(self._in_hand):  # all room is free again when the last message has come to its end
            self._room.acquire()
        self._done.put([])
        giving_back.join()

    # Threads that wake one another for each message spend more time waiting for their turn at the interpreter than
    # working: so what is ready at one moment crosses over together, in both directions.

    def process_message(self, message: MessageProxy) -> None:
        self._room.acquire()
        self._taken.append(message)
        if len(self._taken) == 1:  # else the loop has been woken already, and takes this one along
            self._loop.call_soon_threadsafe(self._start)

    def _start(self) -> None:
        for _ in range(len(self._taken)):
            task = self._loop.create_task(self._work(self._taken[0]))
            self._working.add(task)
            task.add_done_callback(self._working.discard)
            self._taken.popleft()
        if self._taken:
            self._loop.call_soon(self._start)

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
            if not self._ended:
                self._loop.call_soon(self._end)
            self._ended.append(message)

    def _end(self) -> None:
        ended, self._ended = self._ended, []
        self._room.release(len(ended))
        self._done.put(ended)

    def _give_back(self) -> None:
        # In a thread of its own: an acknowledgement is a round trip on Redis, and waits while a broker is away.
        while ended := self._done.get():
            by_queue: dict[str, list[MessageProxy]] = {}
            for message in ended:
                by_queue.setdefault(message.queue_name, []).append(message)
            for queue, messages in by_queue.items():
                self._give_back_to(self.consumers[queue], messages)
            for _ in ended:
                self.work_queue.task_done()

    def _give_back_to(self, thread: ConsumerThread, messages: Sequence[MessageProxy]) -> None:
        together = [message for message in messages if not message.failed]
        ack_all = getattr(thread.consumer, "ack_all", None)  # RabbitMQ's, see broker/connect.py
        if ack_all is not None and len(together) > 1:
            for message in together:
                self.broker.emit_before("ack", message)
            ack_all(together)
            for message in together:
                self.broker.emit_after("ack", message)
            messages = [message for message in messages if message.failed]
        for message in messages:
            thread.post_process_message(message)


def _coroutine(actor: dramatiq.Actor[..., object]) -> Callable[..., Awaitable[object]]:
    """Give what an actor was made of, before Dramatiq wrapped it to block a thread."""
    return cast("Callable[..., Awaitable[object]]", actor.fn.__wrapped__)  # type: ignore[attr-defined]
