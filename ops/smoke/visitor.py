"""A client of the gateway as anybody could write one; whatever goes wrong is told in one line."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import aiohttp
from yarl import URL

from ops.smoke.verdict import Failed

API = "api/v1"
ENDED = ("succeeded", "failed", "cancelled")


@dataclass(slots=True)
class Visitor:
    """One session's way to a gateway; ``token`` once it is logged in."""

    http: aiohttp.ClientSession
    url: URL
    token: str = ""

    async def ask(self, method: str, path: str, *expected: int, **more: Any) -> tuple[int, Any]:
        """Give the status, which is one of ``expected`` (200 where none is named), and the JSON of an answer."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        if method == "POST":
            headers["Idempotency-Key"] = str(uuid4())
        try:
            async with self.http.request(method, self.url / path, headers=headers, **more) as answer:
                told = await answer.json(content_type=None) if await answer.read() else None
                status = answer.status
        except TimeoutError:
            raise Failed(f"{method} /{path}: no answer in time") from None
        except aiohttp.ClientError as error:
            raise Failed(f"{method} /{path}: {str(error) or type(error).__name__}") from None
        except ValueError:
            raise Failed(f"{method} /{path}: the answer is not JSON") from None
        if status not in (expected or (200,)):
            raise Failed(f"{method} /{path}: {status}{_reason(told)}")
        return status, told

    async def followed(self, job: str, within_s: float) -> None:
        """Read a job's events to their end; raise Failed where they do not end in time."""
        headers, path = {"Authorization": f"Bearer {self.token}"}, f"{API}/jobs/{job}/events"
        try:
            async with asyncio.timeout(within_s), self.http.get(self.url / path, headers=headers) as answer:
                if answer.status != 200:
                    raise Failed(f"GET /{path}: {answer.status}")
                async for line in answer.content:
                    if line == b"event: end\n":
                        return
        except TimeoutError:
            raise Failed(f"job {job} did not end within {within_s:g} s: is a worker running?") from None
        except aiohttp.ClientError as error:
            raise Failed(f"GET /{path}: {str(error) or type(error).__name__}") from None
        raise Failed(f"GET /{path}: the stream of events was cut off")

    async def job(self, job: str) -> dict[str, Any]:
        """Give a job that has ended well; raise Failed for any other."""
        told: dict[str, Any] = (await self.ask("GET", f"{API}/jobs/{job}"))[1]
        if told.get("state") != "succeeded":
            why = told.get("last_error") or told.get("reason")
            raise Failed(f"job {job} is {told.get('state')}{f': {why}' if why else ''}")
        return told


def _reason(told: Any) -> str:
    if not isinstance(told, dict):
        return ""
    why = told.get("detail") or told.get("title") or told.get("status")
    return f" {why}" if why else ""
