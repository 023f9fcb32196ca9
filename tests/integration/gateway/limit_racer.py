"""One process of a race: ask for so many calls of one quota at once, print how many were admitted.

python -m tests.integration.gateway.limit_racer QUOTA CALLS MINUTE, the URL on the first line of its input; it asks when
it reads the second.
"""

from __future__ import annotations

import asyncio
import sys

from gateway.limit import Limits, Policy, open_limiter


async def main(url: str, quota: str, calls: int, limits: Limits) -> None:
    """Connect, wait for the start, race."""
    async with open_limiter(url, Policy(budget_s=20.0)) as limiter:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
        verdicts = await asyncio.gather(*(limiter.charge(quota, limits) for _ in range(calls)))
    sys.stdout.write(f"{sum(verdict.admitted for verdict in verdicts)}\n")


if __name__ == "__main__":
    asyncio.run(main(sys.stdin.readline().strip(), sys.argv[1], int(sys.argv[2]), Limits(int(sys.argv[3]))))
