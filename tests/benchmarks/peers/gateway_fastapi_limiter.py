"""FastAPI with fastapi-limiter: both rates in one script in Redis, no headers."""

from __future__ import annotations

import time

import uvicorn
import uvloop
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi_limiter.depends import RateLimiter
from pyrate_limiter import BucketFactory, Duration, Limiter, Rate, RateItem, RedisBucket
from redis.asyncio import Redis

from tests.benchmarks.peers.gateway_people import PATH, given, listening, ready

told = given()
RATES = [Rate(told.minute, Duration.MINUTE), Rate(told.hour, Duration.HOUR)]


class PerUser(BucketFactory):
    """One bucket for each asker: without a factory all askers would share one."""

    def __init__(self) -> None:
        """Connect when first asked."""
        self._redis = Redis.from_url(told.redis_url)
        self._buckets: dict[str, RedisBucket] = {}

    def wrap_item(self, name: str, weight: int = 1) -> RateItem:
        """Stamp it with this process's clock, as the library does."""
        return RateItem(name, time.time_ns() // 1_000_000, weight=weight)

    async def get(self, item: RateItem) -> RedisBucket:
        """Find or make the bucket."""
        found = self._buckets.get(item.name)
        if found is None:
            found = await RedisBucket.init(RATES, self._redis, f"bucket:{item.name}")
            self._buckets[item.name] = found
        return found


async def asker(request: Request) -> str:
    """Tell whose quota is charged."""
    user = told.people.get(request.headers.get("Authorization", ""))
    if user is None:
        raise HTTPException(401)
    return user


app = FastAPI()
limited = Depends(RateLimiter(limiter=Limiter(PerUser()), identifier=asker))


@app.get(PATH, dependencies=[limited])
async def hello(request: Request) -> dict[str, str]:
    """Say who asks."""
    return {"hello": await asker(request)}


if __name__ == "__main__":
    sock = listening()
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False, http="httptools", loop="uvloop"))
    ready(sock.getsockname()[1])
    uvloop.run(server.serve(sockets=[sock]))
