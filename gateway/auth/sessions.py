"""Sessions: a login and the family of refresh tokens that keeps it alive.

A refresh token is 256 bits of chance, kept as its SHA-256, good for one use.  Its successor is not chance but an HMAC
of it under a key that only gateways have: two tabs that refresh at once get the same one, though nobody kept its text.
Once a token's successor has been used, or some seconds have passed, or another network comes with it, the token is a
stolen one: the family dies.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from secrets import token_bytes
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Row, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from gateway.auth import users
from gateway.auth.audit import Origin, note
from gateway.auth.lives import SESSIONS_MAX
from gateway.auth.master import keyed
from gateway.auth.revocations import revoke
from gateway.auth.tables import refresh_tokens, sessions
from gateway.auth.users import User

PREFIX = "slr_"
_TOKEN = re.compile(r"slr_[A-Za-z0-9_-]{43}", re.ASCII)
KEPT_AFTER_END = timedelta(days=7)
Refused = Literal["unknown", "ended", "reuse"]


@dataclass(frozen=True, slots=True)
class Spans:
    """How long sessions live: ``absolute`` at most, ``idle`` without a refresh; ``grace`` is for two tabs at once.

    ``most`` is how many a user has.
    """

    absolute: timedelta = timedelta(days=30)
    idle: timedelta = timedelta(days=7)
    grace: timedelta = timedelta(seconds=20)
    most: int = SESSIONS_MAX

    def __post_init__(self) -> None:
        """Refuse what would make them pointless."""
        assert timedelta(0) < self.grace < self.idle <= self.absolute
        assert self.most > 0


@dataclass(frozen=True, slots=True)
class Session:
    """An open session and the refresh token that is good now."""

    id: UUID
    user: User
    scopes: frozenset[str] | None
    ends_at: datetime
    refresh_token: str

    def __repr__(self) -> str:
        """Without the token."""
        return f"Session({self.id}, {self.user!r})"


async def begin(
    conn: AsyncConnection,
    user: User,
    scopes: Iterable[str] | None,
    origin: Origin,
    *,
    network: str,
    spans: Spans,
    now: datetime,
) -> Session:
    """Open a session of a user whose row the caller has locked; ``scopes`` None are those of the role, whatever it is.

    Beyond ``spans.most`` open ones, those end that were not used for longest.
    """
    await _make_room(conn, user, origin, most=spans.most, now=now)
    token, made, ends_at = _text(token_bytes(32)), uuid7(), now + spans.absolute
    asked = None if scopes is None else frozenset(scopes)
    row = {"id": made, "user_id": user.id, "address": network, "created_at": now, "ends_at": ends_at}
    await conn.execute(sessions.insert(), row | {"scopes": None if asked is None else sorted(asked)})
    await _keep(conn, token, made, idle_ends_at=min(ends_at, now + spans.idle))
    return Session(made, user, asked, ends_at, token)


async def refresh(
    conn: AsyncConnection, token: str, key: bytes, origin: Origin, *, network: str, spans: Spans, now: datetime
) -> Session | Refused:
    """Take a refresh token and give its successor.

    A refusal is a value and no exception, so that what a reuse revokes and records is committed.
    """
    if not _TOKEN.fullmatch(token):
        return "unknown"
    digest = _digest(token)
    # The session's row is the lock: two uses of one family come one after the other.
    of_token = select(refresh_tokens.c.session_id).where(refresh_tokens.c.digest == digest).scalar_subquery()
    session = (await conn.execute(select(sessions).where(sessions.c.id == of_token).with_for_update())).one_or_none()
    if session is None:
        return "unknown"
    row = (await conn.execute(select(refresh_tokens).where(refresh_tokens.c.digest == digest))).one()
    user = await users.get(conn, session.user_id)
    if session.ended_at is not None or session.ends_at <= now or row.idle_ends_at <= now or not user.enabled:
        return "ended"
    successor = _text(keyed(key, token.encode()))
    if row.rotated_at is None:
        await _keep(conn, successor, session.id, idle_ends_at=min(session.ends_at, now + spans.idle))
        rotation = {"rotated_at": now, "rotated_by": network, "successor": _digest(successor)}
        await conn.execute(refresh_tokens.update().where(refresh_tokens.c.digest == digest).values(rotation))
        # Past its idle end a token says nothing any more, not even that it was stolen.
        useless = (refresh_tokens.c.session_id == session.id, refresh_tokens.c.idle_ends_at <= now)
        await conn.execute(refresh_tokens.delete().where(*useless))
    # Two networks are two who have it, also within the grace; which of them is the thief, nobody can tell.
    elif not (now - row.rotated_at <= spans.grace and row.rotated_by == network and await _unused(conn, row)):
        await _stolen(conn, session, origin, now)
        return "reuse"
    scopes = None if session.scopes is None else frozenset(session.scopes)
    return Session(session.id, user, scopes, session.ends_at, successor)


async def end(conn: AsyncConnection, session: UUID, origin: Origin, reason: str, *, now: datetime) -> None:
    """End one session, with its access tokens; ending it again changes nothing."""
    open_one = sessions.update().where(sessions.c.id == session, sessions.c.ended_at.is_(None))
    if (await conn.execute(open_one.values(ended_at=now, end_reason=reason))).rowcount:
        await revoke(conn, "credential", str(session))
        await note(conn, origin, "logout" if reason == "logout" else f"session.{reason}", f"session:{session}")


async def forget(conn: AsyncConnection, now: datetime) -> None:
    """Delete sessions that ended long ago, with the tokens whose reuse nobody needs to hear of any more."""
    long_ago = now - KEPT_AFTER_END
    await conn.execute(sessions.delete().where(or_(sessions.c.ends_at < long_ago, sessions.c.ended_at < long_ago)))


async def _make_room(conn: AsyncConnection, user: User, origin: Origin, *, most: int, now: datetime) -> None:
    used = select(func.max(refresh_tokens.c.idle_ends_at)).where(refresh_tokens.c.session_id == sessions.c.id)
    last_first = (used.scalar_subquery().desc().nulls_last(), sessions.c.id.desc())
    open_ones = select(sessions.c.id).where(sessions.c.user_id == user.id, sessions.c.ended_at.is_(None))
    surplus = list((await conn.execute(open_ones.order_by(*last_first).offset(most - 1))).scalars())
    for session in surplus:
        await end(conn, session, origin, "displaced", now=now)


async def _keep(conn: AsyncConnection, token: str, session: UUID, *, idle_ends_at: datetime) -> None:
    row = {"digest": _digest(token), "session_id": session, "idle_ends_at": idle_ends_at}
    await conn.execute(refresh_tokens.insert(), row)


async def _unused(conn: AsyncConnection, row: Row[Any]) -> bool:
    query = select(refresh_tokens.c.rotated_at).where(refresh_tokens.c.digest == row.successor)
    return (await conn.execute(query)).scalar_one() is None


async def _stolen(conn: AsyncConnection, session: Row[Any], origin: Origin, now: datetime) -> None:
    await conn.execute(sessions.update().where(sessions.c.id == session.id).values(ended_at=now, end_reason="reuse"))
    await revoke(conn, "credential", str(session.id))
    await note(conn, origin, "token_reuse", f"session:{session.id} of user:{session.user_id}", outcome="refused")


def _text(raw: bytes) -> str:
    return PREFIX + urlsafe_b64encode(raw).rstrip(b"=").decode()


def _digest(token: str) -> bytes:
    return sha256(token.encode()).digest()
