"""What the asyncio engine has in hand: one task may work through many messages, and none of them can tell."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import dramatiq
import uvloop
from dramatiq import Message
from dramatiq.asyncio import get_event_loop_thread
from dramatiq.brokers.stub import StubBroker
from dramatiq.middleware import Middleware

from broker.envelope import Envelope
from ops.engine.admission import admitted, part
from ops.engine.hand import Delivery, Hand
from ops.engine.hooks import Hooks
from ops.engine.process import FastLoop
from ops.settings import Settings
from ops.worker import make_broker

Act = Callable[[int], Awaitable[None]]
left_behind: ContextVar[int | None] = ContextVar("left_behind", default=None)


class Told(Middleware):
    """Keeps what is said of each message."""

    def __init__(self) -> None:
        self.said: list[tuple[int, str, type[BaseException] | None]] = []

    def before_process_message(self, _: dramatiq.Broker, message: dramatiq.MessageProxy) -> None:
        self.said.append((message.args[0], "before", None))

    def after_process_message(
        self,
        _: dramatiq.Broker,
        message: dramatiq.MessageProxy,
        *,
        result: object = None,
        exception: BaseException | None = None,
    ) -> None:
        self.said.append((message.args[0], "after", None if exception is None else type(exception)))


class Desk:
    """A hand with room for so many, whose actors ``one`` and ``urgent`` do what the test says."""

    queue = "one"

    def __init__(self, act: Act, room: int = 4) -> None:
        self.told, self.ended, self._more = Told(), list[int](), asyncio.Event()
        broker = StubBroker(middleware=[self.told])
        for name, priority in (("one", 0), ("urgent", -1)):
            dramatiq.actor(actor_name=name, queue_name=name, priority=priority, broker=broker)(self._actor(act))
        parts = {name: part(actor, None) for name, actor in broker.actors.items()}
        self.hand = Hand(parts, Hooks(broker), room=room)

    @staticmethod
    def _actor(act: Act) -> Act:
        async def actor(n: int) -> None:
            await act(n)

        return actor

    def take(self, *numbers: int, actor: str = "one") -> None:
        for n in numbers:
            message: Message[Any] = Message(actor, actor, args=(n,), kwargs={}, options={})
            self.hand.take(Delivery(message, n, self))

    def end(self, delivery: Delivery) -> None:
        self.ended.append(delivery.tag)
        self._more.set()

    async def until_ended(self, many: int) -> None:
        async with asyncio.timeout(10):
            while len(self.ended) < many:
                self._more.clear()
                await self._more.wait()


async def test_messages_that_never_wait_end_in_one_turn_and_each_between_its_hooks() -> None:
    async def act(_: int) -> None:
        tasks.add(asyncio.current_task())

    tasks: set[asyncio.Task[Any] | None] = set()
    desk = Desk(act)
    desk.take(1, 2, 3)
    await desk.until_ended(3)
    assert len(tasks) == 1
    assert desk.told.said == [(n, when, None) for n in (1, 2, 3) for when in ("before", "after")]


async def test_those_that_wait_are_each_a_task_and_no_more_run_than_there_is_room_for() -> None:
    async def act(n: int) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks[n] = task
        await gate.wait()
        assert asyncio.current_task() is task

    tasks: dict[int, asyncio.Task[Any]] = {}
    gate = asyncio.Event()
    desk = Desk(act, room=3)
    desk.take(*range(5))
    for _ in range(3):
        await asyncio.sleep(0)
    assert (sorted(tasks), len(set(tasks.values())), len(desk.hand)) == ([0, 1, 2], 3, 3)
    gate.set()
    await desk.until_ended(5)
    assert len(set(tasks.values())) == 5


async def test_more_than_there_is_room_for_all_end() -> None:
    async def act(_: int) -> None:
        return

    desk = Desk(act, room=2)
    desk.take(*range(20))
    await desk.until_ended(20)
    assert desk.ended == list(range(20))


async def test_the_more_urgent_of_what_came_together_is_first() -> None:
    async def act(_: int) -> None:
        return

    desk = Desk(act)
    desk.take(1, 2)
    desk.take(3, actor="urgent")
    await desk.until_ended(3)
    assert desk.ended == [3, 1, 2]


async def test_what_a_message_leaves_in_its_context_the_next_does_not_see() -> None:
    async def act(n: int) -> None:
        seen.append(left_behind.get())
        if n == 4:
            await asyncio.sleep(0)
        left_behind.set(n)

    seen: list[int | None] = []
    desk = Desk(act, room=2)
    desk.take(1, 2, 3, 4, 5, 6)
    await desk.until_ended(6)
    assert seen == [None] * 6


async def test_a_message_that_cancels_its_own_task_or_fails_harms_no_other() -> None:
    async def act(n: int) -> None:
        if n == 1:
            raise ValueError("odd")
        if n == 2:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
        if n == 3:
            await asyncio.sleep(0)

    desk = Desk(act)
    desk.take(1, 2, 3, 4)
    await desk.until_ended(4)
    assert {said for said in desk.told.said if said[1] == "after"} == {
        (1, "after", ValueError),
        (2, "after", None),
        (3, "after", None),
        (4, "after", None),
    }


async def test_a_time_limit_inside_the_first_message_ends_that_one_only() -> None:
    async def act(n: int) -> None:
        if n == 1:
            async with asyncio.timeout(0):
                await asyncio.Event().wait()

    desk = Desk(act)
    desk.take(1, 2)
    await desk.until_ended(2)
    assert [said for said in desk.told.said if said[1] == "after"] == [(2, "after", None), (1, "after", TimeoutError)]


async def test_nothing_begins_once_it_is_closed_and_what_waits_can_be_had_back() -> None:
    async def act(_: int) -> None:
        raise AssertionError("begun")

    desk = Desk(act)
    desk.take(1, 2)
    desk.hand.closed = True
    for _ in range(3):
        await asyncio.sleep(0)
    await desk.hand.emptied()
    assert [one.tag for one in desk.hand.leave(lambda _: True)] == [1, 2]


def test_a_message_is_what_its_own_constructor_would_have_made() -> None:
    async def actor(n: int) -> None:
        raise AssertionError(n)

    broker = StubBroker(middleware=[])
    declared = dramatiq.actor(actor_name="q", queue_name="q", broker=broker)(actor)
    sent: Message[Any] = Message("q", "q", args=(1,), kwargs={}, options={})
    body = Envelope().encode(sent.asdict())
    message = admitted(body, "q", broker.actors, {"q": part(declared, None)})
    assert (message, message.asdict()) == (sent, sent.asdict())
    proxy = Delivery(message, 1, Desk.__new__(Desk))
    assert (proxy.actor_name, proxy.args, proxy.message_id) == ("q", (1,), sent.message_id)


def test_a_worker_process_has_uvloops_loop() -> None:
    variables = {
        "SLUICE_DATABASE_URL": "postgresql://127.0.0.1/none",
        "SLUICE_REDIS_URL": "redis://127.0.0.1/0",
        "SLUICE_BROKER_URL": "amqp://127.0.0.1",
    }
    assert isinstance(make_broker(Settings.from_env(variables)).middleware[0], FastLoop)
    broker = StubBroker(middleware=[FastLoop()])
    broker.emit_before("worker_boot", None)
    thread = get_event_loop_thread()
    assert thread is not None
    try:
        assert isinstance(thread.loop, uvloop.Loop)
        assert thread.loop.is_running()
    finally:
        broker.emit_after("worker_shutdown", None)
    assert thread.loop.is_closed()
