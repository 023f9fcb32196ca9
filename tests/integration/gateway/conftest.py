"""A running gateway on loopback for the whole session, over real PostgreSQL and Redis, and clients of it for each test.

``gateway`` has a user, another user and an administrator with their tokens; ``alice``, ``bob``, ``admin`` and
``nobody`` are clients that send them.  A test takes rows of its own: the stores are shared.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
import pytest
from aiohttp import ClientSession, web
from psycopg import sql
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from broker.limiter import open_limiter as open_provider_limiter
from broker.messages import queues
from broker.producer import open_producer
from gateway.api import AREAS
from gateway.app import make_app
from gateway.call import Parts
from gateway.edge.server import serving
from gateway.edge.settings import EdgeSettings
from gateway.principal import Principal
from ledger import migrate
from ledger.engine import open_ledger
from ops.embedded import Stack
from ops.health import database_answers, redis_answers
from tests.integration.gateway.accounts import House, forget_guesses, open_house
from tests.integration.gateway.standins import CountingLimiter, WordAuthenticator, principal
from workers.plan import misfit
from workers.providers import load_providers

ALICE, BOB, ADMIN = (str(uuid.UUID(int=number)) for number in (0xA11CE, 0xB0B, 0xAD))


@dataclass(frozen=True)
class Gateway:
    """Where it listens, what it works with, and who is known to it."""

    url: str
    app: web.Application
    parts: Parts
    people: dict[str, Principal]
    limiter: CountingLimiter

    @property
    def api(self) -> str:
        return f"{self.url}/api/v1"


@pytest.fixture(scope="session")
def gateway_database_url(stack: Stack) -> Iterator[str]:
    """A database for the session's gateway, with the newest schema."""
    server = stack.postgres.start()
    name = f"gateway_{uuid.uuid4().hex}"
    with psycopg.connect(server.admin_url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {} OWNER sluice").format(sql.Identifier(name)))
    url = server.database_url(name)
    migrate.upgrade(url)
    yield url
    with psycopg.connect(server.admin_url, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def gateway_redis_url(stack: Stack) -> str:
    """A database of the session's Redis for the gateway alone."""
    return stack.redis.start().database_url(9)


@asynccontextmanager
async def open_parts(database_url: str, redis_url: str) -> AsyncIterator[Parts]:
    """Open what a gateway works with, on servers of the tests."""

    async def nothing_spent(_: str, __: datetime) -> int:
        return 0

    known = load_providers()
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        redis = Redis.from_url(redis_url, retry=Retry(NoBackoff(), 1))
        stack.push_async_callback(redis.aclose)
        limits = {name: provider.limits for name, provider in known.items()}
        yield Parts(
            database=await enter(open_ledger(database_url, application_name="gateway tests")),
            producer=await enter(open_producer(redis_url, queues(sorted(known)))),
            redis=redis,
            now=lambda: datetime.now(UTC),
            providers=await enter(open_provider_limiter(redis_url, limits, nothing_spent)),
            cursor_key=b"a key for the cursors of tests only",
            misfit=misfit(known),
        )


@pytest.fixture(scope="session")
async def gateway(gateway_database_url: str, gateway_redis_url: str) -> AsyncIterator[Gateway]:
    """The session's gateway: every area, no limit to speak of."""
    people = {
        "alice-token": principal(ALICE, "user"),
        "bob-token": principal(BOB, "user"),
        "admin-token": principal(ADMIN, "admin"),
    }
    limiter = CountingLimiter()
    async with open_parts(gateway_database_url, gateway_redis_url) as parts:
        app = make_app(
            parts,
            areas=AREAS,
            authenticator=WordAuthenticator(people),
            limiter=limiter,
            probes={"database": database_answers(parts.database), "redis": redis_answers(parts.redis)},
            log=lambda *_: None,
            keys=lambda: {"keys": []},
            settings=EdgeSettings(),
        )
        async with serving(app, "127.0.0.1", 0, log=lambda *_: None) as port:
            yield Gateway(f"http://127.0.0.1:{port}", app, parts, people, limiter)


@asynccontextmanager
async def client_of(gateway: Gateway, token: str | None) -> AsyncIterator[ClientSession]:
    """A client whose paths begin under ``/api/v1``: ``client.get("jobs")``."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with ClientSession(f"{gateway.api}/", headers=headers) as session:
        yield session


@pytest.fixture
async def alice(gateway: Gateway) -> AsyncIterator[ClientSession]:
    """A user."""
    async with client_of(gateway, "alice-token") as session:
        yield session


@pytest.fixture
async def bob(gateway: Gateway) -> AsyncIterator[ClientSession]:
    """Another user."""
    async with client_of(gateway, "bob-token") as session:
        yield session


@pytest.fixture
async def admin(gateway: Gateway) -> AsyncIterator[ClientSession]:
    """An administrator."""
    async with client_of(gateway, "admin-token") as session:
        yield session


@pytest.fixture
async def nobody(gateway: Gateway) -> AsyncIterator[ClientSession]:
    """Somebody without a token."""
    async with client_of(gateway, None) as session:
        yield session


@pytest.fixture(scope="module")
async def house(gateway: Gateway) -> AsyncIterator[House]:
    """A gateway with real authentication over the same stores."""
    async with open_house(gateway.parts) as opened:
        yield opened


@pytest.fixture
async def no_guesses(gateway: Gateway) -> None:
    """Nobody has guessed a password so far."""
    await forget_guesses(gateway.parts.redis, ("127.0.0.1", "198.51.100.20", "2001:db8::/64"))


@pytest.fixture(scope="session")
def gateway_engine(gateway: Gateway) -> AsyncEngine:
    """The gateway's database, for looking behind it."""
    return gateway.parts.database


@pytest.fixture
async def nothing_under_way(gateway_engine: AsyncEngine) -> None:
    """No worker runs beside this gateway: what other tests asked for would count against their users for ever."""
    async with gateway_engine.begin() as conn:
        await conn.execute(
            text("UPDATE jobs SET state = 'succeeded', finished_at = now(), landed = want WHERE finished_at IS NULL")
        )


def pytest_addoption(parser: pytest.Parser) -> None:
    """Known where pytest is called with this folder or a file in it."""
    parser.addoption("--api-thorough", action="store_true", help="Let Schemathesis take minutes, not seconds.")
