"""Memory of one worker process while it reads and posts page after page: it must stay flat.

python -m tests.benchmarks.bench_memory [--pages 10000] [--rows 20] [--json]
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from broker.messages import DEDUP, DedupPage
from tests.benchmarks.landed import SWAPS, bodies, land
from tests.benchmarks.pairs import Line, parser, show
from tests.benchmarks.system import System, memory_mb, opened, until, until_consumed

FLAT = 1.1


async def watched(system: System, pages: int, rows: int) -> list[tuple[int, float, float]]:
    """Give (pages posted, RSS, PSS in MiB) at a tenth, a half and all of the pages."""
    await system.empty()
    seen: list[tuple[int, float, float]] = []
    marks = [pages // 10, pages // 2, pages]

    async def at_mark() -> bool:
        row = await system.one("SELECT coalesce(sum(posted), 0) AS posted FROM jobs")
        while marks and row.posted >= marks[0]:
            seen.append((marks.pop(0), *memory_mb(process)))
        return not marks

    async with system.worker() as process:
        await until_consumed(system.broker_url, DEDUP)
        for seed in range(10):  # landed in ten parts, so that this process does not hold all of them
            part = await land(system, SWAPS, list(bodies(SWAPS, pages // 10, rows, seed=seed + 1)))
            await system.producer.send([DedupPage(page) for page in part])
        await until(at_mark, "the pages to be posted", every_s=0.1)
    return seen


async def measure(pages: int, rows: int) -> Sequence[Line]:
    """Watch one worker over all pages."""
    async with opened() as system:
        seen = await watched(system, pages, rows)
    for posted, rss, pss in seen:
        sys.stderr.write(f"after {posted} pages: RSS {rss:.1f} MiB, PSS {pss:.1f} MiB\n")
    (few, _, first), (many, _, last) = seen[0], seen[-1]
    sys.stderr.write(f"slope {(last - first) * 1024 / (many - few) * 1000:.0f} KiB per 1000 pages\n")
    name = f"a worker's memory after {many} pages"
    return [Line(name, "MiB PSS", f"after {few}", [last], [first], FLAT, at_most=True)]


def main() -> None:
    """Read the command line."""
    made = parser(__doc__, repeats=1)
    made.add_argument("--pages", type=int, default=10_000)
    made.add_argument("--rows", type=int, default=20)
    args = made.parse_args()
    show(measure(args.pages, args.rows), as_json=args.json)


if __name__ == "__main__":
    main()
