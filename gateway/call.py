"""What a handler is given: who asks, and the stores, in transactions that see only what the asker may see."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from broker.limiter import ProviderLimiter
from broker.producer import Producer
from gateway.principal import Principal
from gateway.turns import Turns
from gateway.watching import Watch
from ledger.tenancy import acting_for

if TYPE_CHECKING:
    from gateway.auth.service import Auth


def _anything(_: str, __: Mapping[str, Any]) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class Parts:
    """What the gateway works with, opened and closed by ``ops``.

    ``redis`` is redis-py's asyncio client, for everything but the rate limit, which has a client of its own.
    ``providers`` is the limiter of the providers that workers call: its ``limits`` name those there are.
    ``cursor_key`` signs the cursors of lists, the same in all processes of a system.  ``misfit`` says why a provider
    could not do a job (kind and args, which fit their kind's schema), or None.  ``jobs_max`` is how many jobs of one
    owner may be under way at once; ``following`` counts the open event streams of each user of this process, ``watch``
    looks at the jobs that they follow, ``turns`` lets each user have so many transactions at once.
    """

    database: AsyncEngine
    producer: Producer
    redis: Any
    now: Callable[[], datetime]
    providers: ProviderLimiter
    cursor_key: bytes
    misfit: Callable[[str, Mapping[str, Any]], str | None] = _anything
    jobs_max: int = 100
    following: Counter[str] = field(default_factory=Counter)
    turns: Turns = field(default_factory=Turns)
    watch: Watch = field(default_factory=Watch)
    auth: Auth | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One request whose asker is known and whose quota was charged."""

    request: web.Request
    parts: Parts
    asker: Principal | None
    request_id: str
    address: str

    @property
    def principal(self) -> Principal:
        """The asker of a route that needs one."""
        assert self.asker is not None, "this route is open to everybody"
        return self.asker

    @property
    def auth(self) -> Auth:
        """Users, sessions, keys: what ``gateway.auth.open_auth`` opened."""
        assert self.parts.auth is not None, "this gateway was made without authentication"
        return self.parts.auth

    @asynccontextmanager
    async def rows(self) -> AsyncIterator[AsyncConnection]:
        """One transaction as the asker: row-level security shows and takes only the asker's rows."""
        user = self.principal.user
        async with self.parts.turns.taken(user), self.parts.database.begin() as conn, acting_for(conn, user):
            yield conn

    @asynccontextmanager
    async def books(self) -> AsyncIterator[AsyncConnection]:
        """One transaction for the ledger's questions about a user's books, which act for that user themselves."""
        async with self.parts.turns.taken(self.principal.user), self.parts.database.begin() as conn:
            yield conn

    @asynccontextmanager
    async def works(self) -> AsyncIterator[AsyncConnection]:
        """One transaction over what belongs to nobody (streams, providers, queues) or to all: administrators only."""
        assert self.principal.is_admin, "the route's scope lets administrators in only"
        async with self.parts.database.begin() as conn:
            yield conn
