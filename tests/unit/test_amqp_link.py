"""A connection to a broker that shakes hands and then says nothing more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from dramatiq import Message
from pika import URLParameters, frame, spec

from broker.amqp import LinkLost, open_link
from broker.producer import BrokerUnreachableError, RabbitmqProducer

ANSWERS = {
    spec.Connection.StartOk: spec.Connection.Tune(10, 131072, 0),
    spec.Connection.Open: spec.Connection.OpenOk(),
    spec.Channel.Open: spec.Channel.OpenOk(),
    spec.Channel.Close: spec.Channel.CloseOk(),
    spec.Connection.Close: spec.Connection.CloseOk(),
    spec.Confirm.Select: spec.Confirm.SelectOk(),
}
MINE = {"publisher_confirms": True, "basic.nack": True}


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer what opens connections, channels and queues, and nothing else."""
    await reader.readexactly(8)
    hello = spec.Connection.Start(0, 9, {"capabilities": MINE}, "PLAIN", "en_US")
    writer.write(frame.Method(0, hello).marshal())
    try:
        while True:
            head = await reader.readexactly(7)
            rest = await reader.readexactly(int.from_bytes(head[3:], "big") + 1)
            _, came = frame.decode_frame(head + rest)
            method: Any = getattr(came, "method", None)
            declared = isinstance(method, spec.Queue.Declare)
            answer = spec.Queue.DeclareOk(method.queue, 0, 0) if declared else ANSWERS.get(type(method))
            if answer is not None:
                writer.write(frame.Method(came.channel_number, answer).marshal())
    except asyncio.IncompleteReadError:
        writer.close()


@asynccontextmanager
async def silent_broker() -> AsyncIterator[str]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"amqp://a:b@127.0.0.1:{server.sockets[0].getsockname()[1]}/%2F?heartbeat=0"
    server.close()


async def test_a_connection_that_is_given_up_ends_and_so_do_its_channels_and_whoever_waits_there() -> None:
    async with silent_broker() as url:
        link = await open_link(URLParameters(url))
        channel = await link.channel()
        asking = asyncio.create_task(channel.take("q", 1))
        await asyncio.sleep(0)
        link.drop()
        async with asyncio.timeout(5):
            assert "given up" in await link.closed
            assert "given up" in await channel.closed
            with pytest.raises(LinkLost, match="given up"):
                await asking
        with pytest.raises(LinkLost):
            await link.channel()


async def test_a_broker_that_stops_answering_is_connected_to_anew_by_the_next_message() -> None:
    async with silent_broker() as url:
        producer = RabbitmqProducer(url, ["q"], 0.2)
        for _ in range(2):
            with pytest.raises(BrokerUnreachableError, match="no answer within"):
                await producer.publish([Message("q", "q", args=(), kwargs={}, options={})])
        assert await producer.depth("q") == 0
        await producer.close()
