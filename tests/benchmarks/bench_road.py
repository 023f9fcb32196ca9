"""Trades per second from a row in a job to a booked lot: through the broker and the actors, against posting alone.

    python -m tests.benchmarks.bench_road [--trades 8000] [--users 8] [--repeats 3] [--json]

Ours: jobs of 1000 rows each are there; one worker process takes their hints off RabbitMQ, keeps each as a page, judges
every row, asks what is known, sends what is new through RabbitMQ once more, posts it with every invariant and books it
by four methods, from the first hint published to the last page posted.  *Directly* is one process that posts and books
the same entries, already read, a transaction for each 1000; *posted* does not book them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import count

from broker import jobs
from broker.jobs import NewJob
from broker.messages import LEDGER, WorkOnJob
from ledger.entries import NewEntry
from tests.benchmarks.bench_trades import Ways, history
from tests.benchmarks.pairs import Line, Way, interleaved, parser, show
from tests.benchmarks.system import System, opened, until, until_consumed

PAGE = 1000
_seeds = count(1)


async def through_actors(system: System, trades: int, users: int) -> float:
    """Let a worker that is ready take jobs of rows to their end."""
    await system.empty()
    books = invented(trades, users)
    new = [
        NewJob("ledger.trades", LEDGER, {"user": user, "source": "bench", "rows": [row(one) for one in entries]})
        for user, entries in books
    ]
    async with system.database.begin() as conn:
        await jobs.enqueue(conn, new, now=datetime.now(UTC))
    async with system.worker():
        await until_consumed(system.broker_url, LEDGER)
        began = time.perf_counter()
        await system.producer.send([WorkOnJob(LEDGER)] * len(new))
        await until(lambda: _ended(system), "the jobs to end")
        took_s = time.perf_counter() - began
    told = await system.one("SELECT sum(new) AS new, sum(rejected) AS rejected FROM jobs")
    wanted = sum(len(entries) for _, entries in books)
    assert (told.new, told.rejected) == (wanted, 0), told
    return wanted / took_s


async def directly(system: System, trades: int, users: int, *, book: bool) -> float:
    """Post entries that are at hand, and book them or not."""
    await system.empty()
    ways, books = Ways(system.database, PAGE), invented(trades, users)
    began = time.perf_counter()
    for _, entries in books:
        await (ways.booked if book else ways.posted)(entries)
    return sum(len(entries) for _, entries in books) / (time.perf_counter() - began)


def invented(trades: int, users: int) -> list[tuple[str, Sequence[NewEntry]]]:
    """Make histories in pages, each user's in order."""
    seed = next(_seeds)
    whole = {f"u{seed}-{n}": history(trades // users, f"u{seed}-{n}", seed=seed + n) for n in range(users)}
    return [
        (user, entries[start : start + PAGE])
        for start in range(0, trades // users, PAGE)
        for user, entries in whole.items()
    ]


def row(entry: NewEntry) -> dict[str, str]:
    """Tell an entry as a user would have."""
    return {name: value for name, value in entry.body.items() if value and name != "user"}


async def _ended(system: System) -> bool:
    left = await system.one("SELECT EXISTS (SELECT FROM jobs WHERE state NOT IN ('succeeded', 'failed')) AS some")
    return not left.some


async def measure(trades: int, users: int, repeats: int) -> list[Line]:
    """Run all ways in turns."""
    async with opened() as system:
        plan: dict[str, Way] = {
            "actors": lambda: through_actors(system, trades, users),
            "direct": lambda: directly(system, trades, users, book=True),
            "posted": lambda: directly(system, trades, users, book=False),
        }
        told = await interleaved(plan, repeats)
    return [
        Line("trades, job to booked lots", "trades/s", "posted, not booked", told["actors"], told["posted"], 0.35),
        Line("trades, job to booked lots", "trades/s", "directly", told["actors"], told["direct"]),
        Line("trades posted and booked, directly", "trades/s", "posted", told["direct"], told["posted"], 0.35),
    ]


def main() -> None:
    """Read the command line."""
    made = parser(__doc__, repeats=3)
    made.add_argument("--trades", type=int, default=8000)
    made.add_argument("--users", type=int, default=8)
    args = made.parse_args()
    show(measure(args.trades, args.users, args.repeats), as_json=args.json)


if __name__ == "__main__":
    main()
