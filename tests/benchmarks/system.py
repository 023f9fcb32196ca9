"""A whole system of our own for one benchmark: private servers, a migrated ledger, worker processes by their pid."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aio_pika
import psutil
import psycopg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from broker.connect import queue_arguments
from broker.producer import Producer
from ledger import migrate
from ops.bootstrap import configured_providers, open_database, open_hints, server
from ops.demo import DEMO_KEY
from ops.embedded import Stack
from ops.settings import Settings, environment_with

ROOT = Path(__file__).parents[2]
PATIENCE_S = 600.0
STOP_S = 30.0
LENT = "BENCH_SERVERS"
"""Names the folder of servers that run already, so that many tiny benchmarks need not each start their own."""


class DiedError(RuntimeError):
    """A process that was measured is gone; the message ends with the last lines of its log."""


class TooSlowError(RuntimeError):
    """What was waited for did not come; the message says what it was."""


@dataclass(frozen=True, slots=True)
class System:
    """Open servers, and what a client of ours needs of them.  ``var`` holds logs and the results of peers."""

    var: Path
    environment: Mapping[str, str]
    settings: Settings
    database: AsyncEngine
    producer: Producer

    @property
    def broker_url(self) -> str:
        """``amqp://…`` of the private RabbitMQ."""
        return server(self.settings.broker_url)

    async def one(self, question: str, **given: Any) -> Any:
        """Ask the database for one row."""
        async with self.database.connect() as conn:
            return (await conn.execute(text(question), given)).one()

    async def empty(self) -> None:
        """Forget all rows, and let the server write out what it still holds, so that no round pays for another."""
        async with self.database.connect() as conn:
            await conn.execution_options(isolation_level="AUTOCOMMIT")
            tables = await conn.execute(
                text(
                    "SELECT string_agg(quote_ident(tablename), ', ') FROM pg_tables WHERE schemaname = 'public'"
                    " AND tablename NOT IN ('alembic_version', 'providers', 'audit')"
                )
            )
            await conn.execute(text(f"TRUNCATE {tables.scalar_one()}"))
            await conn.execute(text("CHECKPOINT"))

    def worker(
        self, *, threads: int = 64, module: str = "ops.cli", **variables: str
    ) -> AbstractAsyncContextManager[psutil.Process]:
        """Run one worker process of ours until the block ends."""
        words = ["-m", module, "worker", "--processes", "1", "--threads", str(threads)]
        return child(words, {**self.environment, **variables}, self.var)


@asynccontextmanager
async def private(var: Path) -> AsyncIterator[Stack]:
    """Run servers of our own in a folder; or take those that run already in the folder that ``LENT`` names."""
    if lent := os.environ.get(LENT):
        yield Stack(Path(lent), "rabbitmq")
        return
    async with Stack(var, "rabbitmq") as servers:
        yield servers


@asynccontextmanager
async def opened(**variables: str) -> AsyncIterator[System]:
    """Start PostgreSQL (which keeps every commit), Redis and RabbitMQ; stop them and forget their data at the end."""
    async with AsyncExitStack() as stack:
        var = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sluice-bench-")))
        servers = await stack.enter_async_context(private(var))
        quiet = {"SLUICE_VAR": str(var), "SLUICE_LOG_LEVEL": "error", "CRYPTOPANIC_API_KEY": DEMO_KEY}
        environment = environment_with({**quiet, **servers.settings_overrides(), **variables})
        settings = Settings.from_env(environment)
        await asyncio.to_thread(migrate.upgrade, server(settings.database_url))
        with psycopg.connect(servers.postgres.admin_url, autocommit=True) as admin:
            admin.execute("GRANT pg_checkpoint TO sluice")
        yield System(
            var=var,
            environment=environment,
            settings=settings,
            database=await stack.enter_async_context(open_database(settings, name="sluice benchmark")),
            producer=await stack.enter_async_context(open_hints(settings, configured_providers(settings))),
        )


@asynccontextmanager
async def child(words: Sequence[str], environment: Mapping[str, str], var: Path) -> AsyncIterator[psutil.Process]:
    """Run a Python command until the block ends; only this process is told to stop, and killed if it does not."""
    with (var / "children.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *words, env=dict(environment), cwd=ROOT, stdout=log, stderr=log
        )
        try:
            yield psutil.Process(process.pid)
            if process.returncode is not None:
                raise DiedError(f"{words[1]} ended with {process.returncode}")
        except TooSlowError as error:
            raise TooSlowError(f"{error}; its log ends with {_last_words(var)!r}") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(STOP_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


def _last_words(var: Path) -> str:
    return (var / "children.log").read_bytes()[-1000:].decode("utf-8", "replace")


async def until(true: Callable[[], Awaitable[bool]], what: str, *, every_s: float = 0.02) -> None:
    """Wait for a condition; raise TooSlowError when it does not come."""
    deadline = time.monotonic() + PATIENCE_S
    while not await true():
        if time.monotonic() > deadline:
            raise TooSlowError(f"gave up waiting for {what} after {PATIENCE_S:g} s")
        await asyncio.sleep(every_s)


async def until_consumed(url: str, queue: str) -> None:
    """Wait until somebody consumes from one of our queues."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()

        async def consumed() -> bool:
            declared = await channel.declare_queue(queue, durable=True, arguments=queue_arguments(queue))
            return bool(declared.declaration_result.consumer_count)

        await until(consumed, f"a consumer of {queue}")


def memory_mb(process: psutil.Process) -> tuple[float, float]:
    """Give RSS and PSS of a process and its children, in MiB; pages that are shared count once in PSS."""
    rss = pss = 0
    for one in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            info = one.memory_full_info()
            rss, pss = rss + info.rss, pss + getattr(info, "pss", info.uss)
    return rss / 2**20, pss / 2**20


def machine() -> str:
    """Say what this was measured on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB"
