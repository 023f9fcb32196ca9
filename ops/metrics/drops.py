"""Dropped log records are counted wherever logs are written, also before a process has meters of its own."""

from __future__ import annotations

from ops.metrics.instruments import counter
from ops.metrics.series import SERIES

LOG_DROPPED = counter(SERIES["sluice_log_dropped_total"])


def log_dropped(reason: str, records: int = 1) -> None:
    """Count records that will not arrive; ``reason`` is one of a few words.

    Say 0 for each reason at the start: the growth of a series that begins with its first event misses that event.
    """
    LOG_DROPPED.labels(reason).inc(records)
