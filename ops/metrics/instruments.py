"""prometheus-client's instruments, made from the table; none registers itself anywhere."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from ops.metrics.series import Series


def counter(series: Series) -> Counter:
    """Make a counter."""
    assert series.kind == "counter"
    return Counter(series.name, series.help, series.labels, registry=None)


def gauge(series: Series) -> Gauge:
    """Make a gauge, whose values of several processes mean ``series.together``."""
    assert series.kind == "gauge"
    return Gauge(series.name, series.help, series.labels, registry=None, multiprocess_mode=series.together)


def histogram(series: Series) -> Histogram:
    """Make a histogram."""
    assert series.kind == "histogram"
    return Histogram(series.name, series.help, series.labels, registry=None, buckets=series.buckets)
