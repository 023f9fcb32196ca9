"""Fetching, against a server on loopback that behaves as badly as it is told to."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from workers.http import Answer, Fetcher, token_variable, usage_of
from workers.items import Misconfigured, NotThere, Provider, QuotaUsedUp, Refused, Request, RetryLater, Usage
from workers.providers import load_providers

TOKEN = "tok/en+0123456789abcdef=="  # every character that an address must encode
TOKENS = {"cryptopanic": TOKEN, "newscatcher": TOKEN, "nansen": TOKEN}
PROVIDERS = load_providers()
CRYPTOPANIC, NEWSCATCHER, NANSEN = (PROVIDERS[name] for name in ("cryptopanic", "newscatcher", "nansen"))
POSTS = Request("GET", api="posts", path="/api/growth/v2/posts/", query=(("currencies", "BTC,ETH"), ("page", "2")))
NETFLOW = Request("POST", api="v1", path="/api/v1/smart-money/netflow", json={"chains": ["base"]}, cost=5)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler, **options: Any) -> AsyncIterator[Fetcher]:
    """A server that gives every path to the handler, and a fetcher whose providers all live there."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    async with TestServer(app) as server:
        bases = {name: str(server.make_url(f"/{name}")) for name in TOKENS}
        async with Fetcher(options.pop("tokens", TOKENS), bases=bases, **options) as fetcher:
            yield fetcher


def answering(**response: Any) -> Handler:
    async def handler(_: web.Request) -> web.StreamResponse:
        return web.Response(**response)

    return handler


async def fetched(
    handler: Handler, provider: Provider = CRYPTOPANIC, request: Request = POSTS, **options: Any
) -> Answer:
    async with serving(handler, **options) as fetcher:
        return await fetcher.fetch(provider, request)


async def test_the_token_travels_in_the_query_where_the_provider_wants_it_there() -> None:
    seen: list[web.Request] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.append(request)
        return web.Response(text="{}")

    answer = await fetched(handler)
    assert seen[0].path == "/cryptopanic/api/growth/v2/posts/"
    assert dict(seen[0].query) == {"currencies": "BTC,ETH", "page": "2", "auth_token": TOKEN}
    assert seen[0].headers["User-Agent"].startswith("sluice/")
    assert "page=2" in answer.url_for_log
    assert "auth_token" not in answer.url_for_log


async def test_the_token_travels_in_the_providers_own_header_and_the_payload_as_json() -> None:
    seen: list[tuple[web.Request, Any]] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.append((request, await request.json()))
        return web.Response(text="{}")

    await fetched(handler, NANSEN, NETFLOW)
    request, payload = seen[0]
    assert request.headers["apikey"] == TOKEN
    assert payload == {"chains": ["base"]}
    assert TOKEN not in str(request.url)


async def test_an_answer_has_status_body_time_and_the_servers_clock() -> None:
    date = "Tue, 05 May 2026 14:00:00 GMT"
    answer = await fetched(answering(text='{"results": []}', headers={"Date": date, "X-Request-Id": "7"}))
    assert (answer.status, answer.body) == (200, b'{"results": []}')
    assert answer.date == datetime(2026, 5, 5, 14, tzinfo=UTC)
    assert answer.seconds > 0
    assert answer.headers["x-request-id"] == "7"


async def test_a_compressed_body_is_unpacked() -> None:
    packed = gzip.compress(b'{"results": []}')
    answer = await fetched(answering(body=packed, headers={"Content-Encoding": "gzip"}))
    assert answer.body == b'{"results": []}'


async def test_the_token_is_cut_out_of_body_and_headers_in_every_spelling() -> None:
    spellings = [
        TOKEN,
        "tok%2Fen%2B0123456789abcdef%3D%3D",
        "tok%2fen%2b0123456789abcdef%3d%3d",
        "tok/en%2B0123456789abcdef%3D%3D",
        "tok\\/en+0123456789abcdef==",
    ]
    answer = await fetched(answering(text=" ".join(spellings), headers={"Link": f"<https://x/?t={TOKEN}>"}))
    assert answer.body == b" ".join([b"REDACTED"] * len(spellings))
    assert answer.headers["link"] == "<https://x/?t=REDACTED>"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 429, 500])
async def test_an_error_never_holds_the_token_even_where_the_body_echoes_it(status: int) -> None:
    handler = answering(status=status, text=f'{{"message": "Invalid api key: {TOKEN}"}}')
    with pytest.raises(Exception, match=str(status)) as caught:
        await fetched(handler, NEWSCATCHER, Request("POST", api="v3", path="/api/search", json={}))
    assert "0123456789abcdef" not in repr(caught.value) + str(caught.value)


async def test_a_refusal_is_named_by_the_provider_and_carries_its_usage() -> None:
    headers = {"X-Nansen-Credits-Remaining": "3", "X-Nansen-Credits-Used": "0"}
    with pytest.raises(QuotaUsedUp) as caught:
        await fetched(answering(status=403, text='{"code": "insufficient_credits"}', headers=headers), NANSEN, NETFLOW)
    assert caught.value.usage is not None
    assert (caught.value.usage.remaining, caught.value.usage.cost) == (3, 0)


async def test_headers_that_a_provider_cannot_read_tell_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: Mapping[str, str]) -> Usage:
        raise OverflowError("some header")

    monkeypatch.setattr(NANSEN, "usage", fails)
    assert usage_of(NANSEN, {}) == Usage()
    with pytest.raises(RetryLater) as caught:
        await fetched(answering(status=500), NANSEN, NETFLOW)
    assert caught.value.usage == Usage()


async def test_a_404_is_not_there() -> None:
    with pytest.raises(NotThere):
        await fetched(answering(status=404, text="<html>gone</html>"))


async def test_a_redirect_is_not_followed() -> None:
    calls: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        calls.append(request.path)
        return web.Response(status=302, headers={"Location": "/elsewhere"})

    with pytest.raises(Misconfigured, match="redirect"):
        await fetched(handler)
    assert len(calls) == 1


@pytest.mark.parametrize("tokens", [{}, {"cryptopanic": ""}, {"cryptopanic": "  "}])
async def test_a_missing_key_names_the_variable_to_set_and_asks_nobody(tokens: dict[str, str]) -> None:
    with pytest.raises(Misconfigured, match="CRYPTOPANIC_API_KEY"):
        await fetched(answering(text="{}"), tokens=tokens)


def test_each_provider_has_its_variable() -> None:
    assert [token_variable(name) for name in sorted(PROVIDERS)] == [
        "CRYPTOPANIC_API_KEY",
        "NANSEN_API_KEY",
        "NEWSCATCHER_API_KEY",
    ]


@pytest.mark.parametrize("token", ["abc", "line\nbreak", "schlüssel"])
async def test_what_cannot_be_a_key_is_never_sent(token: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        await fetched(answering(text="{}"), tokens={"cryptopanic": token})
    assert token not in str(caught.value)


async def test_the_deadline_covers_the_whole_answer() -> None:
    released = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"results": [')
        await released.wait()
        return response

    async with serving(handler) as fetcher:
        with pytest.raises(RetryLater, match="no whole answer within"):
            await fetcher.fetch(CRYPTOPANIC, POSTS, timeout_s=0.05)
        released.set()


async def test_a_body_over_the_limit_is_refused_also_when_it_comes_compressed() -> None:
    packed = gzip.compress(b"0" * 1_000_000)
    with pytest.raises(Refused, match="larger than 1000 bytes"):
        await fetched(answering(body=packed, headers={"Content-Encoding": "gzip"}), body_max_bytes=1000)


@pytest.mark.parametrize(
    ("status", "headers", "cost"),
    [(200, {}, 5), (200, {"X-Nansen-Credits-Used": "7"}, 7), (500, {}, None), (500, {"X-Nansen-Credits-Used": "1"}, 1)],
)
async def test_an_answer_too_large_to_take_was_delivered_and_paid_for(
    status: int, headers: dict[str, str], cost: int | None
) -> None:
    with pytest.raises(Refused) as caught:
        await fetched(answering(status=status, body=b"0" * 2000, headers=headers), NANSEN, NETFLOW, body_max_bytes=1000)
    assert (caught.value.status, caught.value.usage) == (status, Usage(cost=cost))


@asynccontextmanager
async def raw(reply: bytes) -> AsyncIterator[str]:
    """A server that says these bytes and hangs up."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"http://{host}:{port}"


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"not http at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nxxxx",
    ],
)
async def test_a_cut_or_broken_answer_is_tried_again_and_says_so_plainly(reply: bytes) -> None:
    async with raw(reply) as base, Fetcher(TOKENS, bases={"cryptopanic": base}) as fetcher:
        with pytest.raises(RetryLater) as caught:
            await fetcher.fetch(CRYPTOPANIC, POSTS)
    assert TOKEN not in str(caught.value)
    assert "auth_token" not in str(caught.value)


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"])
async def test_an_answer_that_did_not_come_whole_counts_as_charged(reply: bytes) -> None:
    async with raw(reply) as base, Fetcher(TOKENS, bases={"nansen": base}) as fetcher:
        with pytest.raises(RetryLater) as caught:
            await fetcher.fetch(NANSEN, NETFLOW)
    assert caught.value.usage == Usage(cost=5)


async def test_a_server_that_is_not_there_is_tried_again_and_charges_nothing() -> None:
    async with raw(b"") as base:
        pass
    async with Fetcher(TOKENS, bases={"cryptopanic": base}) as fetcher:
        with pytest.raises(RetryLater, match=r"no answer from 127\.0\.0\.1") as caught:
            await fetcher.fetch(CRYPTOPANIC, POSTS)
    assert caught.value.usage is None


@pytest.mark.parametrize("base", ["nonsense", "ftp://x.example", "http://", "http://[bad"])
async def test_a_wrong_base_address_needs_a_person(base: str) -> None:
    async with Fetcher(TOKENS, bases={"cryptopanic": base}) as fetcher:
        with pytest.raises(Misconfigured, match="base address"):
            await fetcher.fetch(CRYPTOPANIC, POSTS)


async def test_connections_are_kept_and_used_again() -> None:
    peers: set[Any] = set()

    async def handler(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        return web.Response(text="{}")

    async with serving(handler) as fetcher:
        for _ in range(3):
            await fetcher.fetch(CRYPTOPANIC, POSTS)
    assert len(peers) == 1


def test_a_fetcher_tells_whether_a_provider_can_be_asked() -> None:
    fetcher = Fetcher({"nansen": TOKEN, "cryptopanic": " "})
    assert fetcher.has_token("nansen")
    assert not fetcher.has_token("cryptopanic")
    assert not fetcher.has_token("newscatcher")
