"""The meters of one process: its part of the table, moved by name, and the registry that is served."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from ops.metrics.drops import LOG_DROPPED
from ops.metrics.instruments import counter, gauge, histogram
from ops.metrics.series import Process, told_by

Instrument = TypeVar("Instrument", Counter, Gauge, Histogram)


class Meters:
    """Counts for one process.  A name or label that is not in the table is an error at once."""

    def __init__(self, process: Process, others: Sequence[Collector] = ()) -> None:
        """Make the meters of this process; ``others`` are served beside them."""
        # When a counter was made is no figure of ours, and files do not tell it.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        moved = [one for one in told_by(process) if not one.read]
        elsewhere = {family.name for one in (LOG_DROPPED, *others) for family in one.collect()}
        mine = [one for one in moved if _bare(one.name) not in elsewhere]
        self._counters = {one.name: counter(one) for one in mine if one.kind == "counter"}
        self._gauges = {one.name: gauge(one) for one in mine if one.kind == "gauge"}
        self._histograms = {one.name: histogram(one) for one in mine if one.kind == "histogram"}
        self._children: dict[tuple[str, tuple[str, ...]], Any] = {}  # looked up several times for each message
        self.registry = CollectorRegistry()
        made = (*self._counters.values(), *self._gauges.values(), *self._histograms.values())
        shared = () if process == "parent" else (LOG_DROPPED,)  # a parent adds its own to its children's
        for collector in (*shared, *made, *others):
            self.registry.register(collector)
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        if "sluice_build_info" in self._gauges:
            self.set("sluice_build_info", 1, built())

    def count(self, name: str, *labels: str, by: float = 1) -> None:
        """Add to a counter."""
        (self._children.get((name, labels)) or self._child(self._counters, name, labels)).inc(by)

    def set(self, name: str, value: float, *labels: str) -> None:
        """Set a gauge."""
        (self._children.get((name, labels)) or self._child(self._gauges, name, labels)).set(value)

    def add(self, name: str, by: float, *labels: str) -> None:
        """Move a gauge up or down."""
        (self._children.get((name, labels)) or self._child(self._gauges, name, labels)).inc(by)

    def observe(self, name: str, value: float, *labels: str) -> None:
        """Put a value into a histogram."""
        (self._children.get((name, labels)) or self._child(self._histograms, name, labels)).observe(value)

    def _child(self, made: dict[str, Instrument], name: str, labels: tuple[str, ...]) -> Instrument:
        child = made[name].labels(*labels) if labels else made[name]
        self._children[name, labels] = child
        return child


def _bare(name: str) -> str:
    return name.removesuffix("_total")  # as prometheus-client calls a counter inside


def built() -> str:
    """Say which build runs: the package's version and the Python it runs on."""
    try:
        own = version("sluice")
    except PackageNotFoundError:  # run from a folder of sources
        own = "unknown"
    return f"{own}+py{platform.python_version()}"
