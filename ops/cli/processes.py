"""Commands that run one process until told to stop (worker, dispatch, serve), and migrate."""

from __future__ import annotations

import asyncio
import signal
import sys

import click
import redis.asyncio

from gateway.health import health_app
from ledger import migrate as migrations
from ops import log
from ops.bootstrap import configured_providers, open_database, open_dispatcher, open_hints, server
from ops.health import broker_answers, database_answers, health_served, redis_answers, serving
from ops.servers import located
from ops.settings import Settings, environment_with
from ops.supervisor import Child, kept_running
from ops.worker import LEAVE_AFTER_DRAIN_S, run_worker


@click.command()
@click.option("--processes", type=click.IntRange(1, 256), help="How many worker processes; default: one per core.")
@click.option("--threads", type=click.IntRange(1, 1024), help="Messages in hand per process; default 64.")
def worker(processes: int | None, threads: int | None) -> None:
    """Fetch, dedup and post until told to stop; TERM drains."""
    settings = started()
    count = processes or settings.worker.processes
    if threads is not None:
        settings = settings.with_threads(threads)
    if count == 1:
        sys.exit(run_worker(settings))
    # The parent answers for its children: they cannot all listen on one port.
    children_listen_nowhere = environment_with({"SLUICE_METRICS_PORT": ""})
    arguments = ["worker", "--processes", "1", "--threads", str(settings.worker.threads)]
    children = [Child(f"worker {n}", arguments, children_listen_nowhere) for n in range(count)]

    async def run() -> None:
        stop = stop_signal()
        stop_s = settings.worker.drain_s + LEAVE_AFTER_DRAIN_S + 5
        async with health_served(settings, {}), kept_running(children, stop_s=stop_s):
            await stop.wait()

    asyncio.run(run())


@click.command()
def dispatch() -> None:
    """Publish what is due and say again what got lost; any number may run, one leads."""
    settings = started()

    async def run() -> None:
        stop = stop_signal()
        async with open_dispatcher(settings) as dispatcher:
            probes = {
                "database": database_answers(dispatcher.database),
                "broker": broker_answers(dispatcher.producer),
            }
            async with health_served(settings, probes):
                await dispatcher.run(stop)

    asyncio.run(run())


@click.command()
def serve() -> None:
    """Answer HTTP: so far health and readiness; TERM lets open requests finish."""
    settings = started()

    async def run() -> None:
        stop, providers = stop_signal(), configured_providers(settings)
        async with (
            open_database(settings, name="sluice gateway") as database,
            open_hints(settings, providers) as producer,
            redis.asyncio.from_url(server(settings.redis_url)) as limits,
        ):
            probes = {
                "database": database_answers(database),
                "broker": broker_answers(producer),
                "redis": redis_answers(limits),
            }
            gateway = settings.gateway
            async with (
                health_served(settings, probes),
                serving(health_app(probes), gateway.host, gateway.port, grace_s=settings.worker.drain_s),
            ):
                click.echo(f"gateway: http://{gateway.host}:{gateway.port}", err=True)
                await stop.wait()

    asyncio.run(run())


@click.command()
def migrate() -> None:
    """Bring the database to the newest schema."""
    url = server(started().database_url)
    before = migrations.current(url)
    migrations.upgrade(url)
    click.echo(f"database schema: {before or 'empty'} -> {migrations.head()}")


def started() -> Settings:
    """Read the environment, find the servers, set up logging."""
    settings = located(Settings.from_env())
    log.configure(settings)
    return settings


def stop_signal() -> asyncio.Event:
    """Give an event that TERM and INT set; saying it twice changes nothing."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.set)
    return stop


COMMANDS = (worker, dispatch, serve, migrate)
