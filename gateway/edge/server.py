"""Serving the application: connections with the limits that aiohttp lacks, and a stop that leaves nobody unanswered."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, cast

from aiohttp import web
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy
from aiohttp.typedefs import Handler

from gateway.app import DOOR, DRAINING
from gateway.edge.connection import Connection
from gateway.edge.door import Log
from gateway.edge.files import room_for
from gateway.edge.passage import Proxies
from gateway.edge.request import EdgeRequest
from gateway.edge.settings import EdgeSettings
from gateway.networks import network_of

SWEEP_S = 0.5
BACKLOG = 1024
LAST_WORD_S = 0.05  # what who was accepted last has to send the request that it connected for
CLOSE_S = 2.0


class ParserMissing(RuntimeError):
    """aiohttp runs without its compiled parser, whose Python twin has read requests differently more than once."""


class EdgeServer(web.Server):
    """aiohttp's server with connections of our own, which it counts by address and closes when they dawdle."""

    def __init__(
        self,
        inner: web.Server,
        *,
        front: Callable[[Handler], Handler],
        settings: EdgeSettings,
        log: Log,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take over from ``inner``, which was made for the application, and ask ``front`` before it."""
        super().__init__(
            cast(Any, front(cast(Handler, inner.request_handler))),
            request_factory=partial(cast(Callable[..., EdgeRequest], inner.request_factory), _cls=EdgeRequest),
            handler_cancellation=True,
            keepalive_timeout=settings.keepalive_s,
            access_log=None,
        )
        self.settings, self.log, self.clock = settings, log, clock
        self.open: set[Connection] = set()
        self._room = room_for(settings.connections_max)
        self._by_address: Counter[str] = Counter()
        self._proxies = Proxies(settings.trusted_proxies)

    def __call__(self) -> Connection:
        """Make the protocol of one connection."""
        return Connection(self, loop=self._loop, **self._kwargs)

    def enter(self, connection: Connection, address: str) -> bool:
        """Count a connection in, unless there are too many; proxies speak for many and are not limited."""
        if len(self.open) >= self._room:
            return False
        limit, network = self.settings.connections_per_address_max, network_of(address)
        if self._by_address[network] >= limit and not self._proxies.trusts(address):
            return False
        self._by_address[network] += 1
        self.open.add(connection)
        return True

    def leave(self, connection: Connection, address: str) -> None:
        """Count it out."""
        self.open.discard(connection)
        network = network_of(address)
        self._by_address[network] -= 1
        if not self._by_address[network]:
            del self._by_address[network]

    def sweep(self) -> int:
        """Close the connections whose request, or whose reading, did not come in time; give their number."""
        now, settings = self.clock(), self.settings
        late = [one for one in self.open if one.is_late(now, header_s=settings.header_s, unread_s=settings.unread_s)]
        for connection in late:
            connection.drop()
        return len(late)


class _Runner(web.AppRunner):
    def __init__(self, app: web.Application, make: Callable[[web.Server], EdgeServer], **more: Any) -> None:
        super().__init__(app, access_log=None, **more)
        self._make = make

    async def _make_server(self) -> web.Server:
        return self._make(await super()._make_server())


@asynccontextmanager
async def serving(
    app: web.Application,
    host: str,
    port: int,
    *,
    log: Log,
    settings: EdgeSettings | None = None,
    notice_s: float = 0.0,
    grace_s: float = 30.0,
    reuse_port: bool = False,
    clock: Callable[[], float] = time.monotonic,
    made: Callable[[EdgeServer], object] = lambda _: None,
) -> AsyncIterator[int]:
    """Serve until the block ends; give the port (a free one for 0).

    Then readiness fails for ``notice_s`` while everything is still answered, so that whoever spreads the load hears of
    it; then nothing more is accepted, and what was accepted has ``grace_s`` to be answered.  ``made`` is told of the
    server, for those who look behind it.
    """
    require_compiled_parser()
    known = settings or EdgeSettings()
    runner = _Runner(
        app,
        lambda inner: EdgeServer(inner, front=app[DOOR].front, settings=known, log=log, clock=clock),
        shutdown_timeout=CLOSE_S,
    )
    await runner.setup()
    edge = runner.server
    assert isinstance(edge, EdgeServer)
    made(edge)
    sweeping = asyncio.create_task(_sweep(runner))
    listener = _listening(host, port, reuse_port=reuse_port)
    site, rest = web.SockSite(runner, listener, backlog=BACKLOG), listener.dup()
    try:
        await site.start()
        yield listener.getsockname()[1]
        draining = app[DRAINING]
        draining.begin()
        await asyncio.sleep(notice_s)
        await site.stop()
        await _take(rest, edge)
        rest.close()
        await asyncio.sleep(LAST_WORD_S)
        await draining.answered(grace_s)
    finally:
        rest.close()
        sweeping.cancel()
        await runner.cleanup()


def _listening(host: str, port: int, *, reuse_port: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=BACKLOG, reuse_port=reuse_port)
    listener.setblocking(False)
    return listener


async def _take(listener: socket.socket, server: EdgeServer) -> None:
    """Accept who is in the kernel's queue still: for these clients the connection stands, and a request is on its way.

    Closing a listening socket resets them.
    """
    loop = asyncio.get_running_loop()
    with suppress(BlockingIOError):
        while True:
            connection, _ = listener.accept()
            connection.setblocking(False)
            await loop.connect_accepted_socket(server, connection)


def require_compiled_parser() -> None:
    """Raise ParserMissing where requests would be read by the slower, laxer parser."""
    if HttpRequestParser is HttpRequestParserPy:
        raise ParserMissing("install aiohttp with its compiled parser (and do not set AIOHTTP_NO_EXTENSIONS)")


async def _sweep(runner: web.AppRunner) -> None:
    while True:
        await asyncio.sleep(SWEEP_S)
        server = runner.server
        assert isinstance(server, EdgeServer)
        server.sweep()
