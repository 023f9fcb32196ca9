"""What the edge needs of its neighbours: who authenticates, who counts, who logs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from aiohttp import web

from gateway.limit.verdict import Limits, Verdict
from gateway.principal import Principal
from gateway.problems import Problem


class Authenticator(Protocol):
    """``gateway.auth`` gives one."""

    def known(self, authorization: str) -> Principal | None:
        """Give the principal of a token that was verified a moment ago, without waiting for anything."""
        ...

    async def authenticate(self, request: web.Request) -> Principal:
        """Verify; raise Problem ``unauthenticated``."""
        ...


class RateLimiter(Protocol):
    """``gateway.limit`` gives one."""

    async def charge(self, quota: str, limits: Limits) -> Verdict:
        """Count one request; the verdict's ``admitted`` says whether it may pass."""
        ...

    async def charge_address(self, address: str) -> Verdict:
        """Count one request of somebody unknown."""
        ...

    def guard(self) -> None:
        """Raise Problem ``unavailable`` while limits are not exact, for what must not be open to guessing then."""
        ...

    def headers(self, verdict: Verdict) -> Mapping[str, str]:
        """Give the headers that tell of a verdict."""
        ...

    def refusal(self, verdict: Verdict) -> Problem:
        """Give the Problem of a verdict that does not admit."""
        ...
