"""Items per second from landed pages to posted rows, against COPY of the same rows and against a commit for each row.

    python -m tests.benchmarks.bench_items [--items 10000] [--repeats 3] [--json]

Ours: one worker process takes the pages off RabbitMQ, reads them, asks what is known, sends what is new through
RabbitMQ once more and posts it (item, revision, observation, page and job; news also their story, by comparing titles),
from the first hint published to the last page posted.  COPY writes the same items, revisions and observations and does
nothing else.  The Celery task inserts the row of one item and commits, in eight threads whose commits share the disk's
flushes: a third of the rows that we write, and nothing asked first.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from uuid import UUID

import orjson

from broker.messages import DEDUP, DedupPage
from ledger.model import Item
from ops.bootstrap import server
from tests.benchmarks.bench_posting import ROWS, Ways
from tests.benchmarks.bench_posting import opened as copying
from tests.benchmarks.landed import NEWS, SWAPS, Kind, bodies, items, land
from tests.benchmarks.pairs import Line, Way, interleaved, parser, show
from tests.benchmarks.peers.run import drained, installed
from tests.benchmarks.system import System, opened, until, until_consumed

BULK, SMALL = 1000, 50
_ITEM = next(iter(ROWS))
_seeds = count(1)
NO_PAGE = UUID(int=0)


async def ours(system: System, kind: Kind, rows: int, total: int) -> float:
    """Let a worker that is ready read and post pages of so many rows."""
    await system.empty()
    pages = list(bodies(kind, max(1, total // rows), rows, seed=next(_seeds)))
    hints = [DedupPage(page) for page in await land(system, kind, pages)]
    async with system.worker():
        await until_consumed(system.broker_url, DEDUP)
        began = time.perf_counter()
        await system.producer.send(hints)
        await until(lambda: _posted(system), "the pages to be posted")
        took_s = time.perf_counter() - began
    told = await system.one("SELECT (SELECT count(*) FROM items) AS items, (SELECT state FROM jobs) AS state")
    assert (told.items, told.state) == (rows * len(pages), "succeeded"), told
    return rows * len(pages) / took_s


async def _posted(system: System) -> bool:
    left = await system.one("SELECT EXISTS (SELECT FROM pages WHERE state = 'landed') AS some")
    return not left.some


async def copied(system: System, ways: Ways, kind: Kind, rows: int, total: int) -> float:
    """COPY the items of the same kind of pages, a commit for each page."""
    await system.empty()
    await ways.straight.execute("TRUNCATE straight.items, straight.revisions, straight.observations CASCADE")
    parsed = items(kind, list(bodies(kind, max(1, total // rows), rows, seed=next(_seeds))))
    began = time.perf_counter()
    await ways.copied(rows=rows)(parsed)
    return len(parsed) / (time.perf_counter() - began)


async def one_by_one(system: System, ways: Ways, total: int) -> float:
    """Give each item to a Celery task."""
    await ways.straight.execute("TRUNCATE straight.items, straight.revisions, straight.observations CASCADE")
    parsed, file = items(SWAPS, list(bodies(SWAPS, 1, total, seed=next(_seeds)))), system.var / "rows.jsonl"
    await asyncio.to_thread(_write, file, parsed, ways)
    marks = ", ".join(["%s"] * len(ROWS[_ITEM](0, parsed[0], NO_PAGE)))
    variables = {
        "BENCH_ROWS": str(file),
        "BENCH_INSERT": _ITEM.replace("COPY", "INSERT INTO").replace("FROM STDIN", f"VALUES ({marks})"),
        "BENCH_DATABASE_URL": server(system.settings.database_url),
    }
    return (await drained(system, "celery", "insert", len(parsed), **variables)).rate


def _write(file: Path, parsed: Sequence[Item], ways: Ways) -> None:
    rows = (ROWS[_ITEM](next(ways.ids), one, NO_PAGE) for one in parsed)
    file.write_bytes(b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows))


async def measure(total: int, singles: int, repeats: int) -> list[Line]:
    """Run all ways in turns."""
    async with opened() as system, copying(server(system.settings.database_url)) as ways:
        plan: dict[str, Way] = {
            "bulk": lambda: ours(system, SWAPS, BULK, total),
            "copy bulk": lambda: copied(system, ways, SWAPS, BULK, total),
            "small": lambda: ours(system, SWAPS, SMALL, total // 2),
            "copy small": lambda: copied(system, ways, SWAPS, SMALL, total // 2),
            "news": lambda: ours(system, NEWS, SMALL, total // 4),
            "copy news": lambda: copied(system, ways, NEWS, SMALL, total // 4),
        }
        if installed("celery"):
            plan["celery"] = lambda: one_by_one(system, ways, singles)
        told = await interleaved(plan, repeats)
    lines = [
        Line(f"swaps posted, {BULK} a page", "items/s", "COPY", told["bulk"], told["copy bulk"], 0.5),
        Line(f"swaps posted, {SMALL} a page", "items/s", "COPY", told["small"], told["copy small"], 0.25),
        Line(f"news posted and grouped, {SMALL} a page", "items/s", "COPY", told["news"], told["copy news"], 0.25),
    ]
    if "celery" in told:
        peer = "celery, row by row"
        lines.append(Line(f"swaps posted, {SMALL} a page", "items/s", peer, told["small"], told["celery"], 10))
        lines.append(Line(f"swaps posted, {BULK} a page", "items/s", peer, told["bulk"], told["celery"]))
    return lines


def main() -> None:
    """Read the command line."""
    made = parser(__doc__, repeats=3)
    made.add_argument("--items", type=int, default=10_000, help="items of a bulk round; half as many in small pages")
    made.add_argument("--singles", type=int, default=1000, help="items of the row-by-row round")
    args = made.parse_args()
    show(measure(args.items, args.singles, args.repeats), as_json=args.json)


if __name__ == "__main__":
    main()
