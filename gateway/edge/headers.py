"""The headers that every answer carries: a browser need not guess, an attacker learns little."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from multidict import CIMultiDict

CSP = "default-src 'none'; frame-ancestors 'none'"
SECURITY: Mapping[str, str] = MappingProxyType(
    {
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
        "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
        "Content-Security-Policy": CSP,
    }
)


def secure(headers: CIMultiDict[str]) -> None:
    """Add those that an answer does not have yet."""
    for name, value in SECURITY.items():
        headers.setdefault(name, value)
