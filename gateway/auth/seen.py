"""Tokens and keys that were verified a moment ago, and what was revoked since: a second look costs about a microsecond.

Nothing here waits for anybody.  Failures are never remembered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from time import monotonic, time

from gateway.principal import SCOPES, Principal, Role

ENTRIES_MAX = 10_000
REMEMBERED_S = 60.0


@dataclass(slots=True)
class Revoked:
    """What was taken back while tokens that it is about still live.  Each process has its copy of it.

    ``credentials`` are dead ids (of tokens, sessions, API keys) with the time until which that matters; ``epochs`` the
    second before which all tokens of a user are dead; ``roles`` what a user has become, whatever a token says.
    """

    credentials: dict[str, float] = field(default_factory=dict)
    epochs: dict[str, tuple[int, float]] = field(default_factory=dict)
    roles: dict[str, tuple[int, Role, float]] = field(default_factory=dict)

    def refuses(self, principal: Principal, issued: float) -> bool:
        """Whether a credential that was good when it was issued is so no more."""
        if principal.credential in self.credentials or principal.session in self.credentials:
            return True
        epoch = self.epochs.get(principal.user)
        return epoch is not None and issued < epoch[0]

    def as_of_now(self, principal: Principal) -> Principal:
        """Give the asker with the role of today: a lost one takes scopes away, a new one gives an old token none."""
        role = self.roles.get(principal.user)
        if role is None or role[1] == principal.role:
            return principal
        return replace(principal, role=role[1], scopes=principal.scopes & SCOPES[role[1]])

    def forget(self, now: float) -> None:
        """Drop what no living token is about."""
        for told in (self.credentials, self.epochs, self.roles):
            for name in [name for name, value in told.items() if _until(value) <= now]:
                del told[name]


def _until(value: object) -> float:
    until = value[-1] if isinstance(value, tuple) else value
    assert isinstance(until, float)
    return until


_Seen = tuple[Principal, float, float, float]
"""Who; issued when, for epochs; good until when; and, by the monotonic clock, verified when."""


@dataclass(slots=True)
class SeenTokens:
    """At most ``ENTRIES_MAX`` verified texts, each for at most a minute and never beyond its own end."""

    revoked: Revoked
    wall: Callable[[], float] = time
    clock: Callable[[], float] = monotonic
    entries: dict[bytes, _Seen] = field(default_factory=dict)

    def known(self, text: str) -> Principal | None:
        """Give who sent this very text before, if it still holds; None says nothing but: verify it."""
        try:
            key = sha256(text.encode("ascii")).digest()
        except UnicodeEncodeError:
            return None
        seen = self.entries.get(key)
        if seen is None:
            return None
        principal, issued, expires, verified = seen
        revoked = self.revoked
        if (
            self.clock() - verified >= REMEMBERED_S
            or self.wall() >= expires
            or principal.credential in revoked.credentials
            or principal.session in revoked.credentials
            or (principal.user in revoked.epochs and issued < revoked.epochs[principal.user][0])
        ):
            del self.entries[key]
            return None
        return revoked.as_of_now(principal) if principal.user in revoked.roles else principal

    def remember(self, text: str, principal: Principal, *, issued: float, expires: float) -> None:
        """Keep a text that was verified just now."""
        while len(self.entries) >= ENTRIES_MAX:
            del self.entries[next(iter(self.entries))]
        self.entries[sha256(text.encode("ascii")).digest()] = (principal, issued, expires, self.clock())

    def forget_all(self) -> None:
        """Verify everything anew: the keys are others."""
        self.entries.clear()
