"""Neighbours of the edge for tests that are about the edge: tokens that are words, a limit that a test sets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from random import Random

from aiohttp import web

from gateway.edge.door import unauthenticated
from gateway.limit.verdict import Limits, Verdict, headers, refusal
from gateway.principal import SCOPES, Principal, Role
from gateway.problems import Problem

_FIXED = Random(1)


def principal(user: str, role: Role, *, without: frozenset[str] = frozenset()) -> Principal:
    """Somebody of this role, as after a login."""
    return Principal(user, role, SCOPES[role] - without, credential=f"token-of-{user}", session=f"session-of-{user}")


class WordAuthenticator:
    """``Bearer <word>`` is whoever the word stands for."""

    def __init__(self, people: Mapping[str, Principal]) -> None:
        self.people = dict(people)

    def known(self, authorization: str) -> Principal | None:
        return self.people.get(authorization.removeprefix("Bearer "))

    async def authenticate(self, request: web.Request) -> Principal:
        if (found := self.known(request.headers.get("Authorization", ""))) is None:
            raise unauthenticated()
        return found


class CountingLimiter:
    """Counts, and refuses the quotas that a test names in ``spent``."""

    def __init__(self) -> None:
        self.charged: Counter[str] = Counter()
        self.spent: set[str] = set()

    async def charge(self, quota: str, limits: Limits) -> Verdict:
        self.charged[quota] += 1
        return self._verdict(limits, admitted=quota not in self.spent)

    async def charge_address(self, address: str) -> Verdict:
        return await self.charge(f"address:{address}", Limits())

    def guard(self) -> None:
        pass

    def headers(self, verdict: Verdict) -> Mapping[str, str]:
        return headers(verdict, _FIXED)

    def refusal(self, verdict: Verdict) -> Problem:
        return refusal(verdict, _FIXED)

    def _verdict(self, limits: Limits, *, admitted: bool) -> Verdict:
        left = limits.minute - 1 if admitted else 0
        return Verdict(admitted, limits, 1_795_000_000_000, left, 7_000, limits.hour - 1, 0)
