"""What machines ask."""

from __future__ import annotations

from aiohttp import ClientSession

from tests.integration.gateway.conftest import Gateway


async def test_a_gateway_whose_dependencies_answer_is_alive_and_ready(gateway: Gateway, nobody: ClientSession) -> None:
    for path, status in (("/healthz", "alive"), ("/readyz", "ready")):
        async with nobody.get(f"{gateway.url}{path}") as answer:
            assert (answer.status, (await answer.json())["status"]) == (200, status)


async def test_the_public_keys_may_be_kept_for_minutes(gateway: Gateway, nobody: ClientSession) -> None:
    async with nobody.get(f"{gateway.url}/.well-known/jwks.json") as answer:
        assert "keys" in await answer.json()
        assert answer.headers["Cache-Control"] == "public, max-age=300"
