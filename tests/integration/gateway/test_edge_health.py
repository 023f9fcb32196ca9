"""What machines ask."""

from __future__ import annotations

from aiohttp import ClientSession
from redis.asyncio import Redis

from tests.integration.gateway.conftest import Gateway


async def test_a_gateway_whose_dependencies_answer_is_alive_and_ready(gateway: Gateway, nobody: ClientSession) -> None:
    for path, status in (("/healthz", "alive"), ("/readyz", "ready")):
        async with nobody.get(f"{gateway.url}{path}") as answer:
            assert (answer.status, (await answer.json())["status"]) == (200, status)


async def test_the_public_keys_may_be_kept_for_minutes(gateway: Gateway, nobody: ClientSession) -> None:
    async with nobody.get(f"{gateway.url}/.well-known/jwks.json") as answer:
        assert "keys" in await answer.json()
        assert answer.headers["Cache-Control"] == "public, max-age=300"


async def test_a_connection_that_redis_closed_meanwhile_refuses_nobody(
    gateway: Gateway, gateway_redis_url: str
) -> None:
    ours = gateway.parts.redis
    async with Redis.from_url(gateway_redis_url) as another:
        await another.client_kill_filter(_id=str(await ours.client_id()))
    assert await ours.ping() is True
