"""Whom a restored ledger lets in: nobody whom the ledger that it replaces would not have let in.

A backup knows nothing of what was revoked after it.  What the replaced ledger knows is carried over; where there is
none any more, nobody can tell, and no API key is trusted.  Passwords and roles are those of the backup.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import LiteralString
from uuid import UUID

import psycopg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.auth import users
from gateway.auth.apikeys import withdraw
from gateway.auth.audit import Origin, note
from gateway.auth.keys import drop_key
from gateway.auth.users import LastAdministrator, User
from ops.backups.contents import Connection

RESTORE = Origin("restore")


@dataclass(frozen=True, slots=True)
class Access:
    """What a ledger said just before it was replaced: API keys that were good, users and signing keys that were not."""

    keys: frozenset[str] = frozenset()
    disabled: frozenset[UUID] = frozenset()
    dropped: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Closed:
    """What was closed again after a restore; ``left`` names users who stay enabled, as the last administrators."""

    sessions: int = 0
    keys_revoked: int = 0
    keys_good: int = 0
    users_disabled: int = 0
    signing_keys_dropped: int = 0
    left: list[str] = field(default_factory=list)


def access(conn: Connection) -> Access:
    """Read it; a ledger that is empty, or too old to have users, says nothing."""
    try:
        with conn.transaction():
            return Access(*(frozenset(one for (one,) in conn.execute(asked).fetchall()) for asked in _QUESTIONS))
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
        return Access()


async def close(conn: AsyncConnection, before: Access, *, keep_keys: bool, now: datetime) -> Closed:
    """End all sessions, and revoke, disable and drop again what the replaced ledger did not hold for good."""
    people = await _everybody(conn)
    sessions = sum([await users.logout_everywhere(conn, RESTORE, one.id, now=now) for one in people])
    disabled, left = 0, []
    for one in people:
        if one.enabled and one.id in before.disabled:
            try:
                await users.disable(conn, RESTORE, one.id, now=now)
                disabled += 1
            except LastAdministrator:
                left.append(one.name)
    good = (await conn.execute(text("SELECT id, user_id FROM api_keys WHERE revoked_at IS NULL ORDER BY id"))).all()
    unsure = [] if keep_keys else [key for key in good if key.id not in before.keys]
    for key in unsure:
        await withdraw(conn, RESTORE, key.user_id, key.id, now=now)
    dropped = [kid for kid in sorted(before.dropped) if await drop_key(conn, kid, now)]
    for kid in dropped:
        await note(conn, RESTORE, "key.drop", f"signing key:{kid}")
    return Closed(sessions, len(unsure), len(good) - len(unsure), disabled, len(dropped), left)


async def _everybody(conn: AsyncConnection) -> list[User]:
    people: list[User] = []
    while more := await users.listed(conn, after=people[-1].name if people else ""):
        people += more
    return people


_QUESTIONS: tuple[LiteralString, ...] = (
    "SELECT id FROM api_keys WHERE revoked_at IS NULL",
    "SELECT id FROM users WHERE NOT enabled",
    "SELECT kid FROM signing_keys WHERE dropped_at IS NOT NULL",
)
