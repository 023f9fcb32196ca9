"""Trades into the database: with every invariant against the same rows unchecked; told again; booked, end to end.

    python -m tests.benchmarks.bench_trades [--rows 4000] [--repeats 5] [--batch 1000] [--url postgresql://...]

``unchecked`` writes the same values into a plain entry table and four plain lines a trade (two a transfer), by the same
COPY and INSERT: no foreign keys, no checks, no role, no row-level security, no chain, no balances, nothing known.
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
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from ledger import migrate
from ledger.bookkeeping import Shelf, post_and_book
from ledger.engine import open_ledger
from ledger.entries import Key, NewEntry, entry_of
from ledger.posting import known, post
from ledger.tenancy import driver_cursor
from ledger.trades import Kind, Trade
from ops.embedded import Stack

FIRST = datetime(2024, 1, 1, tzinfo=UTC)
Way = Callable[[Sequence[NewEntry]], Awaitable[None]]


def history(rows: int, user: str, seed: int = 1) -> list[NewEntry]:
    """Invent trades of one coin, each with a fee: three transfers a trade."""
    rng, held, made = random.Random(seed), Decimal(0), list[NewEntry]()
    for n in range(rows):
        qty = Decimal(rng.randint(1, 10**8)).scaleb(-8)
        sells = held > qty and rng.random() < 0.5
        held += -qty if sells else qty
        trade = Trade(
            trade_id=f"t{n}",
            user=user,
            account="main",
            happened_at=FIRST + n * timedelta(seconds=7),
            kind=Kind.SELL if sells else Kind.BUY,
            base="BTC",
            qty=qty,
            price=Decimal(rng.randint(9_000_000, 11_000_000)).scaleb(-2),
            fee_qty=Decimal("0.25"),
            fee_coin="USDT",
        )
        made.append(entry_of(trade, Key("bench", trade.trade_id), page=None, position=n))
    return made


class Ways:
    """The ways to write, on one database."""

    def __init__(self, database: AsyncEngine, batch: int) -> None:
        self.database, self.batch = database, batch
        self.shelf = Shelf()

    async def in_batches(
        self, entries: Sequence[NewEntry], write: Callable[[AsyncConnection, Sequence[NewEntry]], Awaitable[Any]]
    ) -> None:
        """A transaction for each batch."""
        for start in range(0, len(entries), self.batch):
            async with self.database.begin() as conn:
                await write(conn, entries[start : start + self.batch])

    async def posted(self, entries: Sequence[NewEntry]) -> None:
        """Every invariant, nothing booked."""
        await self.in_batches(entries, lambda conn, some: post(conn, some[0].user, some, now=datetime.now(UTC)))

    async def booked(self, entries: Sequence[NewEntry]) -> None:
        """Posted and booked by four methods."""

        async def write(conn: AsyncConnection, some: Sequence[NewEntry]) -> None:
            await post_and_book(conn, some[0].user, some, self.shelf, now=datetime.now(UTC))

        await self.in_batches(entries, write)

    async def told_again(self, entries: Sequence[NewEntry]) -> None:
        """What dedup does with rows that are there."""

        async def ask(conn: AsyncConnection, some: Sequence[NewEntry]) -> None:
            held = await known(conn, some[0].user, [entry.key for entry in some])
            assert all(held[entry.key].body_hash == entry.body_hash for entry in some)

        await self.in_batches(entries, ask)

    async def unchecked(self, entries: Sequence[NewEntry]) -> None:
        """The same values, and nobody asks whether they may be."""
        await self.in_batches(entries, _write_unchecked)


async def _write_unchecked(conn: AsyncConnection, some: Sequence[NewEntry]) -> None:
    now = datetime.now(UTC)
    async with driver_cursor(conn) as cursor:
        await cursor.execute(_PLAIN_STAGE)
        ids = [uuid4() for _ in some]
        async with cursor.copy("COPY plain_entry_stage FROM STDIN") as copy:
            for id_, entry in zip(ids, some, strict=True):
                key = (entry.key.source, entry.key.external_id, entry.key.occurrence)
                body = orjson.dumps(entry.body).decode()
                await copy.write_row(
                    (
                        entry.user,
                        id_,
                        *key,
                        entry.body_hash,
                        entry.kind,
                        entry.happened_at,
                        now,
                        list(entry.coins),
                        body,
                    )
                )
        async with cursor.copy("COPY plain_line_stage FROM STDIN") as copy:
            for id_, entry in zip(ids, some, strict=True):
                for n, moved in enumerate(entry.transfers):
                    await copy.write_row((entry.user, id_, n, moved.debit, moved.asset, moved.amount))
                    await copy.write_row((entry.user, id_, n, moved.credit, moved.asset, -moved.amount))
        await cursor.execute("INSERT INTO plain.entries SELECT * FROM plain_entry_stage ON CONFLICT DO NOTHING")
        await cursor.execute("INSERT INTO plain.lines SELECT * FROM plain_line_stage")


_PLAIN_STAGE = """
CREATE TEMPORARY TABLE IF NOT EXISTS plain_entry_stage (LIKE plain.entries) ON COMMIT DELETE ROWS;
CREATE TEMPORARY TABLE IF NOT EXISTS plain_line_stage (LIKE plain.lines) ON COMMIT DELETE ROWS
"""

_PLAIN = """
DROP SCHEMA IF EXISTS plain CASCADE; CREATE SCHEMA plain;
CREATE TABLE plain.entries (user_id text, id uuid, source text, external_id text, occurrence int, body_hash text,
    kind text, happened_at timestamptz, recorded_at timestamptz, coins text[], body jsonb,
    PRIMARY KEY (user_id, id), UNIQUE (user_id, source, external_id, occurrence));
CREATE INDEX ON plain.entries (user_id, happened_at);
CREATE TABLE plain.lines (user_id text, entry_id uuid, n smallint, account text, asset text, amount numeric(78, 36));
CREATE INDEX ON plain.lines (user_id, entry_id)
"""


async def measure(database: AsyncEngine, args: argparse.Namespace) -> dict[str, list[float]]:
    """Give trades per second of each way and repeat; each repeat is another user's history."""
    rates: dict[str, list[float]] = {}
    for repeat in range(args.repeats + 1):
        ways = Ways(database, args.batch)
        plan: list[tuple[str, Way, str]] = [
            ("unchecked", ways.unchecked, f"u{repeat}"),
            ("posted, all invariants", ways.posted, f"p{repeat}"),
            ("posted and booked by four methods", ways.booked, f"b{repeat}"),
            ("told again", ways.told_again, f"b{repeat}"),
        ]
        for name, way, user in plan:
            entries = history(args.rows, user, seed=repeat)
            start = time.perf_counter()
            await way(entries)
            rate = len(entries) / (time.perf_counter() - start)
            if repeat:  # the first round warms up
                rates.setdefault(name, []).append(rate)
    return rates


def report(rates: dict[str, list[float]]) -> str:
    """Lay out medians, and ratios of the same repeat with their spread."""
    lines = [f"{'way':36}{'trades/s':>10}{'of unchecked':>14}   spread"]
    for name, measured in rates.items():
        ratios = [rate / other for rate, other in zip(measured, rates["unchecked"], strict=True)]
        spread = f"{min(ratios):.2f}-{max(ratios):.2f}"
        lines.append(f"{name:36}{statistics.median(measured):10,.0f}{statistics.median(ratios):14.2f}   {spread}")
    return "\n".join(lines)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[AsyncEngine]:
    """Open a throwaway database with the books, and the plain tables beside them."""
    await asyncio.to_thread(migrate.upgrade, url)
    async with open_ledger(url) as database:
        async with database.begin() as conn:
            for statement in _PLAIN.split(";"):
                await conn.execute(text(statement))
        yield database


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
    async with opened(url) as database:
        return report(await measure(database, args))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--url", help="a throwaway database")
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch", type=int, default=1000)
    args = parser.parse_args()
    with server(args.url) as url:
        sys.stdout.write(asyncio.run(run(url, args)) + "\n")


if __name__ == "__main__":
    main()
