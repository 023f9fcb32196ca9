"""A whole worker inside the test's own process: real database, real limiter, the sandbox over real HTTP.

Only two things are the test's own.  The clock, which stands still until it is moved; and the broker, a ``Mailbox`` that
writes and reads messages as the real ones do and lets the test deliver them in order, twice, late or never.
"""

from __future__ import annotations

import asyncio
import copy
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from dramatiq import Message
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from broker import jobs, providers, streams
from broker import tables as row_tables
from broker.envelope import UNREADABLE, Envelope, addressed
from broker.jobs import NewJob
from broker.limiter import ProviderLimiter, open_limiter
from broker.limits import Limits, Rate
from broker.messages import DEDUP, JOBS, LEDGER, POST, PROBE, Hint, WorkOnJob, fetch_queue, queues
from broker.producer import BrokerUnreachableError, Dead, Write
from broker.streams import NewStream
from ledger import tables as item_tables
from ops.sandbox import SandboxConfig, SandboxServer, parse_fault, running_sandbox
from tests.clock import Clock
from workers.dispatch import Dispatcher
from workers.http import Fetcher
from workers.items import Provider
from workers.pipeline import Pipeline
from workers.providers import load_providers
from workers.works import Policy, Works

START = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
FREE = Limits(rates=(Rate(100_000, 1.0),), concurrency=50, timeout_s=10.0)
KEYS = {name: f"{name}-key-0f9e8d7c6b" for name in ("cryptopanic", "newscatcher", "nansen")}
ENVELOPE = Envelope()


@dataclass
class Mailbox:
    """A broker in the test's hands: bytes in, bytes out, in the order they came unless the test says otherwise."""

    boxes: dict[str, deque[bytes]] = field(default_factory=dict)
    dead: dict[str, list[bytes]] = field(default_factory=dict)
    published: list[bytes] = field(default_factory=list)
    away: bool = False

    async def send(self, hints: Sequence[Hint]) -> None:
        if self.away:
            raise BrokerUnreachableError("the test took the broker away")
        for message in [hint.message() for hint in hints]:
            self.put(message.queue_name, ENVELOPE.encode(message.asdict()))

    def put(self, queue: str, body: bytes) -> None:
        """What any client may do."""
        self.published.append(body)
        self.boxes.setdefault(queue, deque()).append(body)

    async def depth(self, queue: str) -> int:
        if self.away:
            raise BrokerUnreachableError("the test took the broker away")
        return len(self.boxes.get(queue, ()))

    async def collect_dead(self, queue: str, limit: int, write: Write) -> int:
        taken = self.dead.get(queue, [])[:limit]
        if taken:
            await write([Dead(queue, body) for body in taken])
            del self.dead[queue][: len(taken)]
        return len(taken)

    def waiting(self) -> dict[str, int]:
        """Count the messages of each queue that has any."""
        return {queue: len(box) for queue, box in self.boxes.items() if box}

    def lose(self, queue: str | None = None) -> int:
        """Drop what waits, in one queue or in all, as a wiped broker does."""
        lost = 0
        for name, box in self.boxes.items():
            if queue in (None, name):
                lost += len(box)
                box.clear()
        return lost


@dataclass
class Workshop:
    """One worker process, its clock and its post; the sandbox that it calls."""

    pipeline: Pipeline
    mailbox: Mailbox
    clock: Clock
    sandbox: SandboxServer
    redis: Redis
    dispatcher: Dispatcher
    owner: str = "tester"

    @property
    def works(self) -> Works:
        return self.pipeline.works

    @property
    def database(self) -> AsyncEngine:
        return self.pipeline.works.database

    # -- asking -------------------------------------------------------------------------------------------------------

    async def ask(
        self,
        provider: str = "cryptopanic",
        dataset: str = "posts",
        params: Mapping[str, Any] | None = None,
        *,
        kind: str = "fetch",
        priority: int = 0,
        run_at: datetime | None = None,
        **args: Any,
    ) -> UUID:
        """Write a job, and its hint if it is due."""
        asked = {"provider": provider, "dataset": dataset, "params": dict(params or {}), **args}
        new = NewJob(kind, fetch_queue(provider), asked, owner=self.owner, priority=priority, run_at=run_at)
        async with self.database.begin() as conn:
            receipt = (await jobs.enqueue(conn, [new], now=self.clock()))[0]
        await self.mailbox.send([WorkOnJob(new.queue)])
        return receipt.id

    async def stream(self, new: NewStream) -> None:
        """Write a stream that is due at once."""
        async with self.database.begin() as conn:
            await streams.add(conn, new, now=self.clock())

    async def faults(self, *written: str) -> None:
        """Switch these faults on, in place of all others."""
        self.sandbox.state.use_faults(map(parse_fault, written))

    # -- delivering ---------------------------------------------------------------------------------------------------

    async def deliver(self, queue: str, *, times: int = 1) -> bytes:
        """Take one message off a queue and work on it, more than once if the broker is to err on the safe side."""
        body = self.mailbox.boxes[queue].popleft()
        for _ in range(times):
            await self.work(queue, body)
        return body

    async def work(self, queue: str, body: bytes) -> None:
        """Do with a delivery what the actor of its queue does."""
        message: Message[None] = Message(**ENVELOPE.decode(body))
        message = addressed(message, queue, _ACTORS | dict.fromkeys(map(fetch_queue, self.works.providers), "fetch"))
        pipeline, kwargs = self.pipeline, message.kwargs
        match message.actor_name:
            case "dedup":
                await pipeline.dedup(UUID(kwargs["page"]))
            case "post":
                await pipeline.post(UUID(kwargs["page"]))
            case "ledger":
                await pipeline.keep(LEDGER)
            case "probe":
                await pipeline.probe(PROBE)
            case "jobs" if more := kwargs.keys() - {"kind", "args", "idempotency_key", "priority"}:
                await pipeline.inbox.refuse(kwargs, f"unknown fields: {', '.join(sorted(more))}")
            case "jobs":
                await pipeline.inbox.accept(**kwargs)
            case "unreadable":
                await pipeline.inbox.refuse(**kwargs)
            case _:
                await pipeline.fetch(queue)

    async def run(self, *, times: int = 1, steps_max: int = 5000) -> None:
        """Deliver until nothing waits; the last queue first, so that pages are posted before more are asked for."""
        for _ in range(steps_max):
            waiting = self.mailbox.waiting()
            if not waiting:
                return
            order = [POST, DEDUP, *sorted(waiting)]
            await self.deliver(next(queue for queue in order if queue in waiting), times=times)
        raise AssertionError(f"still waiting after {steps_max} deliveries: {self.mailbox.waiting()}")

    async def settle(self, *, by: timedelta = timedelta(seconds=31), rounds_max: int = 200) -> None:
        """Let the dispatcher tick and time go by until no job is alive."""
        for _ in range(rounds_max):
            await self.run()
            if not await self.value("SELECT count(*) FROM jobs WHERE state IN ('queued', 'running', 'waiting')"):
                return
            self.forward(by)
            await self.dispatcher.tick()
        raise AssertionError(f"jobs are still alive after {rounds_max} rounds of {by}")

    def forward(self, by: timedelta) -> None:
        """Move our clock and the provider's."""
        self.clock.forward(by)
        self.sandbox.state.clock.advance(by.total_seconds())

    # -- looking ------------------------------------------------------------------------------------------------------

    async def rows(self, sql: str, **params: Any) -> list[Any]:
        async with self.database.connect() as conn:
            return list((await conn.execute(text(sql), params)).all())

    async def value(self, sql: str, **params: Any) -> Any:
        return (await self.rows(sql, **params))[0][0]

    async def job(self, job: UUID) -> Any:
        """Read one job's row."""
        return (await self.rows("SELECT * FROM jobs WHERE id = :id", id=job))[0]

    async def pages(self, job: UUID) -> list[Any]:
        """Read a job's pages, oldest first."""
        return await self.rows("SELECT * FROM pages WHERE job_id = :id ORDER BY id", id=job)

    async def keys(self, provider: str) -> set[str]:
        """Name what the ledger holds of a provider."""
        return {row.key for row in await self.rows("SELECT key FROM items WHERE provider = :p", p=provider)}

    async def standing(self, provider: str) -> providers.Standing:
        async with self.database.connect() as conn:
            return await providers.standing(conn, provider)

    def calls(self, provider: str, dataset: str = "") -> int:
        """Count what the sandbox was asked."""
        report = self.sandbox.state.counts.report()
        return sum(
            int(row["calls"])
            for row in report["endpoints"]
            if row["provider"] == provider and dataset in row["endpoint"]
        )


_ACTORS: dict[str, str] = {name: name for name in (JOBS, LEDGER, DEDUP, POST, PROBE, UNREADABLE)}


def with_limits(provider: Provider, limits: Limits) -> Provider:
    """Give a provider other limits; the sandbox's are nobody's property."""
    changed = copy.copy(provider)
    changed.limits = limits
    return changed


@asynccontextmanager
async def open_workshop(
    database: AsyncEngine,
    redis_url: str,
    *,
    config: SandboxConfig | None = None,
    limits: Mapping[str, Limits] | None = None,
    keys: Mapping[str, str] = KEYS,
    more: Mapping[str, Provider] | None = None,
    policy: Policy | None = None,
    limiter: Callable[[ProviderLimiter], None] | None = None,
) -> AsyncIterator[Workshop]:
    """Empty the database and the limiter, and open a worker that has never worked.

    ``limits`` by provider, otherwise there are none to speak of; ``more`` providers beside the three; ``limiter``
    changes the limiter before it is used.
    """
    await empty(database)
    known = {**load_providers(), **(more or {})}
    every = {name: with_limits(one, (limits or {}).get(name, FREE)) for name, one in known.items()}
    config = config or SandboxConfig(size=200)
    clock, mailbox = Clock(START), Mailbox()

    async def spent_since(provider: str, since: datetime) -> int:
        async with database.begin() as conn:
            return await providers.spent_since(conn, provider, since)

    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(Redis.from_url(redis_url))
        await redis.flushdb()
        sandbox = await stack.enter_async_context(running_sandbox(replace(config, now=config.now or START)))
        bases = {name: f"{sandbox.url}/{name}" for name in every}
        fetcher = await stack.enter_async_context(Fetcher(keys, bases=bases))
        opened = await stack.enter_async_context(
            open_limiter(redis_url, {name: one.limits for name, one in every.items()}, spent_since)
        )
        opened.clock = clock
        if limiter is not None:
            limiter(opened)
        works = Works(
            name="test",
            database=database,
            producer=mailbox,
            limiter=opened,
            fetcher=fetcher,
            providers=every,
            policy=policy or Policy(),
            clock=clock,
            rng=Random(1),
        )
        yield Workshop(
            pipeline=Pipeline(works),
            mailbox=mailbox,
            clock=clock,
            sandbox=sandbox,
            redis=redis,
            dispatcher=Dispatcher(database, mailbox, queues(sorted(every)), clock),
        )


async def empty(database: AsyncEngine) -> None:
    """Forget every job, and every item collected."""
    tables = [*row_tables.metadata.tables, *item_tables.metadata.tables]
    async with database.begin() as conn:
        await conn.execute(text(f"TRUNCATE {', '.join(tables)} RESTART IDENTITY CASCADE"))


async def eventually(check: Callable[[], Awaitable[object]], *, within_s: float = 20.0) -> None:
    """Wait until the check says yes, for things that happen in their own time."""
    async with asyncio.timeout(within_s):
        while True:
            if await check():
                return
            await asyncio.sleep(0.01)
