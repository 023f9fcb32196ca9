"""Three gateways as `sluice serve` runs them, over real PostgreSQL and Redis; people with tokens; the limiter's log."""

from __future__ import annotations

import asyncio
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast
from uuid import uuid4

import aiohttp
from redis.asyncio import Redis

from gateway.auth import users
from gateway.auth.audit import Origin
from gateway.auth.claims import Claims, sign
from gateway.auth.service import Auth, open_auth
from gateway.principal import SCOPES, Role
from ledger import migrate
from ops.bootstrap import open_database, server
from ops.embedded import Stack
from ops.settings import Settings, environment_with
from ops.signing import auth_settings
from tests.benchmarks.system import child, until
from tests.load.judge import read_log
from tests.load.scenarios import SCENARIOS
from tests.loopback import Loopback

OPERATOR = Origin("operator")
TOKEN_S = 900


@dataclass(frozen=True, slots=True)
class System:
    """Where the gateways are, by name; who can sign; the line to Redis that can be made slow; what runs below."""

    var: Path
    gateways: dict[str, str]
    auth: Auth
    redis: Redis
    line: Loopback
    servers: Stack
    environment: Mapping[str, str]

    async def person(self, role: Role) -> dict[str, str]:
        """Add somebody, and give their token and whose quota it uses."""
        now = self.auth.settings.now()
        async with self.auth.database.begin() as conn:
            user = await users.add(conn, OPERATOR, f"load-{uuid4().hex}", role, None, now=now)
        kid, key = self.auth.ring.signer(now)
        issued = max(int(time.time()), user.epoch)
        claims = Claims(str(user.id), role, SCOPES[role], str(uuid4()), str(uuid4()), issued, issued + TOKEN_S)
        return {"quota": f"user:{user.id}", "token": sign(claims, self.auth.settings.parties, kid, key)}

    async def stamps(self, quota: str) -> list[int]:
        """Read what was admitted, from the log that decides it."""
        log = await self.redis.get(f"sluice:limit:{quota}")
        return [] if log is None else read_log(cast(bytes, log))


@asynccontextmanager
async def opened(wanted: Collection[str]) -> AsyncIterator[System]:
    """Start the stores and the gateways of these names on this machine; stop and forget them at the end."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        var = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sluice-load-")))
        servers = await enter(Stack(var, "redis", durable=False))
        line = await enter(Loopback.on_port("127.0.0.1", servers.redis.state.port("redis")))
        urls = servers.settings_overrides()
        slow = urls["SLUICE_REDIS_URL"].rpartition(":")[0] + f":{line.port}/0"
        variables = {
            "usual": {},
            "hour": {"SLUICE_LIMIT_MINUTE": "2000"},
            "slow": {"SLUICE_REDIS_URL": slow},
        }
        known = {"SLUICE_VAR": str(var), "SLUICE_LOG_LEVEL": "warning", "SLUICE_ACCESS_LOG_PERCENT": "0"}
        environment = environment_with({**known, "SLUICE_CONNECTIONS_PER_ADDRESS": "5000", **urls})
        settings = Settings.from_env(environment)
        await asyncio.to_thread(migrate.upgrade, server(settings.database_url))
        database = await enter(open_database(settings, name="sluice load"))
        redis = Redis.from_url(urls["SLUICE_REDIS_URL"])
        stack.push_async_callback(redis.aclose)
        auth = await enter(open_auth(database, redis, auth_settings(settings)))
        gateways = {}
        for name, more in variables.items():
            if name not in wanted:
                continue
            port = free_port()
            await enter(child(["-m", "ops.cli", "serve"], {**environment, **more, "SLUICE_PORT": str(port)}, var))
            gateways[name] = f"http://127.0.0.1:{port}"
        for url in gateways.values():
            await until(partial(ready, url), f"{url} to be ready")
        yield System(var, gateways, auth, redis, line, servers, environment)


def free_port() -> int:
    """Find a port that nobody uses."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


async def ready(url: str) -> bool:
    """Whether a gateway there can work."""
    try:
        async with aiohttp.ClientSession() as session, session.get(f"{url}/readyz") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


async def people(system: System, names: Sequence[str]) -> dict[str, list[dict[str, str]]]:
    """Make everybody whom these scenarios need."""
    wanted = [scenario for scenario in SCENARIOS if scenario.name in names]
    return {one.name: [await system.person(one.role) for _ in range(one.people)] for one in wanted}
