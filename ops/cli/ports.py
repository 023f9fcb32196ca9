"""A port that somebody else has is said before anything is started, in one line."""

from __future__ import annotations

import socket

from ops.settings import BadSetting, Settings


def require_ports(settings: Settings, *, gateway: bool) -> None:
    """Raise BadSetting where a port cannot be listened on: the gateway's, and that of health and metrics."""
    if gateway:
        _require(settings.gateway.host, settings.gateway.port, "SLUICE_HOST", "SLUICE_PORT")
    if settings.metrics_port is not None:
        _require(settings.metrics_host, settings.metrics_port, "SLUICE_METRICS_HOST", "SLUICE_METRICS_PORT")


def _require(host: str, port: int, host_name: str, port_name: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        why = (error.strerror or type(error).__name__).split(" (while")[0]
        raise BadSetting(f"cannot listen on {host}:{port} ({why}): set {port_name}, or {host_name}") from None
