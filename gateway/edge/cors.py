"""Which pages of other origins may read answers: those in the list, named exactly.

Tokens travel in a header that pages set themselves, never in cookies, so credentials are never allowed.
"""

from __future__ import annotations

from collections.abc import MutableMapping

from aiohttp import web

METHODS = "GET, POST, PUT, PATCH, DELETE"
TAKES = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID"
SHOWS = (
    "Idempotency-Replayed, Link, Location, RateLimit, RateLimit-Policy, Retry-After, WWW-Authenticate, "
    "X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, X-Request-Id"
)
KEEP_S = 600


class Cors:
    """The list; an empty one means that no page of another origin may."""

    def __init__(self, origins: frozenset[str]) -> None:
        self._origins = origins

    def preflight(self, request: web.Request) -> web.Response | None:
        """Answer a browser that asks before it asks; None for any other OPTIONS."""
        if (
            request.method != "OPTIONS"
            or "Access-Control-Request-Method" not in request.headers
            or not self._origin(request)
        ):
            return None
        asks = {
            "Access-Control-Allow-Methods": METHODS,
            "Access-Control-Allow-Headers": TAKES,
            "Access-Control-Max-Age": str(KEEP_S),
        }
        return web.Response(status=204, headers=asks)

    def mark(self, request: web.Request, headers: MutableMapping[str, str]) -> None:
        """Let a page in the list read this answer."""
        if not self._origins:
            return
        headers["Vary"] = "Origin"
        if origin := self._origin(request):
            headers["Access-Control-Allow-Origin"] = origin
            headers["Access-Control-Expose-Headers"] = SHOWS

    def _origin(self, request: web.Request) -> str | None:
        given = request.headers.getall("Origin", ())
        return given[0] if len(given) == 1 and given[0] in self._origins else None
