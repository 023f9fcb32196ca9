"""Everything about who asks, opened once per process: what the pipeline and the routes work with."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from time import time
from typing import Any
from uuid import UUID

import structlog
from argon2 import PasswordHasher
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from uuid_utils.compat import uuid4

from gateway.auth import apikeys, keys, metrics, revocations, sessions, users
from gateway.auth.apikeys import Accepted
from gateway.auth.audit import Origin, note
from gateway.auth.authenticator import Authenticator
from gateway.auth.claims import Claims, Parties, sign
from gateway.auth.keys import KeyRing
from gateway.auth.lives import LIFE_S
from gateway.auth.master import Master
from gateway.auth.passwords import KIB, LANES, PASSES, Passwords, half, refusal
from gateway.auth.revocations import Follower
from gateway.auth.seen import Revoked
from gateway.auth.sessions import Session, Spans
from gateway.auth.throttle import Guesses, LoginThrottle, TooMany
from gateway.auth.users import User
from gateway.networks import network_of
from gateway.principal import SCOPES, Principal
from gateway.problems import Problem

log = structlog.get_logger(__name__)

TIDY_S = 600.0
KEYS_AT_ONCE, KEY_S = 3, 5.0
"""Strangers can send as many keys as they like: looking them up leaves connections for everybody else."""
_CHALLENGE = {"WWW-Authenticate": "Bearer"}


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class AuthSettings:
    """What authentication is opened with.  ``master`` must be the same in all gateways of a system.

    ``hash_threads`` is how many passwords are hashed at once, None: half of the machine.  ``hasher`` is for tests:
    nothing else may hash more cheaply than the floor of ``passwords``.
    """

    master: Master
    parties: Parties = field(default_factory=Parties)
    access_s: int = LIFE_S
    spans: Spans = field(default_factory=Spans)
    guesses: Guesses = field(default_factory=Guesses)
    poll_s: float = revocations.POLL_S
    hash_threads: int | None = None
    hasher: PasswordHasher = field(default_factory=lambda: PasswordHasher(PASSES, KIB, LANES))
    now: Callable[[], datetime] = _now


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a login and a refresh give."""

    access_token: str
    expires_in: int
    refresh_token: str
    refresh_expires_in: int
    scopes: frozenset[str]


@dataclass(slots=True)
class Auth:
    """Logins, sessions, keys.  What is done is one transaction with its record; what is refused is a Problem.

    ``authenticator`` is what every request passes.
    """

    database: AsyncEngine
    redis: Any
    settings: AuthSettings
    passwords: Passwords
    throttle: LoginThrottle
    follower: Follower
    authenticator: Authenticator
    ring: KeyRing

    @property
    def master(self) -> Master:
        """Keys for other purposes are derived from it, such as ``master.key("cursors")``."""
        return self.settings.master

    def key_set(self) -> dict[str, list[dict[str, str]]]:
        """Give the public keys as a JWK set (RFC 7517)."""
        return self.ring.key_set(self.settings.now())

    async def healthy(self) -> None:
        """Raise where this process has not heard for long of what was revoked."""
        if self.follower.age_s > 10.0:
            raise TimeoutError(f"revocations were last read {self.follower.age_s:.0f} s ago")

    # -- sessions -----------------------------------------------------------------------------------------------------

    async def login(self, origin: Origin, name: str, password: str, scopes: Iterable[str] | None = None) -> Tokens:
        """Open a session.  Unknown name, wrong password, disabled user: refused in one way and in the same time."""
        network = network_of(origin.address or "")
        await self._charge(origin, users.folded(name), network)
        async with self.database.begin() as conn:
            user = await users.by_name(conn, name)
        right = await self.passwords.verify(user.password_hash if user else None, password)
        if user is None or not right or not user.enabled:
            metrics.LOGINS.labels("refused").inc()
            async with self.database.begin() as conn:
                await note(conn, origin, "login", f"user:{user.id if user else 'unknown'}", outcome="refused")
            raise Problem("invalid_credentials", headers=_CHALLENGE)
        await self.throttle.give_back(users.folded(name), network)
        if scopes is not None and (more := frozenset(scopes) - SCOPES[user.role]):
            raise Problem("invalid", f"this user cannot have {', '.join(sorted(more))[:200]}")
        session = await self._begin(origin, user, await self._rehash(user, password), scopes, network)
        if session is None:  # another password since it was looked at: whether this one is right is asked anew
            return await self.login(origin, name, password, scopes)
        metrics.LOGINS.labels("done").inc()
        return self._tokens(session)

    async def _begin(
        self, origin: Origin, seen: User, again: str | None, scopes: Iterable[str] | None, network: str
    ) -> Session | None:
        """Open the session of a user whose password was right; None where the user has another one by now."""
        async with self.database.begin() as conn:
            user = await users.get(conn, seen.id, lock=True)
            if not user.enabled:
                raise Problem("invalid_credentials", headers=_CHALLENGE)
            if not _same(user, seen):
                return None
            await users.logged_in(conn, user.id, again, now=self.settings.now())
            by, spans, now = replace(origin, actor=str(user.id)), self.settings.spans, self.settings.now()
            session = await sessions.begin(conn, user, scopes, by, network=network, spans=spans, now=now)
            await note(conn, by, "login", f"session:{session.id}")
            return session

    async def refresh(self, origin: Origin, token: str) -> Tokens:
        """Take a refresh token for the next one and a new access token."""
        await self.throttle.reachable()
        key, network = self.master.key("refresh tokens"), network_of(origin.address or "")
        async with self.database.begin() as conn:
            found = await sessions.refresh(
                conn, token, key, origin, network=network, spans=self.settings.spans, now=self.settings.now()
            )
        if isinstance(found, Session):
            return self._tokens(found)
        if found == "reuse":
            metrics.REUSES.inc()
            await revocations.tell(self.redis)
        raise Problem("invalid_credentials", headers=_CHALLENGE)

    async def logout(self, origin: Origin, session: UUID) -> None:
        """End one session and its access tokens."""
        async with self.changing() as conn:
            await sessions.end(conn, session, origin, "logout", now=self.settings.now())

    async def logout_everywhere(self, origin: Origin, user: UUID) -> int:
        """End all sessions of a user; give how many."""
        async with self.changing() as conn:
            return await users.logout_everywhere(conn, origin, user, now=self.settings.now())

    # -- the account --------------------------------------------------------------------------------------------------

    async def user(self, user: UUID) -> User:
        """Give a user.  Raises NoUser."""
        async with self.database.connect() as conn:
            return await users.get(conn, user)

    async def change_password(self, origin: Origin, principal: Principal, current: str, new: str) -> None:
        """Keep another password, and end all sessions but the one that asks."""
        user, network = await self.user(UUID(principal.user)), network_of(origin.address or "")
        await self._charge(origin, user.name, network)
        if not await self.passwords.verify(user.password_hash, current):
            async with self.database.begin() as conn:
                await note(conn, origin, "user.password", f"user:{user.id}", outcome="refused")
            raise Problem("invalid_credentials", "the current password is another", headers=_CHALLENGE)
        await self.throttle.give_back(user.name, network)
        kept = await self.hash_new(new, user.name, user.display_name)
        async with self.changing() as conn:
            if not _same(await users.get(conn, user.id, lock=True), user):
                raise Problem("invalid_credentials", "the password has just been changed", headers=_CHALLENGE)
            keep = UUID(principal.session) if principal.session else None
            await users.set_password(conn, origin, user.id, kept, keep=keep, now=self.settings.now())

    async def hash_new(self, password: str, *context: str | None) -> str:
        """Check a new password and give what is kept of it.  Raises the problem ``weak_password``."""
        if why := refusal(password, filter(None, context)):
            raise Problem("weak_password", why)
        return await self.passwords.hash(password)

    # -- for those who change several things --------------------------------------------------------------------------

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[AsyncConnection]:
        """One transaction whose revocations are told to all gateways once it is committed."""
        async with self.database.begin() as conn:
            yield conn
        await self.follower.try_to_look()
        await revocations.tell(self.redis)

    async def _charge(self, origin: Origin, account: str, network: str) -> None:
        try:
            await self.throttle.charge(account, network)
        except TooMany as error:
            metrics.LOGINS.labels("throttled").inc()
            if error.first:
                action = "credential_stuffing" if error.spread else "login.throttled"
                async with self.database.begin() as conn:
                    await note(conn, origin, action, f"network:{network}", outcome="refused")
            raise error.problem() from None

    async def _rehash(self, user: User, password: str) -> str | None:
        if user.password_hash is None or not self.passwords.outdated(user.password_hash):
            return None
        return await self.passwords.hash(password)

    def _tokens(self, session: Session) -> Tokens:
        now, user = self.settings.now(), session.user
        # Never before the user's epoch, which may lie up to a second ahead.
        issued = max(int(now.timestamp()), user.epoch)
        allowed = SCOPES[user.role]
        claims = Claims(
            user=str(user.id),
            role=user.role,
            scopes=allowed if session.scopes is None else allowed & session.scopes,
            session=str(session.id),
            id=str(uuid4()),
            issued=issued,
            expires=issued + self.settings.access_s,
        )
        try:
            kid, key = self.ring.signer(now)
        except LookupError:
            raise Problem("unavailable", "no key signs right now", headers={"Retry-After": "10"}) from None
        return Tokens(
            access_token=sign(claims, self.settings.parties, kid, key),
            expires_in=self.settings.access_s,
            refresh_token=session.refresh_token,
            refresh_expires_in=int((session.ends_at - now).total_seconds()),
            scopes=claims.scopes,
        )


def _same(now: User, seen: User) -> bool:
    """Whether a user has the password that was looked at."""
    return hmac.compare_digest(now.password_hash or "", seen.password_hash or "")


@asynccontextmanager
async def open_auth(database: AsyncEngine, redis: Any, settings: AuthSettings) -> AsyncIterator[Auth]:
    """Open authentication over the newest schema.  ``redis`` is redis-py's asyncio client.

    Raises WeakSecret where a secret or a key is one that could be guessed, or another than the other gateways have.
    """
    revoked = Revoked()
    async with AsyncExitStack() as stack:
        passwords = stack.enter_context(closing(Passwords(settings.hasher, settings.hash_threads or half())))
        pepper = settings.master.key("api keys")

        few = asyncio.Semaphore(KEYS_AT_ONCE)

        async def accept_key(text: str) -> Accepted | None:
            if not apikeys.looks_like_one(text):
                return None
            async with asyncio.timeout(KEY_S), few, database.begin() as conn:
                return await apikeys.accept(conn, text, pepper, now=settings.now())

        # Asked at every request: the system's clock without the cost of a datetime.
        wall = time if settings.now is _now else lambda: settings.now().timestamp()
        authenticator = Authenticator(settings.parties, accept_key, revoked, wall=wall)

        async def use_new_keys() -> None:
            async with database.connect() as conn:
                use(await keys.read_keys(conn, settings.master, strict=False))

        def use(ring: KeyRing) -> None:
            auth.ring = ring
            authenticator.use_keys(lambda kid: ring.verifier(kid, settings.now()))

        follower = Follower(database, redis, revoked, use_new_keys, settings.poll_s)
        throttle = LoginThrottle(redis, settings.guesses)
        auth = Auth(database, redis, settings, passwords, throttle, follower, authenticator, KeyRing(()))
        async with database.begin() as conn:
            use(await keys.first_key(conn, settings.master, settings.now()))
        await stack.enter_async_context(follower.running())
        tidying = asyncio.create_task(_tidying(auth))
        stack.callback(tidying.cancel)
        yield auth


async def _tidying(auth: Auth) -> None:
    """Delete what nobody asks for any more, now and then."""
    while True:
        await asyncio.sleep(TIDY_S)
        try:
            async with auth.database.begin() as conn:
                await revocations.forget(conn)
                await sessions.forget(conn, auth.settings.now())
        except SQLAlchemyError as error:
            log.warning("tidying_failed", error=type(error).__name__)
