"""One provider on a shared Redis, and what a test asks of its limiter."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

from hypothesis import HealthCheck, settings
from redis.asyncio import Redis

from broker.limiter import Breaker, Granted, Limits, ProviderLimiter, Wait
from tests.clock import Clock

START = datetime(2026, 11, 10, 9, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
PLAIN = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@dataclass
class World:
    """One provider of its own on the shared Redis, and what the database says was spent."""

    redis: Redis
    clock: Clock = field(default_factory=lambda: Clock(START))
    name: str = field(default_factory=lambda: f"p{uuid.uuid4().hex}")
    spent: int = 0
    asked: list[tuple[str, datetime]] = field(default_factory=list)

    async def spent_since(self, provider: str, start: datetime) -> int:
        self.asked.append((provider, start))
        return self.spent

    def limiter(self, limits: Limits, breaker: Breaker | None = None) -> ProviderLimiter:
        return ProviderLimiter(
            redis=self.redis,
            limits={self.name: limits},
            spent_since=self.spent_since,
            breaker=breaker or Breaker(jitter=0.0),
            spread_s=0.0,
            clock=self.clock,
            rng=Random(7),
        )

    async def flush(self) -> None:
        keys = [key async for key in self.redis.scan_iter(f"{{sluice:{self.name}}}*")]
        await self.redis.delete(*keys)


async def granted(limiter: ProviderLimiter, provider: str, cost: int = 1, patience_s: float = 2.0) -> Granted:
    answer = await limiter.acquire(provider, cost, patience_s=patience_s)
    assert isinstance(answer, Granted), answer
    return answer


async def refused(limiter: ProviderLimiter, provider: str, cost: int = 1, patience_s: float = 2.0) -> Wait:
    answer = await limiter.acquire(provider, cost, patience_s=patience_s)
    assert isinstance(answer, Wait), answer
    return answer
