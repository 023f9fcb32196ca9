"""Bare aiohttp on uvloop: what any gateway on it costs at the very least."""

from __future__ import annotations

import asyncio

import uvloop
from aiohttp import web

from tests.benchmarks.peers.gateway_people import PATH, listening, ready

BODY = b'{"hello":"01992c1e-7b3a-7c11-9d5e-0a1b2c3d4e5f"}'


async def hello(_: web.Request) -> web.Response:
    """Answer the same to everybody."""
    return web.Response(body=BODY, content_type="application/json")


async def main() -> None:
    """Serve until told to stop."""
    app = web.Application()
    app.router.add_get(PATH, hello)
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=75)
    await runner.setup()
    sock = listening()
    await web.SockSite(runner, sock).start()
    ready(sock.getsockname()[1])
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
