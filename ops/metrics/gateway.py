"""What a gateway counts: every answer, every decision of the rate limit, and what authentication tells."""

from __future__ import annotations

import time
from collections.abc import Callable

from aiohttp import web

from gateway.auth.metrics import METRICS
from gateway.edge.door import Log
from gateway.edge.passage import Passage
from gateway.limit.observer import Failure, Outcome
from ops.metrics.drops import log_dropped
from ops.metrics.meters import Meters

NOWHERE = "none"
"""The route of what is asked for at an address that has none: its path is whatever people type."""


def gateway_meters() -> Meters:
    """Make a gateway's meters."""
    return Meters("gateway", METRICS)


def counted(log: Log, meters: Meters) -> Log:
    """Tell the meters of each answer, and then the log."""

    def note(request: web.BaseRequest, passage: Passage, status: int) -> None:
        route = passage.route or NOWHERE
        meters.count("sluice_http_requests_total", route, str(status))
        if not route.endswith("/events"):
            meters.observe("sluice_http_request_seconds", time.perf_counter() - passage.began, route)
        log(request, passage, status)

    return note


def drops_counted(write: Callable[[bytes], object]) -> Callable[[bytes], object]:
    """Count the access log's lines that could not be written."""
    log_dropped("access_log", 0)

    def attempt(lines: bytes) -> None:
        try:
            write(lines)
        except OSError:
            log_dropped("access_log", lines.count(b"\n"))
            raise

    return attempt


class LimitMeters:
    """Counts what the rate limit decides (``gateway/limit/observer.py``)."""

    def __init__(self, meters: Meters) -> None:
        """Count into these meters."""
        self._meters = meters

    def decided(self, outcome: Outcome, seconds: float) -> None:
        """Count a decision and its time."""
        self._meters.count("sluice_ratelimit_decisions_total", outcome)
        self._meters.observe("sluice_ratelimit_seconds", seconds)

    def failed(self, failure: Failure) -> None:
        """Count a question that Redis did not answer."""
        self._meters.count("sluice_ratelimit_failures_total", failure)

    def degraded(self, is_open: bool) -> None:
        """Note whether limits are exact."""
        self._meters.set("sluice_ratelimit_degraded", float(is_open))

    def pending(self, stamps: int) -> None:
        """Note how much Redis has to be told."""
        self._meters.set("sluice_ratelimit_pending_calls", stamps)

    def replayed(self, stamps: int) -> None:
        """Count what it was told."""
        self._meters.count("sluice_ratelimit_replayed_total", by=stamps)

    def dropped(self, stamps: int) -> None:
        """Count what it will never hear of."""
        self._meters.count("sluice_ratelimit_forgotten_total", by=stamps)
