"""Who sends this request?  Its one ``Authorization`` header says: an access token or an API key, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from time import time
from typing import NoReturn

from aiohttp import web
from jwt import PyJWK

from gateway.auth import apikeys
from gateway.auth.apikeys import Accepted
from gateway.auth.claims import NoToken, Parties, verify
from gateway.auth.seen import Revoked, SeenTokens
from gateway.principal import Principal
from gateway.problems import Problem

HEADER_BYTES_MAX = 4096
_BEARER = re.compile(r"bearer ([!-~]+)", re.ASCII | re.IGNORECASE)
AcceptKey = Callable[[str], Awaitable[Accepted | None]]


class Authenticator:
    """Verifies what requests bring; what was verified a moment ago is known without waiting for anybody."""

    def __init__(
        self,
        parties: Parties,
        accept_key: AcceptKey,
        revoked: Revoked,
        *,
        wall: Callable[[], float] = time,
    ) -> None:
        """``accept_key`` asks the database about an API key; keys for tokens come by ``use_keys``."""
        self._parties, self._accept_key, self._revoked, self._wall = parties, accept_key, revoked, wall
        self.seen = SeenTokens(revoked, wall)
        self._key_of: Callable[[str], PyJWK | None] = lambda _: None

    def use_keys(self, key_of: Callable[[str], PyJWK | None]) -> None:
        """Take other keys, and verify everything anew."""
        self._key_of = key_of
        self.seen.forget_all()

    def known(self, authorization: str) -> Principal | None:
        """Give who sent this header a moment ago, if it still holds; None means: ask ``authenticate``."""
        return self.seen.known(authorization)

    async def authenticate(self, request: web.Request) -> Principal:
        """Give who asks.  Raises ``unauthenticated``, ``malformed_request`` for two headers, or ``unavailable``."""
        given = request.headers.getall("Authorization", [])
        if len(given) > 1:
            raise Problem("malformed_request", "one Authorization header is enough")
        if not given:
            raise Problem("unauthenticated", headers={"WWW-Authenticate": "Bearer"})
        return await self.check(given[0])

    async def check(self, authorization: str) -> Principal:
        """Give who this header is from.  Raises as ``authenticate`` does."""
        if (principal := self.seen.known(authorization)) is not None:
            return principal
        # Counted before anything is parsed: what is long costs nothing.
        found = _BEARER.fullmatch(authorization) if len(authorization) <= HEADER_BYTES_MAX else None
        if found is None:
            _refuse()
        if found[1].startswith(apikeys.PREFIX):
            return await self._key(authorization, found[1])
        return self._token(authorization, found[1])

    def _token(self, authorization: str, token: str) -> Principal:
        try:
            claims = verify(token, self._parties, self._key_of, self._wall())
        except NoToken:
            _refuse()
        principal = Principal(claims.user, claims.role, claims.scopes, claims.id, claims.session)
        if self._revoked.refuses(principal, claims.issued):
            _refuse()
        self.seen.remember(authorization, principal, issued=claims.issued, expires=claims.expires)
        return self._revoked.as_of_now(principal)

    async def _key(self, authorization: str, key: str) -> Principal:
        # Taken before the question: what a user loses while it is asked makes the answer old, and it is asked again.
        asked = self._wall()
        accepted = await self._accept_key(key)
        if accepted is None or accepted.principal.credential in self._revoked.credentials:
            _refuse()
        expires = accepted.expires_at.timestamp() if accepted.expires_at else float("inf")
        self.seen.remember(authorization, accepted.principal, issued=asked, expires=expires)
        return accepted.principal


def _refuse() -> NoReturn:
    # Always the same: why a token does not hold is nobody's business but its issuer's.
    raise Problem("unauthenticated", headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
