"""A ledger of so many entries: backed up, restored beside itself, proved; how long each took.

    python -m tests.benchmarks.bench_restore [--entries 100000] [--users 10] [--processes 1] [--url postgresql://...]

The restored ledger is compared with the backup row by row, and its books prove themselves as `sluice verify` does.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ledger import migrate
from ledger.engine import open_ledger
from ops.backups.making import back_up
from ops.backups.manifest import checked
from ops.backups.proving import proved
from ops.backups.restoring import differences, load, redispatch, scratch
from tests.benchmarks.bench_trades import Ways, history, server


async def filled(url: str, entries: int, users: int) -> None:
    """Post and book trades, the same number for each user."""
    async with open_ledger(url) as database:
        for n in range(users):
            await Ways(database, 1000).booked(history(entries // users, f"user-{n}", seed=n))


class Clock:
    """Seconds of each part, told as they come."""

    def __init__(self) -> None:
        """Begin."""
        self.took: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time a block."""
        began = time.perf_counter()
        yield
        self.took[name] = time.perf_counter() - began
        sys.stdout.write(f"{name:28}{self.took[name]:9.2f} s\n")
        sys.stdout.flush()


def run(url: str, entries: int, users: int, folder: Path, processes: int | None) -> None:
    """Measure and report; exit with what is wrong where the result is not what was backed up."""
    clock = Clock()
    migrate.upgrade(url)
    with clock.part("post and book"):
        asyncio.run(filled(url, entries, users))
    with clock.part("back up"):
        made = back_up(url, folder / "kept")
    began = time.perf_counter()
    with clock.part("check the files"):
        manifest = checked(folder / "kept")
    with scratch(url) as target:
        with clock.part("load"):
            load(target, folder / "kept", manifest, force=False)
        with clock.part("compare every row"):
            found = differences(target, manifest)
        with clock.part("prove the books"):
            found += [
                f"{one.user} {one.check}: {one.diverges}" for one in proved(target, processes=processes) if one.diverges
            ]
        redispatch(target)
        rto = time.perf_counter() - began
    held, size = manifest.contents.tables, sum(file.bytes for file in made.files.values())
    sys.stdout.write(
        f"{held['entries'].rows:,} entries, {sum(one.rows for one in held.values()):,} rows, {size / 1e6:.1f} MB kept;"
        f" RTO {rto:.1f} s; {'identical' if not found else 'DIFFERENT'}\n"
    )
    if found:
        sys.exit("; ".join(found))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--url", help="a throwaway database")
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--users", type=int, default=10)
    parser.add_argument("--processes", type=int, help="that prove books; default: one for each core")
    args = parser.parse_args()
    with server(args.url) as url, tempfile.TemporaryDirectory(prefix="sluice-restore-") as folder:
        run(url, args.entries, args.users, Path(folder), args.processes)


if __name__ == "__main__":
    main()
