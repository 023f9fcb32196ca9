"""Prove everybody's books on all cores: one user at a time in each of several processes.

Half of a proof is Python's (hashes, lots booked a second time) and half is PostgreSQL's, which works for each
connection in a process of its own: only processes make both faster.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context

from ledger import proof
from ledger.engine import open_ledger
from ledger.proof import Finding
from ops.backups.programs import BackupTrouble
from ops.settings import cores


def proved(url: str, *, processes: int | None = None) -> list[Finding]:
    """Run every check over everybody's books, user by user; ``processes`` None is one for each core.

    Raises BackupTrouble where a process died, as for want of memory.
    """
    names = asyncio.run(_users(url))
    count = min(processes or cores(), len(names))
    if count < 2:
        return [found for name in names for found in of_one(url, name)]
    try:
        # Not forked: connections and threads of ours are no child's.
        with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
            return [found for findings in pool.map(partial(of_one, url), names) for found in findings]
    except BrokenProcessPool:
        raise BackupTrouble(
            "a process that proved books died: what is loaded is not proved, run sluice verify"
        ) from None


def of_one(url: str, user: str) -> Sequence[Finding]:
    """Prove one user's books over a connection of its own."""
    return asyncio.run(_verified(url, user))


async def _users(url: str) -> list[str]:
    async with open_ledger(url, application_name="sluice restore", pool_size=1) as database, database.begin() as conn:
        return await proof.users(conn)


async def _verified(url: str, user: str) -> list[Finding]:
    async with open_ledger(url, application_name="sluice restore", pool_size=1) as database, database.begin() as conn:
        return await proof.verify(conn, user)
