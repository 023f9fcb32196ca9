"""What is promised of a broker, whichever it is: RabbitMQ and Redis pass the same tests."""

from __future__ import annotations

import asyncio
import queue
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import aio_pika
import dramatiq
import orjson
import pytest
from dramatiq.brokers.redis import RedisBroker
from dramatiq.common import xq_name
from dramatiq.middleware import Middleware
from redis.asyncio import Redis

from broker.connect import UnknownBrokerError, dead_queue_arguments, from_url, queue_arguments
from broker.envelope import UNREADABLE
from broker.messages import WorkOnJob
from broker.producer import BrokerUnreachableError, Dead, Producer, Telling, open_producer
from ops.embedded import Stack

WAIT_S = 20.0


@dataclass
class Seen:
    """What the actors were given, in the order it came."""

    taken: queue.SimpleQueue[tuple[str, dict[str, Any]]] = field(default_factory=queue.SimpleQueue)

    def next(self) -> tuple[str, dict[str, Any]]:
        return self.taken.get(timeout=WAIT_S)


class FailsOnDemand(Middleware):
    """As ``ops.worker.KeepJobs``: what an actor raised on goes to the dead letters."""

    def after_process_message(
        self, broker: Any, message: Any, *, result: object = None, exception: BaseException | None = None
    ) -> None:
        if exception is not None:
            message.fail()


@pytest.fixture
def name() -> str:
    """A queue of the test's own."""
    return f"t{uuid.uuid4().hex[:12]}"


@pytest.fixture
async def producer(broker_url: str, name: str) -> AsyncIterator[Producer]:
    async with open_producer(broker_url, [name], patience_s=20.0) as opened:
        yield opened


@contextmanager
def working(url: str, name: str, seen: Seen) -> Iterator[dramatiq.Worker]:
    """Run Dramatiq's own worker with our guards: one actor named like its queue, one for what nobody can read."""
    broker = from_url(url, middleware=[FailsOnDemand()])

    def take(**kwargs: Any) -> None:
        seen.taken.put((name, kwargs))
        if kwargs.get("fail"):
            raise ValueError("as the test asked")

    def unreadable(**kwargs: Any) -> None:
        seen.taken.put((UNREADABLE, kwargs))

    dramatiq.actor(actor_name=name, queue_name=name, broker=broker)(take)
    dramatiq.actor(actor_name=UNREADABLE, queue_name=name, broker=broker)(unreadable)
    worker = dramatiq.Worker(broker, worker_threads=2, worker_timeout=50)
    worker.start()
    try:
        yield worker
    finally:
        worker.stop()
        broker.close()


async def put_raw(url: str, name: str, body: bytes) -> None:
    """What a client in any language may do."""
    if url.startswith("redis"):
        async with Redis.from_url(url) as client, client.pipeline() as together:
            own = uuid.uuid4().hex
            together.hset(f"dramatiq:{name}.msgs", mapping={own: body})
            together.rpush(f"dramatiq:{name}", own)
            await together.execute()
        return
    async with await aio_pika.connect(url) as connection, connection.channel(on_return_raises=True) as channel:
        await channel.declare_queue(name, durable=True, arguments=queue_arguments(name))
        await channel.declare_queue(xq_name(name), durable=True, arguments=dead_queue_arguments())
        await channel.default_exchange.publish(aio_pika.Message(body), name, mandatory=True)


async def remove(url: str, name: str) -> None:
    """Lose a queue with everything in it."""
    if url.startswith("redis"):
        async with Redis.from_url(url) as client:
            await client.delete(f"dramatiq:{name}", f"dramatiq:{name}.msgs")
        return
    async with await aio_pika.connect(url) as connection, connection.channel() as channel:
        await channel.queue_delete(name)


async def until(check: Callable[[], Any]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not await check():
        assert time.monotonic() < deadline, "it did not come to pass"
        await asyncio.sleep(0.02)


def envelope(name: str, **changed: Any) -> bytes:
    fields = {"queue_name": name, "actor_name": name, "args": [], "kwargs": {"n": 1}, "options": {}}
    return orjson.dumps(fields | {"message_id": "m", "message_timestamp": 1} | changed)


async def test_what_is_sent_is_taken_by_a_real_worker(producer: Producer, broker_url: str, name: str) -> None:
    seen = Seen()
    with working(broker_url, name, seen):
        await producer.send([WorkOnJob(name)] * 5)
        assert [await asyncio.to_thread(seen.next) for _ in range(5)] == [(name, {})] * 5


async def test_send_returns_when_the_broker_has_it(producer: Producer, name: str) -> None:
    for count in (1, 2, 3):
        await producer.send([WorkOnJob(name)])
        assert await producer.depth(name) == count


async def test_a_thousand_messages_are_confirmed_at_once(producer: Producer, name: str) -> None:
    await producer.send([WorkOnJob(name) for _ in range(1000)])
    assert await producer.depth(name) == 1000


async def test_sending_nothing_is_no_trouble(producer: Producer, name: str) -> None:
    await producer.send([])
    assert await producer.depth(name) == 0


async def test_a_queue_that_was_never_used_is_empty(producer: Producer, name: str) -> None:
    assert await producer.depth(name) == 0
    assert await producer.collect_dead(name, 10, forget) == 0


async def test_a_queue_that_went_missing_is_declared_again(producer: Producer, broker_url: str, name: str) -> None:
    await producer.send([WorkOnJob(name)])
    await remove(broker_url, name)
    await producer.send([WorkOnJob(name)] * 3)
    assert await producer.depth(name) == 3


async def test_depth_falls_to_nothing_when_a_worker_takes_all(producer: Producer, broker_url: str, name: str) -> None:
    await producer.send([WorkOnJob(name)] * 20)
    seen = Seen()
    with working(broker_url, name, seen):
        for _ in range(20):
            await asyncio.to_thread(seen.next)
        await until(lambda: is_empty(producer, name))


async def test_producer_and_worker_agree_on_how_a_queue_is_declared(broker_url: str, name: str) -> None:
    seen = Seen()
    with working(broker_url, name, seen):
        async with open_producer(broker_url, [name]) as producer:
            await producer.send([WorkOnJob(name)])
            await asyncio.to_thread(seen.next)


async def test_dead_letters_are_handed_over_and_forgotten(producer: Producer, broker_url: str, name: str) -> None:
    seen, kept = Seen(), list[Dead]()

    async def keep(dead: Sequence[Dead]) -> None:
        kept.extend(dead)

    with working(broker_url, name, seen):
        await put_raw(broker_url, name, envelope(name, kwargs={"fail": True}))
        await asyncio.to_thread(seen.next)
        await until(lambda: producer.collect_dead(name, 10, keep))
    assert [(dead.queue, orjson.loads(dead.body)["kwargs"]) for dead in kept] == [(name, {"fail": True})]
    assert await producer.collect_dead(name, 10, keep) == 0


async def test_what_a_queue_holds_is_told_by_where_it_is(producer: Producer, broker_url: str, name: str) -> None:
    assert isinstance(producer, Telling)
    with working(broker_url, name, seen := Seen()):
        await put_raw(broker_url, name, envelope(name, kwargs={"fail": True}))
        await asyncio.to_thread(seen.next)

        async def is_dead() -> bool:
            return (await producer.held(name)).dead == 1

        await until(is_dead)
    await producer.send([WorkOnJob(name)] * 3)
    held = await producer.held(name)
    assert (held.ready, held.dead) == (3, 1)
    assert {held.unacked, held.delayed} <= {0, None}  # None: AMQP does not tell


async def test_a_dead_letter_that_could_not_be_written_is_handed_over_again(
    producer: Producer, broker_url: str, name: str
) -> None:
    seen, kept = Seen(), list[Dead]()

    async def fail(dead: Sequence[Dead]) -> None:
        raise OSError("the database is away")

    async def keep(dead: Sequence[Dead]) -> None:
        kept.extend(dead)

    async def failed() -> bool:
        try:
            await producer.collect_dead(name, 10, fail)
        except OSError:
            return True
        return False

    with working(broker_url, name, seen):
        await put_raw(broker_url, name, envelope(name, kwargs={"fail": True}))
        await asyncio.to_thread(seen.next)
        await until(failed)
    await until(lambda: producer.collect_dead(name, 10, keep))
    assert len(kept) == 1


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"hello", "not JSON"),
        (b"\xff\x00", "not JSON"),
        (b"[]", "JSON object"),
        (b"{}", "lacks"),
    ],
)
async def test_what_nobody_can_read_goes_to_unreadable_and_the_worker_lives_on(
    producer: Producer, broker_url: str, name: str, body: bytes, reason: str
) -> None:
    seen = Seen()
    with working(broker_url, name, seen):
        await put_raw(broker_url, name, body)
        actor, kwargs = await asyncio.to_thread(seen.next)
        assert actor == UNREADABLE
        assert reason in kwargs["reason"]
        await producer.send([WorkOnJob(name)])
        assert await asyncio.to_thread(seen.next) == (name, {})
        await until(lambda: is_empty(producer, name))


async def test_a_message_for_an_unknown_actor_goes_to_unreadable(
    producer: Producer, broker_url: str, name: str
) -> None:
    seen = Seen()
    with working(broker_url, name, seen):
        await put_raw(broker_url, name, envelope(name, actor_name="nobody"))
        actor, kwargs = await asyncio.to_thread(seen.next)
        assert (actor, "nobody" in kwargs["reason"]) == (UNREADABLE, True)
        await until(lambda: is_empty(producer, name))


async def test_a_message_that_names_another_queue_is_worked_on_where_it_lies(
    producer: Producer, broker_url: str, name: str
) -> None:
    seen = Seen()
    with working(broker_url, name, seen):
        for n in range(4):  # more than there are threads: each would cost one
            await put_raw(broker_url, name, envelope(name, queue_name="elsewhere", kwargs={"n": n}))
            assert await asyncio.to_thread(seen.next) == (name, {"n": n})
        await until(lambda: is_empty(producer, name))


async def test_a_message_for_the_far_future_is_worked_on_now(producer: Producer, broker_url: str, name: str) -> None:
    seen = Seen()
    with working(broker_url, name, seen):
        await put_raw(broker_url, name, envelope(name, options={"eta": 4102444800000}))
        assert await asyncio.to_thread(seen.next) == (name, {"n": 1})
        await until(lambda: is_empty(producer, name))


async def test_what_a_stranger_sent_is_done_with_once_it_is_worked_on(
    producer: Producer, broker_url: str, name: str
) -> None:
    first, second = Seen(), Seen()
    with working(broker_url, name, first):
        await put_raw(broker_url, name, b"hello")
        await asyncio.to_thread(first.next)
        await until(lambda: is_empty(producer, name))
    with working(broker_url, name, second):
        await producer.send([WorkOnJob(name)])
        assert await asyncio.to_thread(second.next) == (name, {})
    assert second.taken.empty()


async def test_a_broker_that_is_not_there_is_said_in_one_line(broker_url: str, name: str) -> None:
    scheme = broker_url.partition("://")[0]
    async with open_producer(f"{scheme}://127.0.0.1:9", [name], patience_s=0.3) as producer:
        with pytest.raises(BrokerUnreachableError) as sent:
            await producer.send([WorkOnJob(name)])
        assert "\n" not in str(sent.value)
        with pytest.raises(BrokerUnreachableError):
            await producer.depth(name)
        assert isinstance(producer, Telling)
        with pytest.raises(BrokerUnreachableError):
            await producer.held(name)
        with pytest.raises(BrokerUnreachableError):
            await producer.collect_dead(name, 10, forget)


async def test_a_producer_lives_through_a_restart_of_its_broker(
    producer: Producer, broker_url: str, name: str, stack: Stack
) -> None:
    await producer.send([WorkOnJob(name)])
    server = stack.redis if broker_url.startswith("redis") else stack.rabbitmq
    await asyncio.to_thread(server.stop)
    try:
        with pytest.raises(BrokerUnreachableError):
            async with asyncio.timeout(WAIT_S):
                await producer.depth(name)
    finally:
        await asyncio.to_thread(server.start)
    await producer.send([WorkOnJob(name)])
    assert await producer.depth(name) == 2  # nor was anything lost that had been taken
    assert await producer.collect_dead(name, 10, forget) == 0


def test_only_four_schemes_name_a_broker() -> None:
    with pytest.raises(UnknownBrokerError, match="amqp://"):
        from_url("kafka://x", middleware=[])


def test_making_a_broker_connects_to_nothing() -> None:
    assert isinstance(from_url("redis://127.0.0.1:9", middleware=[]), RedisBroker)
    from_url("amqp://127.0.0.1:9", middleware=[])


async def is_empty(producer: Producer, name: str) -> bool:
    return await producer.depth(name) == 0


async def forget(dead: Sequence[Dead]) -> None:
    return
