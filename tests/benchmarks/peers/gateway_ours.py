"""Our gateway as it is served: the real door, check of tokens and limiter, and one route that asks no store."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any, cast

import msgspec
import uvloop
from jwt import PyJWK

from gateway.app import make_app
from gateway.auth.authenticator import Authenticator
from gateway.auth.claims import ALGORITHM, Parties
from gateway.auth.seen import Revoked
from gateway.call import Call, Parts
from gateway.edge.server import serving
from gateway.edge.settings import EdgeSettings
from gateway.limit import Limits, open_limiter
from gateway.routes import Routes
from tests.benchmarks.peers.gateway_people import given, ready

routes = Routes("hello")


class Hello(msgspec.Struct):
    """Who asks."""

    hello: str


@routes.get("/hello", needs="items:read")
async def hello(call: Call) -> Hello:
    """Say who asks."""
    return Hello(call.principal.user)


async def no_key(_: str) -> None:
    """Know no API keys."""


async def main() -> None:
    """Serve until told to stop.  Users are always over their limit, administrators never."""
    told = given()
    authenticator = Authenticator(Parties(), no_key, Revoked())
    key = PyJWK(told.more["public"], ALGORITHM)
    authenticator.use_keys({told.more["kid"]: key}.get)
    parts = Parts(
        database=cast(Any, None),
        producer=cast(Any, None),
        redis=None,
        now=lambda: datetime.now(UTC),
        providers=cast(Any, None),
        cursor_key=b"a key for the cursors of a benchmark",
    )
    settings = EdgeSettings(user_limits=Limits(1, 1), admin_limits=Limits(told.minute, told.hour))
    async with open_limiter(told.redis_url) as limiter:
        app = make_app(
            parts,
            areas=[routes],
            authenticator=authenticator,
            limiter=limiter,
            probes={},
            log=lambda *_: None,
            keys=lambda: {"keys": []},
            settings=settings,
        )
        async with serving(app, "127.0.0.1", 0, log=lambda *_: None, settings=settings) as port:
            ready(port)
            await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
