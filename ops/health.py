"""Health and metrics over HTTP for every process, and what each depends on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import cast

import redis.asyncio
from aiohttp import web
from prometheus_client import CollectorRegistry
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from broker.messages import DEDUP
from broker.producer import Producer
from gateway.health import Probe, health_app
from ops.metrics.exporter import add_metrics
from ops.settings import Settings


@asynccontextmanager
async def serving(app: web.Application, host: str, port: int, *, grace_s: float = 5.0) -> AsyncIterator[int]:
    """Serve an application until the block ends; give the port (a free one for 0)."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=grace_s)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def health_served(
    settings: Settings, probes: Mapping[str, Probe], registries: Sequence[CollectorRegistry] = ()
) -> AsyncIterator[None]:
    """Answer health questions, and give the metrics of these registries, where the settings say so."""
    if settings.metrics_port is None:
        yield
        return
    app = health_app(probes)
    add_metrics(app, registries)
    async with serving(app, settings.metrics_host, settings.metrics_port):
        yield


def database_answers(database: AsyncEngine) -> Probe:
    """Probe a database with one question."""

    async def ask() -> None:
        async with database.connect() as conn:
            await conn.execute(text("SELECT 1"))

    return ask


def broker_answers(producer: Producer) -> Probe:
    """Probe a broker by looking at a queue."""

    async def ask() -> None:
        await producer.depth(DEDUP)

    return ask


def redis_answers(client: redis.asyncio.Redis) -> Probe:
    """Probe a Redis."""

    async def ask() -> None:
        await cast("asyncio.Future[bool]", client.ping())

    return ask
