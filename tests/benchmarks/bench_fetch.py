"""A thousand fetches that each wait 50 ms in the provider, 100 at once: wall time against the ideal, and peak memory.

    python -m tests.benchmarks.bench_fetch [--fetches 1000] [--repeats 3] [--json]

Bare: a message, one HTTP call, nothing kept, in our worker and in those of others.  Whole: the job is claimed, the
limiter asked, the page fetched and landed (and, empty as it is, read and posted right after, which takes its time too).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from broker import jobs
from broker.jobs import NewJob
from broker.messages import PROBE, WorkOnJob, fetch_queue
from tests.benchmarks.pairs import Line, Way, interleaved, parser, show
from tests.benchmarks.peers.run import Drained, drained, installed
from tests.benchmarks.slow_provider import WAIT_S
from tests.benchmarks.system import ROOT, System, memory_mb, opened, until
from workers.providers.cryptopanic import PROVIDER

IN_HAND = 100
WIDE = "tests.benchmarks.wide"


@asynccontextmanager
async def provider() -> AsyncIterator[str]:
    """Run the slow provider in a process of its own; give its address."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.benchmarks.slow_provider", cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        yield (await process.stdout.readline()).decode().strip()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def bare(system: System, url: str, many: int) -> Drained:
    """Fetch in our worker without any of what makes it durable."""
    result = system.var / "ours.json"
    result.unlink(missing_ok=True)
    await system.producer.send([WorkOnJob(PROBE)] * many)
    peak = 0.0

    async def done() -> bool:
        nonlocal peak
        peak = max(peak, memory_mb(process)[1])
        return result.exists()

    variables = {
        "BENCH_BARE": "1",
        "BENCH_COUNT": str(many),
        "BENCH_RESULT": str(result),
        "SLUICE_CRYPTOPANIC_URL": url,
    }
    async with system.worker(threads=IN_HAND, module=WIDE, **variables) as process:
        await until(done, "the bare fetches", every_s=0.1)
    return Drained(many, 0.0, json.loads(result.read_text())["seconds"], peak)


async def whole(system: System, url: str, many: int) -> Drained:
    """Fetch jobs, from the first claim to the last landed page."""
    await system.empty()
    queue = fetch_queue(PROVIDER.name)
    new = [NewJob("fetch", queue, {"provider": PROVIDER.name, "dataset": "posts", "params": {}})] * many
    async with system.database.begin() as conn:
        await jobs.enqueue(conn, new, now=datetime.now(UTC))
    await system.producer.send([WorkOnJob(queue)] * many)
    peak = 0.0

    async def landed() -> bool:
        nonlocal peak
        peak = max(peak, memory_mb(process)[1])
        return bool((await system.one("SELECT count(*) AS n FROM pages")).n == many)

    async with system.worker(threads=IN_HAND, module=WIDE, SLUICE_CRYPTOPANIC_URL=url) as process:
        await until(landed, "the pages to land", every_s=0.05)
        ended = time.time()
    row = await system.one("SELECT extract(epoch FROM min(started_at)) AS began FROM jobs")
    return Drained(many, 0.0, ended - float(row.began), peak)


async def measure(many: int, repeats: int) -> list[Line]:
    """Run all of them in turns."""
    both: dict[str, list[Drained]] = {"bare": [], "whole": []}
    both |= {peer: [] for peer in ("dramatiq", "taskiq") if installed(peer)}
    async with opened() as system, provider() as url:

        async def one(name: str) -> Drained:
            if name == "bare":
                return await bare(system, url, many)
            if name == "whole":
                return await whole(system, url, many)
            return await drained(system, name, "get", many, BENCH_URL=f"{url}/posts")

        def way(name: str) -> Way:
            async def run() -> float:
                both[name].append(await one(name))
                return both[name][-1].drained_s

            return run

        await interleaved({name: way(name) for name in both}, repeats)
    return lines(both, many)


def lines(both: dict[str, list[Drained]], many: int) -> list[Line]:
    """Put the bare and the whole way beside the ideal and the others."""
    seconds = {name: [done.drained_s for done in runs] for name, runs in both.items()}
    memory = {name: [done.pss_mb for done in runs] for name, runs in both.items()}
    ideal = [many * WAIT_S / IN_HAND] * len(seconds["bare"])
    what = {"bare": f"{many} bare fetches of 50 ms", "whole": f"{many} fetches, claimed, limited, landed"}
    told = [
        Line(what["bare"], "s", "ideal", seconds["bare"], ideal, 2.0, at_most=True),
        Line(what["whole"], "s", "ideal", seconds["whole"], ideal, 2.0, at_most=True),
    ]
    for peer in sorted(both.keys() - {"bare", "whole"}):
        told += [Line(what[kind], "s", f"{peer}, bare", seconds[kind], seconds[peer], at_most=True) for kind in what]
        told.append(Line("peak memory, bare fetches", "MiB PSS", peer, memory["bare"], memory[peer], at_most=True))
        told.append(Line("peak memory, whole fetches", "MiB PSS", peer, memory["whole"], memory[peer], at_most=True))
    return told


def main() -> None:
    """Read the command line."""
    made = parser(__doc__, repeats=3)
    made.add_argument("--fetches", type=int, default=1000)
    args = made.parse_args()
    show(measure(args.fetches, args.repeats), as_json=args.json)


if __name__ == "__main__":
    main()
