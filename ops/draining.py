"""Stop taking new work from providers, and know when nothing is in hand any more.

What clients push (trades, prices) is posted as ever: it is theirs, and no provider is asked for it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from broker import providers
from broker.messages import fetch_queue
from broker.providers import Standing

MARK = "drained"
"""How the reason of a pause of ours begins, so that resuming takes back no one else's."""


@dataclass(frozen=True, slots=True)
class InHand:
    """What workers hold: jobs under a live lease, and pages that have landed and are not posted."""

    jobs: int
    pages: int

    @property
    def nothing(self) -> bool:
        """Whether all of it is done."""
        return not (self.jobs or self.pages)


async def stop(conn: AsyncConnection, names: Collection[str], *, reason: str, now: datetime) -> list[Standing]:
    """Pause those of the providers that may be called; give the others, which stand as they are, with their reasons."""
    others = []
    for name in sorted(names):
        stands = await providers.standing(conn, name)
        if stands.state == "ok":
            why = f"{MARK}: {reason}"
            await providers.stand(conn, name, "paused", reason=why, now=now)
        elif not ours(stands):
            others.append(stands)
    return others


async def resume(conn: AsyncConnection, names: Collection[str], *, now: datetime) -> list[str]:
    """Call the drained ones of these providers again, and name them."""
    stood = [stands for name in sorted(names) if ours(stands := await providers.standing(conn, name))]
    for stands in stood:
        await providers.stand(conn, stands.name, "ok", reason=None, now=now)
    return [stands.name for stands in stood]


def ours(stands: Standing) -> bool:
    """Whether a drain has paused this provider."""
    return stands.state == "paused" and (stands.reason or "").startswith(f"{MARK}:")


async def in_hand(conn: AsyncConnection, names: Sequence[str] | None, *, now: datetime) -> InHand:
    """Count what is in hand of these providers, or of everything (None)."""
    given = {
        "now": now,
        "all": names is None,
        "names": list(names or ()),
        "queues": [fetch_queue(name) for name in names or ()],
    }
    row = (await conn.execute(_IN_HAND, given)).one()
    return InHand(row.jobs, row.pages)


_IN_HAND = text(
    """SELECT (SELECT count(*) FROM jobs
               WHERE state = 'running' AND lease_until > :now AND (:all OR queue = ANY(:queues))) AS jobs,
            (SELECT count(*) FROM pages WHERE state = 'landed' AND (:all OR provider = ANY(:names))) AS pages"""
)
