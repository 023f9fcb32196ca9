"""Our producer on a real RabbitMQ that stands still, loses connections, refuses and forgets: what was told is true."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import aio_pika
import pytest
from dramatiq import Message

from broker.connect import queue_arguments
from broker.messages import WorkOnJob
from broker.producer import BrokerUnreachableError, RabbitmqProducer, open_producer
from ops.embedded import Stack
from tests.integration.engine_bench import Line
from tests.workshop import eventually


def messages(queue: str, count: int) -> list[Message[None]]:
    return [Message(queue, queue, args=(n,), kwargs={}, options={}) for n in range(count)]


@asynccontextmanager
async def producing(url: str, queues: Sequence[str], *, patience_s: float) -> AsyncIterator[RabbitmqProducer]:
    async with open_producer(url, queues, patience_s=patience_s) as producer:
        assert isinstance(producer, RabbitmqProducer)
        yield producer


@pytest.fixture
async def queue(rabbitmq_url: str) -> AsyncIterator[str]:
    """A queue of the test's own, gone afterwards."""
    name = f"publish.{uuid4().hex[:8]}"
    yield name
    async with await aio_pika.connect(rabbitmq_url) as connection, connection.channel() as channel:
        for one in (name, f"{name}.XQ", f"{name}.full"):
            await channel.queue_delete(one)


async def held(url: str, queue: str) -> list[int]:
    """Take everything off a queue and give the first argument of each."""
    taken: list[int] = []
    async with await aio_pika.connect(url) as connection, connection.channel() as channel:
        declared = await channel.declare_queue(queue, durable=True, arguments=queue_arguments(queue))
        while (message := await declared.get(no_ack=True, fail=False)) is not None:
            taken.append(Message.decode(message.body).args[0])
    return taken


async def test_what_many_callers_sent_while_connections_were_cut_is_all_there(rabbitmq_url: str, queue: str) -> None:
    parts = urlsplit(rabbitmq_url)
    line = Line(str(parts.hostname), int(parts.port or 5672))
    await line.mend()
    url = urlunsplit(parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{line.port}"))
    confirmed: list[int] = []
    async with producing(url, [queue], patience_s=20) as producer:

        async def caller(some: Sequence[Message[None]]) -> None:
            for message in some:
                await producer.publish([message])
                confirmed.append(message.args[0])

        every = messages(queue, 600)
        callers = [asyncio.create_task(caller(every[n::20])) for n in range(20)]
        for cut_after in (100, 300):

            async def so_many(wanted: int = cut_after) -> bool:
                return len(confirmed) >= wanted

            await eventually(so_many)
            await line.cut()
            await line.mend()
        await asyncio.gather(*callers)
    await line.cut()
    assert sorted(confirmed) == list(range(600))
    assert set(await held(rabbitmq_url, queue)) == set(confirmed)


async def test_a_broker_that_stands_still_ends_in_an_error_and_is_used_again_when_it_goes_on(
    rabbitmq_url: str, queue: str, stack: Stack
) -> None:
    async with producing(rabbitmq_url, [queue], patience_s=1.5) as producer:
        await producer.send([WorkOnJob(queue)])
        stack.rabbitmq.pause()
        try:
            sending = asyncio.create_task(producer.send([WorkOnJob(queue)] * 3))
            with pytest.raises(BrokerUnreachableError):
                await producer.depth(queue)
            with pytest.raises(BrokerUnreachableError, match="did not take"):
                await sending
        finally:
            stack.rabbitmq.resume()

        async def sent() -> bool:
            try:
                await producer.send([WorkOnJob(queue)])
            except BrokerUnreachableError:
                return False
            return True

        await eventually(sent)
        assert await producer.depth(queue) >= 2


async def test_a_queue_that_refuses_is_an_error_for_who_sends_to_it_and_for_nobody_else(
    rabbitmq_url: str, queue: str
) -> None:
    full = f"{queue}.full"
    async with await aio_pika.connect(rabbitmq_url) as connection, connection.channel() as channel:
        refuses: dict[str, Any] = {"x-queue-type": "quorum", "x-max-length": 1, "x-overflow": "reject-publish"}
        await channel.declare_queue(full, durable=True, arguments=refuses)
        async with producing(rabbitmq_url, [queue], patience_s=0.5) as producer:

            async def is_full() -> bool:  # a quorum queue takes a few more than it may, before it says so
                try:
                    await producer.publish(messages(full, 1))
                except BrokerUnreachableError:
                    return True
                return False

            await eventually(is_full)
            refused = asyncio.gather(*(producer.publish([one]) for one in messages(full, 20)), return_exceptions=True)
            await asyncio.gather(*(producer.publish([one]) for one in messages(queue, 50)))
            assert {str(error).rpartition(": ")[2] for error in await refused} == {"it was refused"}
            assert await producer.depth(queue) == 50


async def test_a_queue_that_nobody_declares_is_an_error_for_who_sends_to_it_and_for_nobody_else(
    rabbitmq_url: str, queue: str
) -> None:
    async with producing(rabbitmq_url, [queue], patience_s=0.5) as producer:
        lost = asyncio.create_task(producer.publish(messages(f"{queue}.none", 3)))
        await asyncio.gather(*(producer.publish([one]) for one in messages(queue, 50)))
        with pytest.raises(BrokerUnreachableError, match="there is no queue"):
            await lost
        assert await producer.depth(queue) == 50


async def test_a_caller_that_is_cancelled_takes_nobody_with_it(rabbitmq_url: str, queue: str) -> None:
    async with producing(rabbitmq_url, [queue], patience_s=10) as producer:
        tasks = [asyncio.create_task(producer.publish([one])) for one in messages(queue, 200)]
        await asyncio.sleep(0)
        tasks[100].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results.pop(100), asyncio.CancelledError)
        assert results == [None] * 199
    assert set(range(200)) - set(await held(rabbitmq_url, queue)) <= {100}


async def test_who_closes_waits_for_what_is_under_way_and_what_comes_later_is_refused(
    rabbitmq_url: str, queue: str
) -> None:
    async with producing(rabbitmq_url, [queue], patience_s=10) as producer:
        sending = asyncio.create_task(producer.publish(messages(queue, 500)))
        await asyncio.sleep(0)
    assert sending.done()
    await sending
    with pytest.raises(BrokerUnreachableError, match="closed"):
        await producer.send([WorkOnJob(queue)])
    assert len(await held(rabbitmq_url, queue)) == 500


async def test_a_body_of_many_frames_arrives_whole(rabbitmq_url: str, queue: str) -> None:
    long: Message[None] = Message(queue, queue, args=(), kwargs={"text": "x" * 400_000}, options={})
    async with producing(rabbitmq_url, [queue], patience_s=10) as producer:
        await producer.publish([long, *messages(queue, 1)])
    async with await aio_pika.connect(rabbitmq_url) as connection, connection.channel() as channel:
        taken = await (await channel.get_queue(queue)).get()
        assert Message.decode(taken.body).kwargs == long.kwargs
        await taken.ack()
