"""How fast trades are booked, against RP2 and Beancount on the same rows, and what one more or one late trade costs.

    python tests/benchmarks/bench_booking.py [--rows 100000] [--beancount-rows 10000] [--json FILE]

One coin, no shorts, half of the rows sales of what is there: a random walk.  Every program books the same file in a
process of its own, one after another; seconds are of the processor.  Beancount takes time with the square of its open
lots, so that it gets fewer rows unless asked otherwise, and is compared at that number.
"""

from __future__ import annotations

import argparse
import csv
import gc
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from ledger.booking import Rules, book
from ledger.csvfile import trade_of
from ledger.journal import Journal
from ledger.lots import Method
from ledger.trades import Trade

TOP = Path(__file__).parents[2]
COLUMNS = "seq trade_id user account ts kind base qty quote price quote_rate fee_qty fee_coin fee_value to_account tag"
FIRST = datetime(2020, 1, 1, tzinfo=UTC)
LATE_BY_MAX = 250
LATE_INTO = 10_000
Told = dict[str, Any]


def walk(count: int, seed: int = 7) -> list[dict[str, str]]:
    """Invent rows: purchases, and sales of some of what is there."""
    rng, held, at = random.Random(seed), 0, FIRST
    rows: list[dict[str, str]] = []
    for n in range(1, count + 1):
        at += timedelta(seconds=rng.randint(1, 60))
        qty = rng.randint(1, 5 * 10**8)
        selling = held > 0 and rng.random() < 0.5
        qty = min(held, qty) if selling else qty
        held += -qty if selling else qty
        price, fee = Decimal(rng.randint(3_000_000, 6_000_000)) / 100, Decimal(rng.randint(0, 10**6)) / 10**6
        told = (n, f"t{n}", "ann", "desk", at.isoformat(), "sell" if selling else "buy", "BTC", Decimal(qty) / 10**8)
        values = (*told, "USDT", price, 1, fee, "USDT", "", "", "")
        rows.append(
            dict(
                zip(
                    COLUMNS.split(),
                    (format(one, "f") if isinstance(one, Decimal) else str(one) for one in values),
                    strict=True,
                )
            )
        )
    return rows


def written(rows: Sequence[dict[str, str]], folder: Path) -> Path:
    """Write rows to a file that every program reads."""
    file = folder / f"{len(rows)}.csv"
    with file.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, COLUMNS.split())
        writer.writeheader()
        writer.writerows(rows)
    return file


def booked(engine: str, file: Path, method: str = "FIFO", *, times: int = 1) -> Told:
    """Book a file in a process of its own, and give the best of so many times."""
    # RP2 writes a log folder where it is started: beside the file, not into the checkout.
    command = [sys.executable, str(TOP / "tests/benchmarks/book_with.py"), engine, str(file), "--method", method]
    environment = {**os.environ, "PYTHONPATH": str(TOP)}
    runs = [
        subprocess.run(command, cwd=file.parent, env=environment, capture_output=True, text=True, check=True)
        for _ in range(times)
    ]
    told: list[Told] = [json.loads(run.stdout) for run in runs]
    return min(told, key=lambda one: float(one["book_s"]))


def same(*told: Told) -> bool:
    """Whether all sold at the same cost, from as many lots."""
    costs = [Decimal(one["cost"]) for one in told]
    return max(costs) - min(costs) < Decimal("1e-9") and len({one["matches"] for one in told}) == 1


def one_more(trades: Sequence[Trade], history: int, more: int = 2000) -> float:
    """Give the seconds that one more trade takes after a history, the best of several stretches."""
    booking, _ = book(trades[:history], Rules())
    gc.collect()
    rest = trades[history : history + more]
    laps: list[float] = []
    for begin in range(0, more, 40):
        begun = time.process_time()
        for trade in rest[begin : begin + 40]:
            booking.book(trade)
        laps.append((time.process_time() - begun) / 40)
    return min(laps)


def timed(work: Callable[[], object]) -> float:
    """Give the processor seconds of one call."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def late(trades: Sequence[Trade], late_by: Callable[[random.Random], int], times: int = 25) -> float:
    """Give the median seconds that a late row takes; it comes so many rows too late."""
    journal, rng = Journal(Rules()), random.Random(3)
    for trade in trades:
        journal.arrive(trade)
    laps: list[float] = []
    for n in range(times):
        before = trades[-1 - late_by(rng)]
        one = Trade(
            trade_id=f"late{n}",
            user="ann",
            account="desk",
            happened_at=before.happened_at,
            kind=before.kind.BUY,
            base="BTC",
            qty=Decimal("0.01"),
            price=before.price,
            seq=len(trades) + n,
        )
        laps.append(timed(lambda one=one: journal.arrive(one)))  # type: ignore[misc]
    return statistics.median(laps)


def measured(rows: int, beancount_rows: int) -> Told:
    """Run everything, telling as it goes."""
    say = sys.stderr.write
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        invented = walk(rows)
        small = written(invented[: rows // 10], folder)
        big, few = written(invented, folder), written(invented[:beancount_rows], folder)
        ours = {method.value: booked("sluice", big, method.value, times=3) for method in Method}
        say(f"ours, {rows} rows: { ({name: round(one['book_s'], 3) for name, one in ours.items()}) }\n")
        tenth = booked("sluice", small, times=3)
        rp2 = booked("rp2", big)
        say(f"RP2, {rows} rows: {rp2['book_s']:.2f} s, and {rp2['build_s']:.2f} s to make its objects\n")
        ours_few, beancount = booked("sluice", few, times=3), booked("beancount", few)
        say(f"Beancount, {beancount_rows} rows: {beancount['book_s']:.2f} s\n")
    now = datetime.now(UTC)
    trades = [trade_of(row, n, now=now) for n, row in enumerate(walk(max(rows, LATE_INTO) + 2000), 1)]
    ten = trades[:LATE_INTO]
    full = min(timed(lambda: book(ten, Rules())) for _ in range(5))
    few_late, half_late = late(ten, lambda rng: rng.randint(1, LATE_BY_MAX)), late(ten, lambda _: len(ten) // 2, 5)
    fifo = ours["FIFO"]
    return {
        "rows": rows,
        "same_cost_and_lots": same(fifo, rp2) and same(ours_few, beancount),
        "fifo_s": fifo["book_s"],
        "fifo_with_reading_s": fifo["book_s"] + fifo["build_s"],
        "rp2_booking_ratio": rp2["book_s"] / fifo["book_s"],
        "rp2_all_ratio": (rp2["book_s"] + rp2["build_s"]) / fifo["book_s"],
        "rp2_all_to_all_ratio": (rp2["book_s"] + rp2["build_s"]) / (fifo["book_s"] + fifo["build_s"]),
        "beancount_rows": beancount_rows,
        "beancount_ratio": beancount["book_s"] / ours_few["book_s"],
        "hifo_to_fifo": ours["HIFO"]["book_s"] / fifo["book_s"],
        "all_to_tenth": fifo["book_s"] / tenth["book_s"],
        "one_more_after_all_to_after_hundredth": one_more(trades, rows) / one_more(trades, rows // 100),
        "late_to_full": few_late / full,
        "late_s": few_late,
        "half_a_history_late_to_full": half_late / full,
    }


TARGETS: dict[str, tuple[str, float]] = {
    "fifo_s": ("at most", 0.5),
    "rp2_all_ratio": ("at least", 50),
    "hifo_to_fifo": ("at most", 3),
    "all_to_tenth": ("at most", 12),
    "one_more_after_all_to_after_hundredth": ("at most", 1.5),
    "late_to_full": ("at most", 0.1),
}


def main() -> None:
    """Measure, print, and say which targets are met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--beancount-rows", type=int, default=10_000)
    parser.add_argument("--json", type=Path, help="Write the figures here, too.")
    given = parser.parse_args()
    told = measured(given.rows, given.beancount_rows)
    for name, value in told.items():
        bound, target = TARGETS.get(name, ("", 0.0))
        met = {"at most": value <= target, "at least": value >= target}.get(bound)
        verdict = "" if met is None else f"   {bound} {target:g}: {'met' if met else 'NOT MET'}"
        sys.stdout.write(f"{name:40} {value:>12.4g}{verdict}\n")
    if given.json is not None:
        given.json.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
