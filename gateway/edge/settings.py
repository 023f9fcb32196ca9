"""What can be set about the edge; ``ops.settings`` reads it from the environment."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.edge.passage import Network
from gateway.limit.verdict import Limits
from gateway.principal import Principal

MIB = 1024 * 1024
USERS = Limits(minute=60, hour=1000)
ADMIN_FACTOR = 5
ADMINISTRATORS = USERS.times(ADMIN_FACTOR)


@dataclass(frozen=True, slots=True)
class EdgeSettings:
    """Limits of the edge; times in seconds.

    ``header_s``, ``body_s`` and ``keepalive_s`` are what a client has for sending a request's head, its body, and the
    next request, ``unread_s`` for taking at least some of an answer; ``handler_s`` is what this side has.
    ``log_share`` is the share of good answers that get a line in the access log (all refusals and errors do).
    ``public_url`` is what clients call this gateway.  ``connections_max`` is less where fewer files may be open.
    """

    trusted_proxies: tuple[Network, ...] = ()
    cors_origins: frozenset[str] = frozenset()
    body_bytes_max: int = MIB
    header_s: float = 10.0
    body_s: float = 30.0
    keepalive_s: float = 75.0
    unread_s: float = 30.0
    handler_s: float = 60.0
    connections_max: int = 20_000
    connections_per_address_max: int = 256
    log_share: float = 1.0
    docs_page: bool = True
    public_url: str | None = None
    user_limits: Limits = USERS
    admin_limits: Limits = ADMINISTRATORS

    def limits(self, asker: Principal) -> Limits:
        """Give the limits of an asker: the role decides."""
        return self.admin_limits if asker.is_admin else self.user_limits
