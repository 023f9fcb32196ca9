"""A gateway of a test's own with real authentication, and people who log in to it; any number over the same stores."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import ClientSession
from argon2 import PasswordHasher
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.api import AREAS
from gateway.app import make_app
from gateway.auth import users
from gateway.auth.audit import Origin
from gateway.auth.claims import Parties
from gateway.auth.master import Master
from gateway.auth.service import Auth, AuthSettings, open_auth
from gateway.auth.users import User
from gateway.call import Parts
from gateway.edge.server import serving
from gateway.edge.settings import EdgeSettings
from gateway.principal import Role
from gateway.problems import Problem
from tests.integration.gateway.standins import CountingLimiter

CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
MASTER = Master("a master of tests only: 0f9e8d7c6b5a4 and not one for people")
PASSWORD = "gravel orchid 71 tuba"
KEPT = CHEAP.hash(PASSWORD)


@dataclass
class SkewedClock:
    """The real time, and what a test has moved it by."""

    by: timedelta = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.by


@dataclass
class Answer:
    """One answer, read whole."""

    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def code(self) -> str:
        return str(self.body["code"])


@dataclass
class House:
    """One gateway process and the stores behind it."""

    auth: Auth
    url: str
    session: ClientSession
    database: AsyncEngine
    clock: SkewedClock
    limiter: CountingLimiter
    made: list[str] = field(default_factory=list)

    async def add(self, role: Role = "user", *, password_hash: str | None = KEPT) -> User:
        """A user of the test's own."""
        name = f"u{uuid.uuid4().hex[:12]}"
        async with self.database.begin() as conn:
            return await users.add(conn, Origin("operator"), name, role, password_hash, now=self.clock())

    async def ask(self, method: str, path: str, token: str | None = None, **more: Any) -> Answer:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        headers |= more.pop("headers", {})
        async with self.session.request(method, f"{self.url}/api/v1/{path}", headers=headers, **more) as answer:
            body = await answer.read()
            return Answer(answer.status, answer.headers, await answer.json(content_type=None) if body else None)

    async def log_in(self, user: User | str, password: str = PASSWORD, **more: str) -> Answer:
        name = user if isinstance(user, str) else user.name
        return await self.ask("POST", "login/access-token", data={"username": name, "password": password, **more})

    async def tokens(self, user: User, **more: str) -> dict[str, Any]:
        answer = await self.log_in(user, **more)
        while answer.status == 503:  # the limiter has a quarter of a second, and this process was busy with other tests
            answer = await self.log_in(user, **more)
        assert answer.status == 200, answer.body
        return dict(answer.body)

    async def status(self, token: str) -> int:
        """What this token gets where any token does."""
        return (await self.ask("GET", "auth/me", token)).status

    async def refresh(self, token: str) -> Answer:
        return await self.ask("POST", "auth/refresh", json={"refresh_token": token})

    async def audit(self, *, actor: str | None = None, about: str = "") -> list[tuple[str, str]]:
        """Actions and outcomes in the record, the oldest first."""
        query = (
            "SELECT action, outcome FROM audit WHERE (:actor = '' OR actor = :actor) AND object LIKE :about ORDER BY id"
        )
        async with self.database.connect() as conn:
            rows = await conn.execute(text(query), {"actor": actor or "", "about": f"%{about}%"})
            return [(row.action, row.outcome) for row in rows]

    def refuses(self, token: str) -> bool:
        """Whether this process takes a token no more, asked of the verifier itself: no request, no wait."""
        authenticator = self.auth.authenticator
        if authenticator.known(f"Bearer {token}") is not None:
            return False
        try:
            authenticator._token(f"Bearer {token}", token)
        except Problem:
            return True
        return False


@asynccontextmanager
async def open_house(parts: Parts, settings: AuthSettings | None = None) -> AsyncIterator[House]:
    """One more gateway process over the stores of ``parts``."""
    clock = SkewedClock()
    settings = replace(settings or house_settings(), now=clock)
    async with AsyncExitStack() as stack:
        auth = await stack.enter_async_context(open_auth(parts.database, parts.redis, settings))
        limiter = CountingLimiter()
        app = make_app(
            replace(parts, auth=auth, now=clock),
            areas=AREAS,
            authenticator=auth.authenticator,
            limiter=limiter,
            probes={},
            log=lambda *_: None,
            keys=auth.key_set,
            settings=EdgeSettings(),
        )
        port = await stack.enter_async_context(serving(app, "127.0.0.1", 0, log=lambda *_: None))
        session = await stack.enter_async_context(ClientSession())
        yield House(auth, f"http://127.0.0.1:{port}", session, parts.database, clock, limiter)


def house_settings(**more: Any) -> AuthSettings:
    """Cheap passwords, everything else as usual."""
    return AuthSettings(MASTER, Parties("https://sluice.test"), hasher=CHEAP, **more)


async def forget_guesses(redis: Redis, networks: Iterable[str] = ("127.0.0.1",)) -> None:
    """Let the tests' own address begin anew."""
    for network in networks:
        async for key in redis.scan_iter(match=f"sluice:login:{{{network}}}*"):
            await redis.delete(key)
