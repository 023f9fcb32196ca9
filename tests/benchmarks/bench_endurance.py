"""Messages by the million through our producer and our engine: memory stays flat, and no task is left over.

    python -m tests.benchmarks.bench_endurance [--minutes 20] [--json]

This process publishes, confirmed, as fast as may be while at most ``AHEAD_MAX`` messages wait; a worker process drains.
Every few seconds both are looked at.  Compared are a tenth of the time, when both have warmed up, and the end.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from broker.messages import PROBE, WorkOnJob
from broker.producer import open_producer
from ops.embedded.rabbitmq import RabbitMQ
from ops.settings import environment_with
from tests.benchmarks.pairs import Line, parser, show
from tests.benchmarks.system import ROOT, memory_mb, until

AHEAD_MAX, CHUNK = 20_000, 1000
LOOKS = 120  # so many at most
FLAT = 1.05


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen at one moment: messages done, memory in MiB PSS, tasks, open files; engine's, then producer's."""

    at_s: float
    done: int
    pss: tuple[float, float]
    tasks: tuple[int, int]
    files: tuple[int, int]

    def __str__(self) -> str:
        return (
            f"{self.at_s:6.0f} s {self.done:12,} messages; engine {self.pss[0]:.1f} MiB, {self.tasks[0]} tasks,"
            f" {self.files[0]} files; producer {self.pss[1]:.1f} MiB, {self.tasks[1]} tasks, {self.files[1]} files"
        )


@dataclass
class Engine:
    """The worker process, and what it told last."""

    process: psutil.Process
    done: int = 0
    tasks: int = 0
    files: int = 0
    told: asyncio.Event = field(default_factory=asyncio.Event)

    async def listen(self, lines: asyncio.StreamReader) -> None:
        """Keep up with what it tells."""
        while line := await lines.readline():
            now = json.loads(line)
            self.done, self.tasks, self.files = now["done"], now["tasks"], now["files"]
            self.told.set()

    async def next(self) -> None:
        """Wait until it has told more."""
        self.told.clear()
        await self.told.wait()

    def look(self, began: float) -> Look:
        """Look at it and at this process."""
        own = psutil.Process()
        return Look(
            time.monotonic() - began,
            self.done,
            (memory_mb(self.process)[1], own.memory_full_info().pss / 2**20),
            (self.tasks, len(asyncio.all_tasks())),
            (self.files, own.num_fds()),
        )


@asynccontextmanager
async def working(url: str, queue: str) -> AsyncIterator[Engine]:
    """Run the worker until the block ends."""
    variables = {"BENCH_BROKER_URL": url, "BENCH_QUEUE": queue, "PYTHONPATH": str(ROOT)}
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.benchmarks.peers.endurance_app"),
        env=dict(environment_with(variables)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    engine = Engine(psutil.Process(child.pid))
    listening = asyncio.create_task(engine.listen(child.stdout))
    try:
        yield engine
    finally:
        child.terminate()
        await child.wait()
        await listening


async def endured(seconds: float) -> list[Look]:
    """Publish and drain for so long; give what was seen on the way, and when all was done."""
    looks: list[Look] = []
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder, RabbitMQ(Path(folder)) as server:
        async with open_producer(server.url, [PROBE], patience_s=60) as producer, working(server.url, PROBE) as engine:
            await engine.next()
            began, sent = time.monotonic(), 0
            while (spent_s := time.monotonic() - began) < seconds:
                if spent_s >= len(looks) * seconds / LOOKS:
                    looks.append(engine.look(began))
                    _say(looks[-1])
                if sent - engine.done >= AHEAD_MAX:
                    await engine.next()
                    continue
                await producer.send([WorkOnJob(PROBE)] * CHUNK)
                sent += CHUNK

            async def drained() -> bool:
                return engine.done >= sent

            await until(drained, f"{sent} messages to be done")
            await engine.next()  # what it tells now it saw after the last one
            looks.append(engine.look(began))
            _say(looks[-1])
            assert looks[-1].done == sent, f"{looks[-1].done} of {sent} were done"
    return looks


def _say(look: Look) -> None:
    sys.stderr.write(f"{look}\n")


def slope_mb(looks: Sequence[Look], who: int) -> float:
    """MiB for a million messages, by least squares."""
    slope, _ = statistics.linear_regression([look.done / 1e6 for look in looks], [look.pss[who] for look in looks])
    return slope


async def measure(seconds: float) -> Sequence[Line]:
    """Endure, and compare the end with a tenth of the way."""
    looks = await endured(seconds)
    warm = [look for look in looks if look.at_s >= seconds / 10]
    first, last = warm[0], warm[-1]
    for who, name in enumerate(("engine", "producer")):
        sys.stderr.write(f"{name}: {slope_mb(warm, who):+.3f} MiB per million messages after the first tenth\n")
    sys.stderr.write(f"{last.done:,} messages in {last.at_s:.0f} s, {last.done / last.at_s:,.0f} a second\n")
    against, end = f"after {first.done:,}", f"after {last.done:,} messages"
    lines: list[Line] = []
    for who, name in enumerate(("engine", "producer")):
        pss = [last.pss[who]], [first.pss[who]]
        files = [float(last.files[who])], [float(first.files[who])]
        lines += [
            Line(f"the {name}'s memory {end}", "MiB PSS", against, *pss, FLAT, at_most=True),
            Line(f"the {name}'s open files {end}", "files", against, *files, 1.0, at_most=True),
            Line(
                f"the {name}'s tasks {end}",
                "tasks",
                "idle",
                [last.tasks[who]],
                [looks[0].tasks[who]],
                1.0,
                at_most=True,
            ),
        ]
    return lines


def main() -> None:
    """Read the command line."""
    made = parser(__doc__, repeats=1)
    made.add_argument("--minutes", type=float, default=1.0)
    args = made.parse_args()
    show(measure(args.minutes * 60), as_json=args.json)


if __name__ == "__main__":
    main()
