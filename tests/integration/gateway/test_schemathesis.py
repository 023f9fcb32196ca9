"""Schemathesis asks everything the OpenAPI document offers, with data that fits and data that does not.

Here it has a small budget; ``python -m pytest tests/integration/gateway/test_schemathesis.py --api-thorough`` takes
minutes and goes through the whole coverage of every schema.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from tests.integration.gateway.accounts import forget_guesses, open_house
from tests.integration.gateway.conftest import Gateway

CONFIG = Path(__file__).with_name("schemathesis.toml")
QUICK = ("--phases", "examples,fuzzing", "--max-examples", "3", "--max-time", "15")
THOROUGH = ("--phases", "examples,coverage,fuzzing,stateful", "--max-examples", "30")
LEFT_OUT = ("--exclude-path", "/api/v1/auth/logout", "--exclude-path-regex", "/events$")
"""Logging out would end the run; an event stream never ends."""


@pytest.mark.timeout(900)
@pytest.mark.parametrize("role", ["user", "admin"])
async def test_schemathesis_finds_nothing(
    gateway: Gateway, role: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    budget = THOROUGH if request.config.getoption("--api-thorough", default=False) else QUICK
    await forget_guesses(gateway.parts.redis)
    async with open_house(gateway.parts) as house:
        token = (await house.tokens(await house.add("admin" if role == "admin" else "user")))["access_token"]
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run"]
        where = [f"{house.url}/api/v1/openapi.json", "--url", house.url, "--header", f"Authorization: Bearer {token}"]
        how = ["--no-color", "--continue-on-failure", "--request-timeout", "30", "--generation-database", "none"]
        running = await asyncio.create_subprocess_exec(
            *command,
            *where,
            *how,
            *LEFT_OUT,
            *budget,
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        told, _ = await running.communicate()
    assert running.returncode == 0, told.decode()
    assert b" passed" in told
