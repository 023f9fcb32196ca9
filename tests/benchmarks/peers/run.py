"""Run other task queues: publish in a process of their own, drain in one worker process, timed by the worker itself."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec

import psutil

from ops.settings import environment_with
from tests.benchmarks.system import ROOT, System, child, memory_mb, until

PEERS = ("dramatiq", "celery", "taskiq", "faststream")
NEEDS = {"dramatiq": "dramatiq", "celery": "celery", "taskiq": "taskiq_aio_pika", "faststream": "faststream"}
_APP = "tests.benchmarks.peers.{}_app"
_WORKERS = {
    "dramatiq": ["-m", "dramatiq", "--processes", "1", "--threads", "{width}", _APP.format("dramatiq") + ":broker"],
    "celery": ["-m", "celery", "-A", _APP.format("celery"), "worker", "--pool", "threads", "-c", "8",
               "--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "ERROR"],
    "taskiq": ["-m", "taskiq", "worker", "--workers", "1", "--max-async-tasks", "{width}", "--log-level", "ERROR",
               _APP.format("taskiq") + ":broker"],
    "faststream": ["-m", _APP.format("faststream")],
}  # fmt: skip
_WIDTHS = {"noop": {"dramatiq": 8, "taskiq": 100}}


@dataclass(frozen=True, slots=True)
class Drained:
    """So many messages: seconds to publish them, seconds from the first one worked on to the last one done."""

    count: int
    published_s: float
    drained_s: float
    pss_mb: float = 0.0

    @property
    def rate(self) -> float:
        """Messages per second of the drain alone."""
        return self.count / self.drained_s

    @property
    def whole_rate(self) -> float:
        """Messages per second of publishing and then draining."""
        return self.count / (self.published_s + self.drained_s)


def installed(peer: str) -> bool:
    """Whether the peer can be run here."""
    return find_spec(NEEDS[peer]) is not None


async def drained(system: System, peer: str, task: str, count: int, **variables: str) -> Drained:
    """Publish ``count`` messages for a peer's task, start its worker, and wait until it has done all of them."""
    result = system.var / "peer.json"
    result.unlink(missing_ok=True)
    width = str(_WIDTHS.get(task, {}).get(peer, 100))
    environment = environment_with(
        {
            "BENCH_BROKER_URL": system.broker_url,
            "BENCH_COUNT": str(count),
            "BENCH_RESULT": str(result),
            "BENCH_QUEUE": f"peer_{peer}",
            "BENCH_TASK": task,
            "BENCH_WIDTH": width,
            "PYTHONPATH": str(ROOT),
            "dramatiq_queue_prefetch": "0",
            **variables,
        }
    )
    published_s = await _publish(peer, task, count, environment)
    peak = 0.0

    async def done() -> bool:
        nonlocal peak
        peak = max(peak, _pss(process))
        return result.exists()

    words = [word.format(width=width) for word in _WORKERS[peer]]
    async with child(words, environment, system.var) as process:
        await until(done, f"{peer} to do {count} x {task}", every_s=0.1)
    told = json.loads(result.read_text())
    return Drained(count, published_s, told["seconds"], peak)


def _pss(process: psutil.Process) -> float:
    return memory_mb(process)[1] if process.is_running() else 0.0


async def _publish(peer: str, task: str, count: int, environment: Mapping[str, str]) -> float:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.benchmarks.peers.publish", peer, task, str(count),
        env=dict(environment), cwd=ROOT, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    told, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{peer} could not publish")
    return float(json.loads(told)["seconds"])
