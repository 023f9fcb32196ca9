"""A deployment as clients see it: gateways, workers and dispatcher go one at a time, with a migration in the middle.

Run by ``make chaos``; every request has its answer, every job its end, no trade is posted twice, and nothing is a 5xx.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from ledger import migrate, proof
from ledger.engine import open_ledger
from ledger.migrate import SCRIPTS, Bounds
from ops.embedded import Stack
from ops.migrating import applied, planned
from ops.settings import environment_with
from tests.load.system import free_port
from tests.terminal import bare

from .balancer import Balancer, balancing
from .children import Child, Nursery, open_nursery, stop
from .customers import Customer, Record
from .system import until, worker_row

PASSWORD = "gravel orchid 71 tuba"
CUSTOMERS = 6
READY_S, LEAVE_S, DONE_S = 60.0, 40.0, 120.0
EXPANDS = """
revision = "rolling"
down_revision = "{head}"
branch_labels = depends_on = None


def upgrade():
    op.execute("ALTER TABLE jobs ADD COLUMN note TEXT")
    op.execute("ALTER TABLE entries ADD COLUMN note TEXT")
    with op.get_context().autocommit_block():
        op.execute("CREATE INDEX CONCURRENTLY jobs_note_idx ON jobs (note) WHERE note IS NOT NULL")
"""


@dataclass
class Fleet:
    """What is deployed, by name."""

    nursery: Nursery
    balancer: Balancer
    database: AsyncEngine
    environment: Mapping[str, str]
    folder: Path
    living: dict[str, Child] = field(default_factory=dict)
    exits: dict[str, int] = field(default_factory=dict)

    async def start(self, name: str) -> None:
        """Start one, and wait until it works."""
        kind = name.partition("-")[0]
        words = {"gateway": ["serve"], "dispatcher": ["dispatch"]}.get(kind, ["worker", "--processes", "1"])
        port = free_port()
        variables = {**self.environment, "SLUICE_PORT": str(port)}
        self.living[name] = await self.nursery.bear(name, words, variables, self.folder / f"{name}.log")
        if kind == "gateway":
            self.balancer.backends[name] = port

        async def works() -> bool:
            if kind == "gateway":
                return name in self.balancer.ready
            wanted = f"sluice worker {worker_row(self.living[name])}"[:63] if kind == "worker" else "sluice dispatch"
            async with self.database.connect() as conn:
                asked = text("SELECT count(*) FROM pg_stat_activity WHERE application_name = :name")
                return bool((await conn.execute(asked, {"name": wanted})).scalar_one())

        await until(works, within_s=READY_S, what=f"{name} to work")

    async def replace(self, old: str, new: str) -> None:
        """Start the new one, then tell the old one to go, and see how it leaves."""
        await self.start(new)
        child = self.living.pop(old)
        child.signal(signal.SIGTERM)
        async with asyncio.timeout(LEAVE_S):
            self.exits[old] = await child.exited
        self.balancer.leave(old)


@pytest.fixture
def stack() -> Iterator[Stack]:
    """Servers as durable as in production."""
    folder = Path(tempfile.mkdtemp(prefix="sluice-rolling-"))
    with Stack(folder, "rabbitmq") as stack:
        yield stack
    shutil.rmtree(folder)


@asynccontextmanager
async def deployed(stack: Stack) -> AsyncIterator[Fleet]:
    """Two gateways behind a balancer, two workers, a dispatcher."""
    url = stack.postgres.url
    await asyncio.to_thread(migrate.upgrade, url)
    variables = {"SLUICE_VAR": str(stack.var), "SLUICE_LOG_LEVEL": "warning", "SLUICE_ACCESS_LOG_PERCENT": "0"}
    freely = {"SLUICE_LIMIT_MINUTE": "100000", "SLUICE_LIMIT_HOUR": "100000", "SLUICE_DRAIN_S": "10"}
    async with AsyncExitStack() as opened:
        fleet = Fleet(
            nursery=await opened.enter_async_context(open_nursery()),
            balancer=await opened.enter_async_context(balancing()),
            database=await opened.enter_async_context(open_ledger(url, application_name="rolling")),
            environment=environment_with({**stack.settings_overrides(), **variables, **freely}),
            folder=stack.var,
        )
        for name in ("dispatcher-1", "worker-1", "worker-2", "gateway-1", "gateway-2"):
            await fleet.start(name)
        try:
            yield fleet
        finally:
            await asyncio.gather(*map(stop, fleet.living.values()))


@asynccontextmanager
async def served(stack: Stack, balancer: Balancer) -> AsyncIterator[Record]:
    """Customers at the door for as long as the block lasts."""
    base, record, over = f"http://127.0.0.1:{balancer.port}/api/v1", Record(), asyncio.Event()
    shell = bare(stack.var).given(**stack.settings_overrides())
    await asyncio.to_thread(shell.run, "user", "add", "roll", "--password-stdin", typed=PASSWORD)
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as writes,
        aiohttp.ClientSession() as reads,
    ):
        form = {"username": "roll", "password": PASSWORD}
        async with writes.post(f"{base}/login/access-token", data=form) as answer:
            token = (await answer.json())["access_token"]
        customers = [Customer(base, token, record, writes, reads) for _ in range(CUSTOMERS)]
        busy = asyncio.gather(*(one.carry_on(over) for one in customers))
        try:
            yield record
        finally:
            over.set()
            await busy


def history(folder: Path) -> Path:
    """The migrations of the next release: ours, and one that only adds."""
    made = folder / "migrations"
    shutil.copytree(SCRIPTS, made, ignore=shutil.ignore_patterns("__pycache__"))
    next_one = '"""The next release."""\nfrom alembic import op\n' + EXPANDS.format(head=migrate.head())
    (made / "versions" / "rolling.py").write_text(next_one)
    return made


async def enough(record: Record, more: int) -> None:
    """Let the customers have so many answers more."""
    wanted = len(record.seconds) + more

    async def had() -> bool:
        return len(record.seconds) >= wanted

    await until(had, within_s=DONE_S, what=f"{more} more answers")


@pytest.mark.timeout(600)
async def test_a_deployment_is_not_seen_from_outside(stack: Stack, tmp_path: Path) -> None:
    scripts, began = history(tmp_path), time.monotonic()
    async with deployed(stack) as fleet:
        async with served(stack, fleet.balancer) as record:
            await enough(record, 200)
            await fleet.replace("gateway-1", "gateway-3")
            await fleet.replace("worker-1", "worker-3")
            (step,) = planned(stack.postgres.url, big_rows=1, scripts=scripts).steps
            assert (step.kind, step.dangers) == ("expand", ())
            attempts = await asyncio.to_thread(
                applied, stack.postgres.url, bounds=Bounds(lock_s=1, statement_s=60), attempts=20, scripts=scripts
            )
            await enough(record, 100)
            for old, new in (("gateway-2", "gateway-4"), ("worker-2", "worker-4"), ("dispatcher-1", "dispatcher-2")):
                await fleet.replace(old, new)
            await enough(record, 200)
        rolled_s = time.monotonic() - began
        await until(lambda: _ended(fleet.database), within_s=DONE_S, what="every job to end")
        await account(fleet, record)
        assert await asyncio.to_thread(migrate.current, stack.postgres.url) == "rolling"
    print(  # noqa: T201
        f"\nrolled in {rolled_s:.0f} s under load: {len(record.seconds)} requests, {len(record.jobs)} jobs,"
        f" {len(record.trades)} trades; p50 {record.percentile(0.5):.0f} ms, p99 {record.percentile(0.99):.0f} ms,"
        f" longest {record.percentile(1):.0f} ms; {len(record.cut_off)} connections cut off, migrated at attempt"
        f" {attempts}; exits {fleet.exits}",
        flush=True,
    )


async def _ended(database: AsyncEngine) -> bool:
    return not await _value(database, "SELECT count(*) FROM jobs WHERE state IN ('queued', 'running', 'waiting')")


async def _value(database: AsyncEngine, question: str) -> Any:
    async with database.connect() as conn:
        return (await conn.execute(text(question))).scalar_one()


async def account(fleet: Fleet, record: Record) -> None:
    """Every request and every job, one by one."""
    assert set(record.statuses) <= {200, 202}, record.statuses
    assert (record.unanswered, record.cut_off, fleet.balancer.turned_away) == ([], [], 0)
    assert set(fleet.exits.values()) == {0}, fleet.exits
    assert len(set(record.jobs)) == len(record.jobs)
    async with fleet.database.begin() as conn:
        kept = {str(row.id): row.state for row in await conn.execute(text("SELECT id, state FROM jobs"))}
        assert kept == dict.fromkeys(record.jobs, "succeeded")
        (owner,) = await proof.users(conn)
        findings = await proof.verify(conn, owner)
        assert [one.diverges for one in findings if one.diverges] == []
        await conn.execute(text("SET LOCAL ROLE sluice_audit"))
        posted = [row.external_id for row in await conn.execute(text("SELECT external_id FROM entries"))]
    assert sorted(posted) == sorted(record.trades)
