"""The HTTP application: the table of routes behind one door, and what machines ask that look after this one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from aiohttp import web

from gateway.audited import note_refusal
from gateway.call import Call, Parts
from gateway.documents import document_routes
from gateway.edge.door import Door, Log
from gateway.edge.draining import Draining
from gateway.edge.seams import Authenticator, RateLimiter
from gateway.edge.settings import EdgeSettings
from gateway.health import Probe, health_routes
from gateway.keyset import KeySet, key_routes
from gateway.routes import Route, Routes

PREFIX = "/api/v1"
DRAINING = web.AppKey("draining", Draining)
DOOR = web.AppKey("door", Door)
TABLE = web.AppKey("table", tuple[Route, ...])


def make_app(
    parts: Parts,
    *,
    areas: Iterable[Routes],
    authenticator: Authenticator,
    limiter: RateLimiter,
    probes: Mapping[str, Probe],
    log: Log,
    keys: KeySet,
    settings: EdgeSettings | None = None,
) -> web.Application:
    """Build the application; raises TypeError for a route whose signature is not strict.

    ``areas`` come under ``PREFIX``; ``probes`` are what readiness asks; ``log`` is told of every answer; ``keys`` gives
    the public keys that verify tokens.
    """
    settings, draining = settings or EdgeSettings(), Draining()
    machines = (health_routes(probes, lambda: draining.now), key_routes(keys))
    documents = document_routes(lambda: table, server=settings.public_url, readable=settings.docs_page)
    table = tuple(under([*areas, documents], PREFIX) + under(machines, ""))
    door = Door(
        parts,
        authenticator=authenticator,
        limiter=limiter,
        settings=settings,
        draining=draining,
        log=log,
        note_refusal=note_scope,
    )
    app = web.Application(middlewares=[door.middleware()], client_max_size=settings.body_bytes_max)
    for route in table:
        handler = door.handler(route)
        if route.method == "GET":
            app.router.add_get(route.path, handler, allow_head=route.media_type != "text/event-stream")
        else:
            app.router.add_route(route.method, route.path, handler, expect_handler=expected)
    app[DRAINING], app[TABLE], app[DOOR] = draining, table, door
    return app


async def expected(_: web.Request) -> None:
    """Say nothing to ``Expect: 100-continue`` so far: whoever reads the body asks for it."""


async def note_scope(call: Call, route: str) -> None:
    """Write down that somebody asked for what their token does not allow."""
    if call.parts.auth is not None:
        await note_refusal(call, "scope.refused", route)


def under(areas: Iterable[Routes], prefix: str) -> list[Route]:
    """Give the routes of these areas with their whole paths."""
    return [replace(route, path=prefix + route.path) for area in areas for route in area]
