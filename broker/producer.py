"""Sending hints from asyncio: ``await producer.send(hints)`` returns when the broker has taken all of them.

RabbitMQ confirms each message; a window of them is under way at once (one at a time costs a round trip each).  A queue
that is missing is declared again, a lost connection is opened again, and a broker that stays away ends in
BrokerUnreachableError after ``patience_s``: the rows are written by then, and the dispatcher will say it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable
from urllib.parse import urlsplit

import aio_pika
import redis
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage
from aio_pika.exceptions import AMQPError, ChannelInvalidStateError, DeliveryError, PublishError
from aiormq.exceptions import ChannelNotFoundEntity
from dramatiq import Message
from dramatiq.common import dq_name, xq_name

from broker.cancelling import heeds_cancellation
from broker.connect import SENDS_ONLY, amqp_url, dead_queue_arguments, from_url, queue_arguments
from broker.messages import Hint
from broker.on_redis import GuardedRedisBroker

WINDOW = 500
BUFFER_MAX = 20_000
"""So many messages may wait for the broker in a process; who brings more while it is away is told so at once."""
_LOST = (AMQPError, ChannelInvalidStateError, ConnectionError, OSError, RuntimeError, TimeoutError)


def _is_lost(error: Exception) -> bool:
    # aiormq rejects what waits on a channel that closed without a reason with a bare Exception.
    return isinstance(error, _LOST) or type(error) is Exception


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
    """Confirmed, mandatory, persistent publishing over one connection and one channel."""

    def __init__(self, url: str, queues: Sequence[str], patience_s: float) -> None:
        self._url = amqp_url(url)
        self._queues = queues
        self._patience_s = patience_s
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._opening = asyncio.Lock()
        self._window = asyncio.Semaphore(WINDOW)
        self._waiting = 0

    @heeds_cancellation
    async def send(self, hints: Sequence[Hint]) -> None:
        if self._waiting >= BUFFER_MAX:
            raise BrokerUnreachableError(f"the broker did not take a message: {self._waiting} wait for it already")
        messages = [hint.message() for hint in hints]
        self._waiting += len(messages)
        try:
            results = await asyncio.gather(*map(self._publish, messages), return_exceptions=True)
        finally:
            self._waiting -= len(messages)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    @heeds_cancellation
    async def depth(self, queue: str) -> int:
        async with self._asking() as channel:
            declared = await channel.declare_queue(queue, durable=True, arguments=queue_arguments(queue))
        return declared.declaration_result.message_count or 0

    @heeds_cancellation
    async def held(self, queue: str) -> Held:
        # AMQP tells neither what is unacknowledged nor anything of a queue for delays, of which we have none.
        async with self._asking() as channel:
            dead = await channel.declare_queue(xq_name(queue), durable=True, arguments=dead_queue_arguments())
        ready, gone = await self.depth(queue), dead.declaration_result.message_count or 0
        return Held(ready, unacked=None, delayed=None, dead=gone)

    @heeds_cancellation
    async def collect_dead(self, queue: str, limit: int, write: Write) -> int:
        taken: list[AbstractIncomingMessage] = []
        async with self._asking() as channel:
            dead = await channel.declare_queue(xq_name(queue), durable=True, arguments=dead_queue_arguments())
            while len(taken) < limit and (message := await dead.get(fail=False)) is not None:
                taken.append(message)
        if taken:
            written = False
            try:
                await write([Dead(queue, message.body) for message in taken])
                written = True
            finally:
                # Taken and not acknowledged, a message would be out of everybody's sight for as long as we live.
                async with self._asking():
                    last = taken[-1]
                    await (last.ack(multiple=True) if written else last.nack(multiple=True, requeue=True))
        return len(taken)

    async def close(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            await connection.close()

    @heeds_cancellation
    async def _publish(self, message: Message[None]) -> None:
        body = aio_pika.Message(
            message.encode(), delivery_mode=aio_pika.DeliveryMode.PERSISTENT, content_type="application/json"
        )
        pause_s, deadline = 0.05, asyncio.get_running_loop().time() + self._patience_s
        while True:
            try:
                async with self._window, asyncio.timeout(self._patience_s):
                    channel = await self._ready()
                    await channel.default_exchange.publish(body, message.queue_name, mandatory=True)
                return
            except Exception as error:
                if not _is_lost(error):
                    raise
                await self._forget(error)
                if asyncio.get_running_loop().time() >= deadline:
                    raise BrokerUnreachableError(f"the broker did not take a message: {_in_words(error)}") from error
            await asyncio.sleep(pause_s)
            pause_s = min(1.0, pause_s * 2)

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[AbstractChannel]:
        """Lend the channel for a question; a connection that fails at it is given up, the next question opens anew."""
        try:
            async with asyncio.timeout(self._patience_s):
                yield await self._ready()
        except Exception as error:
            if not _is_lost(error):
                raise
            async with self._opening:
                await self._drop()
            raise BrokerUnreachableError(f"the broker does not answer: {_in_words(error)}") from error

    async def _ready(self) -> AbstractChannel:
        async with self._opening:
            if self._channel is None or self._channel.is_closed:
                self._channel = await self._open()
            return self._channel

    @heeds_cancellation
    async def _open(self) -> AbstractChannel:
        await self._drop()
        self._connection = await aio_pika.connect(self._url, timeout=self._patience_s)
        channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
        for queue in self._queues:
            await channel.declare_queue(queue, durable=True, arguments=queue_arguments(queue))
            await channel.declare_queue(xq_name(queue), durable=True, arguments=dead_queue_arguments())
        return channel

    async def _forget(self, error: BaseException) -> None:
        # A returned message means that its queue is gone: a new channel declares them all again.
        if isinstance(error, PublishError | DeliveryError | ChannelNotFoundEntity) or not isinstance(error, AMQPError):
            async with self._opening:
                await self._drop()

    async def _drop(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            try:
                async with asyncio.timeout(1):
                    await connection.close()
            except _LOST:
                pass


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
