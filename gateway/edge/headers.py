"""The headers that every answer carries: a browser need not guess, an attacker learns little."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

CSP = "default-src 'none'; frame-ancestors 'none'"
_SECURITY: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
    "Content-Security-Policy": CSP,
}

SECURITY_HEADERS = CIMultiDictProxy(CIMultiDict(_SECURITY))
JSON_HEADERS = CIMultiDict({"Content-Type": "application/json", **_SECURITY})  # never changed: copied into each answer


def secure(headers: CIMultiDict[str]) -> None:
    """Add those that an answer does not have yet."""
    if "Content-Security-Policy" not in headers or "X-Content-Type-Options" not in headers:
        for name, value in _SECURITY.items():
            headers.setdefault(name, value)


async def without_server(_: web.Request, answer: web.StreamResponse) -> None:
    """Take away the line that names the software and its version (a signal of aiohttp's, before headers are sent)."""
    answer.headers.popall("Server", None)
