"""What can be set about the gateway: where it listens, whom it trusts, how much it takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_network
from urllib.parse import urlsplit

from gateway.auth.lives import SESSIONS_MAX
from gateway.edge.passage import Network
from gateway.edge.settings import ADMIN_FACTOR, EdgeSettings
from gateway.limit.verdict import LIMIT_MAX, Limits
from ops.variables import BadSetting, Reader, Secret


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Where the gateway listens, what its secrets are derived from (None: kept under ``var``), how it behaves.

    ``processes`` listen on one port, ``jobs_max`` jobs of one owner may be under way, a user has up to ``sessions_max``
    sessions, ``notice_s`` is how long readiness fails before a gateway that was told to stop stops listening.
    ``strict_limits``: while Redis is away nothing is answered, in place of each process keeping a share of the limits
    by itself.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    public_url: str | None = None
    signing_key: Secret | None = None
    processes: int = 1
    jobs_max: int = 100
    sessions_max: int = SESSIONS_MAX
    notice_s: float = 0.5
    strict_limits: bool = False
    edge: EdgeSettings = field(default_factory=EdgeSettings)


def read_gateway(read: Reader) -> GatewaySettings:
    """Read and check the gateway's variables.  Raises BadSetting."""
    usual = GatewaySettings()
    return GatewaySettings(
        host=read.text("SLUICE_HOST") or usual.host,
        port=read.whole("SLUICE_PORT", usual.port, low=1, high=65535),
        public_url=read.http("SLUICE_PUBLIC_URL"),
        signing_key=read.secret("SLUICE_SIGNING_KEY"),
        processes=read.whole("SLUICE_GATEWAY_PROCESSES", usual.processes, low=1, high=256),
        jobs_max=read.whole("SLUICE_JOBS_MAX", usual.jobs_max, low=1, high=1_000_000),
        sessions_max=read.whole("SLUICE_SESSIONS_MAX", usual.sessions_max, low=1, high=10_000),
        notice_s=read.seconds("SLUICE_NOTICE_S", usual.notice_s),
        strict_limits=read.choice("SLUICE_STRICT_LIMITS", ("on", "off"), "off") == "on",
        edge=_edge(read, usual.edge),
    )


def _edge(read: Reader, usual: EdgeSettings) -> EdgeSettings:
    user = Limits(
        minute=read.whole("SLUICE_LIMIT_MINUTE", usual.user_limits.minute, low=1, high=LIMIT_MAX),
        hour=read.whole("SLUICE_LIMIT_HOUR", usual.user_limits.hour, low=1, high=LIMIT_MAX),
    )
    factor = read.whole("SLUICE_LIMIT_ADMIN", ADMIN_FACTOR, low=1, high=100)
    if max(user.minute, user.hour) * factor > LIMIT_MAX:
        raise BadSetting(f"SLUICE_LIMIT_ADMIN times the limits of users must not be above {LIMIT_MAX}")
    return EdgeSettings(
        public_url=read.http("SLUICE_PUBLIC_URL"),
        trusted_proxies=tuple(_network(text) for text in _words(read, "SLUICE_TRUSTED_PROXIES")),
        cors_origins=frozenset(_origin(text) for text in _words(read, "SLUICE_CORS_ORIGINS")),
        body_bytes_max=read.whole("SLUICE_BODY_BYTES_MAX", usual.body_bytes_max, low=1024, high=100_000_000),
        handler_s=read.seconds("SLUICE_HANDLER_S", usual.handler_s),
        connections_per_address_max=read.whole(
            "SLUICE_CONNECTIONS_PER_ADDRESS", usual.connections_per_address_max, low=1, high=1_000_000
        ),
        log_share=read.whole("SLUICE_ACCESS_LOG_PERCENT", 100, low=0, high=100) / 100,
        docs_page=read.choice("SLUICE_DOCS_PAGE", ("on", "off"), "on") == "on",
        user_limits=user,
        admin_limits=user.times(factor),
    )


def _words(read: Reader, name: str) -> list[str]:
    return (read.text(name) or "").replace(",", " ").split()


def _network(text: str) -> Network:
    try:
        return ip_network(text)
    except ValueError:
        raise BadSetting(
            f"SLUICE_TRUSTED_PROXIES must be addresses or networks such as 10.0.0.0/8, not {text!r}"
        ) from None


def _origin(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or f"{parts.scheme}://{parts.netloc}" != text or "*" in text:
        raise BadSetting(f"SLUICE_CORS_ORIGINS must be origins such as https://console.example.org, not {text!r}")
    return text.lower()
