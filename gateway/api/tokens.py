"""Tokens: log in, go on, change the password; and API keys for programs."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta, Struct

from gateway.api.origin import origin
from gateway.auth import apikeys
from gateway.auth.apikeys import ApiKey, BadKey, scopes_of_keys
from gateway.auth.passwords import LONGEST, SHORTEST
from gateway.auth.service import Tokens
from gateway.call import Call
from gateway.principal import ADMIN_SCOPES
from gateway.problems import Problem
from gateway.routes import Reply, Routes
from gateway.texts import NO_CONTROL, NO_CONTROL_BUT_BLANKS, Name

routes = Routes("auth")

Typed = Annotated[str, Meta(max_length=1024, extra_json_schema=NO_CONTROL_BUT_BLANKS)]
"""A password or token as somebody typed it: whatever it is, the answer to a wrong one is the same."""
Filled = Annotated[str, Meta(max_length=1024, extra_json_schema=NO_CONTROL)]
"""The same in a form."""
Password = Annotated[
    str,
    Meta(
        min_length=SHORTEST,
        max_length=LONGEST,
        description="Any characters, also spaces",
        extra_json_schema=NO_CONTROL_BUT_BLANKS,
    ),
]
_ANY = "|".join(sorted(ADMIN_SCOPES))
_OF_KEYS = "|".join(sorted(scopes_of_keys("admin")))
_END = r"$(?!\n)"  # the dollar sign alone would let one line end pass
KeyScope = Annotated[str, Meta(pattern=f"^(?:{_OF_KEYS}){_END}", max_length=40)]


class LoginForm(Struct, forbid_unknown_fields=True):
    """A form, as OAuth 2's password grant has it; the client's id and secret may be there and say nothing here."""

    username: Filled
    password: Filled
    grant_type: Literal["password"] = "password"
    scope: Annotated[
        str,
        Meta(
            max_length=500,
            pattern=f"^(?:(?:{_ANY})(?: (?:{_ANY}))*)?{_END}",
            description="Scopes with single spaces between; empty: all of the role",
        ),
    ] = ""
    client_id: Filled = ""
    client_secret: Filled = ""


class TokensAnswer(Struct, forbid_unknown_fields=True):
    """``expires_in`` and ``refresh_expires_in`` are seconds from now."""

    access_token: str
    token_type: Literal["Bearer"]
    expires_in: int
    refresh_token: str
    refresh_expires_in: int
    scope: str


class RefreshRequest(Struct, forbid_unknown_fields=True):
    """The refresh token that came last."""

    refresh_token: Typed


class PasswordChange(Struct, forbid_unknown_fields=True):
    """The password of today and the one from now on."""

    current: Typed
    new: Password


class KeyRequest(Struct, forbid_unknown_fields=True):
    """What a key is called, what it may do, and until when; without an end it lasts until it is revoked."""

    name: Name
    scopes: Annotated[list[KeyScope], Meta(min_length=1, max_length=len(ADMIN_SCOPES))]
    expires_in_days: Annotated[int, Meta(ge=1, le=3650)] | None = None


class KeyPath(Struct, forbid_unknown_fields=True):
    """Which key: its public id."""

    key: Annotated[str, Meta(max_length=64)]


class KeyAnswer(Struct, forbid_unknown_fields=True):
    """A key, without its secret."""

    id: str
    name: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


class NewKeyAnswer(Struct, forbid_unknown_fields=True):
    """``api_key`` is shown here and never again: send it as ``Authorization: Bearer slc_…``."""

    key: KeyAnswer
    api_key: str


@routes.post(
    "/login/access-token",
    needs=None,
    takes="application/x-www-form-urlencoded",
    example={"username": "ada", "password": "seven quiet herons at dawn"},
    problems=("invalid_credentials", "rate_limited", "unavailable"),
)
async def login(call: Call, body: LoginForm) -> TokensAnswer:
    """Log in with a name and a password.

    Ten wrong passwords for one account from one address close that way for a quarter of an hour, and no other.
    """
    asked = frozenset(body.scope.split()) or None
    return _told(await call.auth.login(origin(call), body.username, body.password, asked))


@routes.post(
    "/auth/refresh",
    needs=None,
    problems=("invalid_credentials", "unavailable"),
    example={"refresh_token": "slr_the-one-that-came-last"},
)
async def refresh(call: Call, body: RefreshRequest) -> TokensAnswer:
    """Take the refresh token for the next one and a new access token.

    A refresh token works once.  For some seconds its second use gives the same successor, for tabs that refresh at
    once; after that it ends the session, since one of the two who have it stole it.
    """
    return _told(await call.auth.refresh(origin(call), body.refresh_token))


@routes.post(
    "/auth/password",
    needs="account:write",
    status=204,
    problems=("invalid_credentials", "weak_password", "rate_limited", "unavailable"),
    example={"current": "seven quiet herons at dawn", "new": "eight loud cranes at dusk"},
)
async def change_password(call: Call, body: PasswordChange) -> None:
    """Change the password; all other sessions end."""
    await call.auth.change_password(origin(call), call.principal, body.current, body.new)


@routes.get("/auth/api-keys", needs="account:read")
async def list_keys(call: Call) -> list[KeyAnswer]:
    """Your API keys, the newest first, without their secrets, with the last 20 that were revoked or expired."""
    async with call.parts.database.connect() as conn:
        return [_key(one) for one in await apikeys.listed(conn, UUID(call.principal.user))]


@routes.post(
    "/auth/api-keys",
    needs="account:write",
    status=201,
    problems=("forbidden", "conflict"),
    example={"name": "nightly import", "scopes": ["jobs:read", "jobs:write"], "expires_in_days": 90},
)
async def make_key(call: Call, body: KeyRequest) -> Reply[NewKeyAnswer]:
    """Make an API key for a program; its secret is in this answer and nowhere else.

    A key has at most the scopes of whoever asks, never `account:write`, and is charged to its user's rate limit.
    """
    now, scopes = call.parts.now(), frozenset(body.scopes)
    if more := scopes - call.principal.scopes:
        raise Problem("forbidden", f"you have not {', '.join(sorted(more))} yourself")
    async with call.auth.changing() as conn:
        try:
            made, text = await apikeys.create(
                conn,
                origin(call),
                UUID(call.principal.user),
                name=body.name,
                scopes=scopes,
                expires_at=now + timedelta(days=body.expires_in_days) if body.expires_in_days else None,
                pepper=call.auth.master.key("api keys"),
                now=now,
            )
        except BadKey as error:
            raise Problem("conflict", str(error)) from None
    return Reply(NewKeyAnswer(_key(made), text), status=201)


@routes.delete("/auth/api-keys/{key}", needs="account:write", problems=("not_found",))
async def revoke_key(call: Call, path: KeyPath) -> None:
    """Revoke an API key of yours: within a second no gateway takes it."""
    async with call.auth.changing() as conn:
        user = UUID(call.principal.user)
        if not await apikeys.withdraw(conn, origin(call), user, path.key, now=call.parts.now()):
            raise Problem("not_found")


def _told(tokens: Tokens) -> TokensAnswer:
    return TokensAnswer(
        access_token=tokens.access_token,
        token_type="Bearer",  # noqa: S106  the word of RFC 6750
        expires_in=tokens.expires_in,
        refresh_token=tokens.refresh_token,
        refresh_expires_in=tokens.refresh_expires_in,
        scope=" ".join(sorted(tokens.scopes)),
    )


def _key(key: ApiKey) -> KeyAnswer:
    return KeyAnswer(
        id=key.id,
        name=key.name,
        scopes=list(key.scopes),
        created_at=key.created_at,
        expires_at=key.expires_at,
        last_used_at=key.last_used_at,
        revoked_at=key.revoked_at,
    )
