"""Looking at queues from outside, for those who watch: a connection of its own that never waits long.

Whoever sends may wait for a broker; whoever watches must say soon that it does not answer.  A look gives what was read
just now or raises BrokerUnreachableError, and what a broker does not tell is None: never a zero that nobody counted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

import aio_pika
import redis.asyncio
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import AMQPError, ChannelInvalidStateError
from aiormq.exceptions import ChannelNotFoundEntity
from dramatiq.common import dq_name, xq_name

from broker.cancelling import heeds_cancellation
from broker.connect import NAMESPACE, SENDS_ONLY, amqp_url
from broker.producer import BrokerUnreachableError

PATIENCE_S = 1.5
ASKED_LATELY_S = 5.0
"""A worker on Redis asks for messages all the time; one that did not for so long is gone."""
SURE_AFTER_S = 2.5
"""RabbitMQ answers "no messages, no consumers" also for a quorum queue that has no leader yet, as right after a start:
such an answer is believed, and told, when it has been the same for so long on one connection."""
_LOST = (AMQPError, ChannelInvalidStateError, ConnectionError, OSError, RuntimeError, TimeoutError)


@dataclass(frozen=True, slots=True)
class Seen:
    """A queue as its broker tells: messages by where they are, and who takes them; None where it does not tell."""

    ready: int
    consumers: int | None
    unacked: int | None
    delayed: int | None
    dead: int | None


class Watcher(Protocol):
    """Looks at all queues of a system."""

    async def look(self) -> Mapping[str, Seen]:
        """Read every queue that is there; raise BrokerUnreachableError."""
        ...


@asynccontextmanager
async def open_watcher(url: str, queues: Iterable[str], *, patience_s: float = PATIENCE_S) -> AsyncIterator[Watcher]:
    """Open a watcher on the running loop; the first look connects."""
    if urlsplit(url).scheme.startswith("redis"):
        client = redis.asyncio.from_url(url, socket_timeout=patience_s, socket_connect_timeout=patience_s)
        try:
            yield RedisWatcher(client, tuple(queues), patience_s)
        finally:
            await client.aclose()
        return
    watcher = RabbitmqWatcher(url, tuple(queues), patience_s)
    try:
        yield watcher
    finally:
        await watcher.close()


class RabbitmqWatcher:
    """Asks with passive declarations, which any version answers; the management plugin need not be there."""

    def __init__(self, url: str, queues: Sequence[str], patience_s: float) -> None:
        self._url, self._queues, self._patience_s = amqp_url(url), queues, patience_s
        self._connection: AbstractConnection | None = None
        self._nothing_since: dict[str, float] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    @heeds_cancellation
    async def look(self) -> Mapping[str, Seen]:
        try:
            async with asyncio.timeout(self._patience_s):
                connection = await self._connected()
                live, dead = await asyncio.gather(
                    self._counted(connection, self._queues), self._counted(connection, [*map(xq_name, self._queues)])
                )
        except _LOST as error:
            self._drop()
            raise BrokerUnreachableError(f"the broker does not answer: {type(error).__name__}") from error
        return {
            queue: Seen(ready, consumers, unacked=None, delayed=None, dead=dead.get(xq_name(queue), (None,))[0])
            for queue, (ready, consumers) in live.items()
        }

    async def close(self) -> None:
        """Let the connection go, and wait for those that were let go before."""
        self._drop()
        await asyncio.gather(*self._leaving, return_exceptions=True)

    async def _connected(self) -> AbstractConnection:
        if self._connection is None or self._connection.is_closed:
            self._connection = await aio_pika.connect(self._url, timeout=self._patience_s)
        return self._connection

    async def _counted(self, connection: AbstractConnection, names: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Give (ready, consumers) of each queue that is there."""
        counted: dict[str, tuple[int, int]] = {}
        channel: AbstractChannel = await connection.channel(publisher_confirms=False)
        for name in names:
            try:
                queue = await channel.declare_queue(name, passive=True)
            except ChannelNotFoundEntity:  # nobody has declared it yet; the question has closed the channel
                channel = await connection.channel(publisher_confirms=False)
                continue
            told = queue.declaration_result
            counted[name] = (told.message_count or 0, told.consumer_count or 0)
        await channel.close()
        return {name: told for name, told in counted.items() if self._is_sure(name, told)}

    def _is_sure(self, name: str, told: tuple[int, int]) -> bool:
        if any(told):
            self._nothing_since.pop(name, None)
            return True
        now = time.monotonic()
        return now - self._nothing_since.setdefault(name, now) >= SURE_AFTER_S

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        self._nothing_since.clear()
        if connection is not None:  # a broker that stands still does not say goodbye either
            leaving = asyncio.create_task(_leave(connection))
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)


async def _leave(connection: AbstractConnection) -> None:
    try:
        async with asyncio.timeout(1):
            await connection.close()
    except _LOST:
        return


class RedisWatcher:
    """Reads what dramatiq's dispatch.lua keeps."""

    def __init__(self, client: Any, queues: Sequence[str], patience_s: float) -> None:
        self._client, self._queues, self._patience_s = client, queues, patience_s

    async def look(self) -> Mapping[str, Seen]:
        try:
            async with asyncio.timeout(self._patience_s):
                told = await self._told()
        except (redis.RedisError, OSError, TimeoutError) as error:
            raise BrokerUnreachableError(f"the broker does not answer: {type(error).__name__}") from error
        asked, counts = told[0], told[1:]
        # Every process that sends is in the list too, under a name that says so.
        consumers = sum(not name.startswith(SENDS_ONLY.encode()) for name in asked)
        rows = zip(*[iter(counts)] * 4, strict=True)
        return {
            queue: Seen(ready, consumers, unacked=max(0, kept - ready), delayed=delayed, dead=dead)
            for queue, (ready, kept, delayed, dead) in zip(self._queues, rows, strict=True)
        }

    async def _told(self) -> list[Any]:
        since_ms = int((time.time() - ASKED_LATELY_S) * 1000)
        async with self._client.pipeline(transaction=True) as pipe:
            pipe.zrangebyscore(f"{NAMESPACE}:__heartbeats__", since_ms, "+inf")
            for queue in self._queues:
                pipe.llen(f"{NAMESPACE}:{queue}").hlen(f"{NAMESPACE}:{queue}.msgs")
                pipe.hlen(f"{NAMESPACE}:{dq_name(queue)}.msgs").zcard(f"{NAMESPACE}:{xq_name(queue)}")
            told: list[Any] = await pipe.execute()
        return told
