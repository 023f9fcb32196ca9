"""A broker that is killed under load and started again: how soon after its return messages are taken, and if all were.

    python -m tests.benchmarks.bench_return [--rounds 5] [--json]

Callers publish numbered messages, each awaiting its confirmation, while our engine takes them; then RabbitMQ is killed
(SIGKILL) and started again.  Measured is the time from the moment when it answers a greeting to the first message taken
and to the first one confirmed.  At the end every confirmed message must have been taken.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import dramatiq
from dramatiq import Message

from broker.connect import QuorumBroker, from_url
from broker.producer import BrokerUnreachableError, RabbitmqProducer, open_producer
from ops.embedded.rabbitmq import RabbitMQ
from ops.engine import AsyncWorker
from ops.engine.process import FastLoop
from tests.benchmarks.pairs import Line, parser, show
from tests.benchmarks.system import until

CALLERS, IN_HAND = 50, 64
QUEUE = "bench.return"
LOAD = 2000  # messages taken before the broker is killed
WITHIN_S = 2.0


@dataclass
class Traffic:
    """Which numbers were confirmed and which were taken, and when the last of each was."""

    confirmed: list[int] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)
    confirmed_at: float = 0.0
    taken_at: float = 0.0

    async def take(self, n: int) -> None:
        """Be the actor."""
        self.taken.append(n)
        self.taken_at = time.monotonic()

    async def publish(self, producer: RabbitmqProducer, caller: int, stop: asyncio.Event) -> None:
        """Be one of the callers: send, wait for the confirmation, send the next."""
        n = caller
        while not stop.is_set():
            message: Message[None] = Message(QUEUE, QUEUE, args=(n,), kwargs={}, options={})
            try:
                await producer.publish([message])
            except BrokerUnreachableError:
                continue  # nobody promised anything of this one
            self.confirmed.append(n)
            self.confirmed_at = time.monotonic()
            n += CALLERS


@asynccontextmanager
async def consuming(url: str, traffic: Traffic) -> AsyncIterator[None]:
    """Run our engine until the block ends."""
    broker = from_url(url, middleware=[FastLoop()])
    assert isinstance(broker, QuorumBroker)
    dramatiq.actor(actor_name=QUEUE, queue_name=QUEUE, broker=broker)(traffic.take)
    worker = AsyncWorker(broker, in_hand=IN_HAND)
    await asyncio.to_thread(worker.start)
    try:
        yield
    finally:
        await asyncio.to_thread(worker.stop, 20_000)


async def killed_and_back(server: RabbitMQ) -> float:
    """Kill the broker and start it again; give the moment when it answered."""

    def answers_at() -> float:
        while not server.answers():
            time.sleep(0.01)
        return time.monotonic()

    await asyncio.to_thread(server.kill)
    back, _ = await asyncio.gather(asyncio.to_thread(answers_at), asyncio.to_thread(server.start))
    return back


def is_on_disk(folder: Path) -> bool:
    """Whether the queue would be there after a crash: RabbitMQ answers a declaration before its table is written."""
    logs = [*folder.rglob("LATEST.LOG"), *folder.rglob("*.DCL")]
    return any(QUEUE.encode() in log.read_bytes() for log in logs)


async def rounds(count: int) -> list[tuple[float, float]]:
    """Give seconds to the first message taken and to the first one confirmed, for each round."""
    seen: list[tuple[float, float]] = []
    traffic, stop = Traffic(), asyncio.Event()
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder, RabbitMQ(Path(folder)) as server:
        async with open_producer(server.url, [QUEUE]) as producer, consuming(server.url, traffic):
            assert isinstance(producer, RabbitmqProducer)
            callers = [asyncio.create_task(traffic.publish(producer, n, stop)) for n in range(CALLERS)]

            async def safe() -> bool:
                return await asyncio.to_thread(is_on_disk, Path(folder))

            await until(safe, "the queue to be on disk")
            for _ in range(count):
                wanted = len(traffic.taken) + LOAD

                async def loaded(wanted: int = wanted) -> bool:
                    return len(traffic.taken) >= wanted

                await until(loaded, "some load")
                back = await killed_and_back(server)
                seen.append(await _first(traffic, back))
                sys.stderr.write(f"taken after {seen[-1][0]:.2f} s, confirmed after {seen[-1][1]:.2f} s\n")
            stop.set()
            await asyncio.gather(*callers)

            async def all_taken() -> bool:
                return set(traffic.confirmed) <= set(traffic.taken)

            await until(all_taken, "every confirmed message to be taken", every_s=0.2)
    sys.stderr.write(f"{len(traffic.confirmed):,} confirmed, {len(traffic.taken):,} taken, 0 lost\n")
    return seen


async def _first(traffic: Traffic, back: float) -> tuple[float, float]:
    taken = confirmed = 0.0
    while not (taken and confirmed):
        taken = taken or max(0.0, traffic.taken_at - back)
        confirmed = confirmed or max(0.0, traffic.confirmed_at - back)
        await asyncio.sleep(0.002)
    return taken, confirmed


async def measure(count: int) -> Sequence[Line]:
    """Kill it so many times."""
    seen = await rounds(count)
    lines: list[Line] = []
    for name, times in (("taken", [one[0] for one in seen]), ("confirmed", [one[1] for one in seen])):
        for what, some in (("median", times), ("worst", [max(times)])):
            limit = [WITHIN_S] * len(some)
            lines.append(
                Line(f"broker back to first message {name}, {what}", "s", "2 s", some, limit, 1.0, at_most=True)
            )
    return lines


def main() -> None:
    """Read the command line."""
    made = parser(__doc__, repeats=1)
    made.add_argument("--rounds", type=int, default=5)
    args = made.parse_args()
    show(measure(args.rounds), as_json=args.json)


if __name__ == "__main__":
    main()
