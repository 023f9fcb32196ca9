"""A watch over given stores, and what it tells, by series and label."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager, nullcontext
from datetime import UTC, datetime

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from broker.limiter import ProviderLimiter
from broker.watching import open_watcher
from ops.metrics.watch import Sources, Watch
from workers.providers import load_providers

Told = dict[tuple[str, str], float]


def told(watch: Watch) -> Told:
    """What ``/metrics`` would say now: the value of each series and of its one label, "" where it has none."""
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in watch.collect()
        for sample in family.samples
    }


@asynccontextmanager
async def watching(
    database: AsyncEngine, broker_url: str, redis_url: str, queues: Sequence[str], *, leads: bool = True
) -> AsyncIterator[Watch]:
    """Watch as the leading dispatcher does, or as one that stands by."""

    async def nothing_spent(_: str, __: datetime) -> int:
        return 0

    limits = {name: provider.limits for name, provider in load_providers().items()}
    async with aclosing(Redis.from_url(redis_url)) as redis, open_watcher(broker_url, queues) as watcher:
        limiter = ProviderLimiter(redis, limits, nothing_spent)
        watch = Watch(Sources(database, watcher, limiter, queues, lambda: datetime.now(UTC)))
        async with watch.running(), watch.leading() if leads else nullcontext():
            yield watch
