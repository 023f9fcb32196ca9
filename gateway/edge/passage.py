"""One request on its way through: its id, whose it is, and the headers that its answer owes."""

from __future__ import annotations

import itertools
import re
import secrets
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address

from aiohttp import web

from gateway.principal import Principal
from gateway.problems import Problem

Network = IPv4Network | IPv6Network
REQUEST_ID: ContextVar[str] = ContextVar("structlog_request_id")
"""The id of the request that the current task answers: under this name structlog puts it on every line of the task."""

HOPS_MAX = 20
_SAFE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


@dataclass(slots=True)
class Passage:
    """What is known of a request so far; ``quota`` are the rate limit's headers once it was
    charged; ``quiet`` requests are those of machines that ask all the time: their log line is worth nothing."""

    request_id: str
    address: str
    began: float
    route: str | None = None
    asker: Principal | None = None
    quota: Mapping[str, str] | None = None
    quiet: bool = False


PASSAGE = web.RequestKey("passage", Passage)


def numbered() -> Callable[[], str]:
    """Give a maker of request ids: unique over processes and restarts, and cheap."""
    start, count = secrets.token_hex(8), itertools.count(1)
    return lambda: f"{start}-{next(count):x}"


class Proxies:
    """Who may speak for others: the addresses of the proxies in front, and nobody else.

    ``X-Forwarded-For`` and ``X-Request-Id`` of anybody else are ignored, not refused: proxies on a client's own side
    add them without the client knowing.  ``Forwarded``, ``X-Forwarded-Host`` and their kin decide nothing here.
    """

    def __init__(self, networks: tuple[Network, ...]) -> None:
        self._networks = networks
        self._known: dict[str, bool] = {}

    def trusts(self, peer: str) -> bool:
        """Whether this peer is one of them."""
        if not self._networks:
            return False
        known = self._known.get(peer)
        if known is None:
            if len(self._known) > 10_000:
                self._known.clear()
            known = self._known[peer] = self._among(peer)
        return known

    def address(self, request: web.Request, peer: str) -> str:
        """Tell who asks a trusted peer: the last address before the proxies.  Raises Problem for a broken list."""
        hops = [hop.strip() for line in request.headers.getall("X-Forwarded-For", ()) for hop in line.split(",")]
        if len(hops) > HOPS_MAX:
            raise Problem("malformed_request", "X-Forwarded-For is too long")
        try:
            addresses = [str(ip_address(hop)) for hop in hops]
        except ValueError:
            raise Problem("malformed_request", "X-Forwarded-For must be a list of addresses") from None
        return next((one for one in reversed(addresses) if not self.trusts(one)), addresses[0] if addresses else peer)

    def request_id(self, request: web.Request) -> str | None:
        """Give the id that a trusted peer gave, if it can be written anywhere without harm."""
        given = request.headers.get("X-Request-Id", "")
        return given if _SAFE_ID.fullmatch(given) else None

    def _among(self, peer: str) -> bool:
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        plain = getattr(address, "ipv4_mapped", None) or address
        return any(plain in network for network in self._networks)
