"""The main job, from nothing to a checked ledger: real servers, real workers, a sandbox instead of paid providers.

Everything is asked over HTTP, as a client would; the account of it is read from the database, as an operator could.
The sandbox keeps a list of what it invented (or was recorded); ``lost`` is what of that list the ledger does not hold.
The ledger stays under ``var/``: a second run asks the same again, and must add nothing.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from ledger import migrate
from ops import demo_books, demo_client
from ops.bootstrap import server
from ops.demo_client import Account, Client
from ops.embedded import Stack
from ops.embedded.stack import BrokerName
from ops.gateway import PREFIX, gateway_served, open_gateway
from ops.sandbox import SandboxConfig, running_sandbox
from ops.settings import Settings, environment_with
from ops.supervisor import Child, kept_running
from ops.tellings import shared_stories

DEMO_KEY = "sandbox-key-for-demonstrations"
RATE = "40/1s"  # the sandbox is nobody's property: the providers' own rates would only make the demo slower
COUNTS = ("found", "new", "duplicate", "amended", "rejected", "skipped", "observed")
LOOK_AGAIN_S, LOOK_AGAIN_S_MAX = 0.25, 3.0  # less and less often: a client has 60 requests a minute
ALL_JOBS = 100  # a page of them
SUMMED = ("total_pnl", "realized_pnl", "unrealized_pnl", "total_trades", "win_rate", "profit_factor", "max_drawdown")


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
    """What a run works with: a gateway and who may ask it, the database behind it, and a sandbox.

    ``hasty`` is somebody who asks too fast on purpose; the others notice nothing of it.
    """

    gateway: str
    user: Account
    operator: Account
    hasty: Account
    database: AsyncEngine
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
        await stack.enter_async_context(kept_running(children, stop_s=20, output=sys.stderr))
        enter = stack.enter_async_context
        gateway = await enter(open_gateway(settings, write=lambda _: None))
        anywhere = replace(settings, gateway=replace(settings.gateway, host="127.0.0.1", port=0, notice_s=0.0))
        port = await enter(gateway_served(anywhere, gateway))
        yield Demo(
            gateway=f"http://127.0.0.1:{port}{PREFIX}",
            user=await demo_client.account(gateway, "demo", "user"),
            operator=await demo_client.account(gateway, "demo-operator", "admin"),
            hasty=await demo_client.account(gateway, "demo-hasty", "user"),
            database=gateway.parts.database,
            sandbox=sandbox.url,
            http=await enter(aiohttp.ClientSession()),
        )


async def run(demo: Demo, show: Callable[[Progress], None]) -> dict[str, Any]:
    """Ask for everything the sandbox has, wait until it is in the ledger, and give the account of it."""
    began = time.monotonic()
    session, operator, hasty = (Client(demo.http, demo.gateway) for _ in range(3))
    await session.log_in(demo.user)
    await operator.log_in(demo.operator)
    await hasty.log_in(demo.hasty)
    async with demo_client.with_key(session) as client:
        asked = await demo_client.asked_for(client, await _wanted(demo))
        books = await demo_books.push(client, operator)
        await _followed(client, asked, show)
        told = await demo_books.ended(client, books)
        account = await _account(demo, asked) | await demo_books.account(demo.database, demo.user.id) | told
        account["read"] = await _read(client)
        account["limit"] = await hasty.until_limited("items?limit=1")
    account["trouble"] += account.pop("books_trouble")
    account["requests"] = session.requests + operator.requests + client.requests + hasty.requests
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


async def _wanted(demo: Demo) -> list[dict[str, Any]]:
    return [
        {
            "kind": "backfill" if stream["mode"] == "backfill" else "fetch",
            "args": {name: stream[name] for name in ("provider", "dataset", "params")},
        }
        for stream in await demo.control("streams")
        for _ in range(stream.get("polls", 1))
    ]


async def _followed(client: Client, asked: Sequence[str], show: Callable[[Progress], None]) -> None:
    """Look at the jobs until each has ended, or waits for a person."""
    pause_s = LOOK_AGAIN_S
    while True:
        progress = _progress((await client.get("jobs", limit=str(ALL_JOBS)))["data"], frozenset(asked))
        show(progress)
        if progress.ended + len(progress.waiting) >= progress.jobs:
            return
        await asyncio.sleep(pause_s)
        pause_s = min(LOOK_AGAIN_S_MAX, pause_s * 1.1)


def _progress(told: Sequence[Mapping[str, Any]], asked: Collection[str]) -> Progress:
    mine = [job for job in told if job["id"] in asked]
    return Progress(
        jobs=len(mine),
        ended=sum(job["finished_at"] is not None for job in mine),
        pages=sum(job["progress"]["posted"] for job in mine),
        new=sum(job["counts"]["new"] for job in mine),
        # Only a person can help a provider that is disabled: the run goes on without it.
        waiting=[
            job["reason"] for job in mine if job["state"] == "waiting" and (job["reason"] or "").startswith("provider ")
        ],
    )


async def _read(client: Client) -> dict[str, Any]:
    """Read as a client would: the newest news and flow, and what the trades came to."""
    newest = {
        "items": (await client.get("items", book="human", limit="1"))["data"],
        "flows": (await client.get("flows", limit="1"))["data"],
    }
    told = {what: [_sourced(item) for item in found] for what, found in newest.items()}
    summary = await client.get("pnl/summary", method="FIFO")
    return told | {"pnl": {name: summary[name] for name in SUMMED}}


def _sourced(item: Mapping[str, Any]) -> dict[str, Any]:
    named = {name: item[name] for name in ("title", "coins", "provider")}
    return named | {"page": item["came_from"]["page"]}


async def _account(demo: Demo, asked: Sequence[str]) -> dict[str, Any]:
    invented = await demo.control("invented")
    async with demo.database.connect() as conn:
        rows = (await conn.execute(_BY_PROVIDER, {"ids": [UUID(job) for job in asked]})).all()
        held = (await conn.execute(text("SELECT provider, key FROM items"))).all()
        stories = {row.provider: row.told for row in await conn.execute(_STORIES)}
        failed = (await conn.execute(_TROUBLE, {"ids": [UUID(job) for job in asked]})).all()
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
