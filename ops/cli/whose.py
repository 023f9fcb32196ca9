"""Whose books: a user's name stands for the id that owns them; any other text is taken as it is."""

from __future__ import annotations

import asyncio

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.auth import users
from ledger.tenancy import acting_for
from ops.cli.opening import CannotDo, opened, transact
from ops.cli.output import plain
from ops.settings import Settings

_IS_USER = text("SELECT EXISTS (SELECT FROM users WHERE id::text = :user)")
_HAS_BOOKS = text("SELECT EXISTS (SELECT FROM entries WHERE user_id = :user)")


async def owner(conn: AsyncConnection, name: str) -> str:
    """Give the id of a user of this name, else the text itself: books may be kept for somebody who never logs in."""
    user = await users.by_name(conn, name)
    return str(user.id) if user else name


async def reader(conn: AsyncConnection, name: str) -> str:
    """Give the id of a user of this name, or the text itself where it is an id or has books; else raise CannotDo.

    A misspelt name would be proved to agree, and have an empty statement.
    """
    if (user := await users.by_name(conn, name)) is not None:
        return str(user.id)
    if (await conn.execute(_IS_USER, {"user": name})).scalar_one():
        return name
    async with acting_for(conn, name):
        if not (await conn.execute(_HAS_BOOKS, {"user": name})).scalar_one():
            raise CannotDo(f"{plain(name, 64)} is no user and has no books: `sluice verify` names those there are")
    return name


def owner_of(settings: Settings, name: str) -> str:
    """Ask for it in a transaction of its own."""

    async def asked() -> str:
        async with opened(settings) as database:
            return await transact(database, settings, lambda conn: owner(conn, name))

    return asyncio.run(asked())
