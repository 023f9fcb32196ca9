"""Users, for administrators: who there is, and who may do what."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, NamedTuple
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from gateway.api.origin import origin
from gateway.api.tokens import Password
from gateway.audited import note
from gateway.auth import users as rows
from gateway.auth.users import BadUser, LastAdministrator, NameTaken, NoUser, User
from gateway.call import Call
from gateway.paging import Listing, Page, after, page
from gateway.principal import Role
from gateway.problems import Problem
from gateway.routes import Reply, Routes

routes = Routes("users")

UserName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9._@+-]*[A-Za-z0-9])?$(?!\n)",
        description="Kept in small letters",
    ),
]


class UserPath(Struct, forbid_unknown_fields=True):
    """Which user."""

    user: UUID


class UserAnswer(Struct, forbid_unknown_fields=True):
    """A user as administrators see one."""

    id: UUID
    name: str
    display_name: str | None
    role: Role
    enabled: bool
    created_at: datetime
    last_login_at: datetime | None


class NewUser(Struct, forbid_unknown_fields=True):
    """A user to be; without a password there is no login with one, which suits services."""

    name: UserName
    role: Role = "user"
    password: Password | None = None


class UserChange(Struct, forbid_unknown_fields=True):
    """What becomes of a user; what is left out stays."""

    role: Role | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class _Place(NamedTuple):
    name: str


@routes.get("/users", needs="admin:read")
async def list_users(call: Call, query: Listing) -> Page[UserAnswer]:
    """All users, by name; that they were read is written down."""
    place = after(call, query, _Place)
    async with call.works() as conn:
        await note(call, conn, "users.read", "all")
        found = await rows.listed(conn, after=place.name if place else "", limit=query.limit + 1)
    return page(call, query, found, lambda user: (user.name,), _answer)


@routes.post(
    "/users",
    needs="admin:write",
    status=201,
    problems=("conflict", "weak_password"),
    example={"name": "grace", "role": "user", "password": "nine slow otters at noon"},
)
async def add_user(call: Call, body: NewUser) -> Reply[UserAnswer]:
    """Add a user."""
    kept = await call.auth.hash_new(body.password, body.name) if body.password is not None else None
    async with call.works() as conn:
        try:
            made = await rows.add(conn, origin(call), body.name, body.role, kept, now=call.parts.now())
        except NameTaken as error:
            raise Problem("conflict", str(error)) from None
        except BadUser as error:
            raise Problem("invalid", str(error)) from None
    return Reply(_answer(made), status=201)


@routes.patch(
    "/users/{user}", needs="admin:write", problems=("not_found", "conflict"), example={"role": "user", "enabled": True}
)
async def change_user(call: Call, path: UserPath, body: UserChange) -> UserAnswer:
    """Change a role, or let a user in no more; it holds within a second, for tokens given before as well.

    Whoever is disabled is logged out everywhere, and their API keys are refused.
    """
    by, now = origin(call), call.parts.now()
    async with call.auth.changing() as conn:
        try:
            if body.role is not UNSET:
                await rows.set_role(conn, by, path.user, body.role)
            if body.enabled is True:
                await rows.enable(conn, by, path.user)
            elif body.enabled is False:
                await rows.disable(conn, by, path.user, now=now)
            return _answer(await rows.get(conn, path.user))
        except NoUser:
            raise Problem("not_found") from None
        except LastAdministrator as error:
            raise Problem("conflict", str(error)) from None


@routes.post("/users/{user}/logout", needs="admin:write", status=204, problems=("not_found",))
async def log_user_out(call: Call, path: UserPath) -> None:
    """End all sessions of a user."""
    try:
        await call.auth.logout_everywhere(origin(call), path.user)
    except NoUser:
        raise Problem("not_found") from None


def _answer(user: User) -> UserAnswer:
    return UserAnswer(
        id=user.id,
        name=user.name,
        display_name=user.display_name,
        role=user.role,
        enabled=user.enabled,
        created_at=user.created_at,
        last_login_at=user.last_login_at,
    )
