"""Commands that run something until told to stop: up, worker, dispatch, sandbox; and migrate, demo."""

from __future__ import annotations

import asyncio
import signal
import sys

import click

from ledger import migrate as migrations
from ops import log
from ops.bootstrap import open_dispatcher, server
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
    arguments = ["worker", "--processes", "1", "--threads", str(settings.worker.threads)]
    children = [Child(f"worker {n}", arguments, environment_with({})) for n in range(count)]

    async def run() -> None:
        stop = stop_signal()
        async with kept_running(children, stop_s=settings.worker.drain_s + LEAVE_AFTER_DRAIN_S + 5):
            await stop.wait()

    asyncio.run(run())


@click.command()
def dispatch() -> None:
    """Publish what is due and say again what got lost; any number may run, one leads."""
    settings = started()

    async def run() -> None:
        stop = stop_signal()
        async with open_dispatcher(settings) as dispatcher:
            await dispatcher.run(stop)

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


COMMANDS = (worker, dispatch, migrate)
