"""The limiter's script on a clock that the test gives: the one line that asks for the time is replaced."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from redis.asyncio import Redis

from gateway.limit.client import RING
from gateway.limit.verdict import Limits
from tests.limit_model import Told

TIME = "local time = redis.call('TIME')"
AS_ARGUMENT = "local at = table.remove(ARGV); local time = {math.floor(at / 1000), at % 1000 * 1000}"
CLOCKED = RING.replace(TIME, AS_ARGUMENT)
KEPT = RING.replace(
    TIME, "local at = redis.call('GET', 'clock'); local time = {math.floor(at / 1000), at % 1000 * 1000}"
)
"""For whole limiters, whose client gives no clock: it is kept in Redis, where the test moves it."""
START = 1_795_000_000_123

Call = tuple[str, int, Limits, list[int] | None]


class Clocked:
    """The script; ``told`` as it answers: verdict, clock, minute left and wait, hour left and wait."""

    def __init__(self, redis: Redis, sha: str) -> None:
        self.redis, self._sha = redis, sha

    @classmethod
    async def on(cls, redis: Redis) -> Clocked:
        """Load it."""
        return cls(redis, await redis.script_load(CLOCKED))

    async def __call__(self, key: str, clock: int, limits: Limits, *, deadline: int = 0) -> Told:
        """Ask for one call."""
        told = await self.redis.evalsha(self._sha, 1, key, limits.minute, limits.hour, deadline, clock)
        return tuple(told)

    async def many(self, calls: Sequence[Call]) -> list[Told]:
        """Ask for many calls, or push the stamps that stand last in one, in one write."""
        pipe = self.redis.pipeline(transaction=False)
        for key, clock, limits, stamps in calls:
            pushed = () if stamps is None else (struct.pack(f"<{len(stamps)}d", *stamps),)
            pipe.evalsha(self._sha, 1, key, limits.minute, limits.hour, *pushed, 0, clock)
        return [tuple(told) for told in await pipe.execute()]
