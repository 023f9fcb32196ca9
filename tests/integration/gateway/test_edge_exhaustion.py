"""Clients that ask and do not read, or read one byte at a time, and what else would use up a gateway."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from gateway.edge.connection import Connection
from gateway.edge.settings import EdgeSettings
from tests.integration.gateway.front import Front, Hand, open_front, parsed
from tests.workshop import eventually

GET = b"GET /api/v1/things HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer user-word\r\n\r\n"
POST = (
    b"POST /api/v1/%b HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\nContent-Type: application/json\r\n"
    b"Content-Length: 12\r\nExpect: 100-continue\r\n\r\n"
)
UNREAD_MAX = 200_000
"""What a gateway may hold for one client that does not read: up to the loop's high-water mark, and an answer."""


@pytest.fixture
async def hand() -> Hand:
    return Hand()


@pytest.fixture
async def front(hand: Hand) -> AsyncIterator[Front]:
    async with open_front(settings=EdgeSettings(connections_per_address_max=20), clock=hand) as opened:
        yield opened


@asynccontextmanager
async def deaf(front: Front) -> AsyncIterator[tuple[socket.socket, Connection]]:
    """A client with hardly any room for answers, which asks and reads nothing until it is answered no more."""
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.setblocking(False)
        await asyncio.get_running_loop().sock_connect(line, ("127.0.0.1", front.port))

        async def there() -> bool:
            return bool(front.server.open)

        await eventually(there)
        (connection,) = front.server.open
        assert connection.transport is not None
        connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        left, asked, still = memoryview(GET * 30_000), 0, 0
        while still < 20:
            with suppress(BlockingIOError):
                left = left[line.send(left) :] if left else left
            await asyncio.sleep(0.01)
            count = front.server.requests_count
            asked, still = count, still + 1 if count == asked and connection.writing_paused else 0
        yield line, connection


async def test_who_does_not_read_answers_is_asked_nothing_more_and_costs_little_room(front: Front) -> None:
    async with deaf(front) as (_, connection):
        assert 0 < unread(connection) < UNREAD_MAX


async def test_who_reads_nothing_for_half_a_minute_is_dropped_with_what_was_kept_for_them(
    front: Front, hand: Hand
) -> None:
    async with deaf(front):
        assert front.server.sweep() == 0
        hand.now += 29.9
        assert front.server.sweep() == 0

        async def dropped() -> bool:  # the kernel may have taken a little more since
            hand.now += 30.0
            return front.server.sweep() == 1

        await eventually(dropped)

        async def gone() -> bool:
            return not front.server.open

        await eventually(gone)


async def test_who_reads_slowly_is_waited_for(front: Front, hand: Hand) -> None:
    async with deaf(front) as (line, connection):
        assert front.server.sweep() == 0
        for _ in range(3):
            size = unread(connection)

            async def taken(size: int = size) -> bool:
                await asyncio.get_running_loop().sock_recv(line, 65_536)
                return unread(connection) != size

            await eventually(taken)
            hand.now += 29.0
            assert front.server.sweep() == 0


def unread(connection: Connection) -> int:
    """What waits for one client."""
    assert connection.transport is not None
    return connection.transport.get_write_buffer_size()


@pytest.mark.parametrize("path", [b"things", b"changes/one"])
async def test_who_asks_whether_to_send_a_body_is_told_so_once_and_when_they_are_let_in(
    front: Front, path: bytes
) -> None:
    reader, writer = await front.connect()
    writer.write(POST % (path, b"user-word"))
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b'{"name":"a"}')
    head = await reader.readuntil(b"\r\n\r\n")
    assert parsed(head).status == 201


async def test_who_is_not_let_in_is_not_asked_for_a_body(front: Front) -> None:
    reader, writer = await front.connect()
    writer.write(POST % (b"things", b"another-word"))
    answer = parsed(await reader.readuntil(b"\r\n\r\n"))
    assert (answer.status, answer.headers["connection"]) == (401, "close")
