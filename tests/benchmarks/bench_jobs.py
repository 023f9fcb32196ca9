"""No-op jobs per second through the whole path, against no-op tasks of other queues on the same RabbitMQ.

    python -m tests.benchmarks.bench_jobs [--jobs 3000] [--repeats 3] [--json]

Ours is durable: a row is written, its hint published, the row claimed and ended by its worker.  The others run a task
that does nothing.  One worker process each; publishers wait for RabbitMQ's confirmation.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime

from broker import jobs
from broker.jobs import NewJob
from broker.messages import PROBE, WorkOnJob
from tests.benchmarks.pairs import Line, Way, interleaved, parser, show
from tests.benchmarks.peers.run import PEERS, Drained, drained, installed
from tests.benchmarks.system import System, opened, until

BATCH = 1000  # jobs of one POST


async def ours(system: System, count: int, threads: int) -> Drained:
    """Ask for jobs as the gateway does, then let one worker process end them."""
    await system.empty()
    began = time.perf_counter()
    for done in range(0, count, BATCH):
        new = [NewJob("probe", PROBE)] * min(BATCH, count - done)
        async with system.database.begin() as conn:
            await jobs.enqueue(conn, new, now=datetime.now(UTC))
        await system.producer.send([WorkOnJob(PROBE) for _ in new])
    published_s = time.perf_counter() - began

    async def ended() -> bool:
        return not (await system.one(_LIVE)).some

    async with system.worker(threads=threads):
        await until(ended, "the jobs to end")
    row = await system.one(_TOOK)
    assert row.n == count, f"{row.n} of {count} jobs succeeded"
    return Drained(count, published_s, float(row.s))


async def measure(count: int, repeats: int, threads: int, peers: Sequence[str]) -> list[Line]:
    """Drain the same number of jobs and of each peer's tasks, in turns."""
    async with opened() as system:
        both: dict[str, list[Drained]] = {name: [] for name in ("ours", *peers)}

        def way(name: str) -> Way:
            async def run() -> float:
                done = await (ours(system, count, threads) if name == "ours" else drained(system, name, "noop", count))
                both[name].append(done)
                return done.rate

            return run

        await interleaved({name: way(name) for name in both}, repeats)
    rates = {name: [done.rate for done in runs] for name, runs in both.items()}
    whole = {name: [done.whole_rate for done in runs] for name, runs in both.items()}
    targets = {"celery": 1.0, "faststream": 1.0}
    return [
        line
        for peer in peers
        for line in (
            Line("no-op jobs, drained", "jobs/s", peer, rates["ours"], rates[peer], targets.get(peer)),
            Line(
                "no-op jobs, published and drained",
                "jobs/s",
                peer,
                whole["ours"],
                whole[peer],
                targets.get(peer),
            ),
        )
    ]


_LIVE = """SELECT EXISTS (
    SELECT FROM jobs WHERE queue = 'probe' AND state IN ('queued', 'running', 'waiting') AND landed < want) AS some"""
_TOOK = """SELECT count(*) AS n, extract(epoch FROM max(finished_at) - min(started_at)) AS s
    FROM jobs WHERE state = 'succeeded'"""


def main() -> None:
    """Read the command line."""
    made = parser(__doc__, repeats=3)
    made.add_argument("--jobs", type=int, default=3000)
    made.add_argument("--threads", type=int, default=64, help="messages in hand of our worker")
    made.add_argument("--peers", nargs="*", default=PEERS, choices=PEERS)
    args = made.parse_args()
    peers = [peer for peer in args.peers if installed(peer)]
    show(measure(args.jobs, args.repeats, args.threads, peers), as_json=args.json)


if __name__ == "__main__":
    main()
