"""Confirmed publishes per second from the gateway's side: in windows, against one at a time.

python -m tests.benchmarks.bench_publish [--messages 5000] [--repeats 5] [--json]
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import aio_pika

from broker.messages import PROBE, WorkOnJob
from tests.benchmarks.pairs import Line, interleaved, parser, show
from tests.benchmarks.system import System, opened


async def in_windows(system: System, many: int) -> float:
    """Send all in one call, as a batch of jobs does."""
    await _purge(system)
    began = time.perf_counter()
    await system.producer.send([WorkOnJob(PROBE)] * many)
    return many / (time.perf_counter() - began)


async def one_at_a_time(system: System, many: int) -> float:
    """Send the next one when the broker has taken the one before."""
    await _purge(system)
    began = time.perf_counter()
    for _ in range(many):
        await system.producer.send([WorkOnJob(PROBE)])
    return many / (time.perf_counter() - began)


async def _purge(system: System) -> None:
    await system.producer.depth(PROBE)  # declares it
    async with await aio_pika.connect(system.broker_url) as connection:
        channel = await connection.channel()
        await (await channel.get_queue(PROBE)).purge()


async def measure(many: int, repeats: int) -> Sequence[Line]:
    """Run both in turns."""
    async with opened() as system:
        plan = {
            "windows": lambda: in_windows(system, many),
            "one": lambda: one_at_a_time(system, max(1, many // 5)),
        }
        await in_windows(system, 100)  # connects
        told = await interleaved(plan, repeats)
    return [Line("confirmed publishes, in windows", "messages/s", "one at a time", told["windows"], told["one"], 4)]


def main() -> None:
    """Read the command line."""
    made = parser(__doc__, repeats=5)
    made.add_argument("--messages", type=int, default=5000)
    args = made.parse_args()
    show(measure(args.messages, args.repeats), as_json=args.json)


if __name__ == "__main__":
    main()
