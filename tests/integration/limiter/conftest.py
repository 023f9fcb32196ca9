"""A provider of its own for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import BlockingConnectionPool, Redis

from tests.integration.limiter.world import World


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = Redis.from_pool(BlockingConnectionPool.from_url(redis_url, max_connections=20))
    yield client
    await client.aclose()


@pytest.fixture
def world(redis: Redis) -> World:
    return World(redis)
