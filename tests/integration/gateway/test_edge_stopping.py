"""A real gateway process is told to stop while clients keep asking: nobody who got through stays unanswered."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path

from aiohttp import ClientSession, ClientTimeout

from gateway.auth import users
from gateway.auth.audit import Origin
from tests.integration.gateway.accounts import KEPT, PASSWORD, forget_guesses
from tests.integration.gateway.conftest import Gateway
from tests.load.unanswered import Tally, ask_on
from tests.workshop import eventually

CLIENTS = 8


async def test_a_process_that_is_told_to_stop_answers_everybody_it_accepted(
    gateway: Gateway, gateway_database_url: str, gateway_redis_url: str, tmp_path: Path
) -> None:
    port = free_port()
    environment = {
        **os.environ,
        "SLUICE_DATABASE_URL": gateway_database_url,
        "SLUICE_REDIS_URL": gateway_redis_url,
        "SLUICE_BROKER_URL": gateway_redis_url,
        "SLUICE_VAR": str(tmp_path),
        "SLUICE_PORT": str(port),
        "SLUICE_LIMIT_MINUTE": "100000",
        "SLUICE_LIMIT_HOUR": "100000",
        "SLUICE_SIGNING_KEY": "a master of tests only: 0f9e8d7c6b5a4 and not one for people",
    }
    await forget_guesses(gateway.parts.redis)
    async with gateway.parts.database.begin() as conn:
        await users.add(conn, Origin("operator"), "stopper", "user", KEPT, now=gateway.parts.now())
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ops.cli", "serve", env=environment, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    log = asyncio.create_task(process.stdout.read())
    try:
        token, tally = await token_of(f"http://127.0.0.1:{port}"), Tally()
        clients = [asyncio.create_task(ask_on(port, token, tally)) for _ in range(CLIENTS)]

        async def busy() -> bool:
            return tally.answered > 200

        async with asyncio.timeout(60):
            await eventually(busy)
            process.terminate()
            await asyncio.gather(*clients)
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
    lines = (await log).decode()
    assert tally.unanswered == [], lines[-2000:]
    assert set(tally.statuses) == {200}
    assert lines.count('"status":200') >= tally.answered  # the log's last lines were written too
    assert "Traceback" not in lines
    assert token not in lines
    assert PASSWORD not in lines


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


async def token_of(url: str) -> str:
    """Log in, as soon as somebody answers."""
    async with ClientSession(timeout=ClientTimeout(total=60)) as client, asyncio.timeout(60):
        while True:
            try:
                async with client.get(f"{url}/readyz") as ready:
                    if ready.status == 200:
                        break
            except OSError:
                await asyncio.sleep(0.05)
        form = {"username": "stopper", "password": PASSWORD}
        async with client.post(f"{url}/api/v1/login/access-token", data=form) as answer:
            return str((await answer.json())["access_token"])
