"""The engine without a broker: the processor time of a message that does nothing, and of reading one.

    python -m tests.benchmarks.engine_alone [--messages 20000] [--repeats 5]

Deliveries are cut out of bytes, made messages, run and acknowledged on one loop, a reading's worth at once; only the
socket is left out.  Beside it the same bytes are read by pika's decoder and assembler.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import dramatiq
import uvloop
from dramatiq import Message
from dramatiq.brokers.stub import StubBroker
from dramatiq.middleware import Middleware
from pika import frame, spec
from pika.channel import ContentFrameAssembler

from broker.amqp import READ_AT_ONCE, Channel
from broker.envelope import Envelope
from broker.frames import cut
from ops.engine.admission import part
from ops.engine.hand import Hand
from ops.engine.hooks import Hooks
from ops.engine.intake import Intake, Session, Works
from ops.engine.process import calm_collector
from ops.metrics.messages import MessageMeters
from ops.metrics.meters import Meters

QUEUE, IN_HAND = "noop", 256


class Acknowledged:
    """The channel's place: counts what it was told."""

    def __init__(self) -> None:
        """Nothing was told yet."""
        self.last = 0
        self.told = asyncio.Event()

    def ack(self, tag: int, *, multiple: bool = False) -> None:
        """Remember how far it went."""
        assert multiple
        self.last = tag
        self.told.set()


async def noop() -> None:
    """Do nothing."""


def delivery(tag: int) -> bytes:
    """Write one as RabbitMQ does."""
    message: Message[Any] = Message(QUEUE, QUEUE, args=(), kwargs={}, options={})
    body = Envelope().encode(message.asdict())
    method = spec.Basic.Deliver(
        "ctag1.1234567890abcdef12345678", tag, redelivered=False, exchange="", routing_key=QUEUE
    )
    properties = spec.BasicProperties(content_type="text/plain", delivery_mode=2)
    frames = [frame.Method(1, method), frame.Header(1, len(body), properties), frame.Body(1, body)]
    return b"".join(one.marshal() for one in frames)


def readings(messages: int) -> Iterator[tuple[int, bytes]]:
    """Give what comes at once, with its last tag."""
    many = READ_AT_ONCE // len(delivery(1))
    for first in range(1, messages + 1, many):
        last = min(first + many, messages + 1)
        yield last - 1, b"".join(map(delivery, range(first, last)))


async def worked_off(read: Sequence[tuple[int, bytes]], middleware: Sequence[Middleware]) -> float:
    """Give the processor time of all, in seconds."""
    broker = StubBroker(middleware=list(middleware))
    dramatiq.actor(actor_name=QUEUE, queue_name=QUEUE, broker=broker)(noop)
    hooks, parts = Hooks(broker), {name: part(actor, 60) for name, actor in broker.actors.items()}
    works = Works(broker.actors, parts, hooks, Hand(parts, hooks, room=IN_HAND))
    channel = Acknowledged()
    session = Session(Intake(QUEUE, 2 * IN_HAND, works=works), cast("Channel", channel))
    began = time.process_time()
    for last, data in read:
        cut(data, lambda _, tag, body: session.took(tag, body), lambda _: None)
        while channel.last < last:
            channel.told.clear()
            await channel.told.wait()
    return time.process_time() - began


def cut_by_hand(data: bytes) -> None:
    """Read deliveries as the engine does."""
    cut(data, lambda *_: None, lambda _: None)


def read_by_pika(data: bytes) -> None:
    """Read them as pika does."""
    assembler: Any = ContentFrameAssembler()
    while data:
        used, value = frame.decode_frame(data)
        data = data[used:]
        assembler.process(value)


def _timed(read: Sequence[tuple[int, bytes]], by: Callable[[bytes], None]) -> float:
    began = time.process_time()
    for _, data in read:
        by(data)
    return time.process_time() - began


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    read = list(readings(args.messages))
    ways: dict[str, Callable[[], float]] = {
        "a message, hooks on": lambda: uvloop.run(worked_off(read, [MessageMeters(Meters("worker"))])),
        "a message, without hooks": lambda: uvloop.run(worked_off(read, [])),
        "reading it by hand": lambda: _timed(read, cut_by_hand),
        "reading it with pika": lambda: _timed(read, read_by_pika),
    }
    calm_collector()
    for name, way in ways.items():
        took = sorted(way() / args.messages * 1e6 for _ in range(args.repeats))
        sys.stdout.write(f"{name:28} {took[len(took) // 2]:6.2f} us ({took[0]:.2f}-{took[-1]:.2f})\n")


if __name__ == "__main__":
    main()
