"""The gateway's description of itself, for programs and for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import msgspec

from gateway.call import Call
from gateway.docspage import CSP, page
from gateway.openapi import document
from gateway.routes import Reply, Route, Routes


def document_routes(table: Callable[[], Sequence[Route]], *, server: str | None, readable: bool) -> Routes:
    """Give the routes that describe ``table`` (these among it); each is written when it is first asked for."""
    routes = Routes("documents")

    @cache
    def described() -> dict[str, Any]:
        return document(table(), server=server)

    @cache
    def written() -> msgspec.Raw:
        return msgspec.Raw(msgspec.json.encode(described()))

    @cache
    def shown() -> str:
        return page(described())

    @routes.get("/openapi.json", needs=None)
    async def openapi(_: Call) -> dict[str, Any]:
        """This description, as OpenAPI 3.1."""
        return written()  # type: ignore[return-value]  # the same, encoded once

    if readable:

        @routes.get("/docs", needs=None, media_type="text/html")
        async def docs(_: Call) -> Reply[str]:
            """This description, as a page to read."""
            return Reply(shown(), headers={"Content-Security-Policy": CSP})

    return routes
