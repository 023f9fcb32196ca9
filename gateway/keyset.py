"""The public keys that verify tokens, where others look for them (RFC 7517)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from gateway.call import Call
from gateway.routes import Reply, Routes

KEEP_S = 300

KeySet = Callable[[], Mapping[str, Any]]
"""Gives ``{"keys": [...]}``, public members alone."""


class PublicKeys(msgspec.Struct):
    """A JSON Web Key Set."""

    keys: list[dict[str, Any]]


def key_routes(keys: KeySet) -> Routes:
    """Give the one route."""
    routes = Routes("keys")

    @routes.get("/.well-known/jwks.json", needs=None, free=True)
    async def jwks(_: Call) -> Reply[PublicKeys]:
        """The public keys that verify access tokens, by key id.

        Clients may keep them for five minutes; a new key is published long before it signs.
        """
        return Reply(PublicKeys(list(keys()["keys"])), headers={"Cache-Control": f"public, max-age={KEEP_S}"})

    return routes
