"""The leading dispatcher's look at queues, rows and limits, once a second, told at ``/metrics`` while it is fresh.

What could not be read just now is left out, never zero: an alarm on silence tells more than a figure that nobody
counted.  A look takes two seconds at most, so that what is told is right within five.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

import structlog
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from broker import backlog, pauses, providers
from broker.limiter import LimiterUnreachable, ProviderLimiter
from broker.producer import BrokerUnreachableError
from broker.watching import Watcher
from ops.metrics.figures import Figures, of_backlog, of_limits, of_pauses, of_queues, of_standings, of_streams
from ops.metrics.series import SERIES

log = structlog.get_logger(__name__)

EVERY_S = 1.0
SLOWLY_EVERY_S = 10.0
LOOK_S = 2.0
SLACK_S = 3.0  # what was read is told until the next look is over, and no longer
LINGER_S = 2.0
SHARE = 10
"""A look at the rows takes at most so small a part of the time: one tenth, however long it takes."""
_TROUBLE = (SQLAlchemyError, RedisError, OSError, TimeoutError, BrokerUnreachableError, LimiterUnreachable)


@dataclass(frozen=True, slots=True)
class Sources:
    """What is looked at."""

    database: AsyncEngine
    watcher: Watcher
    limiter: ProviderLimiter
    queues: Sequence[str]
    clock: Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class _Told:
    figures: Figures | None
    until: float


class Watch(Collector):
    """What was read last, for the registry; ``looking`` reads while its block runs."""

    def __init__(self, sources: Sources) -> None:
        """Nothing is read, and nothing told, before ``running``."""
        self._sources = sources
        self._told: dict[str, _Told] = {}
        self._leads = asyncio.Event()
        self._leaving: asyncio.TimerHandle | None = None

    def collect(self) -> Iterator[Metric]:
        """Give what is fresh."""
        now = time.monotonic()
        fresh = {of: told for of, told in self._told.items() if told.until > now}
        up: dict[tuple[str, ...], float] = {(of,): float(told.figures is not None) for of, told in fresh.items()}
        leads: dict[tuple[str, ...], float] = {(): float(self._leads.is_set())}
        figures: Figures = {"sluice_dispatcher_leads": leads, "sluice_watch_up": up}
        for told in fresh.values():
            figures |= told.figures or {}
        for name, values in figures.items():
            family = GaugeMetricFamily(name, SERIES[name].help, labels=SERIES[name].labels)
            for labels, value in values.items():
                family.add_metric(labels, value)
            if values:
                yield family

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look again and again while the block runs, whenever this process leads."""
        looks = {
            "broker": (self._queues, EVERY_S),
            "rows": (self._rows, EVERY_S),
            "streams": (self._streams, SLOWLY_EVERY_S),
            "limits": (self._limits, SLOWLY_EVERY_S),
        }
        tasks = [asyncio.create_task(self._again(of, look, every_s)) for of, (look, every_s) in looks.items()]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    @asynccontextmanager
    async def leading(self) -> AsyncIterator[None]:
        """Look while the block runs, and a little longer: who cannot reach the broker gives the lead back and takes it
        again, many times, and what the rows tell is wanted most just then."""
        if self._leaving is not None:
            self._leaving.cancel()
        self._leads.set()
        try:
            yield
        finally:
            self._leaving = asyncio.get_running_loop().call_later(LINGER_S, self._leads.clear)

    async def _again(self, of: str, look: Callable[[], Awaitable[Figures]], every_s: float) -> None:
        while True:
            await self._leads.wait()
            began = time.monotonic()
            figures = await self._looked(of, look)
            took_s = time.monotonic() - began
            pause_s = max(every_s, SHARE * took_s if figures is not None else 0)
            self._told[of] = _Told(figures, time.monotonic() + pause_s + SLACK_S)
            await asyncio.sleep(pause_s)

    async def _looked(self, of: str, look: Callable[[], Awaitable[Figures]]) -> Figures | None:
        try:
            async with asyncio.timeout(LOOK_S):
                return await look()
        except _TROUBLE as error:
            if (before := self._told.get(of)) is None or before.figures is not None:
                log.warning("watch_cannot_read", of=of, error=f"{type(error).__name__}: {error}"[:300])
            return None

    async def _queues(self) -> Figures:
        return of_queues(await self._sources.watcher.look())

    async def _rows(self) -> Figures:
        now = self._sources.clock()
        async with self._sources.database.connect() as conn:
            waits, paused = await backlog.backlog(conn, now=now), await pauses.listed(conn)
        return of_backlog(waits, self._sources.queues, now) | of_pauses(paused, self._sources.queues, now)

    async def _streams(self) -> Figures:
        now = self._sources.clock()
        async with self._sources.database.connect() as conn:
            streams, standings = await backlog.freshness(conn), await providers.standings(conn)
        return of_streams(streams, now) | of_standings(standings, self._sources.limiter.limits)

    async def _limits(self) -> Figures:
        limiter = self._sources.limiter
        return of_limits([await limiter.status(name) for name in sorted(limiter.limits)])
