"""Does the database's schema fit this code?  A gateway asks: a deployment that forgot to migrate never gets ready.

A schema that is newer than the code is fine: migrations only add until no running code needs what they take away, so
that old and new code run side by side while a deployment rolls, and code can go back without the schema.
"""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.health import Probe
from ledger import migrate


class SchemaBehind(Exception):
    """The database is at an older revision than this code needs."""


def schema_fits(database: AsyncEngine) -> Probe:
    """Probe the revision of a database, and give it; reads the list of migrations once, now."""
    newest, known = migrate.head(), migrate.revisions()

    async def ask() -> str:
        async with database.connect() as conn:
            at = (await conn.execute(text("SELECT version_num FROM alembic_version"))).scalar_one()
        if at in known and at != newest:
            raise SchemaBehind(f"{at}, and {newest} is needed")
        return str(at)

    return ask
