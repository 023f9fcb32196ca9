"""Whose books: a user's name stands for the id that owns them; any other text is taken as it is."""

from __future__ import annotations

import asyncio

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.auth import users
from ops.cli.opening import opened, transact
from ops.settings import Settings


async def owner(conn: AsyncConnection, name: str) -> str:
    """Give the id of a user of this name, else the text itself: books may be kept for somebody who never logs in."""
    user = await users.by_name(conn, name)
    return str(user.id) if user else name


def owner_of(settings: Settings, name: str) -> str:
    """Ask for it in a transaction of its own."""

    async def asked() -> str:
        async with opened(settings) as database:
            return await transact(database, settings, lambda conn: owner(conn, name))

    return asyncio.run(asked())
