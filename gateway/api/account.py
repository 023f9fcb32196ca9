"""The asker's own account: who am I, what am I called, log out.  Works while Redis is away."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct

from gateway.api.origin import origin
from gateway.auth import users
from gateway.auth.users import User
from gateway.call import Call
from gateway.principal import Role
from gateway.problems import Problem
from gateway.routes import Routes
from gateway.texts import PRINTABLE

routes = Routes("account")

DisplayName = Annotated[str, Meta(min_length=1, max_length=100, pattern=PRINTABLE)]


class Profile(Struct, forbid_unknown_fields=True):
    """An account as its owner sees it; ``scopes`` are those of the token that asks."""

    id: UUID
    name: str
    display_name: str | None
    role: Role
    scopes: list[str]
    created_at: datetime
    last_login_at: datetime | None


class ProfileChange(Struct, forbid_unknown_fields=True):
    """What an owner may change."""

    display_name: DisplayName | None


class Logout(Struct, forbid_unknown_fields=True):
    """Which sessions end: the one that asks, or all."""

    everywhere: bool = False


@routes.get("/auth/me", needs="account:read")
async def me(call: Call) -> Profile:
    """Who you are."""
    return _profile(call, await call.auth.user(UUID(call.principal.user)))


@routes.patch("/auth/me", needs="account:write", example={"display_name": "Ada L."})
async def change_me(call: Call, body: ProfileChange) -> Profile:
    """Change how you are called; the role and everything else is not yours to change."""
    user = UUID(call.principal.user)
    async with call.parts.database.begin() as conn:
        await users.set_display_name(conn, user, body.display_name)
        return _profile(call, await users.get(conn, user))


@routes.post("/auth/logout", needs="account:read", status=204, problems=("forbidden",), example={"everywhere": False})
async def logout(call: Call, body: Logout) -> None:
    """End this session, or with `everywhere` all of them; their tokens are dead within a second on every gateway.

    API keys are no sessions: they are revoked by name.
    """
    asker = call.principal
    if asker.session is None:
        raise Problem("forbidden", "an API key is not logged in: revoke it instead")
    if body.everywhere:
        await call.auth.logout_everywhere(origin(call), UUID(asker.user))
    else:
        await call.auth.logout(origin(call), UUID(asker.session))


def _profile(call: Call, user: User) -> Profile:
    return Profile(
        id=user.id,
        name=user.name,
        display_name=user.display_name,
        role=call.principal.role,
        scopes=sorted(call.principal.scopes),
        created_at=user.created_at,
        last_login_at=user.last_login_at,
    )
