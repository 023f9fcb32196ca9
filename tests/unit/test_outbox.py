"""What becomes of messages on their way, as the broker's answers come in this or that order, or never."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pika import spec

from broker.amqp import Link
from broker.outbox import WINDOW, NotTaken, Outbox, Outgoing

PATIENCE_S = 0.2


class FakeChannel:
    """A broker's side in the test's hands: what was sent, and answers to it."""

    number, body_max = 1, 1000

    def __init__(self) -> None:
        self.closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.writes: list[bytes] = []
        self.answered: Any = None
        self.returned: Any = None

    async def confirm(self, answered: Any, returned: Any) -> None:
        self.answered, self.returned = answered, returned

    def publish(self, frames: bytes) -> None:
        self.writes.append(frames)

    def ack(self, number: int, *, multiple: bool = False) -> None:
        self.answered(SimpleNamespace(method=spec.Basic.Ack(number, multiple)))

    def nack(self, number: int, *, multiple: bool = False) -> None:
        self.answered(SimpleNamespace(method=spec.Basic.Nack(number, multiple)))

    def give_back(self, message: Outgoing) -> None:
        self.returned(self, spec.Basic.Return(), spec.BasicProperties(message_id=message.id), message.body)

    @property
    def sent(self) -> int:
        """Count the messages that were written."""
        return sum(write.count(b"application/json") for write in self.writes)


class FakeLink:
    """A connection of one channel."""

    def __init__(self, channel: FakeChannel) -> None:
        self._channel = channel
        self.closed = channel.closed
        self.blocked = False
        self.on_unblocked: Any = None

    async def channel(self) -> FakeChannel:
        return self._channel

    def drop(self) -> None:
        self._channel.closed.set_result("dropped")


class Broker:
    """An outbox, and what the test does to it."""

    def __init__(self, channel: FakeChannel, link: FakeLink, outbox: Outbox) -> None:
        self.channel, self.link, self.outbox = channel, link, outbox

    def publish(self, *messages: Outgoing) -> Coroutine[Any, Any, None]:
        return self.outbox.publish(messages, since=asyncio.get_running_loop().time())

    async def sending(self, *messages: Outgoing) -> asyncio.Task[None]:
        """Begin, and let it be written."""
        task = asyncio.create_task(self.publish(*messages))
        await turn()
        return task


async def turn() -> None:
    """Let everything happen that is due now."""
    for _ in range(3):
        await asyncio.sleep(0)


async def opened() -> Broker:
    channel = FakeChannel()
    link = FakeLink(channel)
    return Broker(channel, link, await Outbox.open(cast(Link, link), PATIENCE_S))


@pytest.fixture
async def broker() -> Broker:
    return await opened()


def message(n: int, queue: str = "q") -> Outgoing:
    return Outgoing(queue, f"id-{n}", b"{}")


async def test_what_is_sent_in_one_turn_leaves_in_one_write(broker: Broker) -> None:
    tasks = [asyncio.create_task(broker.publish(message(n))) for n in range(5)]
    await turn()
    assert (len(broker.channel.writes), broker.channel.sent) == (1, 5)
    broker.channel.ack(5, multiple=True)
    await asyncio.gather(*tasks)


async def test_each_caller_waits_for_its_own_confirmation(broker: Broker) -> None:
    tasks = [await broker.sending(message(n)) for n in range(3)]
    broker.channel.ack(2)
    await turn()
    assert [task.done() for task in tasks] == [False, True, False]
    broker.channel.ack(3, multiple=True)
    await asyncio.gather(*tasks)


@settings(max_examples=60)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=12), st.integers(0, 2**32))
def test_in_whatever_order_and_groups_answers_come_each_batch_ends_as_its_messages_did(
    sizes: list[int], seed: int
) -> None:
    async def run() -> None:
        broker, total, chance = await opened(), sum(sizes), Random(seed)
        numbers = iter(range(1, total + 1))
        batches = [[next(numbers) for _ in range(size)] for size in sizes]
        tasks = [await broker.sending(*map(message, batch)) for batch in batches]
        left, refused = set(range(1, total + 1)), set[int]()
        while left:
            number, multiple, no = chance.choice(sorted(left)), chance.random() < 0.3, chance.random() < 0.3
            told = {one for one in left if one <= number} if multiple else {number}
            left -= told
            if no:
                refused |= told
            (broker.channel.nack if no else broker.channel.ack)(number, multiple=multiple)
            await turn()
            for batch, task in zip(batches, tasks, strict=True):
                assert task.done() == left.isdisjoint(batch)
        for batch, task in zip(batches, tasks, strict=True):
            error = task.exception()
            back = {one.id for one in error.messages} if isinstance(error, NotTaken) else set()
            assert back == {f"id-{n}" for n in batch if n in refused}

    asyncio.run(run())


async def test_a_message_that_came_back_fails_its_caller_though_it_is_confirmed_afterwards(broker: Broker) -> None:
    lost, kept = await broker.sending(message(1, "gone")), await broker.sending(message(2))
    broker.channel.give_back(message(1))
    broker.channel.ack(2, multiple=True)
    with pytest.raises(NotTaken, match="there is no queue gone"):
        await lost
    await kept
    assert broker.outbox.undeclared
    assert not broker.outbox.is_ready


async def test_no_more_than_a_window_is_unanswered(broker: Broker) -> None:
    task = await broker.sending(*map(message, range(WINDOW + 7)))
    assert broker.channel.sent == WINDOW
    broker.channel.ack(3, multiple=True)
    await turn()
    assert broker.channel.sent == WINDOW + 3
    broker.channel.ack(WINDOW + 3, multiple=True)
    await turn()
    broker.channel.ack(WINDOW + 7, multiple=True)
    await task


async def test_nothing_is_sent_while_the_broker_is_blocked_and_all_of_it_afterwards(broker: Broker) -> None:
    broker.link.blocked = True
    task = await broker.sending(message(1), message(2))
    assert broker.channel.sent == 0
    broker.link.blocked = False
    broker.link.on_unblocked()
    await turn()
    assert broker.channel.sent == 2
    broker.channel.ack(2, multiple=True)
    await task


async def test_who_waits_too_long_for_a_blocked_broker_is_told_so_and_the_connection_stays(broker: Broker) -> None:
    under_way = await broker.sending(message(1))
    broker.link.blocked = True
    waiting = await broker.sending(message(2))
    for task in (under_way, waiting):
        with pytest.raises(NotTaken, match="alarm"):
            await task
    assert broker.outbox.is_ready
    broker.link.blocked = False
    broker.link.on_unblocked()
    broker.channel.ack(1)  # nobody waits for it any more
    after = await broker.sending(message(3))
    assert broker.channel.sent == 2
    broker.channel.ack(2)
    await after


async def test_a_broker_that_answers_nothing_is_given_up_and_every_caller_told(broker: Broker) -> None:
    tasks = [await broker.sending(message(n)) for n in range(3)]
    broker.channel.ack(2)
    for task in (tasks[0], tasks[2]):
        with pytest.raises(NotTaken, match="no answer within"):
            await task
    await tasks[1]
    assert not broker.outbox.is_ready


async def test_what_was_not_confirmed_when_the_channel_was_lost_comes_back_to_its_caller(broker: Broker) -> None:
    under_way = await broker.sending(*map(message, range(4)))
    broker.channel.ack(2)
    broker.channel.closed.set_result("ConnectionReset")
    with pytest.raises(NotTaken, match="ConnectionReset") as lost:
        await under_way
    assert {one.id for one in lost.value.messages} == {"id-0", "id-2", "id-3"}
    with pytest.raises(NotTaken, match="lost"):
        await broker.publish(message(9))


async def test_a_caller_that_is_cancelled_takes_nobody_with_it(broker: Broker) -> None:
    broker.link.blocked = True
    tasks = [await broker.sending(message(n)) for n in range(3)]
    tasks[1].cancel()
    await turn()
    assert tasks[1].cancelled()
    broker.link.blocked = False
    broker.link.on_unblocked()
    await turn()
    assert broker.channel.sent == 2  # what had not left is not sent any more
    broker.channel.ack(2, multiple=True)
    await asyncio.gather(tasks[0], tasks[2])


async def test_an_answer_for_a_cancelled_caller_and_answers_given_twice_change_nothing(broker: Broker) -> None:
    first, second = await broker.sending(message(1)), await broker.sending(message(2))
    first.cancel()
    broker.channel.ack(1)
    broker.channel.ack(2, multiple=True)
    broker.channel.ack(2)
    await second
    assert first.cancelled()


async def test_a_name_that_amqp_cannot_carry_is_refused_to_its_caller_alone(broker: Broker) -> None:
    fine = await broker.sending(message(1))
    with pytest.raises(ValueError, match="255"):
        await broker.publish(message(2, "q" * 256))
    broker.channel.ack(1)
    await fine
