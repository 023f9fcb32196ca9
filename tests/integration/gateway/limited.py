"""Gateways of a test's own, in front of a few routes and behind a real limiter."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from aiohttp import ClientSession

from gateway.app import make_app
from gateway.call import Call
from gateway.edge.server import serving
from gateway.edge.settings import EdgeSettings
from gateway.limit import RateLimiter
from gateway.routes import Routes
from tests.integration.gateway.conftest import ADMIN, ALICE, Gateway
from tests.integration.gateway.standins import WordAuthenticator, principal


class Hello(msgspec.Struct):
    """What every route here answers."""

    hello: str


routes, login = Routes("hello"), Routes("auth")


@routes.get("/hello", needs="items:read")
async def hello(call: Call) -> Hello:
    """Say who asks."""
    return Hello(call.principal.user)


@routes.get("/missing", needs="items:read")
async def missing(call: Call) -> Hello:
    """Fail after the asker was charged."""
    raise KeyError(call.principal.user)


@routes.get("/open", needs=None)
async def anybody(call: Call) -> Hello:
    """Answer anybody."""
    return Hello(call.address)


@routes.get("/works", needs="admin:read")
async def works(call: Call) -> Hello:
    """Answer administrators."""
    return Hello(call.principal.user)


@login.post("/login", needs=None)
async def log_in(call: Call) -> Hello:
    """Stand for a login."""
    return Hello(call.address)


@asynccontextmanager
async def limited_gateway(
    gateway: Gateway, limiter: RateLimiter, *, user: str = ALICE, settings: EdgeSettings | None = None
) -> AsyncIterator[ClientSession]:
    """Serve, and give a client without a token whose paths begin under ``/api/v1``."""
    people = {"user": principal(user, "user"), "admin": principal(ADMIN, "admin")}
    app = make_app(
        gateway.parts,
        areas=[routes, login],
        authenticator=WordAuthenticator(people),
        limiter=limiter,
        probes={},
        log=lambda *_: None,
        keys=lambda: {"keys": []},
        settings=settings or EdgeSettings(),
    )
    async with (
        serving(app, "127.0.0.1", 0, log=lambda *_: None, grace_s=1.0) as port,
        ClientSession(f"http://127.0.0.1:{port}/api/v1/") as client,
    ):
        yield client


AS_USER = {"Authorization": "Bearer user"}
AS_ADMIN = {"Authorization": "Bearer admin"}
