"""Is this process alive, and can it do its work?  The two questions have different askers and different answers.

``/healthz`` is for whoever restarts processes: it answers while the loop turns, and asks nobody else.
``/readyz`` is for whoever sends work: it names the state of each dependency, 503 while one is away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Literal

import msgspec
from aiohttp import web

from gateway.call import Call
from gateway.routes import Reply, Routes

Probe = Callable[[], Awaitable[object]]
PROBE_S = 2.0


class Alive(msgspec.Struct):
    """This process answers."""

    status: Literal["alive"] = "alive"


class Readiness(msgspec.Struct):
    """Whether work can be done, and the state of each dependency: ``ok`` or what is wrong with it.

    ``schema`` is the revision that the database is at, null where nobody asked it.
    """

    status: Literal["ready", "not ready"]
    checks: dict[str, str]
    schema: str | None = None


def health_routes(probes: Mapping[str, Probe], leaving: Callable[[], bool] = lambda: False) -> Routes:
    """Give both routes; a probe raises when its dependency cannot be used, ``leaving`` says that this process goes."""
    routes, ask = Routes("health"), shared(lambda: readiness(probes))

    @routes.get("/healthz", needs=None, free=True)
    async def healthz(_: Call) -> Alive:
        """Whether this process is alive."""
        return Alive()

    @routes.get("/readyz", needs=None, free=True, also={503: Readiness})
    async def readyz(_: Call) -> Reply[Readiness]:
        """Whether this process can do its work, with the state of each dependency.

        503 while one of them is away, and while this process is being stopped.
        """
        found = await ask()
        if leaving():
            found = Readiness("not ready", {**found.checks, "gateway": "stopping"}, found.schema)
        return Reply(found, status=200 if found.status == "ready" else 503)

    return routes


def shared(ask: Callable[[], Coroutine[Any, Any, Readiness]]) -> Callable[[], Awaitable[Readiness]]:
    """Ask once for all who want to know meanwhile: anybody may, and many askers must not be many queries."""
    asking: asyncio.Task[Readiness] | None = None

    async def asked() -> Readiness:
        nonlocal asking
        if asking is None or asking.done():
            asking = asyncio.create_task(ask())
        return await asyncio.shield(asking)

    return asked


def health_app(probes: Mapping[str, Probe]) -> web.Application:
    """Build an application of these two routes alone, for processes that are no gateway."""

    async def healthz(_: web.Request) -> web.Response:
        return _written(Alive())

    async def readyz(_: web.Request) -> web.Response:
        found = await readiness(probes)
        return _written(found, status=200 if found.status == "ready" else 503)

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    return app


async def readiness(probes: Mapping[str, Probe]) -> Readiness:
    """Ask all probes at once; the one called ``schema`` gives the revision that it found."""
    asked = dict(zip(probes, await asyncio.gather(*map(_state, probes.values())), strict=True))
    states = {name: state for name, (state, _) in asked.items()}
    ready = all(state == "ok" for state in states.values())
    _, schema = asked.get("schema", ("", None))
    return Readiness("ready" if ready else "not ready", states, schema if isinstance(schema, str) else None)


async def _state(probe: Probe) -> tuple[str, object]:
    try:
        async with asyncio.timeout(PROBE_S):
            return "ok", await probe()
    except TimeoutError:
        return f"no answer within {PROBE_S:g} s", None
    except Exception as error:  # noqa: BLE001  whatever it is, the dependency cannot be used; its text may hold secrets
        return type(error).__name__, None


def _written(value: msgspec.Struct, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")
