"""Several processes, one exposition: children write their figures to files, their parent serves the sum.

The files lie in a folder of this run, under ``var/metrics``.  Folders of parents that are gone are removed at the
start, ours at the end; the live gauges of a child that ended go with it, its counts stay in the sum.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from ops.metrics.drops import LOG_DROPPED
from ops.metrics.meters import Meters
from ops.metrics.series import SERIES

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"  # prometheus-client looks for it when it is imported


class Family(Collector):
    """The figures of a parent and of its children, while the folder is there."""

    def __init__(self, folder: Path) -> None:
        """``folder`` is this run's alone."""
        self._folder, self._alive = folder, set[int]()
        self._sum = CollectorRegistry()
        self._sum.register(_Sum(folder))
        self._own = Meters("parent", [self])

    @property
    def registries(self) -> tuple[CollectorRegistry, ...]:
        """What ``/metrics`` serves; no series is in both."""
        return (self._own.registry, self._sum)

    @property
    def environment(self) -> Mapping[str, str]:
        """What a child must see to write its figures here."""
        return {VARIABLE: str(self._folder)}

    def began(self, pid: int) -> None:
        """Count a child that was started."""
        self._alive.add(pid)

    def ended(self, pid: int, *, asked: bool) -> None:
        """Forget what a child was doing, keep what it had done; ``asked``: it was told to stop."""
        self._alive.discard(pid)
        mark_process_dead(pid, str(self._folder))  # type: ignore[no-untyped-call]
        if not asked:
            self._own.count("sluice_child_exits_total")

    def collect(self) -> Iterator[Metric]:
        """Tell how many children run."""
        series = SERIES["sluice_child_processes"]
        yield GaugeMetricFamily(series.name, series.help, value=len(self._alive))


class _Sum(Collector):
    """What the children wrote into their files; what the parent itself logged and dropped is added, for it has none."""

    def __init__(self, folder: Path) -> None:
        self._children = MultiProcessCollector(None, path=str(folder))  # type: ignore[no-untyped-call]

    def collect(self) -> Iterator[Metric]:
        (own,) = LOG_DROPPED.collect()
        dropped = Counter({one.labels["reason"]: one.value for one in own.samples if one.name.endswith("_total")})
        for metric in self._children.collect():  # type: ignore[no-untyped-call]
            if metric.name != own.name:
                yield metric
                continue
            for sample in metric.samples:
                dropped[sample.labels["reason"]] += sample.value
        if dropped:
            told = CounterMetricFamily(own.name, own.documentation, labels=["reason"])
            for reason, records in sorted(dropped.items()):
                told.add_metric([reason], records)
            yield told


@contextmanager
def family(var: Path) -> Iterator[Family]:
    """Give a parent's figures in a new folder, gone afterwards; what dead parents left behind goes first."""
    top = var / "metrics"
    top.mkdir(parents=True, exist_ok=True)
    for left in top.iterdir():
        if left.name.isdigit() and not psutil.pid_exists(int(left.name)):
            shutil.rmtree(left, ignore_errors=True)
    folder = top / str(os.getpid())
    shutil.rmtree(folder, ignore_errors=True)  # of an earlier process with our number
    folder.mkdir(mode=0o700)
    try:
        yield Family(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
