"""A queue of its own, an actor that does what the test says, a way to the broker that can be cut, and an engine."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import aio_pika
import dramatiq

from broker.connect import QuorumBroker, from_url
from broker.producer import RabbitmqProducer, open_producer
from ops.engine import AsyncWorker, LoopWorker
from ops.engine.process import FastLoop
from tests.workshop import eventually

IN_HAND = 8


class Line:
    """The way from the worker to its broker, which a test can cut."""

    def __init__(self, host: str, port: int) -> None:
        self._to = (host, port)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Drop every connection, and refuse new ones."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._open):
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(*self._to)
        self._open |= {writer, back}
        async with asyncio.TaskGroup() as both:
            both.create_task(_copied(reader, back))
            both.create_task(_copied(there, writer))
        self._open -= {writer, back}


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


class Bench:
    """A queue of its own, an actor that does what the test says, and what came of it."""

    def __init__(self, url: str, line: Line, producer: RabbitmqProducer, queue: str, engine: str) -> None:
        self.engine = engine
        self.limit_s: float | None = None
        self.line, self.producer, self.queue = line, producer, queue
        self.gate = threading.Event()
        self.begun: list[int] = []
        self.ended: list[int] = []
        self.act: Callable[[int], Awaitable[None]] = self.nothing
        self.broker = from_url(url, middleware=[FastLoop()])
        assert isinstance(self.broker, QuorumBroker)
        declare = dramatiq.actor(actor_name=queue, queue_name=queue, broker=self.broker)
        declare(self.work)

    async def until_open(self) -> None:
        """For an actor: wait until the test opens the gate, which another thread's loop sees."""
        await asyncio.to_thread(self.gate.wait, 60)

    async def nothing(self, _: int) -> None:
        return

    async def work(self, n: int) -> None:
        self.begun.append(n)
        await self.act(n)
        self.ended.append(n)

    async def send(self, *numbers: int) -> None:
        for n in numbers:
            message: dramatiq.Message[None] = dramatiq.Message(self.queue, self.queue, args=(n,), kwargs={}, options={})
            await self.producer.publish([message])

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[dramatiq.Worker | AsyncWorker]:
        """Run until the block ends; started and stopped from a thread, since this loop carries its connections."""
        worker = self._worker()
        await asyncio.to_thread(worker.start)
        try:
            yield worker
        finally:
            self.gate.set()
            await asyncio.to_thread(worker.stop, 20_000)
            await asyncio.to_thread(self.broker.close)

    def _worker(self) -> dramatiq.Worker | AsyncWorker:
        if self.engine == "stock":
            return dramatiq.Worker(self.broker, worker_threads=IN_HAND, worker_timeout=50)
        if self.engine == "loop":
            return LoopWorker(self.broker, in_hand=IN_HAND, idle_ms=50)
        assert isinstance(self.broker, QuorumBroker)
        return AsyncWorker(self.broker, in_hand=IN_HAND, limit_s=self.limit_s)

    async def left(self) -> int:
        """Count what RabbitMQ holds ready once nobody consumes any more: what was not acknowledged is there again."""
        return await self.producer.depth(self.queue)

    async def has_begun_twice(self, n: int) -> bool:
        return self.begun.count(n) == 2

    async def has_ended(self, *numbers: int) -> None:
        async def check() -> bool:
            return set(numbers) <= set(self.ended)

        await eventually(check)


@asynccontextmanager
async def open_bench(rabbitmq_url: str, engine: str) -> AsyncIterator[Bench]:
    """Open a bench; its queues are gone afterwards."""
    queue = f"engine.{uuid4().hex[:8]}"
    parts = urlsplit(rabbitmq_url)
    line = Line(str(parts.hostname), int(parts.port or 5672))
    await line.mend()
    url = urlunsplit(parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{line.port}"))
    async with open_producer(rabbitmq_url, [queue], patience_s=3.0) as producer:
        assert isinstance(producer, RabbitmqProducer)
        await producer.depth(queue)
        yield Bench(url, line, producer, queue, engine)
    await line.cut()
    async with await aio_pika.connect(rabbitmq_url) as connection, connection.channel() as channel:
        for name in (queue, f"{queue}.XQ"):
            await channel.queue_delete(name)
