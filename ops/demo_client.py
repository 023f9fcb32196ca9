"""The demo's client: it does over HTTP what any client would, with a token, an API key and the rate limit of everybody.

It logs in, makes an API key for this run, asks with it, and revokes it at the end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from secrets import token_urlsafe
from typing import Any
from uuid import uuid4

import aiohttp
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.auth import users
from gateway.auth.audit import Origin
from gateway.principal import Role, quota_of
from ops.gateway import OpenGateway

OPERATOR = Origin("demo")
BATCH = 100
KEY_LASTS_DAYS = 1
KEY_SCOPES = ("jobs:read", "jobs:write", "items:read", "ledger:read", "ledger:write")
WAIT_MAX_S = 61.0
"""The longest that a full minute's window can ask a client to wait."""
LIMIT_HEADERS = ("Retry-After", "X-RateLimit-Limit", "X-RateLimit-Remaining", "RateLimit-Policy", "RateLimit")


class Refused(Exception):
    """The gateway said no; the text is its reason, in one line."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the demo and a password that lasts as long as the run."""

    id: str
    name: str
    password: str


async def account(gateway: OpenGateway, name: str, role: Role) -> Account:
    """Give a user a new password and a whole rate limit, whatever a run just before has used; add who is not there."""
    auth, password, now = gateway.parts.auth, token_urlsafe(24), datetime.now(UTC)
    assert auth is not None, "a gateway is opened with authentication"
    kept = await auth.hash_new(password, name)
    async with gateway.parts.database.begin() as conn:
        found = await users.by_name(conn, name) or await _added(conn, name, role, now)
        await users.set_password(conn, OPERATOR, found.id, kept, now=now)
    await gateway.limiter.reset(quota_of(str(found.id)))
    return Account(str(found.id), name, password)


async def _added(conn: AsyncConnection, name: str, role: Role, now: datetime) -> users.User:
    return await users.add(conn, OPERATOR, name, role, None, now=now)


@dataclass(slots=True)
class Client:
    """One credential's way to the gateway; ``requests`` counts what was asked."""

    http: aiohttp.ClientSession
    base: str
    credential: str = ""
    requests: int = 0

    async def get(self, path: str, **query: str) -> Any:
        """Ask a question; raise Refused."""
        return (await self._ask("GET", path, params=query))[1]

    async def post(self, path: str, body: Any) -> Any:
        """Ask for something to be done, under a key of its own; raise Refused."""
        return (await self._ask("POST", path, json=body, headers={"Idempotency-Key": str(uuid4())}))[1]

    async def delete(self, path: str) -> None:
        """Remove something; raise Refused."""
        await self._ask("DELETE", path)

    async def log_in(self, who: Account) -> None:
        """Take an access token; raise Refused."""
        form = {"username": who.name, "password": who.password}
        self.credential = (await self._ask("POST", "login/access-token", data=form))[1]["access_token"]

    async def ended(self, job: str) -> Any:
        """Follow a job by its server-sent events, and give it as it ended."""
        async with self.http.get(f"{self.base}/jobs/{job}/events", headers=self._headers()) as answer:
            self.requests += 1
            if answer.status != 200:
                raise Refused(f"GET jobs/{job}/events: {answer.status}")
            async for line in answer.content:
                if line == b"event: end\n":
                    break
        return await self.get(f"jobs/{job}")

    async def until_limited(self, path: str) -> Mapping[str, Any]:
        """Ask until the limit says no; tell how often it said yes, and the headers of the refusal."""
        admitted = 0
        while True:
            async with self.http.get(f"{self.base}/{path}", headers=self._headers()) as answer:
                self.requests += 1
                if answer.status == 429:
                    told = {name: answer.headers[name] for name in LIMIT_HEADERS}
                    return {"admitted": admitted, "status": 429, "headers": told, "problem": await answer.json()}
                if answer.status != 200:
                    raise Refused(await _why(answer, "GET", path))
                admitted += 1

    async def _ask(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        headers = {**self._headers(), **more.pop("headers", {})}
        while True:
            async with self.http.request(method, f"{self.base}/{path}", headers=headers, **more) as answer:
                self.requests += 1
                wait_s = float(answer.headers.get("Retry-After", "0"))
                if answer.status not in (429, 503) or not 0 < wait_s <= WAIT_MAX_S:
                    if answer.status >= 400:
                        raise Refused(await _why(answer, method, path))
                    return answer.status, None if answer.status == 204 else await answer.json()
            await asyncio.sleep(wait_s)

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.credential}"} if self.credential else {}


@asynccontextmanager
async def with_key(session: Client) -> AsyncIterator[Client]:
    """Give a client with an API key of its own, which ends with the block."""
    asked = {"name": "demo run", "scopes": KEY_SCOPES, "expires_in_days": KEY_LASTS_DAYS}
    made = await session.post("auth/api-keys", asked)
    try:
        yield Client(session.http, session.base, made["api_key"])
    finally:
        await session.delete(f"auth/api-keys/{made['key']['id']}")


async def asked_for(client: Client, jobs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Ask for jobs, as many at once as one request takes; give their ids in the same order."""
    made: list[str] = []
    for start in range(0, len(jobs), BATCH):
        made += [job["id"] for job in await client.post("jobs", list(jobs[start : start + BATCH]))]
    return made


async def _why(answer: aiohttp.ClientResponse, method: str, path: str) -> str:
    told = await answer.json(content_type=None)
    reason = told.get("detail") or told.get("title") if isinstance(told, dict) else ""
    return f"{method} {path}: {answer.status} {reason}"
