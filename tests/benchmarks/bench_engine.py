"""The asyncio engine beside a plain socket, FastStream and Dramatiq: messages that do nothing, and ones that wait.

    python -m tests.benchmarks.bench_engine [--messages 40000] [--fetches 1000] [--repeats 3] [--json]

One process each, on the same RabbitMQ; the queue is full before the process starts, and the clock runs from the first
message begun to the last one done.  The engine runs with the loop and the meters of a real worker.  The socket decodes
nothing, runs nothing, and acknowledges a hundred at once; "pika" is the engine, without frames cut by hand.  Slower
peers get fewer messages, so that no round takes minutes.  A first round that is not counted compiles what they import,
as installing it does: compiling needs more memory than running.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import aio_pika
import pika
import psutil
from dramatiq import Message

from broker.connect import queue_arguments
from ops.embedded import Stack
from ops.settings import environment_with
from tests.benchmarks.bench_fetch import provider
from tests.benchmarks.pairs import Line, interleaved, parser, show
from tests.benchmarks.slow_provider import WAIT_S
from tests.benchmarks.system import ROOT, child, memory_mb, until

PEERS = ("socket", "faststream", "dramatiq", "pika")
SHARE = {"engine": 1.0, "socket": 1.0, "faststream": 0.25, "dramatiq": 0.125, "pika": 0.5}
MODULE = "tests.benchmarks.peers.{}_app"
NOOP_WIDTHS = {"engine": 256, "faststream": 100, "dramatiq": 8, "pika": 256}
MEMORY_MB = 40.0


@dataclass(frozen=True, slots=True)
class Run:
    """What one way did: messages a second, processor time per message in µs, and the most memory in MiB."""

    rate: float
    cpu_us: float
    pss_mb: float


@dataclass(frozen=True, slots=True)
class Bench:
    """A private RabbitMQ, a folder, and the address of a provider that waits."""

    url: str
    var: Path
    provider: str

    async def drained(self, peer: str, task: str, count: int, width: int) -> Run:
        """Fill the peer's queue, start its process, and wait until it has done all."""
        queue, result = f"peer_{peer}", self.var / "engine.json"
        result.unlink(missing_ok=True)
        await self._fill(peer, queue, task, count)
        variables = {
            "QUEUE": queue,
            "TASK": task,
            "COUNT": count,
            "WIDTH": width,
            "RESULT": result,
            "URL": self.provider,
        }
        environment = environment_with(
            {
                "BENCH_BROKER_URL": self.url,
                "PYTHONPATH": str(ROOT),
                "PYTHONDONTWRITEBYTECODE": "",
                "PYTHONPYCACHEPREFIX": str(self.var / "bytecode"),
                "dramatiq_queue_prefetch": "0",
                **{f"BENCH_{name}": str(value) for name, value in variables.items()},
            }
        )
        peak = cpu = 0.0

        async def done() -> bool:
            nonlocal peak, cpu
            peak, cpu = max(peak, memory_mb(process)[1]), _cpu_s(process)
            return result.exists()

        words = ["-m", MODULE.format(peer)]
        if peer == "dramatiq":
            words = ["-m", "dramatiq", "--processes", "1", "--threads", str(width), f"{words[1]}:broker"]
        async with child(words, environment, self.var) as process:
            await until(done, f"{peer} to do {count} x {task}", every_s=0.1)
        return Run(count / json.loads(result.read_text())["seconds"], cpu / count * 1e6, peak)

    async def _fill(self, peer: str, queue: str, task: str, count: int) -> None:
        actor = task if peer == "dramatiq" else queue
        body: bytes = Message(queue, actor, args=(), kwargs={}, options={}).encode()
        arguments: dict[str, Any] = queue_arguments(queue)
        if peer == "dramatiq":
            arguments = {name: value for name, value in arguments.items() if name.startswith("x-dead")}
        async with await aio_pika.connect(self.url) as connection:
            channel = await connection.channel(publisher_confirms=False)
            await channel.declare_queue(queue, durable=True, arguments=arguments)
            await asyncio.to_thread(_publish, self.url, queue, body, count)

            async def filled() -> bool:
                declared = await channel.declare_queue(queue, durable=True, arguments=arguments)
                return declared.declaration_result.message_count == count

            await until(filled, f"{queue} to be full")


def _publish(url: str, queue: str, body: bytes, count: int) -> None:
    with closing(pika.BlockingConnection(pika.URLParameters(url))) as connection:
        channel = connection.channel()
        persistent = pika.BasicProperties(content_type="text/plain", delivery_mode=2)
        for _ in range(count):
            channel.basic_publish("", queue, body, persistent)


def _cpu_s(process: psutil.Process) -> float:
    total = 0.0
    for one in [process, *process.children(recursive=True)]:
        try:
            times = one.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


@asynccontextmanager
async def opened() -> AsyncIterator[Bench]:
    """Start RabbitMQ and the slow provider."""
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
        async with Stack(Path(folder), "rabbitmq") as servers, provider() as url:
            yield Bench(servers.rabbitmq.start().url, Path(folder), url)


async def measure(messages: int, fetches: int, repeats: int, peers: Sequence[str]) -> list[Line]:
    """All ways in turns."""
    runs: dict[str, list[Run]] = {}
    async with opened() as bench:

        async def run(name: str, peer: str, task: str, count: int, width: int) -> float:
            done = await bench.drained(peer, task, count, width)
            runs.setdefault(name, []).append(done)
            return done.rate

        noop = {
            f"{peer} noop": partial(
                run, f"{peer} noop", peer, "noop", max(50, int(messages * SHARE[peer])), NOOP_WIDTHS.get(peer, 0)
            )
            for peer in ("engine", *peers)
        }
        waiting = {
            f"{peer} {width}": partial(run, f"{peer} {width}", peer, "get", fetches * width // 100, width)
            for peer in ("engine", *peers)
            for width in (100, 400)
            if peer not in ("socket", "pika") and (peer, width) != ("dramatiq", 400)
        }
        for peer in ("engine", *peers):
            await bench.drained(peer, "noop", 50, NOOP_WIDTHS.get(peer, 0))
        await interleaved({**noop, **waiting}, repeats)
    return _lines(runs, peers)


def _lines(runs: dict[str, list[Run]], peers: Sequence[str]) -> list[Line]:
    def rates(name: str) -> list[float]:
        return [one.rate for one in runs[name]]

    targets = {"socket": 0.25, "faststream": 5.0, "dramatiq": 8.0, "pika": None}
    ours = rates("engine noop")
    lines = [
        Line("no-op messages, hooks on", "messages/s", peer, ours, rates(f"{peer} noop"), targets[peer])
        for peer in peers
    ]
    ideal = [100 / WAIT_S] * len(ours)
    lines.append(Line("50 ms calls, 100 in flight", "calls/s", "ceiling", rates("engine 100"), ideal, 0.78))
    if "dramatiq" in peers:
        lines.append(
            Line("50 ms calls, 100 in flight", "calls/s", "dramatiq", rates("engine 100"), rates("dramatiq 100"), 1.5)
        )
    if "faststream" in peers:
        lines += [
            Line(
                "50 ms calls, 400 in flight", "calls/s", "faststream", rates("engine 400"), rates("faststream 400"), 1.4
            ),
            _used("processor time of a call, 400 in flight", runs, "faststream 400"),
        ]
    memory = [one.pss_mb for one in runs["engine 400"]]
    lines.append(
        Line("peak memory, 400 in flight", "MiB PSS", "40 MiB", memory, [MEMORY_MB] * len(memory), 1.0, at_most=True)
    )
    return lines


def _used(what: str, runs: dict[str, list[Run]], peer: str) -> Line:
    ours, theirs = [one.cpu_us for one in runs["engine 400"]], [one.cpu_us for one in runs[peer]]
    return Line(what, "µs", peer.split(maxsplit=1)[0], ours, theirs, 0.6, at_most=True)


def main() -> None:
    """Read the command line."""
    made = parser(__doc__, repeats=3)
    made.add_argument("--messages", type=int, default=40000)
    made.add_argument("--fetches", type=int, default=1000, help="with 100 in flight; four times as many with 400")
    made.add_argument("--peers", nargs="*", default=PEERS, choices=PEERS)
    args = made.parse_args()
    peers = [one for one in args.peers if one != "faststream" or find_spec("faststream")]
    show(measure(args.messages, args.fetches, args.repeats, peers), as_json=args.json)


if __name__ == "__main__":
    main()
