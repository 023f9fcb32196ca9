"""What shipping logs costs who logs, and what an outage loses: our handler beside watchtower's own.

python -m tests.benchmarks.bench_logs [--records 200000] [--rate 1000] [--outage-s 10] [--json]

Each run is a process of its own; CloudWatch is moto's server in this one.  *Dead* logs as fast as it can while nobody
listens at the endpoint; *outage* logs at a rate while the server goes away and comes back.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypedDict, cast

import psutil
import watchtower
from rich.console import Console
from rich.table import Table

from ops.logs.handler import BoundedHandler, Bounds, Told
from tests.benchmarks.system import machine
from tests.cloudwatch import CloudWatch, cloudwatch

SIZE = 210  # bytes of a message
AROUND_S = 5.0  # of quiet before an outage, and after it
SETTLE_S = 1.5
WORST_MS, MEMORY_MIB = 50.0, 32.0


class Cost(TypedDict):
    """What a child measured."""

    emitted: int
    dropped: int
    worst_ms: float
    over: int
    worst_cpu_ms: float
    mean_us: float
    memory_mib: float


def made(who: str, cloud: CloudWatch, dropped: Counter[str]) -> logging.Handler:
    """Make the handler to measure; watchtower's with what makes it start without a server."""
    if who == "watchtower":
        return watchtower.CloudWatchLogHandler(
            cloud.group,
            "theirs",
            boto3_client=cloud.client(read_s=5),
            create_log_group=False,
            send_interval=2,
        )
    return BoundedHandler(
        cloud.group,
        lambda: "ours",
        lambda: cloud.client(read_s=5),
        bounds=Bounds(close_s=30.0, close_unreachable_s=2.0),
        told=Told(count=lambda reason, records: dropped.update({reason: records})),
    )


class Watch:
    """The most memory that this process had, looked at every few milliseconds."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self.first = self.most = self._process.memory_info().rss
        self._end = threading.Event()
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        while not self._end.wait(0.01):
            self.most = max(self.most, self._process.memory_info().rss)

    def end(self) -> float:
        """Give how much it grew, in MiB."""
        self._end.set()
        return (max(self.most, self._process.memory_info().rss) - self.first) / 2**20


def child(who: str, port: int, records: int, rate: float) -> Cost:
    """Log, and tell what it cost.  ``rate``: records a second, 0 for as fast as can be."""
    warnings.simplefilter("ignore")
    dropped = Counter[str]()
    cloud = CloudWatch(port=port)
    cloud.client()  # what any client costs is no handler's
    handler = made(who, cloud, dropped)
    logger = logging.getLogger("measured")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    if isinstance(handler, BoundedHandler):
        handler.start()  # as a process does long before it has much to say
        time.sleep(SETTLE_S)
    gc.collect()
    gc.freeze()  # as a worker does: what was imported, here a whole stand-in for AWS, is nobody's to walk through
    watch = Watch()
    sys.stdout.write("go\n")
    sys.stdout.flush()
    took = logged(logger, records, rate)
    if not rate:
        time.sleep(SETTLE_S)  # batches in hand are memory too
    memory = watch.end()
    if rate:
        handler.close()
    return Cost(
        emitted=records,
        dropped=sum(dropped.values()),
        worst_ms=took.worst * 1000,
        over=took.over,
        worst_cpu_ms=took.worst_cpu * 1000,
        mean_us=took.total / records * 1e6,
        memory_mib=memory,
    )


@dataclass
class Took:
    """How long calls took, in seconds: on the clock, and of this thread's processor time.

    The second leaves out what the call waited for others: on a busy machine for a processor, in Python for its lock.
    """

    total: float = 0.0
    worst: float = 0.0
    worst_cpu: float = 0.0
    over: int = 0


def logged(logger: logging.Logger, records: int, rate: float) -> Took:
    """Log so many records."""
    began, took = time.perf_counter(), Took()
    text = "x" * (SIZE - 10)
    for number in range(records):
        if rate and (ahead := number / rate - (time.perf_counter() - began)) > 0:
            time.sleep(ahead)
        cpu, start = time.thread_time(), time.perf_counter()
        logger.info("%s %09d", text, number)
        lasted, cpu = time.perf_counter() - start, time.thread_time() - cpu
        took.total += lasted
        took.worst, took.worst_cpu = max(took.worst, lasted), max(took.worst_cpu, cpu)
        took.over += lasted * 1000 > WORST_MS
    return took


async def run(who: str, port: int, records: int, rate: float, meanwhile: Callable[[], Any]) -> Cost:
    """Run a child, and do something while it logs."""
    words = ["--child", who, "--port", str(port), "--records", str(records), "--rate", str(rate)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.benchmarks.bench_logs", *words, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    await process.stdout.readline()
    await asyncio.to_thread(meanwhile)
    told = (await process.stdout.read()).decode()
    await process.wait()
    return cast(Cost, json.loads(told.strip().splitlines()[-1]))


async def measure(records: int, rate: float, outage_s: float) -> list[dict[str, Any]]:
    """Measure both, in both cases."""
    rows: list[dict[str, Any]] = []
    with cloudwatch() as cloud:

        def outage() -> None:
            time.sleep(AROUND_S)
            cloud.close()
            time.sleep(outage_s)
            cloud.open()

        for who in ("ours", "watchtower"):
            cloud.reset()
            told = await run(who, cloud.port, int((outage_s + 2 * AROUND_S) * rate), rate, outage)
            stored = cloud.stored()
            rows.append({"case": "outage", "who": who, **told, "stored": len(set(stored)), "twice": twice(stored)})
        cloud.close()
        dead = [
            {"case": "dead", "who": who, **await run(who, cloud.port, records, 0.0, lambda: None)}
            for who in ("ours", "watchtower")
        ]
    return rows + dead


def twice(stored: list[str]) -> int:
    """Count what arrived more than once."""
    return len(stored) - len(set(stored))


def untold(row: dict[str, Any]) -> int | None:
    """What neither arrived nor was counted as dropped."""
    return row["emitted"] - row["stored"] - row["dropped"] if "stored" in row else None


def table(rows: list[dict[str, Any]]) -> Table:
    """Show the rows."""
    shown = Table(
        "case",
        "who",
        "emitted",
        "stored",
        "dropped",
        "lost untold",
        "worst emit",
        "over 50 ms",
        "its CPU",
        "mean emit",
        "memory",
    )
    for row in rows:
        shown.add_row(
            row["case"],
            row["who"],
            f"{row['emitted']:,}",
            f"{row['stored']:,}" if "stored" in row else "",
            f"{row['dropped']:,}",
            str(untold(row)) if "stored" in row else "",
            f"{row['worst_ms']:.1f} ms",
            str(row["over"]),
            f"{row['worst_cpu_ms']:.1f} ms",
            f"{row['mean_us']:.0f} us",
            f"{row['memory_mib']:.1f} MiB",
        )
    return shown


def missed(rows: list[dict[str, Any]]) -> list[str]:
    """Say which of our figures are over their limits."""
    return [
        f"{row['case']}: {what}"
        for row in rows
        if row["who"] == "ours"
        for what, bad in {
            f"an emit took {row['worst_ms']:.1f} ms": row["worst_ms"] > WORST_MS,
            f"it cost {row['memory_mib']:.1f} MiB": row["memory_mib"] > MEMORY_MIB,
            "records were lost": bool(row["case"] == "outage" and (untold(row) or row["dropped"])),
        }.items()
        if bad
    ]


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=200_000, help="into the dead endpoint")
    parser.add_argument("--rate", type=float, default=1000.0, help="records a second around the outage")
    parser.add_argument("--outage-s", type=float, default=10.0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        sys.stdout.write(json.dumps(child(args.child, args.port, args.records, args.rate)) + "\n")
        sys.stdout.flush()
        os._exit(0)  # not what watchtower does at the end into a dead endpoint: thirty seconds, twice
    rows = asyncio.run(measure(args.records, args.rate, args.outage_s))
    if args.json:
        sys.stdout.write(json.dumps({"machine": machine(), "rows": rows}) + "\n")
    else:
        Console(width=150).print(table(rows))
        Console().print(machine())
    sys.exit("; ".join(missed(rows)) or None)


if __name__ == "__main__":
    main()
