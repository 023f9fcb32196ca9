"""A real gateway process is told to stop while clients keep asking: nobody who got through stays unanswered."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import ClientSession, ClientTimeout

from gateway.auth import users
from gateway.auth.audit import Origin
from tests.integration.gateway.accounts import KEPT, PASSWORD, forget_guesses
from tests.integration.gateway.conftest import Gateway
from tests.integration.gateway.front import parsed
from tests.workshop import eventually

CLIENTS = 8


@dataclass
class Tally:
    """What the clients met."""

    answered: int = 0
    unanswered: list[str] = field(default_factory=list)
    statuses: set[int] = field(default_factory=set)


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
        sys.executable, "-m", "ops.cli", "serve", env=environment, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    log = asyncio.create_task(process.stderr.read())
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
    assert tally.statuses == {200}
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


async def ask_on(port: int, token: str, tally: Tally) -> None:
    """Ask until nobody listens; on a connection as long as it is kept, else on a new one."""
    request = f"GET /api/v1/auth/me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            return
        try:
            kept = True
            while kept:
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                answer = parsed(head)
                await reader.readexactly(int(answer.headers["content-length"]))
                tally.answered += 1
                tally.statuses.add(answer.status)
                kept = answer.headers.get("connection") != "close"
        except (OSError, EOFError) as error:
            tally.unanswered.append(repr(error))
        finally:
            writer.close()
