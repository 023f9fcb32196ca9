"""What a consumer tells RabbitMQ about messages that are done with in any order, on any thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from broker.connect import _GuardedRabbitmqConsumer


class Server:
    """RabbitMQ's side of a channel: a tag it does not wait for closes the channel (AMQP 0-9-1, PRECONDITION_FAILED)."""

    def __init__(self, tags: int) -> None:
        self.waits_for = set(range(1, tags + 1))
        self.acked: set[int] = set()
        self.refused: set[int] = set()

    def basic_ack(self, tag: int, multiple: bool = False) -> None:
        assert tag in self.waits_for, f"unknown delivery tag {tag}"
        settled = {one for one in self.waits_for if one <= tag} if multiple else {tag}
        self.waits_for -= settled
        self.acked |= settled

    def basic_nack(self, tag: int, *, requeue: bool) -> None:
        assert tag in self.waits_for, f"unknown delivery tag {tag}"
        assert not requeue
        self.waits_for.remove(tag)
        self.refused.add(tag)


class Wire:
    """A consumer whose callbacks wait until the reading thread comes round to them."""

    def __init__(self, tags: int) -> None:
        self.server = Server(tags)
        self.callbacks = deque[Callable[[], None]]()
        consumer: Any = _GuardedRabbitmqConsumer.__new__(_GuardedRabbitmqConsumer)
        consumer.connection = SimpleNamespace(add_callback_threadsafe=self.callbacks.append)
        consumer.channel, consumer.queue_name = self.server, "q"
        consumer.known_tags, consumer._unsettled = set(self.server.waits_for), set(self.server.waits_for)
        self.consumer = consumer

    def ack(self, *tags: int) -> None:
        self.consumer.ack_all([SimpleNamespace(_tag=tag) for tag in tags])

    def nack(self, tag: int) -> None:
        self.consumer.nack(SimpleNamespace(_tag=tag))

    def turn(self) -> None:
        while self.callbacks:
            self.callbacks.popleft()()


def test_what_was_done_later_is_not_acknowledged_twice_by_what_was_done_first() -> None:
    wire = Wire(6)
    wire.ack(5)
    wire.ack(1, 2, 3, 4)
    wire.turn()
    assert wire.server.acked == {1, 2, 3, 4, 5}


def test_all_up_to_here_takes_none_along_that_is_still_to_be_refused() -> None:
    wire = Wire(4)
    wire.ack(1, 2, 4)
    wire.nack(3)
    wire.turn()
    assert (wire.server.acked, wire.server.refused) == ({1, 2, 4}, {3})


@given(st.data())
def test_every_message_is_settled_once_and_as_it_was_meant(data: st.DataObject) -> None:
    wire = Wire(12)
    order, refused = data.draw(st.permutations(range(1, 13))), data.draw(st.sets(st.integers(1, 12)))
    while order:
        size = data.draw(st.integers(1, len(order)))
        now, order = order[:size], order[size:]
        wire.ack(*(tag for tag in now if tag not in refused))
        for tag in set(now) & refused:
            wire.nack(tag)
        if data.draw(st.booleans()):
            wire.turn()
    wire.turn()
    assert (wire.server.waits_for, wire.server.refused) == (set(), refused)


def test_a_message_of_a_lost_connection_is_not_acknowledged() -> None:
    wire = Wire(2)
    wire.ack(9)
    wire.turn()
    assert wire.server.acked == set()
