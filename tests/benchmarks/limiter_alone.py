"""The limiter without HTTP: its time inside Redis, its time here, its memory, and how long a decision takes."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from uuid import uuid4

from redis.asyncio import Redis

from gateway.limit import Limits, Policy, RateLimiter, open_limiter
from tests.benchmarks.pairs import Line

REDIS_US, CLIENT_US, P99_MS, BYTES = 12.0, 10.0, 10.0, 6500.0
QUOTAS, AT_ONCE = 50, 100
A_MINUTE = 1000
FULL = Limits(1_000_000, 1000)  # an hour's log of a thousand, and minutes that never end
OPEN = Limits(1_000_000, 1_000_000)


async def alone(url: str, decisions: int, paced_s: float, repeats: int) -> list[Line]:
    """Measure; each line is against its target."""
    async with open_limiter(url, Policy(budget_s=20.0)) as limiter, Redis.from_url(url) as redis:
        quotas = await filled(limiter)
        size = float(await redis.memory_usage(f"sluice:limit:{quotas[0]}") or 0)
        admitted = [await pipelined(limiter, redis, quotas, OPEN, decisions // 5) for _ in range(repeats)]
        refused = [await pipelined(limiter, redis, await filled(limiter), FULL, decisions // 5) for _ in range(repeats)]
        await redis.flushdb()
        took = await paced(limiter, paced_s)
    return [
        target("Redis's time for an admission, log of 1000", "us", [one[0] for one in admitted], REDIS_US),
        target("Redis's time for a refusal, log of 1000", "us", [one[0] for one in refused], REDIS_US),
        target("the client's processor time for a decision", "us", [one[1] for one in admitted], CLIENT_US),
        target("a user's memory at 1000 an hour", "bytes", [size], BYTES),
        target("99 % of decisions at 1000 a minute", "ms", [took], P99_MS),
    ]


def target(name: str, unit: str, ours: Sequence[float], wanted: float) -> Line:
    """Put a figure against what it must not exceed."""
    return Line(name, unit, "its target", ours, [wanted] * len(ours), 1.0, at_most=True)


async def filled(limiter: RateLimiter) -> list[str]:
    """Make quotas with a full hour each."""
    quotas = [f"user:{uuid4()}" for _ in range(QUOTAS)]
    for _ in range(2):
        for quota in quotas:
            await asyncio.gather(*(limiter.client.decide(quota, FULL).answer for _ in range(500)))
    return quotas


async def pipelined(
    limiter: RateLimiter, redis: Redis, quotas: Sequence[str], limits: Limits, many: int
) -> tuple[float, float]:
    """Ask in batches; give the microseconds of one decision inside Redis, and of this process.

    Redis counts what passes while another process has its core; the median of short batches leaves that out.
    """
    inside, cpu = list[float](), 0.0
    for start in range(0, many, AT_ONCE):
        await redis.config_resetstat()
        began = time.process_time()
        asked = range(start, start + AT_ONCE)
        await asyncio.gather(*(limiter.client.decide(quotas[n % len(quotas)], limits).answer for n in asked))
        cpu += time.process_time() - began
        told = (await redis.info("commandstats"))["cmdstat_evalsha"]
        assert told["calls"] == AT_ONCE
        inside.append(float(told["usec_per_call"]))
    return statistics.median(inside), cpu / (len(inside) * AT_ONCE) * 1e6


async def paced(limiter: RateLimiter, seconds: float) -> float:
    """Ask evenly, a thousand times a minute, for so long; give the 99th hundredth of the milliseconds."""
    count = max(2, round(seconds * A_MINUTE / 60))
    took, began = list[float](), time.perf_counter()
    for number in range(count):
        await asyncio.sleep(max(0.0, began + number * 60 / A_MINUTE - time.perf_counter()))
        asked = time.perf_counter()
        await limiter.charge(f"user:{number % QUOTAS}", OPEN)
        took.append((time.perf_counter() - asked) * 1000)
    return sorted(took)[int(count * 0.99)]
