"""Commands that run one process until told to stop: worker, dispatch, serve."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import click

from ops import log
from ops.bootstrap import open_dispatcher
from ops.cli.ports import require_ports
from ops.health import health_served
from ops.metrics.family import family
from ops.servers import located
from ops.settings import Settings, environment_with
from ops.supervisor import Child, kept_running
from ops.worker import LEAVE_AFTER_DRAIN_S, run_worker


@click.command()
@click.option("--processes", type=click.IntRange(1, 256), help="How many worker processes; default: one per core.")
@click.option("--threads", type=click.IntRange(1, 1024), help="Messages in hand per process; default 64.")
def worker(processes: int | None, threads: int | None) -> None:
    """Fetch, dedup and post until told to stop; TERM drains."""
    settings = started(serves=True)
    require_ports(settings, gateway=False)
    count = processes or settings.worker.processes
    if threads is not None:
        settings = settings.with_threads(threads)
    if count == 1:
        with log.shipping(settings, "worker"):
            sys.exit(run_worker(settings))
    arguments = ["worker", "--processes", "1", "--threads", str(settings.worker.threads)]
    children = {f"worker {n}": arguments for n in range(count)}
    with log.shipping(settings, "workers"):
        asyncio.run(_run_children(settings, children, stop_s=settings.worker.drain_s + LEAVE_AFTER_DRAIN_S + 5))


async def _run_children(settings: Settings, children: Mapping[str, Sequence[str]], *, stop_s: float) -> None:
    """Keep children running until told to stop; answer for their health, and tell the sum of what they count."""
    stop = stop_signal()
    with family(settings.var) as figures:
        # They cannot all listen on one port.
        environment = environment_with({"SLUICE_METRICS_PORT": "", **figures.environment})
        named = [Child(name, arguments, environment) for name, arguments in children.items()]
        async with (
            health_served(settings, {}, figures.registries),
            kept_running(named, stop_s=stop_s, registrar=figures) as tell_again,
        ):
            stop.again.append(tell_again)
            await stop.wait()


@click.command()
def dispatch() -> None:
    """Publish what is due and say again what got lost; any number may run, one leads."""
    settings = started(serves=True)
    require_ports(settings, gateway=False)
    for library in ("aiormq", "aio_pika"):  # the dispatcher says itself that the broker is away, and says it once
        logging.getLogger(library).setLevel(logging.CRITICAL)

    async def run() -> None:
        stop = stop_signal()
        async with open_dispatcher(settings) as dispatcher:
            await dispatcher.run(stop)

    with log.shipping(settings, "dispatcher"):
        asyncio.run(run())


@click.command()
@click.option("--processes", type=click.IntRange(1, 256), help="How many share the port; default 1.")
@click.option("--one-of", type=click.IntRange(2, 256), hidden=True, help="Be one of so many, started by another.")
def serve(processes: int | None, one_of: int | None) -> None:
    """Answer HTTP; TERM fails readiness first, then lets open requests finish.

    \b
    Example: sluice serve --processes 2
    """
    settings = started(serves=True)
    if one_of is None:  # those who are started by another share the port
        require_ports(settings, gateway=True)
    count = one_of or processes or settings.gateway.processes
    settings = replace(settings, gateway=replace(settings.gateway, processes=count))
    alone = one_of is not None or count == 1
    with (
        log.shipping(settings, "gateway" if alone else "gateways"),
        asyncio.Runner(loop_factory=_fast_loop()) as runner,
    ):
        runner.run(_serve(settings, share_port=one_of is not None) if alone else _serve_many(settings))


async def _serve(settings: Settings, *, share_port: bool) -> None:
    # Half a second that other commands, which all come by here, need not wait.
    from ops.gateway import PREFIX, gateway_served, open_gateway  # noqa: PLC0415

    stop = stop_signal()
    async with (
        open_gateway(settings, write=log.write_lines) as opened,
        health_served(settings, opened.probes, [opened.meters.registry]),
        gateway_served(settings, opened, share_port=share_port) as port,
    ):
        click.echo(f"gateway: http://{settings.gateway.host}:{port}{PREFIX}", err=True)
        await stop.wait()


async def _serve_many(settings: Settings) -> None:
    gateway = settings.gateway
    children = {f"gateway {n}": ["serve", "--one-of", str(gateway.processes)] for n in range(gateway.processes)}
    await _run_children(settings, children, stop_s=gateway.notice_s + settings.worker.drain_s + LEAVE_AFTER_DRAIN_S)


def _fast_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Give uvloop's loop where it can be had (not on every system), else the usual one."""
    try:
        import uvloop  # noqa: PLC0415  absent on some systems
    except ImportError:
        return None
    return uvloop.new_event_loop


def started(*, serves: bool = False) -> Settings:
    """Read the environment, find the servers, set up logging: on standard output for a process that only ``serves``."""
    settings = located(Settings.from_env())
    log.configure(settings, sys.stdout if serves else sys.stderr)
    return settings


class Stop(asyncio.Event):
    """Set by the first TERM or INT; each that follows calls what is in ``again``."""

    def __init__(self) -> None:
        """Nobody has said anything yet."""
        super().__init__()
        self.again: list[Callable[[], None]] = []

    def signalled(self) -> None:
        """A signal has come."""
        if not self.is_set():
            self.set()
            return
        for tell in self.again:
            tell()


def stop_signal() -> Stop:
    """Give an event that TERM and INT set."""
    stop, loop = Stop(), asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stop.signalled)
    return stop


COMMANDS = (worker, dispatch, serve)
