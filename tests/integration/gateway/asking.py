"""How tests ask the gateway: JSON in, status and JSON out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from aiohttp import ClientSession
from multidict import CIMultiDictProxy
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

PROBE: Mapping[str, Any] = {"kind": "probe", "args": {"note": "hello"}}


@dataclass(frozen=True)
class Told:
    """An answer that was read to its end."""

    status: int
    body: Any
    headers: CIMultiDictProxy[str]

    @property
    def code(self) -> str:
        """The code of a problem, "" for any other answer."""
        return str(self.body.get("code", "")) if isinstance(self.body, dict) else ""


async def ask(
    client: ClientSession,
    method: str,
    path: str,
    body: Any = None,
    *,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Told:
    """Send one request, and read what comes back."""
    async with client.request(method, path, json=body, params=query, headers=headers) as answer:
        told = await answer.json(content_type=None) if answer.status != 204 else None
        return Told(answer.status, told, answer.headers)


async def enqueue(client: ClientSession, body: Any = PROBE, *, key: str | None = None, **headers: str) -> Told:
    """Ask for jobs, with a key of their own unless one is given."""
    return await ask(client, "POST", "jobs", body, headers={"Idempotency-Key": key or str(uuid4()), **headers})


async def every_page(client: ClientSession, path: str, query: Mapping[str, str]) -> list[Any]:
    """Read a list to its end."""
    rows: list[Any] = []
    cursor: dict[str, str] = {}
    while True:
        told = await ask(client, "GET", path, query={**query, **cursor})
        assert told.status == 200, told.body
        rows += told.body["data"]
        if told.body["next_cursor"] is None:
            return rows
        cursor = {"cursor": told.body["next_cursor"]}


async def look(engine: AsyncEngine, sql: str, **values: Any) -> list[Any]:
    """Look behind the gateway, or change something there."""
    async with engine.begin() as conn:
        found = await conn.execute(text(sql), values)
        return list(found.all()) if found.returns_rows else []
