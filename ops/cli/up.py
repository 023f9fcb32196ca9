"""``sluice up``: everything on this machine, until Ctrl-C."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click
from sqlalchemy.ext.asyncio import AsyncConnection

from broker import streams
from broker.streams import NewStream
from ledger import migrate
from ops import log
from ops.bootstrap import configured_providers, server
from ops.cli.opening import opened, transact
from ops.cli.output import utc_now
from ops.cli.ports import require_ports
from ops.cli.processes import stop_signal
from ops.default_streams import default_streams, sandbox_streams
from ops.demo import sandbox_variables
from ops.embedded import Stack
from ops.embedded.stack import BrokerName
from ops.sandbox import SandboxConfig, running_sandbox
from ops.sandbox.server import SandboxServer
from ops.settings import Settings, environment_with
from ops.supervisor import Child, kept_running
from ops.worker import LEAVE_AFTER_DRAIN_S

GROW_EVERY = 10  # calls for news between two new stories of the sandbox, so that there is something to see
CLOCK_EVERY_S = 1.0
LISTENS_WITHIN_S = 75.0
AMQP_ADDRESS = Path("run", "amqp.url")


@dataclass(frozen=True, slots=True)
class Up:
    """What runs: settings with known servers, the environment of its processes, the sandbox where there is one, and the
    file with the address of a RabbitMQ of our own, which has a password."""

    settings: Settings
    environment: Mapping[str, str]
    sandbox: SandboxServer | None
    amqp_address: Path | None


@click.command()
@click.option("--broker", type=click.Choice(["redis", "rabbitmq"]), default="redis", show_default=True)
@click.option("--no-sandbox", is_flag=True, help="No invented providers, also when no key is set.")
@click.option("--processes", type=click.IntRange(1, 256), help="Worker processes; default: one per core.")
def up(broker: BrokerName, no_sandbox: bool, processes: int | None) -> None:
    """Run everything on this machine until Ctrl-C: servers, schema, workers, dispatcher, gateway.

    Servers are those that SLUICE_DATABASE_URL, SLUICE_REDIS_URL and SLUICE_BROKER_URL name, else private ones under
    SLUICE_VAR. Without any provider's key, a sandbox stands in for all providers. The first start registers streams.

    \b
    Example: sluice up --broker rabbitmq --processes 2
    """
    settings = Settings.from_env()
    log.configure(settings, sys.stderr)
    require_ports(settings, gateway=True)
    asyncio.run(_run(settings, broker, not no_sandbox, processes or settings.worker.processes))


async def _run(settings: Settings, broker: BrokerName, with_sandbox: bool, processes: int) -> None:
    stop = stop_signal()
    async with _standing(settings, broker, with_sandbox) as standing:
        if stop.is_set():
            return
        await asyncio.to_thread(migrate.upgrade, server(standing.settings.database_url))
        added = await _register(standing)
        drain_s = standing.settings.worker.drain_s + LEAVE_AFTER_DRAIN_S + 5
        async with kept_running(_children(standing, processes), stop_s=drain_s, output=sys.stderr) as tell_again:
            stop.again.append(tell_again)
            listens = await _gateway_listens(standing.settings, stop)
            _tell(standing, processes, added)
            if not (listens or stop.is_set()):
                click.echo("sluice: the gateway does not answer yet; its log says why", err=True)
            await stop.wait()
            click.echo("Stopping: messages in hand are finished first.")
    click.echo("Stopped.")


async def _gateway_listens(settings: Settings, stop: asyncio.Event) -> bool:
    """Wait until clients are served, so that what is said to run can be asked; not longer than people wait."""
    until = asyncio.get_running_loop().time() + LISTENS_WITHIN_S
    while not stop.is_set() and asyncio.get_running_loop().time() < until:
        try:
            _, writer = await asyncio.open_connection(settings.gateway.host, settings.gateway.port)
        except OSError:
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return True
    return False


@asynccontextmanager
async def _standing(settings: Settings, broker: BrokerName, with_sandbox: bool) -> AsyncIterator[Up]:
    """Start the servers and the sandbox that are needed; stop them at the end."""
    overrides: dict[str, str] = {}
    sandbox = address = None
    async with AsyncExitStack() as stack:
        if not settings.external:
            click.echo(f"Starting PostgreSQL, Redis{' and RabbitMQ' if broker == 'rabbitmq' else ''} ...")
            servers = await stack.enter_async_context(Stack(settings.var, broker))
            overrides |= servers.settings_overrides()
            if broker == "rabbitmq":
                address = keep_for_owner(settings.var / AMQP_ADDRESS, servers.rabbitmq.url)
        if with_sandbox and not any(given.key for given in settings.providers.values()):
            sandbox = await stack.enter_async_context(_sandbox(settings.var))
            overrides |= sandbox_variables(settings, sandbox.url)
        environment = environment_with(overrides)
        yield Up(Settings.from_env(environment), environment, sandbox, address)


def keep_for_owner(file: Path, text: str) -> Path:
    """Write a file that nobody else may read, and give it."""
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened_file:
        opened_file.write(f"{text}\n")
    return file


@asynccontextmanager
async def _sandbox(var: Path) -> AsyncIterator[SandboxServer]:
    """Serve the world that the first start under this folder invented; its clock goes with ours."""
    began = _first_start(var)
    async with running_sandbox(SandboxConfig(now=began, grow_every=GROW_EVERY)) as server:
        keeper = asyncio.create_task(_keep_time(server))
        try:
            yield server
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)


async def _keep_time(server: SandboxServer) -> None:
    while True:
        clock = server.state.clock
        clock.advance(max(0.0, (utc_now() - clock.now()).total_seconds()))
        await asyncio.sleep(CLOCK_EVERY_S)


def _first_start(var: Path) -> datetime:
    note = var / "sandbox.json"
    if not note.exists():
        var.mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps({"now": datetime.now(UTC).isoformat(timespec="seconds")}))
    return datetime.fromisoformat(json.loads(note.read_text())["now"])


async def _register(standing: Up) -> int:
    """Register streams where there are none; give their number."""
    providers = configured_providers(standing.settings)
    if standing.sandbox is not None:
        new = sandbox_streams(standing.sandbox.state.world.streams(), providers)
    else:
        with_key = [name for name, given in standing.settings.providers.items() if given.key]
        new = default_streams([providers[name] for name in with_key])

    async def add(conn: AsyncConnection) -> Sequence[NewStream]:
        if await streams.listed(conn):
            return []
        for one in new:
            await streams.add(conn, one, now=utc_now())
        return new

    async with opened(standing.settings) as database:
        return len(await transact(database, standing.settings, add))


def _children(standing: Up, processes: int) -> list[Child]:
    threads = str(standing.settings.worker.threads)
    one_worker = ["worker", "--processes", "1", "--threads", threads]
    words = {"gateway": ["serve"]} | {f"worker {n}": one_worker for n in range(1, processes + 1)}
    # One machine has each port once: where one is set for a process's own health, the dispatcher has it.
    portless = {**standing.environment, "SLUICE_METRICS_PORT": ""}
    others = [Child(name, arguments, portless) for name, arguments in words.items()]
    return [Child("dispatcher", ["dispatch"], standing.environment), *others]


def _tell(standing: Up, processes: int, added: int) -> None:
    settings = standing.settings
    lines = [
        ("database", str(settings.database_url)),
        ("redis", str(settings.redis_url)),
        ("broker", str(settings.broker_url)),
        ("providers", f"sandbox at {standing.sandbox.url}" if standing.sandbox else _with_key(settings)),
        ("workers", f"{processes} processes, and a dispatcher"),
        ("gateway", f"http://{settings.gateway.host}:{settings.gateway.port}/api/v1"),
        ("console", f"http://{settings.gateway.host}:{settings.gateway.port}/console/"),
    ]
    if standing.amqp_address:
        lines.append(("producers", f"the broker's address with its password: {standing.amqp_address}"))
    if added:
        lines.append(("streams", f"{added} registered: sluice streams list"))
    for name, value in lines:
        click.echo(f"{name:<10}{value}")
    click.echo("Running. Other commands find it by themselves (sluice jobs list, sluice doctor); Ctrl-C stops it.")


def _with_key(settings: Settings) -> str:
    names = [name for name, given in settings.providers.items() if given.key]
    return f"{', '.join(names)} (the others have no key)" if names else "none has a key: sluice doctor says what to set"


COMMANDS = (up,)
