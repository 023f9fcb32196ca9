"""Users as rows: added, found, changed.  What a change means for living tokens is written in the same transaction."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import floor
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from gateway.auth.audit import Origin, note
from gateway.auth.revocations import revoke, revoke_all
from gateway.auth.tables import sessions, users
from gateway.principal import Role

NAME = re.compile(r"[a-z0-9](?:[a-z0-9._@+-]{0,62}[a-z0-9])?", re.ASCII)
_LOCK = 0x5_1_0_1_D_0


class BadUser(ValueError):
    """This cannot be done to a user; the text says why."""


class NoUser(BadUser):
    """There is no such user."""


class NameTaken(BadUser):
    """There is a user of this name already."""


class LastAdministrator(BadUser):
    """This is the last administrator who is enabled: make another one first."""


@dataclass(frozen=True, slots=True)
class User:
    """One user.  ``id`` as text is what owns jobs and books; tokens older than ``epoch`` (seconds) are dead."""

    id: UUID
    name: str
    display_name: str | None
    role: Role
    enabled: bool
    epoch: int
    created_at: datetime
    last_login_at: datetime | None
    password_hash: str | None

    def __repr__(self) -> str:
        """Without the hash."""
        return f"User({self.name!r}, {self.role})"


def folded(name: str) -> str:
    """A name as it is kept: there is no Alice beside alice."""
    return name.strip().lower()


async def add(
    conn: AsyncConnection, origin: Origin, name: str, role: Role, password_hash: str | None, *, now: datetime
) -> User:
    """Add a user.  Raises BadUser where the name is taken, or is none."""
    name = folded(name)
    if not NAME.fullmatch(name):
        raise BadUser("a name is up to 64 of a-z, 0-9 and . _ @ + -, with a letter or digit at both ends")
    made = uuid7()
    row = {"id": made, "name": name, "role": role, "password_hash": password_hash, "created_at": now}
    added = insert(users).values(row).on_conflict_do_nothing().returning(users.c.id)
    if (await conn.execute(added)).one_or_none() is None:
        raise NameTaken(f"there is a user {name} already")
    await note(conn, origin, "user.add", f"user:{made} as {role}")
    return await get(conn, made)


async def get(conn: AsyncConnection, user: UUID, *, lock: bool = False) -> User:
    """Give a user by id.  Raises NoUser."""
    query = select(users).where(users.c.id == user)
    row = (await conn.execute(query.with_for_update() if lock else query)).one_or_none()
    if row is None:
        raise NoUser(NoUser.__doc__)
    return _user(row)


async def by_name(conn: AsyncConnection, name: str) -> User | None:
    """Give a user by name, in capital letters or small ones."""
    row = (await conn.execute(select(users).where(users.c.name == folded(name)))).one_or_none()
    return None if row is None else _user(row)


async def listed(conn: AsyncConnection, *, after: str = "", limit: int = 1000) -> Sequence[User]:
    """Give users by name, from behind ``after`` on."""
    query = select(users).where(users.c.name > after).order_by(users.c.name).limit(limit)
    return [_user(row) for row in await conn.execute(query)]


async def set_role(conn: AsyncConnection, origin: Origin, user: UUID, role: Role) -> User:
    """Change a role.  Raises LastAdministrator where nobody could change it back."""
    await _one_at_a_time(conn)
    before = await get(conn, user, lock=True)
    if before.role == role:
        return before
    if before.role == "admin":
        await _another_administrator(conn, before)
    await conn.execute(users.update().where(users.c.id == user).values(role=role))
    await revoke(conn, "role", str(user), role)
    await note(conn, origin, "user.role", f"user:{user} {before.role} to {role}")
    return await get(conn, user)


async def disable(conn: AsyncConnection, origin: Origin, user: UUID, *, now: datetime) -> User:
    """Let a user in no more, and end everything that is open.  Raises LastAdministrator."""
    await _one_at_a_time(conn)
    before = await get(conn, user, lock=True)
    if before.enabled and before.role == "admin":
        await _another_administrator(conn, before)
    await conn.execute(users.update().where(users.c.id == user).values(enabled=False))
    await end_sessions(conn, user, "disabled", now=now)
    await note(conn, origin, "user.disable", f"user:{user}")
    return await get(conn, user)


async def enable(conn: AsyncConnection, origin: Origin, user: UUID) -> User:
    """Let a user in again; what was ended stays ended."""
    await get(conn, user, lock=True)
    await conn.execute(users.update().where(users.c.id == user).values(enabled=True))
    await note(conn, origin, "user.enable", f"user:{user}")
    return await get(conn, user)


async def logout_everywhere(conn: AsyncConnection, origin: Origin, user: UUID, *, now: datetime) -> int:
    """End all sessions of a user, and every access token with them; API keys stay.  Give how many sessions."""
    await get(conn, user, lock=True)
    ended = await end_sessions(conn, user, "logout everywhere", now=now)
    await note(conn, origin, "logout.everywhere", f"user:{user}")
    return ended


async def set_password(
    conn: AsyncConnection, origin: Origin, user: UUID, password_hash: str, *, keep: UUID | None = None, now: datetime
) -> None:
    """Keep another password, and end all sessions but ``keep``."""
    await get(conn, user, lock=True)
    await conn.execute(users.update().where(users.c.id == user).values(password_hash=password_hash))
    if keep is None:
        await end_sessions(conn, user, "password changed", now=now)
    else:
        await _end(conn, user, "password changed", now, but=keep)
    await note(conn, origin, "user.password", f"user:{user}")


async def logged_in(conn: AsyncConnection, user: UUID, password_hash: str | None, *, now: datetime) -> None:
    """Note a login, and the password's new hash where it was hashed anew."""
    changed = {"last_login_at": now} | ({"password_hash": password_hash} if password_hash else {})
    await conn.execute(users.update().where(users.c.id == user).values(changed))


async def set_display_name(conn: AsyncConnection, user: UUID, name: str | None) -> None:
    """Keep how a user wants to be called."""
    await conn.execute(users.update().where(users.c.id == user).values(display_name=name))


async def end_sessions(conn: AsyncConnection, user: UUID, reason: str, *, now: datetime) -> int:
    """End all sessions; access tokens given until the end of this second are dead.

    The epoch catches what no row names; the sessions' ids catch what a gateway signed whose clock is ahead.
    """
    epoch = floor(now.timestamp()) + 1
    await conn.execute(users.update().where(users.c.id == user).values(epoch=func.greatest(users.c.epoch, epoch)))
    await revoke(conn, "epoch", str(user), str(epoch))
    return len(await _end(conn, user, reason, now))


async def _end(
    conn: AsyncConnection, user: UUID, reason: str, now: datetime, *, but: UUID | None = None
) -> Sequence[UUID]:
    open_ones = sessions.update().where(
        sessions.c.user_id == user, sessions.c.ended_at.is_(None), sessions.c.ends_at > now
    )
    if but is not None:
        open_ones = open_ones.where(sessions.c.id != but)
    query = open_ones.values(ended_at=now, end_reason=reason).returning(sessions.c.id)
    ended = list((await conn.execute(query)).scalars())
    await revoke_all(conn, "credential", map(str, ended))
    return ended


async def _one_at_a_time(conn: AsyncConnection) -> None:
    # Of two administrators who remove each other at once, one stays.
    await conn.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK})


async def _another_administrator(conn: AsyncConnection, user: User) -> None:
    query = select(func.count()).where(users.c.role == "admin", users.c.enabled, users.c.id != user.id)
    if not (await conn.execute(query)).scalar_one():
        raise LastAdministrator(LastAdministrator.__doc__)


def _user(row: Row[Any]) -> User:
    return User(**{name: row._mapping[name] for name in User.__slots__})
