"""A race of processes: each asks for so many calls of one quota at once; prints how many all of them were admitted.

python -m tests.integration.gateway.limit_racer QUOTA PROCESSES CALLS MINUTE, with Redis's URL as its input.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import NoReturn

from gateway.limit import Limits, Policy, open_limiter


async def race(url: str, quota: str, calls: int, limits: Limits, *, ready: int, start: int) -> int:
    """Connect, say so, wait for the start, ask."""
    async with open_limiter(url, Policy(budget_s=60.0)) as limiter:
        os.write(ready, b"r")
        await asyncio.to_thread(os.read, start, 1)
        verdicts = await asyncio.gather(*(limiter.charge(quota, limits) for _ in range(calls)))
    return sum(verdict.admitted for verdict in verdicts)


def run_child(url: str, quota: str, calls: int, limits: Limits, *, ready: int, start: int) -> NoReturn:
    """Race, and leave with the number of admissions as exit status."""
    admitted = 255
    try:
        admitted = asyncio.run(race(url, quota, calls, limits, ready=ready, start=start))
    finally:
        os._exit(admitted)


def main() -> None:
    """Fork once everything is imported, start all at once, add up."""
    url, quota, (processes, calls, minute) = sys.stdin.readline().strip(), sys.argv[1], map(int, sys.argv[2:5])
    (readied, ready), (start, starts) = os.pipe(), os.pipe()
    children = []
    for _ in range(processes):
        if (child := os.fork()) == 0:
            os.close(starts)
            run_child(url, quota, calls, Limits(minute), ready=ready, start=start)
        children.append(child)
    for _ in children:
        os.read(readied, 1)
    os.close(starts)  # all of them read the end of it at once
    told = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    sys.stdout.write(f"{sum(told)}\n")


if __name__ == "__main__":
    main()
