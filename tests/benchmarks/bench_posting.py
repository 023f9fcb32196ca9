"""How fast items are posted, as a share of what the same server takes by straight COPY into tables of the same shape.

    python tests/benchmarks/bench_posting.py [--url postgresql://…/throwaway] [--rows 5000] [--repeats 5]

Each way writes the same rows (item, revision, observation, with all indexes); the repeats of all ways are interleaved,
so that a busy machine slows all of them.  Ratios are worth more than rates.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import orjson
import psycopg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from ledger import migrate
from ledger.engine import database_url, open_ledger
from ledger.model import Book, Item, storable
from ledger.store import Posting, known, post, unseen
from ledger.tables import metadata
from ops.embedded import Stack

AT = datetime(2026, 3, 1, tzinfo=UTC)
WORDS = (
    "bitcoin",
    "ether",
    "whale",
    "moves",
    "exchange",
    "fund",
    "rises",
    "falls",
    "token",
    "network",
    "price",
    "bank",
)
Way = Callable[[Sequence[Item]], Awaitable[None]]


def news(rng: random.Random, number: int) -> Item:
    """Make a news item of the usual size: a title, a paragraph, two coins, votes."""
    return Item(
        "bench",
        f"posts:{rng.getrandbits(60)}",
        Book.HUMAN,
        "post",
        AT + timedelta(seconds=number),
        {"description": " ".join(rng.choices(WORDS, k=50)), "domain": "example.com", "panic_score": number % 100},
        title=" ".join(rng.choices(WORDS, k=10)),
        url=f"https://example.com/news/{number}",
        coins=tuple(rng.sample(("BTC", "ETH", "SOL", "XRP", "ADA"), 2)),
        observed={"positive": number % 7, "negative": number % 3},
    )


def batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Cut the items into pieces."""
    return (items[start : start + size] for start in range(0, len(items), size))


class Ways:
    """The ways to write the same items; each commits as often as it says."""

    def __init__(self, ledger: AsyncEngine, straight: psycopg.AsyncConnection[Any]) -> None:
        self.ledger, self.straight, self.ids = ledger, straight, count(1)

    def posted(self, *, page: int, pages: int) -> Way:
        """``post`` of pages of so many items, so many pages in one call and commit."""

        async def way(items: Sequence[Item]) -> None:
            for call in batches(items, page * pages):
                postings = [Posting(uuid4(), AT, part) for part in batches(call, page)]
                async with self.ledger.begin() as conn:
                    await post(conn, postings, now=AT)

        return way

    def asked_first(self, *, page: int) -> Way:
        """As the pipeline does: one question per page, then ``post`` of what is left."""

        async def way(items: Sequence[Item]) -> None:
            for part in batches(items, page):
                async with self.ledger.begin() as conn:
                    held = await known(conn, [(one.provider, one.key) for one in part])
                    await post(conn, [Posting(uuid4(), AT, unseen(part, held))], now=AT)

        return way

    def copied(self, *, rows: int) -> Way:
        """COPY into the three tables, nothing checked or counted; a commit every so many rows."""

        async def way(items: Sequence[Item]) -> None:
            for part in batches(items, rows):
                async with self.straight.transaction(), self.straight.cursor() as cursor:
                    page = uuid4()
                    numbered = [(next(self.ids), one) for one in part]
                    for table, row in ROWS.items():
                        async with cursor.copy(table) as copy:
                            for number, one in numbered:
                                await copy.write_row(row(number, one, page))

        return way

    async def row_by_row(self, items: Sequence[Item]) -> None:
        """Three INSERTs and a commit for each item."""
        for one in items:
            number, page = next(self.ids), uuid4()
            async with self.straight.transaction():
                for table, row in ROWS.items():
                    values = row(number, one, page)
                    marks = ", ".join(["%s"] * len(values))
                    insert = table.replace("COPY", "INSERT INTO").replace("FROM STDIN", f"VALUES ({marks})")
                    await self.straight.execute(insert.encode(), values)


def _json(value: Any) -> str:
    return orjson.dumps(storable(value)).decode()


def _item(number: int, one: Item, page: UUID) -> tuple[Any, ...]:
    head = (one.fingerprint, one.fingerprint, AT, one.book.value, one.kind, one.happened_at)
    return (number, one.provider, one.key, AT, page, *head, _json(one.observed), AT)


def _revision(number: int, one: Item, page: UUID) -> tuple[Any, ...]:
    content = (one.title, one.url, list(one.coins), _json(one.body), one.provisional)
    return (number, one.fingerprint, one.provider, one.book.value, one.kind, one.happened_at, *content, page, AT, AT)


def _observation(number: int, one: Item, page: UUID) -> tuple[Any, ...]:
    return (number, AT, _json(one.observed), page, AT)


ROWS: dict[str, Callable[[int, Item, UUID], tuple[Any, ...]]] = {
    "COPY straight.items (id, provider, key, recorded_at, page_id, origin, fingerprint, seen_at, book, kind,"
    " happened_at, observed, observed_at) FROM STDIN": _item,
    "COPY straight.revisions (item_id, fingerprint, provider, book, kind, happened_at, title, url, coins, body,"
    " provisional, page_id, seen_at, recorded_at) FROM STDIN": _revision,
    "COPY straight.observations (item_id, observed_at, values, page_id, recorded_at) FROM STDIN": _observation,
}


async def measure(ways: Ways, *, rows: int, repeats: int, seed: int) -> dict[str, list[float]]:
    """Give items per second of each way and repeat."""
    plan: dict[str, tuple[Way, int]] = {
        "COPY, 1000 a commit": (ways.copied(rows=1000), rows),
        "post, one page of 1000": (ways.posted(page=1000, pages=1), rows),
        "post, 20 pages of 50": (ways.posted(page=50, pages=20), rows),
        "COPY, 50 a commit": (ways.copied(rows=50), rows),
        "post, one page of 50": (ways.posted(page=50, pages=1), rows),
        "known + post, one page of 50": (ways.asked_first(page=50), rows),
        "INSERT, a row a commit": (ways.row_by_row, rows // 10),
    }
    rates: dict[str, list[float]] = {name: [] for name in [*plan, "post again, 20 pages of 50", "known + post again"]}
    rng = random.Random(seed)
    for repeat in range(repeats + 1):
        for name, (way, many) in plan.items():
            items = [news(rng, number) for number in range(many)]
            await _empty(ways)
            took = {name: await _timed(way, items)}
            if name == "post, 20 pages of 50":
                took["post again, 20 pages of 50"] = await _timed(way, items)
                took["known + post again"] = await _timed(ways.asked_first(page=50), items)
            if repeat:  # the first round warms up
                for told, rate in took.items():
                    rates[told].append(rate)
    return rates


async def _timed(way: Way, items: Sequence[Item]) -> float:
    start = time.perf_counter()
    await way(items)
    return len(items) / (time.perf_counter() - start)


async def _empty(ways: Ways) -> None:
    names = ", ".join(f"{schema}.{table}" for schema in ("public", "straight") for table in metadata.tables)
    await ways.straight.execute(f"TRUNCATE {names}".encode())


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Ways]:
    """Open a throwaway database with the tables twice: migrated, and for straight COPY."""
    await asyncio.to_thread(migrate.upgrade, url)
    async with open_ledger(url) as ledger:
        async with ledger.begin() as conn:
            await conn.execute(text("DROP SCHEMA IF EXISTS straight CASCADE"))
            await conn.execute(text("CREATE SCHEMA straight"))
            await conn.execute(text("SET LOCAL search_path TO straight"))
            await conn.run_sync(metadata.create_all)
        plain = database_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        async with await psycopg.AsyncConnection.connect(plain, autocommit=True) as straight:
            yield Ways(ledger, straight)


def report(rates: dict[str, list[float]]) -> str:
    """Lay out medians, and the ratio to COPY of the same repeat with its spread."""
    lines = [f"{'way':32}{'items/s':>9}{'of COPY 1000':>14}   spread"]
    ceiling = rates["COPY, 1000 a commit"]
    for name, measured in rates.items():
        ratios = [rate / top for rate, top in zip(measured, ceiling, strict=True)]
        spread = f"{min(ratios):.2f}-{max(ratios):.2f}"
        lines.append(f"{name:32}{statistics.median(measured):9,.0f}{statistics.median(ratios):14.2f}   {spread}")
    return "\n".join(lines)


@contextmanager
def server(url: str | None) -> Iterator[str]:
    """Use the database that was given, else start a private server that keeps every commit, and stop it."""
    if url:
        yield url
        return
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
        stack = Stack(Path(folder), "rabbitmq").open()
        try:
            yield stack.postgres.start().url
        finally:
            stack.stop()


async def run(url: str, args: argparse.Namespace) -> str:
    """Measure and report."""
    async with opened(url) as ways:
        return report(await measure(ways, rows=args.rows, repeats=args.repeats, seed=args.seed))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--url", help="a throwaway database: its ledger is emptied")
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    with server(args.url) as url:
        sys.stdout.write(asyncio.run(run(url, args)) + "\n")


if __name__ == "__main__":
    main()
