"""Slow clients, many connections, clients that go away, and a gateway that goes away itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import cast

import pytest
from aiohttp import ClientSession

from gateway.app import DRAINING
from gateway.edge.connection import Connection
from gateway.edge.settings import EdgeSettings
from gateway.eventstream import HEARTBEAT, EventStream
from gateway.routes import Routes
from tests.integration.gateway.front import AS_USER, Front, Hand, open_front, parsed
from tests.workshop import eventually

GET = b"GET /api/v1/things HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer user-word\r\n\r\n"


@pytest.fixture
async def hand() -> Hand:
    return Hand()


@pytest.fixture
async def front(hand: Hand) -> AsyncIterator[Front]:
    settings = EdgeSettings(connections_per_address_max=20, body_s=0.2, handler_s=60.0)
    async with open_front(settings=settings, clock=hand) as opened:
        yield opened


async def open_connections(front: Front, count: int) -> None:
    """Wait until the server has seen so many come and go."""

    async def there() -> bool:
        return len(front.server.open) == count

    await eventually(there)


async def test_case_54_a_head_that_is_not_whole_in_ten_seconds_is_closed(front: Front, hand: Hand) -> None:
    silent = await front.connect()
    dripping = await front.connect()
    await open_connections(front, 2)
    for at in range(9):
        hand.now = 1000.0 + at
        dripping[1].write(GET[at : at + 1])
        await asyncio.sleep(0)
    front.server.sweep()
    assert len(front.server.open) == 2
    hand.now = 1010.0
    assert front.server.sweep() == 2
    assert (await gone(silent[0]), await gone(dripping[0])) == (b"", b"")


async def test_case_54_the_time_begins_anew_with_each_request(front: Front, hand: Hand) -> None:
    reader, writer = await front.connect()
    writer.write(GET)
    assert parsed(await whole(reader)).status == 200
    hand.now += 60  # nothing on its way in: aiohttp's keep-alive time counts
    assert front.server.sweep() == 0
    writer.write(GET[:20])

    async def waiting() -> bool:
        return any(one.waiting_since == hand.now for one in front.server.open)

    await eventually(waiting)
    hand.now += 9.9
    assert front.server.sweep() == 0
    hand.now += 0.1
    assert front.server.sweep() == 1
    assert await gone(reader) == b""


async def gone(reader: asyncio.StreamReader) -> bytes:
    """What still came before the other side hung up, in whichever way."""
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


async def whole(reader: asyncio.StreamReader) -> bytes:
    """Read one answer with a length."""
    head = await reader.readuntil(b"\r\n\r\n")
    return head + await reader.readexactly(int(parsed(head).headers["content-length"]))


async def test_case_54_a_body_that_stalls_is_408_and_closed(front: Front) -> None:
    reader, writer = await front.connect()
    more = b"\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    writer.write(GET.replace(b"GET", b"POST").replace(b"\r\n\r\n", more) + b'{"name": ')
    answer = parsed(await whole(reader))
    assert (answer.status, answer.code, answer.headers["connection"]) == (408, "request_timeout", "close")
    writer.close()


async def test_case_55_one_address_has_so_many_connections_and_others_are_served(front: Front) -> None:
    held = [await front.connect() for _ in range(20)]
    await open_connections(front, 20)
    reader, _ = await front.connect()
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await reader.readexactly(1)
    other = await front.raw(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), host="127.0.0.2")
    assert other.status == 200
    held.pop()[1].close()
    await open_connections(front, 19)
    assert (await front.raw(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))).status == 200


async def test_case_55_an_ipv6_network_of_64_bits_is_one_address(front: Front) -> None:
    lines = [cast(Connection, object()) for _ in range(22)]
    let_in = [front.server.enter(line, f"2001:db8::{n:x}") for n, line in enumerate(lines[:21])]
    assert let_in == [True] * 20 + [False]
    assert front.server.enter(lines[21], "2001:db8:0:1::1")
    front.server.open.clear()


async def test_case_55_thousands_of_idle_connections_keep_nobody_out() -> None:
    addresses = [f"127.0.0.{n}" for n in range(2, 12)]
    async with open_front(settings=EdgeSettings(connections_per_address_max=150)) as front:
        held = [await front.connect(host=address) for address in addresses for _ in range(100)]
        await open_connections(front, len(held))
        assert (await front.ask("GET", "/api/v1/things", headers=AS_USER)).status == 200


async def test_case_57_a_read_whose_client_goes_is_cancelled(front: Front) -> None:
    _, writer = await front.connect()
    writer.write(GET.replace(b"things", b"slow"))
    await front.doing.started.wait()
    writer.close()

    async def cancelled() -> bool:
        return front.doing.ended == ["cancelled"]

    await eventually(cancelled)
    assert front.told()[-1]["status"] == 499


async def test_a_change_whose_client_goes_is_finished(front: Front) -> None:
    _, writer = await front.connect()
    writer.write(GET.replace(b"GET", b"POST").replace(b"things", b"slow"))
    await front.doing.started.wait()
    writer.close()
    await open_connections(front, 0)
    front.doing.go_on.set()

    async def done() -> bool:
        return front.doing.ended == ["done"]

    await eventually(done)


async def test_a_handler_that_takes_too_long_is_503() -> None:
    async with open_front(settings=EdgeSettings(handler_s=0.1)) as front:
        answer = await front.ask("GET", "/api/v1/slow", headers=AS_USER)
        assert (answer.status, answer.code) == (503, "unavailable")
        assert int(answer.headers["Retry-After"]) >= 1
        assert front.doing.ended == ["cancelled"]


async def test_a_gateway_that_stops_fails_readiness_first_and_answers_what_it_accepted() -> None:
    serving = open_front(notice_s=0.3)
    front = await serving.__aenter__()
    url = f"http://127.0.0.1:{front.port}"
    async with ClientSession() as client:
        slow = asyncio.create_task(client.get(f"{url}/api/v1/slow", headers=AS_USER))
        await front.doing.started.wait()
        stopping = asyncio.create_task(serving.__aexit__(None, None, None))

        async def leaving() -> bool:
            return front.app[DRAINING].now

        await eventually(leaving)
        async with client.get(f"{url}/readyz") as ready:
            assert (ready.status, (await ready.json())["checks"]) == (503, {"gateway": "stopping"})
            assert ready.headers["Connection"] == "close"
        async with client.get(f"{url}/healthz") as alive:
            assert alive.status == 200
        front.doing.go_on.set()
        async with await slow as answer:
            assert (answer.status, await answer.json()) == (200, {"name": "slow", "amount": 0, "within": None})
            assert answer.headers["Connection"] == "close"
        await stopping
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", front.port)


async def test_an_event_stream_has_every_header_and_ends_when_the_gateway_stops() -> None:
    routes = Routes("streams")

    @routes.get("/follow", needs="jobs:read", media_type="text/event-stream")
    async def follow(_: object) -> EventStream:
        """Tell that there is nothing to tell."""

        async def chunks() -> AsyncIterator[bytes]:
            yield HEARTBEAT
            await asyncio.Event().wait()

        return EventStream(chunks())  # type: ignore[arg-type]  # a generator is what an async def with yield gives

    async with open_front(more=[routes]) as front:
        answer = await front.client.get(f"http://127.0.0.1:{front.port}/api/v1/follow", headers=AS_USER)
        assert answer.content_type == "text/event-stream"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Server" not in answer.headers
        assert answer.headers["X-RateLimit-Limit"] == "60"
        assert await answer.content.readuntil(b"\n\n") == HEARTBEAT
        front.app[DRAINING].begin()
        assert await answer.read() == b""
        assert json.loads(json.dumps(front.told()[-1]))["status"] == 200
