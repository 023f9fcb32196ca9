"""Open everything that must be opened, on the loop that will use it, and close it in reverse."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from broker import providers as provider_rows
from broker.limiter import ProviderLimiter, SpentSince, open_limiter
from broker.messages import JOBS, queues
from broker.producer import Producer, open_producer
from broker.watching import open_watcher
from ledger.engine import open_ledger
from ops.health import broker_answers, database_answers, health_served, redis_answers
from ops.metrics.meters import Meters
from ops.metrics.sending import MeteredProducer
from ops.metrics.watch import Sources, Watch
from ops.metrics.worker import PipelineMeters
from ops.settings import ProviderSettings, Settings, Url
from workers.database import transact
from workers.dispatch import Dispatcher
from workers.http import Fetcher, token_variable
from workers.items import Limits, Provider
from workers.pipeline import Pipeline
from workers.providers import load_providers
from workers.works import Policy, Works, heartbeat, utc_now


def server(url: Url | None) -> str:
    """Give the address of a server that must be known by now: set, or started by ``ops.embedded``."""
    assert url is not None, "with_servers() comes before opening"
    return url.reveal()


def configured_providers(settings: Settings) -> dict[str, Provider]:
    """Load the providers, with the limits that were set instead of their own."""
    return {name: _with_limits(provider, settings.providers.get(name)) for name, provider in load_providers().items()}


@asynccontextmanager
async def open_database(
    settings: Settings, *, name: str, pool_size: int = 5, asks_first: bool = True
) -> AsyncIterator[AsyncEngine]:
    """Open the ledger's database; ``asks_first`` as in ``open_ledger``."""
    url = server(settings.database_url)
    async with open_ledger(url, application_name=name, pool_size=pool_size, asks_first=asks_first) as database:
        yield database


@asynccontextmanager
async def open_hints(
    settings: Settings, providers: Mapping[str, Provider], meters: Meters | None = None
) -> AsyncIterator[Producer]:
    """Open a producer for all queues; its sends are counted where there are meters."""
    async with open_producer(server(settings.broker_url), queues(sorted(providers))) as producer:
        yield producer if meters is None else MeteredProducer(producer, meters)


async def reach_servers(settings: Settings) -> None:
    """Ask each server once; raises LedgerUnreachable, LimiterUnreachable or BrokerUnreachableError, in one line."""

    async def nothing(_: str, __: datetime) -> int:
        return 0

    async with (
        open_database(settings, name="sluice worker", pool_size=1) as database,
        database.connect(),
        open_limiter(server(settings.redis_url), {}, nothing),
        open_hints(settings, configured_providers(settings)) as producer,
    ):
        await producer.depth(JOBS)


@asynccontextmanager
async def open_pipeline(settings: Settings, meters: Meters) -> AsyncIterator[Pipeline]:
    """Open what a worker process works with.  Providers without a key stand as disabled, with the reason."""
    providers = configured_providers(settings)
    name = f"{socket.gethostname()}:{os.getpid()}"
    async with AsyncExitStack() as stack:
        opening = open_database(settings, name=f"sluice worker {name}", pool_size=8, asks_first=False)
        database = await stack.enter_async_context(opening)
        limits = {name: provider.limits for name, provider in providers.items()}
        keys = {name: given.key.reveal() for name, given in settings.providers.items() if given.key}
        bases = {name: given.url for name, given in settings.providers.items() if given.url}
        fetcher = Fetcher(keys, bases=bases, connections_max=max(64, settings.worker.threads))
        works = Works(
            name=name,
            database=database,
            producer=await stack.enter_async_context(open_hints(settings, providers, meters)),
            limiter=await stack.enter_async_context(
                open_limiter(server(settings.redis_url), limits, spent_in(database))
            ),
            fetcher=await stack.enter_async_context(fetcher),
            providers=providers,
            policy=Policy(timedelta(seconds=settings.worker.lease_s), attempts_max=settings.worker.max_attempts),
            observer=PipelineMeters(meters),
        )
        await works.producer.depth(JOBS)  # connects and declares the queues, before anybody waits for it
        await stand_by_keys(database, fetcher, providers)
        await stack.enter_async_context(heartbeat(works))
        probes = {
            "database": database_answers(database),
            "broker": broker_answers(works.producer),
            "redis": redis_answers(works.limiter.redis),
        }
        await stack.enter_async_context(health_served(settings, probes, [meters.registry]))
        yield Pipeline(works)


def spent_in(database: AsyncEngine) -> SpentSince:
    """Ask the rows what was spent, for a limiter that has lost its counts."""

    async def spent_since(provider: str, since: datetime) -> int:
        return await transact(database, lambda conn: provider_rows.spent_since(conn, provider, since))

    return spent_since


async def stand_by_keys(database: AsyncEngine, fetcher: Fetcher, providers: Mapping[str, Provider]) -> None:
    """Disable the providers that have no key; a start with a key is a new chance for one that was disabled.

    What an operator has paused, and what is used up, stays so in either case.
    """
    now = utc_now()
    async with database.begin() as conn:
        for name in sorted(providers):
            stands = await provider_rows.standing(conn, name)
            if fetcher.has_token(name):
                await provider_rows.mended(conn, name, now=now)
            elif stands.state in {"ok", "disabled"}:
                reason = f"set {token_variable(name)} and start the workers again"
                await provider_rows.found(conn, name, "disabled", reason=reason, now=now)


@asynccontextmanager
async def open_dispatcher(settings: Settings) -> AsyncIterator[Dispatcher]:
    """Open what a dispatcher works with; while it leads, it watches queues, rows and limits for the metrics."""
    providers = configured_providers(settings)
    names = queues(sorted(providers))
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        database = await enter(open_database(settings, name="sluice dispatch", pool_size=6))
        watch = await enter(_watching(settings, database, names, providers))
        meters = Meters("dispatcher", [watch])
        producer = await enter(open_hints(settings, providers, meters))
        probes = {"database": database_answers(database), "broker": broker_answers(producer)}
        await enter(health_served(settings, probes, [meters.registry]))
        yield Dispatcher(
            database=database,
            producer=producer,
            queues=names,
            clock=utc_now,
            lost_after=timedelta(seconds=settings.worker.lost_after_s),
            while_leading=watch.leading,
        )


@asynccontextmanager
async def _watching(
    settings: Settings, database: AsyncEngine, names: Sequence[str], providers: Mapping[str, Provider]
) -> AsyncIterator[Watch]:
    # A Redis that is away keeps no dispatcher from its work: nothing is asked of it before the first look.
    redis = Redis.from_url(server(settings.redis_url), socket_timeout=1.0, socket_connect_timeout=1.0)
    limits = {name: provider.limits for name, provider in providers.items()}
    async with aclosing(redis), open_watcher(server(settings.broker_url), names) as watcher:
        limiter = ProviderLimiter(redis, limits, spent_in(database))
        watch = Watch(Sources(database, watcher, limiter, names, utc_now))
        async with watch.running():
            yield watch


def _with_limits(provider: Provider, given: ProviderSettings | None) -> Provider:
    if given is None or (given.budget is None and given.rate is None):
        return provider
    limits: Limits = provider.limits
    if given.budget is not None:
        limits = replace(limits, budget=given.budget)
    if given.rate is not None:
        limits = replace(limits, rates=(given.rate,))
    return _Limited(provider, limits)


class _Limited:
    """A provider with other limits than its own; everything else is the provider's."""

    def __init__(self, provider: Provider, limits: Limits) -> None:
        self.name, self.apis, self.datasets = provider.name, provider.apis, provider.datasets
        self.limits = limits
        self.request, self.parse = provider.request, provider.parse
        self.error, self.usage = provider.error, provider.usage
