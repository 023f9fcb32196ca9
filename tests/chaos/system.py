"""A whole system of one's own to be cruel to: servers, a watched sandbox, real worker and dispatcher processes."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import aiohttp
import psycopg
from psycopg import sql
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from broker import jobs
from broker.jobs import NewJob
from broker.messages import fetch_queue, queues
from broker.producer import Producer, open_producer
from ledger import migrate
from ledger.engine import open_ledger
from ops.embedded import Stack
from ops.sandbox import SandboxConfig
from ops.settings import environment_with
from workers.http import token_variable
from workers.providers import load_providers

from .children import Child, Nursery, stop
from .witness import KEY, Witness, watched_sandbox

WORKERS = ("worker-a", "worker-b")
DISPATCHER = "dispatcher"
NOW = datetime(2024, 5, 1, 12, 17, tzinfo=UTC)  # the sandbox's; in the past, so that its Date header is never cut
PROVIDERS = sorted(load_providers())
REST_S = 0.2  # between a death and the next birth
PATIENT: Mapping[str, str] = {
    "SLUICE_LOG_LEVEL": "info",
    "SLUICE_LEASE_S": "10",
    "SLUICE_LOST_AFTER_S": "2",
    "SLUICE_DRAIN_S": "5",
    "SLUICE_MAX_ATTEMPTS": "100",
    "dramatiq_restart_delay": "500",
    **{f"SLUICE_{name.upper()}_RATE": "40/1s" for name in PROVIDERS},
    **{f"SLUICE_{name.upper()}_BUDGET": "1000000/day" for name in PROVIDERS},
}
"""Quick to notice a death, and no budget or number of attempts that a storm of faults could use up."""


@dataclass(slots=True)
class System:
    """Everything that runs, and the ids of the jobs that were asked for."""

    name: str
    stack: Stack
    witness: Witness
    database: AsyncEngine
    producer: Producer
    http: aiohttp.ClientSession
    environment: Mapping[str, str]
    nursery: Nursery
    jobs: list[UUID] = field(default_factory=list)
    living: dict[str, Child] = field(default_factory=dict)
    exits: list[str] = field(default_factory=list)

    async def rows(self, query: str, **given: Any) -> Sequence[Any]:
        """Ask the database, as often as it takes while it is away."""
        while True:
            try:
                async with self.database.connect() as conn:
                    return (await conn.execute(text(query), given)).all()
            except (SQLAlchemyError, OSError):
                await asyncio.sleep(0.05)

    async def faults(self, chosen: Sequence[str]) -> None:
        """Switch faults of the providers on and off."""
        async with self.http.put(f"{self.witness.url}/_sandbox/faults", json=list(chosen)) as answer:
            answer.raise_for_status()

    async def ask(self) -> None:
        """Enqueue everything that the sandbox has, in lists short enough to make many pages."""
        async with self.http.get(f"{self.witness.url}/_sandbox/streams") as answer:
            wanted = [_job(stream) for stream in await answer.json()]
        async with self.database.begin() as conn:
            receipts = await jobs.enqueue(conn, wanted, now=datetime.now(UTC))
        self.jobs = [receipt.id for receipt in receipts]

    async def ended(self) -> bool:
        """Say whether every job has come to its end, a good or a bad one."""
        (row,) = await self.rows("SELECT count(*) AS n FROM jobs WHERE state IN ('queued', 'running', 'waiting')")
        return bool(row.n == 0)

    async def at_work(self) -> list[str]:
        """Name the workers that have booted, which shows by their connections to the database."""
        rows = await self.rows("SELECT DISTINCT application_name AS name FROM pg_stat_activity")
        connected = {row.name for row in rows}
        return [name for name in WORKERS if name in self.living and _session(self.living[name]) in connected]

    async def kill(self, name: str) -> Child | None:
        """SIGKILL a child; it is started again at once.  None where it lies dead already."""
        victim = self.living.pop(name, None)
        if victim is None:
            return None
        victim.signal(signal.SIGKILL)
        await victim.exited
        return victim


@asynccontextmanager
async def running_system(name: str, stack: Stack, nursery: Nursery, world: SandboxConfig) -> AsyncIterator[System]:
    """Run workers and a dispatcher over an empty database and empty queues; stop each by its own process id."""
    async with AsyncExitStack() as opened:
        url = await asyncio.to_thread(_empty_database, stack, name)
        witness = await opened.enter_async_context(watched_sandbox(world))
        servers = {**stack.settings_overrides(), "SLUICE_DATABASE_URL": url}
        bases = {f"SLUICE_{name.upper()}_URL": f"{witness.url}/{name}" for name in PROVIDERS}
        system = System(
            name=name,
            nursery=nursery,
            stack=stack,
            witness=witness,
            database=await opened.enter_async_context(open_ledger(url, application_name="chaos", pool_size=3)),
            producer=await opened.enter_async_context(open_producer(stack.rabbitmq.url, queues(PROVIDERS))),
            http=await opened.enter_async_context(aiohttp.ClientSession()),
            environment=environment_with({**servers, **bases, **PATIENT}),
        )
        await opened.enter_async_context(_kept_alive(system))
        yield system


@asynccontextmanager
async def _kept_alive(system: System) -> AsyncIterator[None]:
    stopping = asyncio.Event()
    keepers = [asyncio.create_task(_keep(system, name, stopping)) for name in (DISPATCHER, *WORKERS)]
    try:
        yield
    finally:
        stopping.set()
        await asyncio.gather(*keepers)


async def _keep(system: System, name: str, stopping: asyncio.Event) -> None:
    words = ["dispatch"] if name == DISPATCHER else ["worker", "--processes", "1", "--threads", "16"]
    told: asyncio.Future[Any] = asyncio.create_task(stopping.wait())
    life = 0
    while not stopping.is_set():
        life += 1
        child = await _born(system, f"{name}.{life}", words)
        system.living[name] = child
        await asyncio.wait([child.exited, told], return_when=asyncio.FIRST_COMPLETED)
        if system.living.get(name) is child:
            del system.living[name]
            if not stopping.is_set():
                system.exits.append(f"{child.name} left by itself with {child.exited.result()}")
        await stop(child)
        await asyncio.wait({told}, timeout=REST_S)
    await told


async def _born(system: System, name: str, words: Sequence[str]) -> Child:
    keys = {token_variable(provider): KEY + name for provider in PROVIDERS}
    log = system.stack.var / "log" / f"{system.name}.{name}.log"
    return await system.nursery.bear(name, words, {**system.environment, **keys}, log)


def _session(worker: Child) -> str:
    # PostgreSQL cuts names at 63 bytes
    return f"sluice worker {worker_row(worker)}"[:63]


def worker_row(child: Child) -> str:
    """Give the name under which a worker process claims."""
    return f"{socket.gethostname()}:{child.pid}"


async def until(condition: Callable[[], Awaitable[bool]], *, within_s: float, what: str = "") -> bool:
    """Wait for a condition; where ``what`` names it, its not coming true is an error."""
    deadline = asyncio.get_running_loop().time() + within_s
    while not await condition():
        if asyncio.get_running_loop().time() >= deadline:
            assert not what, f"waited {within_s:g} s in vain for {what}"
            return False
        await asyncio.sleep(0.01)
    return True


def _job(stream: Mapping[str, Any]) -> NewJob:
    kind = "backfill" if stream["mode"] == "backfill" else "fetch"
    params = {**stream["params"]}
    if "page_size" in params:
        params["page_size"] = 20
    args = {"provider": stream["provider"], "dataset": stream["dataset"], "params": params}
    return NewJob(kind, fetch_queue(stream["provider"]), args, owner="chaos")


def _empty_database(stack: Stack, name: str) -> str:
    with psycopg.connect(stack.postgres.admin_url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {} OWNER sluice").format(sql.Identifier(name)))
    url = stack.postgres.database_url(name)
    migrate.upgrade(url)
    return url
