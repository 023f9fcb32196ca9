"""What goes away under load: Redis for 20 s, PostgreSQL now and again, a gateway; and 10,000 connections that idle."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from uuid import uuid4

from aiohttp import ClientSession, TCPConnector
from sqlalchemy import text

from tests.benchmarks.system import ROOT, STOP_S, until
from tests.load.idle import idle
from tests.load.judge import Answer, Judged, judge
from tests.load.outcome import Outcome
from tests.load.scenarios import USUAL
from tests.load.system import System, free_port, ready
from tests.load.unanswered import Tally, ask_on

BEFORE_S, FROZEN_S, AFTER_S = 3.0, 20.0, 6.0
OPENS_S, P99_MS = 1.0, 60
"""From the first failures on the breaker needs a second at most; from then on nobody waits for Redis.

The worst of some thousand answers is also told: it is the machine's, on which clients and stores work as well.
"""
DECIDED_WITHIN_MS = 60
PEOPLE, EVERY_S = 40, 0.35  # 82 calls in 29 s against 60 a minute: the limit is reached in the outage
RESTARTS, RESTART_EVERY_S, PRODUCERS = 3, 5.0, 8
STOPS, STOPPED_CLIENTS, BUSY = 3, 32, 500
WITHOUT_LIMITS = {"SLUICE_LIMIT_MINUTE": "100000", "SLUICE_LIMIT_HOUR": "100000", "SLUICE_JOBS_MAX": "1000000"}


@asynccontextmanager
async def served(system: System, **more: str) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """Run one more gateway, without a limit to speak of; it may be told to stop before the block ends."""
    port = free_port()
    url, variables = f"http://127.0.0.1:{port}", {**system.environment, **WITHOUT_LIMITS, **more}
    with (system.var / "outages.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ops.cli", "serve"),
            env={**variables, "SLUICE_PORT": str(port)},
            cwd=ROOT,
            stdout=log,
            stderr=log,
        )
        try:
            await until(partial(ready, url), f"{url} to be ready")
            yield url, process
        finally:
            if process.returncode is None:
                process.terminate()
            async with asyncio.timeout(STOP_S):
                ended = await process.wait()
    if ended:
        raise RuntimeError(f"a gateway ended with {ended}")


@dataclass
class Asked:
    """What people were answered, by quota, and what was wrong with it."""

    answers: dict[str, list[Answer]] = field(default_factory=lambda: defaultdict(list))
    statuses: Counter[int] = field(default_factory=Counter)
    without_retry: int = 0
    over: bool = False

    async def ask(self, client: ClientSession, person: dict[str, str], n: int) -> None:
        """One person, again and again."""
        headers = {"Authorization": f"Bearer {person['token']}"}
        await asyncio.sleep(EVERY_S * n / PEOPLE)
        while not self.over:
            sent = time.time_ns() // 1_000_000
            # Charged like every other, and answered 422 without a look into the database: what waits is the limiter.
            async with client.get("/api/v1/auth/me?for=load", headers=headers) as answer:
                await answer.read()
            heard = -(-time.time_ns() // 1_000_000)
            self.statuses[answer.status] += 1
            self.without_retry += answer.status in (429, 503) and "Retry-After" not in answer.headers
            self.answers[person["quota"]].append(Answer(sent, heard, answer.status))
            await asyncio.sleep(EVERY_S)


async def redis_frozen(system: System) -> Outcome:
    """Stop Redis in the middle of everything for 20 s: bounded answers, no 5xx, and every call charged once after."""
    asked, people = Asked(), [await system.person("user") for _ in range(PEOPLE)]
    async with ClientSession(system.gateways["usual"], connector=TCPConnector(limit=0)) as client:
        asking = [asyncio.create_task(asked.ask(client, person, n)) for n, person in enumerate(people)]
        await asyncio.sleep(BEFORE_S)
        frozen = time.time() * 1000
        await asyncio.to_thread(system.servers.redis.pause)
        try:
            await asyncio.sleep(FROZEN_S)
        finally:
            system.servers.redis.resume()
        resumed = time.time() * 1000
        await asyncio.sleep(AFTER_S)
        asked.over = True
        await asyncio.gather(*asking)
    opened = [one for those in asked.answers.values() for one in those if frozen + OPENS_S * 1000 < one.sent < resumed]
    took = sorted(one.heard - one.sent for one in opened)
    p99, worst = took[int(len(took) * 0.99)], took[-1]
    total = Judged()
    for quota, told in asked.answers.items():
        total += judge(told, await system.stamps(quota), USUAL, slack_ms=DECIDED_WITHIN_MS)
    return Outcome(
        "redis",
        f"Redis frozen for {FROZEN_S:.0f} s under {PEOPLE / EVERY_S:.0f} requests a second",
        asked.statuses,
        f"p99 {p99} ms, worst {worst} ms once the breaker was open",
        wrong={
            f"p99 over {P99_MS} ms": p99 > P99_MS,
            "no Retry-After": asked.without_retry,
            "5xx": sum(count for status, count in asked.statuses.items() if status >= 500),
            "too many": total.too_many,
            "too early": total.too_early,
            "miscounted": total.miscounted,
            "limit not reached": not asked.statuses[429],
        },
    )


async def postgres_restarted(system: System) -> Outcome:
    """Restart PostgreSQL under producers that ask until they are answered 202: nothing lost, nothing twice, no 500."""
    statuses, kept, over, without_retry = Counter[int](), dict[str, str](), asyncio.Event(), 0

    async def produce(client: ClientSession, token: str) -> None:
        nonlocal without_retry
        while not over.is_set():
            key, status = str(uuid4()), 0
            headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": key}
            while status != 202:
                async with client.post("/api/v1/jobs", json={"kind": "probe"}, headers=headers) as answer:
                    status = answer.status
                    statuses[status] += 1
                    if status == 202:
                        kept[key] = (await answer.json())["id"]
                    else:
                        without_retry += "Retry-After" not in answer.headers
                        await asyncio.sleep(0.05)

    async with served(system) as (url, _), ClientSession(url) as client:
        producing = [
            asyncio.create_task(produce(client, (await system.person("user"))["token"])) for _ in range(PRODUCERS)
        ]
        for _ in range(RESTARTS):
            await asyncio.sleep(RESTART_EVERY_S)
            await asyncio.to_thread(system.servers.postgres.restart)
        await asyncio.sleep(RESTART_EVERY_S)
        over.set()
        await asyncio.gather(*producing)
    async with system.auth.database.connect() as conn:
        rows = [str(row[0]) for row in await conn.execute(text("SELECT id FROM jobs WHERE kind = 'probe'"))]
    return Outcome(
        "postgres",
        f"PostgreSQL restarted {RESTARTS} times under {PRODUCERS} producers",
        statuses,
        f"{len(kept)} jobs",
        wrong={
            "lost": len(set(kept.values()) - set(rows)),
            "doubled": len(set(rows) - set(kept.values())) + len(rows) - len(set(rows)),
            "other than 202 and 503": sum(count for status, count in statuses.items() if status not in (202, 503)),
            "no Retry-After": without_retry,
            "never away": not statuses[503],
        },
    )


async def gateway_stopped(system: System) -> Outcome:
    """Tell gateways to stop while clients ask as fast as they can: whoever got through is answered."""
    tally = Tally()
    token = (await system.person("user"))["token"]
    for _ in range(STOPS):
        async with served(system) as (url, process):
            port, seen = int(url.rpartition(":")[2]), tally.answered
            clients = [asyncio.create_task(ask_on(port, token, tally)) for _ in range(STOPPED_CLIENTS)]
            await until(_more(tally, seen + BUSY), "the clients to be answered")
            process.terminate()
            await asyncio.gather(*clients)
            async with asyncio.timeout(STOP_S):
                await process.wait()  # told once more it would leave at once
    return Outcome(
        "stop",
        f"{STOPS} gateways told to stop under {STOPPED_CLIENTS} clients",
        tally.statuses,
        f"{tally.answered} answered",
        wrong={
            "unanswered": len(tally.unanswered),
            "other than 200": sum(count for status, count in tally.statuses.items() if status != 200),
        },
    )


def _more(tally: Tally, than: int) -> Callable[[], Awaitable[bool]]:
    async def more() -> bool:
        return tally.answered > than

    return more


async def idle_connections(system: System) -> Outcome:
    """Hold 10,000 connections that ask nothing; see what they cost, and that nobody else notices."""
    async with served(system, SLUICE_CONNECTIONS_PER_ADDRESS="100") as (url, process):
        return await idle(url, process.pid, (await system.person("user"))["token"], per_address=100)


OUTAGES: dict[str, Callable[[System], Awaitable[Outcome]]] = {
    "redis": redis_frozen,
    "postgres": postgres_restarted,
    "stop": gateway_stopped,
    "idle": idle_connections,
}
