"""What is counted about who asks.  Nothing registers itself: ``ops`` puts METRICS into the registry it serves."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

LOGINS = Counter("sluice_logins_total", "Logins by outcome: done, refused, throttled.", ["outcome"], registry=None)
REUSES = Counter("sluice_refresh_token_reuses_total", "Refresh tokens that came a second time.", registry=None)
AUDIT_FAILURES = Counter("sluice_audit_failures_total", "Records that could not be written.", registry=None)
REVOCATIONS_READ = Gauge(
    "sluice_revocations_read_timestamp_seconds",
    "When revocations were last read.",
    registry=None,
    multiprocess_mode="livemin",  # of several processes, the one that is furthest behind
)

METRICS = (LOGINS, REUSES, AUDIT_FAILURES, REVOCATIONS_READ)
