"""What the story of one title costs with few and with many titles in the window, and the memory that takes.

    python tests/benchmarks/bench_stories.py [--few 10000] [--many 100000] [--titles 2000] [--ledger]

The rule alone, in memory, on one core; with ``--ledger`` also the step as ``post`` takes it, on a real server, in pages
of 50.  Titles are invented: half of them retell one of the last 200 stories, words are used as unevenly as in news.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from pathlib import Path

import psutil
from sqlalchemy.ext.asyncio import AsyncEngine

from ledger import migrate
from ledger.engine import open_ledger
from ledger.memory import Memory
from ledger.model import Book, Item
from ledger.stories import join
from ledger.telling import Teller
from ledger.tenancy import driver_cursor
from ops.embedded import Stack
from workers.stories import telling

AT = datetime(2026, 3, 1, tzinfo=UTC)
VOCABULARY = 60_000
PAGE = 50


def news(seed: int) -> Iterator[Item]:
    """Invent news for ever."""
    rng = random.Random(seed)
    words = ["".join(rng.choices("abcdefghijklmnoprstuvwz", k=rng.randint(4, 9))) for _ in range(VOCABULARY)]
    running: list[list[str]] = []
    for number in count():
        if not running or rng.random() < 0.5:
            running = [*running[-199:], [words[_rank(rng)] for _ in range(9)]]
        told = rng.choice(running)
        title = " ".join(rng.sample(told, 5) + [words[_rank(rng)] for _ in range(4)])
        at = AT + timedelta(seconds=2 * number)
        yield telling(Item("bench", f"posts:{number}", Book.HUMAN, "news", at, {}, title=title))


def _rank(rng: random.Random) -> int:
    """Draw a word as language does: the nth in rank is used about 1/n as often as the first."""
    return min(VOCABULARY - 1, int(VOCABULARY ** rng.random()) - 1)


def in_memory(items: Sequence[Item], teller: Teller) -> float:
    """Tell the items; give titles per second of processor time."""
    start = time.process_time()
    for item in items:
        teller.tell(item, teller.nearby(item))
    return len(items) / (time.process_time() - start)


def rule(sizes: Sequence[int], titles: int, seed: int) -> Iterator[str]:
    """Measure the rule alone at each size."""
    process, stream, told = psutil.Process(), news(seed), 0
    teller, rates, before = Teller(count(1).__next__), [], process.memory_info().rss
    for size in sizes:
        for _ in range(told, size, PAGE):
            in_memory(list(islice(stream, PAGE)), teller)
        held = (process.memory_info().rss - before) / 2**20
        rates.append(in_memory(list(islice(stream, titles)), teller))
        told = size + titles
        yield f"memory, window {size:7,}: {rates[-1]:8,.0f} titles/s a core, {_size(teller.memory)}, {held:,.0f} MiB"
    yield f"memory, cost at {sizes[-1]:,} against {sizes[0]:,}: {rates[0] / rates[-1]:.2f}"


def _size(memory: Memory) -> str:
    return f"{len(memory.stories):,} open stories, {len(memory.terms):,} terms"


async def ledger(sizes: Sequence[int], titles: int, seed: int) -> list[str]:
    """Measure the step on a server of its own, at each size."""
    lines, rates = [], []
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:
        stack = Stack(Path(folder), "rabbitmq").open()
        try:
            url = stack.postgres.start().url
            await asyncio.to_thread(migrate.upgrade, url)
            stream, told = news(seed), 0
            async with open_ledger(url) as engine:
                for size in sizes:
                    await _step(engine, list(islice(stream, size - told)), page=1000)
                    asked = list(islice(stream, titles))
                    start, cpu = time.perf_counter(), time.process_time()
                    await _step(engine, asked, page=PAGE)
                    rates.append(titles / (time.perf_counter() - start))
                    ours = titles / (time.process_time() - cpu)
                    lines.append(
                        f"ledger, window {size:7,}: {rates[-1]:8,.0f} titles/s, {ours:,.0f} a core of the worker"
                    )
                    told = size + titles
        finally:
            stack.stop()
    return [*lines, f"ledger, cost at {sizes[-1]:,} against {sizes[0]:,}: {rates[0] / rates[-1]:.2f}"]


async def _step(engine: AsyncEngine, items: Sequence[Item], *, page: int) -> None:
    for start in range(0, len(items), page):
        async with engine.begin() as conn, driver_cursor(conn) as cursor:
            await join(cursor, items[start : start + page], now=AT)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--few", type=int, default=10_000)
    parser.add_argument("--many", type=int, default=100_000)
    parser.add_argument("--titles", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ledger", action="store_true", help="also in the database; the first filling takes minutes")
    args = parser.parse_args()
    for line in rule((args.few, args.many), args.titles, args.seed):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    if args.ledger:
        sys.stdout.write("\n".join(asyncio.run(ledger((args.few, args.many), args.titles, args.seed))) + "\n")


if __name__ == "__main__":
    main()
