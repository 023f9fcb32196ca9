"""What the doctor asks a broker: are its queues there, are they of the right type, how many messages wait.

Only looks: nothing is declared that is not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

import aio_pika
from aio_pika.exceptions import AMQPError, ChannelClosed, ChannelNotFoundEntity, ChannelPreconditionFailed
from dramatiq.common import xq_name

from broker.connect import amqp_url, dead_queue_arguments, queue_arguments
from broker.producer import open_producer

CONNECT_S_MAX = 5


async def broken_queues(url: str, names: Sequence[str]) -> dict[str, str]:
    """Say of each RabbitMQ queue that is not as it must be, what is wrong; raises OSError when RabbitMQ is away."""
    wanted = {name: queue_arguments(name) for name in names} | {xq_name(name): dead_queue_arguments() for name in names}
    bad: dict[str, str] = {}
    try:
        connection = await aio_pika.connect(amqp_url(url), timeout=CONNECT_S_MAX)
    except AMQPError as error:
        raise ConnectionError(f"RabbitMQ does not answer: {error or type(error).__name__}") from None
    async with connection:
        for name, arguments in wanted.items():
            channel = await connection.channel()
            try:
                await channel.declare_queue(name, passive=True)
                await channel.declare_queue(name, durable=True, arguments=arguments)
            except ChannelNotFoundEntity:
                bad[name] = "does not exist"
            except ChannelPreconditionFailed:
                bad[name] = "was declared with another type or other arguments"
            except ChannelClosed as error:
                bad[name] = str(error)[:200]
            else:
                await channel.close()
    return bad


async def depths(url: str, names: Sequence[str]) -> dict[str, int]:
    """Count the messages that wait in each queue."""
    scheme = urlsplit(url).scheme
    try:
        async with open_producer(url, names) as producer:
            return {name: await producer.depth(name) for name in names}
    except AMQPError as error:
        raise ConnectionError(f"{scheme} broker does not answer: {error or type(error).__name__}") from None
