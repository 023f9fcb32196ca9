"""A consumer that nobody invited: it takes messages before the workers do, and puts each back twice, out of order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aio_pika.exceptions import AMQPError

from broker.connect import amqp_url, queue_arguments
from broker.messages import DedupPage, Hint, PostPage

from .system import System

UNREACHED = (AMQPError, OSError)


@dataclass(slots=True)
class Meddler:
    """Delivers twice what is on its way, and once more what is long done with."""

    url: str
    queues: Sequence[str]
    rng: Random
    doubled: int = 0

    async def meddle(self, *, count: int, within_s: float) -> None:
        """Take up to ``count`` messages as they come, and deliver each of them twice and out of order."""
        async with await aio_pika.connect(amqp_url(self.url)) as connection:
            channel = await connection.channel(publisher_confirms=True)
            await channel.set_qos(prefetch_count=count)
            taken = await self._take(channel, count, within_s)
            again = [(queue, message.body) for queue, message in taken] * 2
            await self._deliver(channel, again)
            for _, message in taken:
                await message.ack()

    async def replay(self, said: Sequence[Hint], count: int) -> None:
        """Deliver so many of these once more, out of order."""
        messages = [(message.queue_name, message.encode()) for message in (hint.message() for hint in said)]
        async with await aio_pika.connect(amqp_url(self.url)) as connection:
            channel = await connection.channel(publisher_confirms=True)
            await self._deliver(channel, self.rng.choices(messages, k=count) if messages else [])

    async def _take(
        self, channel: AbstractChannel, count: int, within_s: float
    ) -> list[tuple[str, AbstractIncomingMessage]]:
        taken: list[tuple[str, AbstractIncomingMessage]] = []
        full = asyncio.Event()
        for name in self.queues:

            async def keep(message: AbstractIncomingMessage, name: str = name) -> None:
                taken.append((name, message))
                if len(taken) >= count:
                    full.set()

            queue = await channel.declare_queue(name, durable=True, arguments=queue_arguments(name))
            await queue.consume(keep, arguments={"x-priority": 10})  # before the workers
        try:
            async with asyncio.timeout(within_s):
                await full.wait()
        except TimeoutError:
            pass
        return list(taken)

    async def _deliver(self, channel: AbstractChannel, messages: list[tuple[str, bytes]]) -> None:
        shuffled = self.rng.sample(messages, len(messages))
        for queue, body in shuffled:
            message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
            await channel.default_exchange.publish(message, queue)
        self.doubled += len(shuffled)


async def said_before(system: System) -> list[Hint]:
    """Say again what was said about the pages that are done with: read it, post it.

    Nothing about other rows: that could make good a hint that was lost, which is for the dispatcher to do.
    """
    rows = await system.rows("SELECT id FROM pages WHERE state = 'posted'")
    return [hint for row in rows for hint in (DedupPage(row.id), PostPage(row.id))]
