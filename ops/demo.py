"""The main job, from nothing to a checked ledger: real servers, real workers, a sandbox instead of paid providers.

The sandbox keeps a list of what it invented (or was recorded); ``lost`` is what of that list the ledger does not hold.
The ledger stays under ``var/``: a second run asks the same again, and must add nothing.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from broker import jobs
from broker.jobs import NewJob
from broker.messages import WorkOnJob, fetch_queue
from broker.producer import Producer
from ledger import migrate
from ops import demo_books
from ops.bootstrap import configured_providers, open_database, open_hints, server
from ops.embedded import Stack
from ops.embedded.stack import BrokerName
from ops.sandbox import SandboxConfig, running_sandbox
from ops.settings import Settings, environment_with
from ops.supervisor import Child, kept_running
from ops.tellings import shared_stories

DEMO_KEY = "sandbox-key-for-demonstrations"
RATE = "40/1s"  # the sandbox is nobody's property: the providers' own rates would only make the demo slower
COUNTS = ("found", "new", "duplicate", "amended", "rejected", "skipped", "observed")
ENDED = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the jobs of this run are."""

    jobs: int
    ended: int
    pages: int
    new: int
    waiting: Sequence[str]


@dataclass(frozen=True, slots=True)
class Demo:
    """What a run works with: open servers, a sandbox, and the ids of its jobs."""

    settings: Settings
    database: AsyncEngine
    producer: Producer
    sandbox: str
    http: aiohttp.ClientSession

    async def control(self, name: str) -> Any:
        """Ask the sandbox one of its control questions."""
        async with self.http.get(f"{self.sandbox}/_sandbox/{name}") as answer:
            answer.raise_for_status()
            return await answer.json()


def demo_folder(settings: Settings, recorded: Path | None) -> Path:
    """Name the folder of a demo's servers: its own, so that it never meets a stack that is in use."""
    return settings.var / ("demo-recorded" if recorded else "demo")


@asynccontextmanager
async def open_demo(
    settings: Settings, *, recorded: Path | None, fresh: bool, broker: BrokerName = "redis"
) -> AsyncIterator[Demo]:
    """Start servers, sandbox, workers and dispatcher; stop all of them at the end, whatever happens."""
    folder = demo_folder(settings, recorded)
    if fresh and folder.exists():
        await asyncio.to_thread(shutil.rmtree, folder)
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(Stack(folder, broker))
        config = SandboxConfig(recorded=recorded, now=None if recorded else _first_run(folder))
        sandbox = await stack.enter_async_context(running_sandbox(config))
        environment = environment_with(_variables(settings, servers.settings_overrides(), sandbox.url))
        settings = Settings.from_env(environment)
        await asyncio.to_thread(migrate.upgrade, server(settings.database_url))
        children = [Child("dispatcher", ["dispatch"], environment), Child("worker", _worker_words(), environment)]
        await stack.enter_async_context(kept_running(children, stop_s=20))
        yield Demo(
            settings=settings,
            database=await stack.enter_async_context(open_database(settings, name="sluice demo")),
            producer=await stack.enter_async_context(open_hints(settings, configured_providers(settings))),
            sandbox=sandbox.url,
            http=await stack.enter_async_context(aiohttp.ClientSession()),
        )


async def run(demo: Demo, show: Callable[[Progress], None]) -> dict[str, Any]:
    """Ask for everything the sandbox has, wait until it is in the ledger, and give the account of it."""
    began = time.monotonic()
    asked = await _enqueue(demo)
    books = asyncio.create_task(demo_books.run(demo.database, demo.producer))
    while True:
        progress = await _progress(demo.database, asked)
        show(progress)
        if progress.ended + len(progress.waiting) >= progress.jobs:
            break
        await asyncio.sleep(0.2)
    account = await _account(demo, asked) | await books
    account["trouble"] += account.pop("books_trouble")
    return account | {"seconds": round(time.monotonic() - began, 2)}


def sandbox_variables(settings: Settings, sandbox: str) -> dict[str, str]:
    """Point every provider at a sandbox; keys and rates that are set stay."""
    variables = {}
    for name, given in settings.providers.items():
        variables[f"SLUICE_{name.upper()}_URL"] = f"{sandbox}/{name}"
        if given.key is None:
            variables[f"{name.upper()}_API_KEY"] = DEMO_KEY
        if given.rate is None:
            variables[f"SLUICE_{name.upper()}_RATE"] = RATE
    return variables


def _variables(settings: Settings, servers: Mapping[str, str], sandbox: str) -> dict[str, str]:
    quiet = {"SLUICE_LOG_LEVEL": "error"} if settings.log_level == "info" else {}
    return {**servers, **sandbox_variables(settings, sandbox), **quiet, "SLUICE_LOST_AFTER_S": "10"}


def _worker_words() -> list[str]:
    return ["worker", "--processes", "1", "--threads", "16"]


def _first_run(folder: Path) -> datetime:
    """Give the time of the first run over this ledger: the invented world stays as it was then."""
    note = folder / "sandbox.json"
    if not note.exists():
        note.write_text(json.dumps({"now": datetime.now(UTC).isoformat(timespec="seconds")}))
    return datetime.fromisoformat(json.loads(note.read_text())["now"])


async def _enqueue(demo: Demo) -> list[UUID]:
    streams = await demo.control("streams")
    new = [
        NewJob(
            "backfill" if stream["mode"] == "backfill" else "fetch",
            fetch_queue(stream["provider"]),
            {"provider": stream["provider"], "dataset": stream["dataset"], "params": stream["params"]},
            owner="demo",
        )
        for stream in streams
        for _ in range(stream.get("polls", 1))
    ]
    async with demo.database.begin() as conn:
        receipts = await jobs.enqueue(conn, new, now=datetime.now(UTC))
    await demo.producer.send([WorkOnJob(job.queue) for job in new])
    return [receipt.id for receipt in receipts]


async def _progress(database: AsyncEngine, asked: Sequence[UUID]) -> Progress:
    async with database.connect() as conn:
        rows = (
            await conn.execute(
                text("SELECT state, reason, posted, new FROM jobs WHERE id = ANY(:ids)"), {"ids": list(asked)}
            )
        ).all()
    return Progress(
        jobs=len(rows),
        ended=sum(row.state in ENDED for row in rows),
        pages=sum(row.posted for row in rows),
        new=sum(row.new for row in rows),
        # Only a person can help a provider that is disabled: the run goes on without it.
        waiting=[row.reason for row in rows if row.state == "waiting" and (row.reason or "").startswith("provider ")],
    )


async def _account(demo: Demo, asked: Sequence[UUID]) -> dict[str, Any]:
    invented = await demo.control("invented")
    async with demo.database.connect() as conn:
        rows = (await conn.execute(_BY_PROVIDER, {"ids": list(asked)})).all()
        held = (await conn.execute(text("SELECT provider, key FROM items"))).all()
        stories = {row.provider: row.told for row in await conn.execute(_STORIES)}
        failed = (await conn.execute(_TROUBLE, {"ids": list(asked)})).all()
        told = await shared_stories(conn)
    keys = {(row.provider, row.key) for row in held}
    by_provider = {
        row.provider: {
            **{name: int(getattr(row, name)) for name in ("jobs", "pages", "calls", "cost", *COUNTS)},
            "stories": stories.get(row.provider, 0),
            "lost": sum(1 for key in invented[row.provider]["keys"] if (row.provider, key) not in keys),
        }
        for row in rows
    }
    total = {
        name: sum(one[name] for one in by_provider.values()) for name in ("jobs", "pages", "calls", "cost", *COUNTS)
    }
    return {
        "providers": len(by_provider),
        **total,
        "stories": stories.get(None, 0),
        **told,
        "lost": sum(one["lost"] for one in by_provider.values()),
        "items": len(keys),
        "trouble": [f"{row.kind} {row.provider} {row.dataset}: {row.state}: {row.why}" for row in failed],
        "by_provider": by_provider,
    }


_BY_PROVIDER = text(
    """SELECT args ->> 'provider' AS provider, count(*) AS jobs, sum(posted) AS pages, sum(calls) AS calls,
        sum(cost) AS cost, sum(found) AS found, sum(new) AS new, sum(duplicate) AS duplicate, sum(amended) AS amended,
        sum(rejected) AS rejected, sum(skipped) AS skipped, sum(observed) AS observed
    FROM jobs WHERE id = ANY(:ids) GROUP BY 1 ORDER BY 1"""
)

_STORIES = text("""SELECT provider, count(DISTINCT story_id) AS told FROM items GROUP BY ROLLUP (provider)""")

_TROUBLE = text(
    """SELECT kind, args ->> 'provider' AS provider, args ->> 'dataset' AS dataset, state,
        coalesce(reason, last_error) AS why
    FROM jobs WHERE id = ANY(:ids) AND state <> 'succeeded' ORDER BY id"""
)
