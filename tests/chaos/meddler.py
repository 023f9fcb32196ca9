"""A consumer that nobody invited: it takes messages off the queues, and puts each back twice, in another order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aio_pika.exceptions import AMQPError

from broker.connect import amqp_url, queue_arguments
from broker.messages import DEDUP, POST

KEPT_MAX = 400


@dataclass(slots=True)
class Meddler:
    """Keeps copies of what it has seen, to deliver them again when they are long done with."""

    url: str
    queues: Sequence[str]
    rng: Random
    seen: list[tuple[str, bytes]] = field(default_factory=list)
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
            self._remember(again[: len(taken)])

    async def replay(self, count: int) -> None:
        """Deliver old messages once more, whatever has become of their rows."""
        if self.seen:
            async with await aio_pika.connect(amqp_url(self.url)) as connection:
                channel = await connection.channel(publisher_confirms=True)
                await self._deliver(channel, self.rng.choices(self.seen, k=count))

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
            await queue.consume(keep)
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

    def _remember(self, messages: Sequence[tuple[str, bytes]]) -> None:
        self.seen += [(queue, body) for queue, body in messages if queue in (DEDUP, POST)]
        del self.seen[:-KEPT_MAX]


UNREACHED = (AMQPError, OSError)
