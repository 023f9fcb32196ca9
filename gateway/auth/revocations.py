"""What was revoked, as rows; and the task that keeps this process's copy of them.

The row is the truth: it is written with the change that it is about, in one transaction.  Redis only says "look" to all
processes at once, and every process looks more than twice a second by itself: a message that is lost or forged, a Redis
that is away or has forgotten everything, costs less than a second and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic, time
from typing import Any, Literal, cast

import structlog
from redis.exceptions import RedisError
from sqlalchemy import Row, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.auth.lives import LEEWAY_S, LIFE_S
from gateway.auth.metrics import REVOCATIONS_READ
from gateway.auth.seen import Revoked
from gateway.auth.tables import revocations
from gateway.principal import Role

log = structlog.get_logger(__name__)

CHANNEL = "sluice:auth:look"
POLL_S = 0.4
OVERLAP = timedelta(minutes=3)
"""How far back a look reads: rows become visible with their transaction, which sessions end after two minutes."""
MATTERS = timedelta(seconds=LIFE_S + 2 * LEEWAY_S) + OVERLAP
AGAIN_S = 1.0
TELL_S = 0.25
Kind = Literal["credential", "epoch", "role", "keys"]


async def revoke(conn: AsyncConnection, kind: Kind, subject: str, value: str | None = None) -> None:
    """Write a revocation in the caller's transaction; ``tell`` it after the commit.

    A dead ``credential`` (the id of a token, a session, an API key), a user's new ``epoch`` or ``role``, or other
    signing ``keys``.
    """
    await revoke_all(conn, kind, [subject], value)


async def revoke_all(conn: AsyncConnection, kind: Kind, subjects: Iterable[str], value: str | None = None) -> None:
    """Write a revocation of each of them."""
    # By the database's clock alone: those of gateways differ, and a row that seems old would never be read.
    now = func.clock_timestamp()
    rows = [{"kind": kind, "subject": subject, "value": value} for subject in subjects]
    if rows:
        await conn.execute(revocations.insert().inline().values(at=now, until=now + MATTERS), rows)


async def forget(conn: AsyncConnection) -> None:
    """Delete rows that no living token is about."""
    await conn.execute(revocations.delete().where(revocations.c.until < func.clock_timestamp()))


async def tell(redis: Any) -> None:
    """Make every process look now; where Redis is away, they look by themselves soon."""
    try:
        async with asyncio.timeout(TELL_S):
            await redis.publish(CHANNEL, b"look")
    except (RedisError, OSError, TimeoutError) as error:
        log.warning("revocation_not_told", error=type(error).__name__)


def apply(revoked: Revoked, row: Row[Any]) -> None:
    """Note one row; in any order, any number of times."""
    until = row.until.timestamp()
    match cast(Kind, row.kind):
        case "credential":
            revoked.credentials[row.subject] = until
        case "epoch":
            epoch = max(int(row.value), revoked.epochs.get(row.subject, (0, 0.0))[0])
            revoked.epochs[row.subject] = (epoch, until)
        case "role":
            if row.id >= revoked.roles.get(row.subject, (0, "user", 0.0))[0]:
                revoked.roles[row.subject] = (row.id, cast(Role, row.value), until)
        case "keys":
            pass  # the follower reads them


@dataclass(slots=True)
class Follower:
    """Keeps ``revoked`` as the rows are; ``keys_changed`` is awaited when signing keys are others than before."""

    database: AsyncEngine
    redis: Any
    revoked: Revoked
    keys_changed: Callable[[], Awaitable[None]]
    poll_s: float = POLL_S
    synced: float = field(default_factory=monotonic)
    _nudged: asyncio.Event = field(default_factory=asyncio.Event)
    _keys: int = 0

    @property
    def age_s(self) -> float:
        """How old this process's copy is."""
        return monotonic() - self.synced

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Read everything once, then follow until the block ends."""
        await self.look(everything=True)
        tasks = [asyncio.create_task(self._following()), asyncio.create_task(self._listening())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def look(self, *, everything: bool = False) -> None:
        """Read rows: those of the last minute, or all that matter."""
        began, now = monotonic(), func.clock_timestamp()
        fresh = revocations.c.until > now if everything else revocations.c.at > now - OVERLAP
        async with self.database.connect() as conn:
            rows = (await conn.execute(select(revocations).where(fresh).order_by(revocations.c.id))).all()
        for row in rows:
            apply(self.revoked, row)
        newest = max((row.id for row in rows if row.kind == "keys"), default=0)
        if newest > self._keys:
            await self.keys_changed()
            self._keys = newest
        self.revoked.forget(time())
        self.synced = began
        REVOCATIONS_READ.set(time())

    async def try_to_look(self) -> None:
        """Look; where that cannot be done, say so and wait a moment."""
        try:
            async with asyncio.timeout(10 * self.poll_s):
                await self.look()
        except Exception as error:  # noqa: BLE001  whatever it is, this must go on: nobody else tells what was revoked
            # Tokens that were good stay good until they end; whatever would change that needs the database as well.
            log.warning("revocations_not_read", error=type(error).__name__, age_s=round(self.age_s, 1))
            await asyncio.sleep(self.poll_s)

    async def _following(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.poll_s):
                    await self._nudged.wait()
            self._nudged.clear()
            await self.try_to_look()

    async def _listening(self) -> None:
        while True:
            try:
                async with self.redis.pubsub(ignore_subscribe_messages=True) as channel:
                    await channel.subscribe(CHANNEL)
                    while True:
                        if await channel.get_message(timeout=5.0) is not None:
                            self._nudged.set()
            except (RedisError, OSError, TimeoutError):
                await asyncio.sleep(AGAIN_S)
