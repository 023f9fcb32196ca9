"""Who asks, once a token or an API key was verified."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Role = Literal["user", "admin", "service"]

SERVICE_SCOPES = frozenset({"jobs:read", "jobs:write", "items:read", "ledger:read", "ledger:write", "account:read"})
USER_SCOPES = SERVICE_SCOPES | {"account:write"}
ADMIN_SCOPES = USER_SCOPES | {"admin:read", "admin:write"}
SCOPES: Mapping[Role, frozenset[str]] = {"user": USER_SCOPES, "admin": ADMIN_SCOPES, "service": SERVICE_SCOPES}
"""What each role may be given at most."""


def quota_of(user: str) -> str:
    """Name the rate limit of a user."""
    return f"user:{user}"


@dataclass(frozen=True, slots=True)
class Principal:
    """A verified asker.

    ``user`` is the id (UUID text) that owns jobs and books.  ``credential`` is what revocation names: a
    token's ``jti`` or an API key's public id.  ``session`` is the refresh family, None for API keys.
    """

    user: str
    role: Role
    scopes: frozenset[str]
    credential: str
    session: str | None = None

    @property
    def quota(self) -> str:
        """Whose rate limit is charged: the user's, whatever they ask with; more keys are not more requests."""
        return quota_of(self.user)

    @property
    def is_admin(self) -> bool:
        """Whether the administrator's multiple of the rate limit holds."""
        return self.role == "admin"
