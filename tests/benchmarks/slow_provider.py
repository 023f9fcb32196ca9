"""A provider that answers every question after 50 ms with an empty page.  It prints its address, then serves."""

from __future__ import annotations

import asyncio
import sys

from aiohttp import web

WAIT_S = 0.05
PAGE = b'{"next": null, "previous": null, "results": []}'


async def answer(_: web.Request) -> web.Response:
    """Wait as a provider does, then say that there is nothing."""
    await asyncio.sleep(WAIT_S)
    return web.Response(body=PAGE, content_type="application/json")


async def serve() -> None:
    """Listen on a free port of the loopback until told to stop."""
    app = web.Application()
    app.router.add_route("*", "/{anything:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
    await site.start()
    sys.stdout.write(f"http://127.0.0.1:{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve())
