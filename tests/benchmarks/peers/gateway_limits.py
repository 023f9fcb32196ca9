"""aiohttp with `limits`: moving windows in Redis, one question per window, two more for the headers."""

from __future__ import annotations

import asyncio
import time

import uvloop
from aiohttp import web
from aiohttp.typedefs import Handler
from limits import RateLimitItemPerHour, RateLimitItemPerMinute
from limits.aio.storage import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter

from tests.benchmarks.peers.gateway_people import PATH, given, listening, ready


async def main() -> None:
    """Serve until told to stop."""
    told = given()
    limiter = MovingWindowRateLimiter(RedisStorage(f"async+{told.redis_url}", implementation="redispy"))
    items = [RateLimitItemPerMinute(told.minute), RateLimitItemPerHour(told.hour)]

    @web.middleware
    async def limited(request: web.Request, handler: Handler) -> web.StreamResponse:
        user = told.people.get(request.headers.get("Authorization", ""))
        if user is None:
            raise web.HTTPUnauthorized
        admitted = True
        for item in items:
            admitted = admitted and await limiter.hit(item, user)
        stats = [await limiter.get_window_stats(item, user) for item in items]
        answer = await handler(request) if admitted else web.Response(status=429)
        left, reset = min((one.remaining, one.reset_time) for one in stats)
        answer.headers["X-RateLimit-Limit"] = str(items[0].amount)
        answer.headers["X-RateLimit-Remaining"] = str(left)
        answer.headers["X-RateLimit-Reset"] = str(int(reset))
        if not admitted:
            answer.headers["Retry-After"] = str(max(1, int(reset - time.time())))
        return answer

    async def hello(request: web.Request) -> web.Response:
        return web.json_response({"hello": told.people[request.headers["Authorization"]]})

    app = web.Application(middlewares=[limited])
    app.router.add_get(PATH, hello)
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=75)
    await runner.setup()
    sock = listening()
    await web.SockSite(runner, sock).start()
    ready(sock.getsockname()[1])
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
