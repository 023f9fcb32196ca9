"""What goes wrong in a run, planned from one seed: a list of blows, each with the progress at which it falls."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import aio_pika
import redis.asyncio

from broker.connect import amqp_url
from broker.messages import queues
from ops.embedded import Server, Stack
from workers.plan import provider_of, pull_of
from workers.providers import load_providers

from .children import Child
from .meddler import UNREACHED, Meddler, said_before
from .system import DISPATCHER, PROVIDERS, WORKERS, System, until, worker_row
from .witness import said

EVERY_RUN = (
    "kill a worker",
    "kill a worker that is asking",
    "kill the workers before dedup",
    "kill the workers during post",
    "kill the dispatcher",
    "restart rabbitmq",
    "crash rabbitmq",
    "delete all queues",
    "delete all queues while nobody works",
    "restart postgres",
    "restart redis",
    "flush redis",
    "deliver twice",
    "deliver twice",
    "deliver old messages",
    "other weather",
    "other weather",
)
MAY_COME = ("kill a worker", "kill a worker that is asking", "delete all queues", "crash postgres", "crash redis",
            "flush redis", "deliver twice", "deliver old messages", "other weather", "kill the dispatcher",
            "kill a worker while rabbitmq is down")  # fmt: skip
STORMS = ("429", "500", "503", "408", "truncated", "cut")
BOOT_S = 60.0
WRITTEN_S = 8.0
STALE_S = 4.0  # without progress for so long, the next blow falls anyway
MOMENT_S = 3.0  # how long a moment of a certain kind is waited for


@dataclass(frozen=True, slots=True)
class Blow:
    """One thing that goes wrong once the share ``at`` (0 to 1) of all pages has been posted."""

    kind: str
    at: float


@dataclass(slots=True)
class Chaos:
    """A seed, the plan that follows from it, and what it has done so far."""

    seed: int
    extras: int
    rng: Random = field(init=False)
    plan: Sequence[Blow] = field(init=False)
    kills: int = 0
    doubled: int = 0
    hits: Counter[str] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)
    done: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = Random(self.seed)
        kinds = [*EVERY_RUN, *self.rng.choices(MAY_COME, k=self.extras)]
        self.rng.shuffle(kinds)
        moments = sorted(self.rng.uniform(0.0, 0.95) for _ in kinds)
        self.plan = [Blow(kind, at) for kind, at in zip(kinds, moments, strict=True)]

    def weather(self, struck: Collection[str] = ()) -> list[str]:
        """Choose the faults of the providers: each kind somewhere, two at each, so that work still gets on."""
        any_of = self.rng.randint
        kinds = sorted(self.rng.sample(STORMS, k=6), key=lambda kind: kind in struck)  # first what has not come yet
        places = [(name, period) for period in (4, 7) for name in self.rng.sample(PROVIDERS, k=3)]
        return [
            *(f"{name}:{kind}=every {period}" for kind, (name, period) in zip(kinds, places, strict=True)),
            f"429=every 17,retry_after={any_of(0, 1)}",
            f"reordered=every {any_of(2, 4)}",
            f"slow=every {any_of(3, 6)},ms={any_of(100, 900)}",
        ]

    async def unfold(self, system: System, pages: int) -> None:
        """Let every blow fall at its moment; ``pages`` is how many there will be."""
        hand = Hand(self, system, Meddler(system.stack.rabbitmq.url, queues(PROVIDERS), self.rng))
        await system.faults(self.weather())
        await _progress(system, 1, stale_s=BOOT_S)
        for blow in self.plan:
            await _progress(system, blow.at * pages)
            await hand.strike(blow.kind)
            self.done.append(f"{blow.kind} at {blow.at:.2f}")
        # A call that a kill hit keeps its place among the provider's concurrent calls for a minute: no need to wait.
        await hand.strike("flush redis")
        self.doubled = hand.meddler.doubled


@dataclass(slots=True)
class Hand:
    """Does to a system what a plan says."""

    chaos: Chaos
    system: System
    meddler: Meddler
    deleted_at: float = -WRITTEN_S

    async def strike(self, kind: str) -> None:
        """Let one blow fall, and return when what was stopped runs again."""
        stack, rng = self.system.stack, self.chaos.rng
        match kind.split():
            case ["kill", *who]:
                await self._kill_some(" ".join(who))
            case ["restart", server]:
                await asyncio.to_thread(_server(stack, server).restart)
            case ["crash", server]:
                await self._crash(_server(stack, server))
                await asyncio.to_thread(_server(stack, server).restart)
            case ["delete", "all", "queues", *whenever]:
                if whenever:
                    await self._kill_when("SELECT FROM pages WHERE state = 'landed' LIMIT 1")
                await insist(lambda: delete_queues(stack.rabbitmq.url))
                self.deleted_at = asyncio.get_running_loop().time()
            case ["flush", *_]:
                await flush(stack.redis.url)
            case ["deliver", "twice"]:
                count, within_s = rng.randint(4, 12), rng.uniform(1.0, 2.0)
                await insist(lambda: self.meddler.meddle(count=count, within_s=within_s))
            case ["deliver", *_]:
                count, said = rng.randint(20, 60), await said_before(self.system)
                await insist(lambda: self.meddler.replay(said, count))
            case _:
                await self.system.faults(self.chaos.weather(self.system.witness.struck()))

    async def _kill_some(self, who: str) -> None:
        match who:
            case "a worker that is asking":
                await self._kill(await self._asking())
            case "the workers before dedup":
                await self._kill_when("SELECT FROM pages WHERE state = 'landed' AND sends = 0 LIMIT 1")
            case "the workers during post":
                await self._kill_when("SELECT FROM pages WHERE state = 'landed' AND sends > 0 LIMIT 1")
            case "the dispatcher":
                self.chaos.kills += await self.system.kill(DISPATCHER) is not None
            case "a worker while rabbitmq is down":
                victim = await self._anyone()
                await self._crash(self.system.stack.rabbitmq)
                await self._kill(victim)
                await asyncio.to_thread(self.system.stack.rabbitmq.restart)
            case _:
                await self._kill(await self._anyone())

    async def _crash(self, server: Server) -> None:
        if server is self.system.stack.rabbitmq:
            # RabbitMQ itself loses quorum queues that were declared a few seconds before it is killed.
            await asyncio.sleep(max(0.0, self.deleted_at + WRITTEN_S - asyncio.get_running_loop().time()))
        await asyncio.to_thread(server.kill)

    async def _anyone(self) -> str:
        """Choose a worker that is at work, once there is one."""

        async def found() -> bool:
            return bool(await self.system.at_work())

        await until(found, within_s=BOOT_S, what="a worker to boot")
        return self.chaos.rng.choice(await self.system.at_work() or WORKERS)

    async def _kill(self, name: str) -> None:
        """Kill a worker, and write down each request that it had open: only those may be paid for again."""
        victim = await self.system.kill(name)
        if victim is None:
            return
        self.chaos.kills += 1
        for what in await in_hand(self.system, victim):
            if self.system.witness.may_have_paid(victim.name, what):
                self.chaos.hits[what] += 1

    async def _asking(self) -> str:
        system = self.system

        async def found() -> bool:
            return any(system.witness.is_asking(child.name) for child in system.living.values())

        await self._anyone()
        await system.faults(["slow=1,ms=700"])
        await until(found, within_s=MOMENT_S)
        await system.faults(self.chaos.weather(system.witness.struck()))
        asking = [name for name, child in system.living.items() if system.witness.is_asking(child.name)]
        return asking[0] if asking else await self._anyone()

    async def _kill_when(self, query: str) -> None:
        """Kill both workers, so that the right one is among them, as soon as the query finds something."""

        async def found() -> bool:
            return bool(await self.system.rows(query))

        await self._anyone()
        await until(found, within_s=MOMENT_S)
        await asyncio.gather(*map(self._kill, WORKERS))


def _server(stack: Stack, name: str) -> Server:
    return {server.name: server for server in stack.servers}[name]


async def in_hand(system: System, dead: Child) -> list[str]:
    """Name the requests of the jobs that a dead worker had claimed and not landed."""
    rows = await system.rows(
        """SELECT kind, args, cursor, started_at, polled_at FROM jobs
        WHERE worker = :worker AND state = 'running' AND landed < want AND lease_until IS NOT NULL""",
        worker=worker_row(dead),
    )
    return [_request_of(row) for row in rows]


def _request_of(row: Any) -> str:
    provider, _ = provider_of(row.args, load_providers())
    pull = pull_of(row.kind, row.args, started_at=row.started_at, polled_at=row.polled_at)
    return said(provider.name, provider.request(pull, row.cursor))


async def _progress(system: System, pages: float, *, stale_s: float = STALE_S) -> None:
    """Wait until so many pages are posted, or until nothing has moved for a while."""
    posted, since = -1, 0.0
    clock = asyncio.get_running_loop().time
    while True:
        (row,) = await system.rows("SELECT count(*) AS n FROM pages WHERE state = 'posted'")
        if row.n != posted:
            posted, since = row.n, clock()
        if posted >= pages or clock() - since > stale_s:
            return
        await asyncio.sleep(0.05)


async def insist(deed: Callable[[], Awaitable[None]], *, within_s: float = 45.0) -> None:
    """Do it again while the broker is not ready yet."""

    async def done() -> bool:
        try:
            await deed()
        except UNREACHED as error:
            why.append(f"{type(error).__name__}: {error}")
            return False
        return True

    why: list[str] = []
    assert await until(done, within_s=within_s), f"RabbitMQ could not be reached for {within_s:g} s: {why[-1]}"


async def delete_queues(url: str) -> None:
    """Delete every queue with all that waits in it, dead letters included."""
    async with await aio_pika.connect(amqp_url(url)) as connection:
        channel = await connection.channel()
        for name in queues(PROVIDERS):
            await channel.queue_delete(name)
            await channel.queue_delete(f"{name}.XQ")


async def flush(url: str) -> None:
    """FLUSHALL: limits, budgets, leases and the circuit breakers are gone."""
    client = redis.asyncio.Redis.from_url(url)
    try:
        await client.flushall()
    finally:
        await client.aclose()
