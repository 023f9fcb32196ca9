"""Is this process alive, and can it do its work?  The two questions have different askers and different answers.

``/healthz`` is for whoever restarts processes: it answers while the loop turns, and asks nobody else.
``/readyz`` is for whoever sends work: it names the state of each dependency, 503 while one is away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

Probe = Callable[[], Awaitable[object]]
PROBE_S = 2.0


def add_health_routes(app: web.Application, probes: Mapping[str, Probe]) -> None:
    """Add both routes; a probe raises when its dependency cannot be used."""

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def readyz(_: web.Request) -> web.Response:
        states = dict(zip(probes, await asyncio.gather(*map(_state, probes.values())), strict=True))
        ready = all(state == "ok" for state in states.values())
        return web.json_response(
            {"status": "ready" if ready else "not ready", "checks": states}, status=200 if ready else 503
        )

    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)


async def _state(probe: Probe) -> str:
    try:
        async with asyncio.timeout(PROBE_S):
            await probe()
    except TimeoutError:
        return f"no answer within {PROBE_S:g} s"
    except Exception as error:  # noqa: BLE001  whatever it is, the dependency cannot be used; its text may hold secrets
        return type(error).__name__
    return "ok"


def problem(status: int, code: str, title: str) -> web.Response:
    """Give a problem document (RFC 9457) with a code that does not change."""
    body: dict[str, Any] = {"type": "about:blank", "title": title, "status": status, "code": code}
    return web.json_response(body, status=status, content_type="application/problem+json")
