"""Sending hints from asyncio: ``await producer.send(hints)`` returns when the broker has taken all of them.

RabbitMQ confirms each message; a window of them is under way at once (one at a time costs a round trip each), and what
all callers send in one turn of the loop leaves together.  A queue that is missing is declared again, a lost connection
is opened again and what was not confirmed is sent again (``broker/publisher.py``).  A broker that stays away, or takes
nothing, ends in BrokerUnreachableError after ``patience_s``: the rows are written by then, and the dispatcher will say
it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable
from urllib.parse import urlsplit

import orjson
import redis
from dramatiq import Message
from dramatiq.common import dq_name, xq_name

from broker.amqp import Channel, LinkLost
from broker.connect import SENDS_ONLY, amqp_url, dead_queue_arguments, from_url, queue_arguments
from broker.messages import Hint
from broker.on_redis import GuardedRedisBroker
from broker.outbox import NotTaken, Outgoing
from broker.publisher import Publisher

T = TypeVar("T")
BUFFER_MAX = 20_000
"""So many messages may wait for the broker in a process; who brings more while it is away is told so at once."""


class BrokerUnreachableError(Exception):
    """The broker could not be reached or would not take a message; what was asked is kept as a row."""


@dataclass(frozen=True, slots=True)
class Dead:
    """A message that the broker itself gave up on: which queue it died in, and its body."""

    queue: str
    body: bytes


Write = Callable[[Sequence[Dead]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Held:
    """What a broker holds of one queue; None where it does not tell.  ``dead``: what it gave up on itself."""

    ready: int
    unacked: int | None
    delayed: int | None
    dead: int


@runtime_checkable
class Telling(Protocol):
    """A producer whose broker tells more of a queue than how many messages wait."""

    async def held(self, queue: str) -> Held:
        """Count the messages of a queue by where they are; raise BrokerUnreachableError."""
        ...


class Producer(Protocol):
    """What a door or an actor needs of the broker."""

    async def send(self, hints: Sequence[Hint]) -> None:
        """Publish and wait until the broker has all of them."""
        ...

    async def depth(self, queue: str) -> int:
        """Count the messages that wait in a queue for a worker."""
        ...

    async def collect_dead(self, queue: str, limit: int, write: Write) -> int:
        """Hand what the broker gave up on to ``write``, and let the broker forget it once that has returned."""
        ...


@asynccontextmanager
async def open_producer(url: str, queues: Iterable[str], *, patience_s: float = 10.0) -> AsyncIterator[Producer]:
    """Open a producer for these queues on the running loop.  The first send connects."""
    if urlsplit(url).scheme.startswith("redis"):
        broker = from_url(url, middleware=())
        assert isinstance(broker, GuardedRedisBroker)
        broker.broker_id = SENDS_ONLY + broker.broker_id
        try:
            yield RedisProducer(broker)
        finally:
            await asyncio.to_thread(broker.client.close)
        return
    producer = RabbitmqProducer(url, tuple(queues), patience_s)
    try:
        yield producer
    finally:
        await producer.close()


class RabbitmqProducer:
    """Confirmed, mandatory, persistent publishing over one connection, which is opened by the first who needs it."""

    def __init__(self, url: str, queues: Sequence[str], patience_s: float) -> None:
        self._publisher = Publisher(amqp_url(url), _declared(queues), patience_s)
        self._waiting = 0

    async def send(self, hints: Sequence[Hint]) -> None:
        await self.publish([hint.message() for hint in hints])

    async def publish(self, messages: Sequence[Message[Any]]) -> None:
        """Send messages to their queues and wait until the broker has all; raises BrokerUnreachableError."""
        if self._waiting >= BUFFER_MAX:
            raise BrokerUnreachableError(f"the broker did not take a message: {self._waiting} wait for it already")
        self._waiting += len(messages)
        try:
            await self._publisher.publish(
                [Outgoing(one.queue_name, one.message_id, orjson.dumps(one)) for one in messages]
            )
        except (NotTaken, LinkLost) as error:
            raise BrokerUnreachableError(f"the broker did not take a message: {error}") from error
        finally:
            self._waiting -= len(messages)

    async def depth(self, queue: str) -> int:
        (ready,) = await self._asked(self._counted({queue: queue_arguments(queue)}))
        return ready

    async def held(self, queue: str) -> Held:
        # AMQP tells neither what is unacknowledged nor anything of a queue for delays, of which we have none.
        dead, ready = await self._asked(self._counted(_declared([queue])))
        return Held(ready, unacked=None, delayed=None, dead=dead)

    async def collect_dead(self, queue: str, limit: int, write: Write) -> int:
        channel = await self._asked(self._publisher.channel())
        try:
            taken = await self._asked(_dead_of(channel, queue, limit))
            if taken:
                await write([Dead(queue, body) for _, body in taken])
                channel.ack(taken[-1][0], multiple=True)
        finally:
            await channel.close()  # the broker has read it then, and has again what was not acknowledged
        return len(taken)

    async def close(self) -> None:
        """Take nothing more, and wait until what is under way was confirmed or given up."""
        await self._publisher.close()

    async def _counted(self, queues: Mapping[str, Mapping[str, Any]]) -> list[int]:
        channel = await self._publisher.channel()
        try:
            return [(await channel.declare(queue, arguments))[0] for queue, arguments in queues.items()]
        finally:
            channel.leave()

    async def _asked(self, question: Coroutine[Any, Any, T]) -> T:
        try:
            return await self._publisher.answered(question)
        except LinkLost as error:
            raise BrokerUnreachableError(f"the broker does not answer: {error}") from error


def _declared(queues: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    """Say how these are declared, each behind the queue of its dead letters."""
    return {
        name: arguments
        for queue in queues
        for name, arguments in ((xq_name(queue), dead_queue_arguments()), (queue, queue_arguments(queue)))
    }


async def _dead_of(channel: Channel, queue: str, limit: int) -> list[tuple[int, bytes]]:
    await channel.declare(xq_name(queue), dead_queue_arguments())
    return await channel.take(xq_name(queue), limit)


class RedisProducer:
    """Dramatiq's own enqueue, off the loop; Redis answers when it has the message."""

    def __init__(self, broker: GuardedRedisBroker) -> None:
        self._broker = broker

    async def send(self, hints: Sequence[Hint]) -> None:
        with _reaching("the broker did not take a message"):
            await asyncio.to_thread(self._enqueue, [hint.message() for hint in hints])

    async def depth(self, queue: str) -> int:
        with _reaching("the broker does not answer"):
            return int(await asyncio.to_thread(self._broker.do_qsize, queue))

    async def held(self, queue: str) -> Held:
        with _reaching("the broker does not answer"):
            return await asyncio.to_thread(_held, self._broker.client, self._broker.namespace, queue)

    async def collect_dead(self, queue: str, limit: int, write: Write) -> int:
        name, client = f"{self._broker.namespace}:{xq_name(queue)}", self._broker.client
        with _reaching("the broker does not answer"):
            ids, bodies = await asyncio.to_thread(_oldest_dead, client, name, limit)
        if ids:
            await write([Dead(queue, body) for body in bodies if body is not None])
            with _reaching("the broker does not answer"):
                await asyncio.to_thread(_forget_dead, client, name, ids)
        return len(ids)

    def _enqueue(self, messages: Sequence[Message[None]]) -> None:
        for message in messages:
            self._broker.enqueue(message)


@contextmanager
def _reaching(what: str) -> Iterator[None]:
    try:
        yield
    except redis.RedisError as error:
        raise BrokerUnreachableError(f"{what}: {_in_words(error)}") from error


def _held(client: Any, namespace: str, queue: str) -> Held:
    # As dramatiq's dispatch.lua keeps them: ids that wait in a list, bodies in a hash until they are acknowledged.
    pipe = client.pipeline(transaction=True)
    pipe.llen(f"{namespace}:{queue}").hlen(f"{namespace}:{queue}.msgs")
    pipe.hlen(f"{namespace}:{dq_name(queue)}.msgs").zcard(f"{namespace}:{xq_name(queue)}")
    ready, kept, delayed, dead = pipe.execute()
    return Held(ready, unacked=max(0, kept - ready), delayed=delayed, dead=dead)


def _oldest_dead(client: Any, name: str, limit: int) -> tuple[list[bytes], list[bytes | None]]:
    ids = client.zrange(name, 0, limit - 1)
    return ids, client.hmget(f"{name}.msgs", ids) if ids else []


def _forget_dead(client: Any, name: str, ids: list[bytes]) -> None:
    client.zrem(name, *ids)
    client.hdel(f"{name}.msgs", *ids)


def _in_words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
