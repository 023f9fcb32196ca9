"""API keys, for producers that are programs: ``slc_<id>_<secret>``, shown once, kept as an HMAC under a key of ours.

The prefix is for those who scan for lost secrets, the id for those who look one up.  256 bits of chance need no Argon2.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from secrets import token_hex, token_urlsafe
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.auth import users
from gateway.auth.audit import Origin, note
from gateway.auth.master import keyed
from gateway.auth.revocations import revoke
from gateway.auth.tables import api_keys
from gateway.principal import SCOPES, Principal, Role

PREFIX, ID_CHARS = "slc_", 16
KEYS_MAX = 20
ENDED_KEPT = 20
USED_EVERY = timedelta(minutes=1)
_NEWEST_FIRST = (api_keys.c.created_at.desc(), api_keys.c.id)
_KEY = re.compile(r"slc_[0-9a-f]{16}_[A-Za-z0-9_-]{43}", re.ASCII)


class BadKey(ValueError):
    """Such a key is not made; the text says why."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What may be told of a key: everything but its secret."""

    id: str
    user_id: UUID
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Accepted:
    """A key that is good now: who asks, and until when."""

    principal: Principal
    expires_at: datetime | None


def scopes_of_keys(role: Role) -> frozenset[str]:
    """What a key of such a user may be given: never the account itself."""
    return SCOPES[role] - {"account:write"}


async def create(
    conn: AsyncConnection,
    origin: Origin,
    user: UUID,
    *,
    name: str,
    scopes: Iterable[str],
    expires_at: datetime | None,
    pepper: bytes,
    now: datetime,
) -> tuple[ApiKey, str]:
    """Make a key; its text is given here and never again.  Raises BadKey, NoUser."""
    owner, asked = await users.get(conn, user, lock=True), frozenset(scopes)
    if more := asked - scopes_of_keys(owner.role):
        raise BadKey(f"no key of this user can have {', '.join(sorted(more))}")
    if expires_at is not None and expires_at <= now:
        raise BadKey("a key expires in the future")
    if await _count_good(conn, user, now) >= KEYS_MAX:
        raise BadKey(f"a user has up to {KEYS_MAX} keys: revoke one first")
    await _forget_ended(conn, user, now)
    key = token_hex(8)
    text = f"{PREFIX}{key}_{token_urlsafe(32)}"
    made = ApiKey(key, user, name, tuple(sorted(asked)), now, expires_at, None, None)
    row = {field: getattr(made, field) for field in ApiKey.__slots__}
    await conn.execute(api_keys.insert(), row | {"scopes": list(made.scopes), "digest": keyed(pepper, text.encode())})
    await note(conn, origin, "api_key.create", f"key:{key} of user:{user}")
    return made, text


async def listed(conn: AsyncConnection, user: UUID) -> Sequence[ApiKey]:
    """Give a user's keys, the newest first, with the last ones that were revoked or have expired."""
    query = select(api_keys).where(api_keys.c.user_id == user).order_by(*_NEWEST_FIRST)
    return [_key(row) for row in await conn.execute(query)]


async def withdraw(conn: AsyncConnection, origin: Origin, user: UUID, key: str, *, now: datetime) -> bool:
    """Make a user's key useless.  False where the user has no such key."""
    own = (api_keys.c.id == key, api_keys.c.user_id == user)
    if (await conn.execute(select(api_keys.c.id).where(*own))).one_or_none() is None:
        return False
    living = api_keys.update().where(*own, api_keys.c.revoked_at.is_(None)).values(revoked_at=now)
    if (await conn.execute(living)).rowcount:
        await revoke(conn, "credential", key)
        await note(conn, origin, "api_key.revoke", f"key:{key} of user:{user}")
    return True


async def accept(conn: AsyncConnection, text: str, pepper: bytes, *, now: datetime) -> Accepted | None:
    """Say who sends this key, if it is good now; ``text`` is one (``looks_like_one``)."""
    row = (await conn.execute(select(api_keys).where(api_keys.c.id == text[len(PREFIX) :][:ID_CHARS]))).one_or_none()
    # Compared also where there is none: it takes as long.
    if not hmac.compare_digest(keyed(pepper, text.encode()), row.digest if row else bytes(32)) or row is None:
        return None
    if row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= now):
        return None
    user = await users.get(conn, row.user_id)
    if not user.enabled:
        return None
    long_ago = or_(api_keys.c.last_used_at.is_(None), api_keys.c.last_used_at < now - USED_EVERY)
    await conn.execute(api_keys.update().where(api_keys.c.id == row.id, long_ago).values(last_used_at=now))
    scopes = frozenset(row.scopes) & scopes_of_keys(user.role)
    return Accepted(Principal(str(user.id), user.role, scopes, row.id), row.expires_at)


def looks_like_one(text: str) -> bool:
    """Whether a text has the form of a key: what has not is not worth a question."""
    return _KEY.fullmatch(text) is not None


def _good(now: datetime) -> ColumnElement[bool]:
    not_expired = or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > now)
    return and_(api_keys.c.revoked_at.is_(None), not_expired)


async def _count_good(conn: AsyncConnection, user: UUID, now: datetime) -> int:
    query = select(func.count()).where(api_keys.c.user_id == user, _good(now))
    return int((await conn.execute(query)).scalar_one())


async def _forget_ended(conn: AsyncConnection, user: UUID, now: datetime) -> None:
    # The record tells of every key; who makes and revokes keys all day must not fill a table with them.
    ended = select(api_keys.c.id).where(api_keys.c.user_id == user, ~_good(now))
    older = ended.order_by(*_NEWEST_FIRST).offset(ENDED_KEPT)
    await conn.execute(api_keys.delete().where(api_keys.c.id.in_(older)))


def _key(row: Row[Any]) -> ApiKey:
    told = {name: row._mapping[name] for name in ApiKey.__slots__}
    return ApiKey(**{**told, "scopes": tuple(row.scopes)})
