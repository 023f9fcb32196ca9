"""A small balancer, as a cloud has one: it asks who is ready, and spreads connections over those who are."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

LOOK_EVERY_S = 0.1
FAILS_UNTIL_OUT = 3  # a "not ready" counts at once, a missing answer only when it comes again
CHUNK = 65536


@dataclass(slots=True)
class Balancer:
    """``backends`` are ports by name; ``ready`` are those in rotation."""

    backends: dict[str, int] = field(default_factory=dict)
    ready: set[str] = field(default_factory=set)
    turn: int = 0
    port: int = 0
    turned_away: int = 0
    fails: dict[str, int] = field(default_factory=dict)

    async def watch(self, http: aiohttp.ClientSession) -> None:
        """Ask all, for ever."""
        while True:
            await asyncio.gather(*(self._look(http, name, port) for name, port in list(self.backends.items())))
            await asyncio.sleep(LOOK_EVERY_S)

    async def _look(self, http: aiohttp.ClientSession, name: str, port: int) -> None:
        try:
            async with http.get(f"http://127.0.0.1:{port}/readyz") as answer:
                well, sure = answer.status == 200, True
        except (aiohttp.ClientError, TimeoutError):
            well, sure = False, False
        self.fails[name] = 0 if well else self.fails.get(name, 0) + 1
        if well and name in self.backends:
            self.ready.add(name)
        elif not well and (sure or self.fails[name] >= FAILS_UNTIL_OUT):
            self.ready.discard(name)

    def leave(self, name: str) -> None:
        """Know it no more."""
        self.backends.pop(name, None)
        self.ready.discard(name)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection to one backend and back."""
        for _ in range(len(self.ready)):
            self.turn += 1
            names = sorted(self.ready)
            if not names:
                break
            try:
                there = await asyncio.open_connection("127.0.0.1", self.backends[names[self.turn % len(names)]])
            except OSError:
                continue
            await asyncio.gather(_carry(reader, there[1]), _carry(there[0], writer))
            return
        self.turned_away += 1
        writer.close()


async def _carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(CHUNK):
            sink.write(data)
            await sink.drain()
    with contextlib.suppress(OSError):
        sink.close()
        await sink.wait_closed()


@asynccontextmanager
async def balancing() -> AsyncIterator[Balancer]:
    """Balance on a free port of loopback until the block ends."""
    balancer, open_now = Balancer(), set[asyncio.Task[None]]()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(balancer.serve(reader, writer))
        open_now.add(task)
        task.add_done_callback(open_now.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    balancer.port = server.sockets[0].getsockname()[1]
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as http:
        watching = asyncio.create_task(balancer.watch(http))
        try:
            yield balancer
        finally:
            watching.cancel()
            server.close()
            for task in open_now:
                task.cancel()
            await asyncio.gather(watching, *open_now, return_exceptions=True)
