"""What a person says about stories: these two are one, this item tells another.  Recorded, and held to.

A story that a person has split off is never merged back because titles are alike; one that was merged stays merged.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from psycopg import AsyncCursor
from psycopg.types.json import Jsonb
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.model import Book, Item
from ledger.shelf import Shelf
from ledger.stories import write_merges
from ledger.telling import Merge, Teller, name_of, told_by
from ledger.tenancy import driver_cursor


class UnknownStoryError(LookupError):
    """There is no such story, or no such item in one; the text says which."""


async def merge(conn: AsyncConnection, one: int, other: int, *, by: str, now: datetime) -> int:
    """Make two stories one, in the caller's transaction; give the id that stays, the elder's.  Both ids answer."""
    async with driver_cursor(conn) as cursor:
        shelf = await Shelf.take_turn(cursor)
        gone, kept = sorted([await _now(cursor, one), await _now(cursor, other)], reverse=True)
        if gone == kept:
            return kept
        await shelf.bring_known([gone, kept])
        teller = Teller(_no_new_story, shelf.memory)
        if gone in shelf.memory.stories:
            if kept not in shelf.memory.stories:
                shelf.memory.reopen(kept)
            for story in (gone, kept):
                await shelf.bring_terms_of(story)
            shelf.memory.merge(gone, kept)
        teller.merge(gone, kept)
        await write_merges(cursor, {Merge(gone, kept): by}, teller, now)
        await shelf.keep()
    return kept


async def split(conn: AsyncConnection, item_id: int, *, tell: Callable[[Item], Item], by: str, now: datetime) -> int:
    """Take an item out of its story and give it one of its own; give the new story's id.

    ``tell`` gives an item its story keys and terms: ``workers.stories.telling``.
    """
    async with driver_cursor(conn) as cursor:
        shelf = await Shelf.take_turn(cursor)
        old, item = await _item(cursor, item_id)
        item = tell(item)
        new = await _new_story(cursor, item.title, now)
        told = told_by(item)
        await shelf.bring_stories([old])
        await shelf.bring_terms_of(old)
        await shelf.bring_terms(told.terms)
        memory = shelf.memory
        memory.add(told, new)
        if old in memory.stories:
            memory.take_out(told, old)
            memory.part(old, new)
        await shelf.keep()
        await _move(cursor, item_id, item, old, new, by=by, now=now)
    return new


async def _now(cursor: AsyncCursor[Any], story: int) -> int:
    await cursor.execute("SELECT coalesce(merged_into, id) FROM stories WHERE id = %s", [story])
    row = await cursor.fetchone()
    if row is None:
        raise UnknownStoryError(f"there is no story {story}")
    return int(row[0])


async def _item(cursor: AsyncCursor[Any], item_id: int) -> tuple[int, Item]:
    """Give an item's story, and of its head what tells stories."""
    await cursor.execute(
        """
        SELECT i.story_id, i.provider, i.key, i.kind, r.happened_at, r.title, r.url, i.observed
          FROM items i JOIN revisions r ON r.item_id = i.id AND r.fingerprint = i.fingerprint
         WHERE i.id = %s AND i.story_id IS NOT NULL
        """,
        [item_id],
    )
    row = await cursor.fetchone()
    if row is None:
        raise UnknownStoryError(f"there is no item {item_id} that tells a story")
    story, provider, key, kind, at, title, url, observed = row
    return story, Item(provider, key, Book.HUMAN, kind, at, {}, title=title, url=url, observed=observed or {})


async def _new_story(cursor: AsyncCursor[Any], title: str, now: datetime) -> int:
    await cursor.execute("INSERT INTO stories (title, created_at) VALUES (%s, %s) RETURNING id", [title, now])
    [(story,)] = await cursor.fetchall()
    return int(story)


async def _move(
    cursor: AsyncCursor[Any], item_id: int, item: Item, old: int, new: int, *, by: str, now: datetime
) -> None:
    """Move the item, and the keys that it was the first to bring: what shares them follows it from now on."""
    why = {"by": "person", "name": by}
    await cursor.execute("UPDATE items SET story_id = %s, story_why = %s WHERE id = %s", [new, Jsonb(why), item_id])
    await cursor.execute(
        "UPDATE story_keys SET story_id = %s WHERE key = ANY(%s) AND told_by = %s",
        [new, list(item.story_keys), name_of(item)],
    )
    await cursor.execute(
        """
        INSERT INTO story_changes (changed_at, change, story_id, other_id, item_id, changed_by)
        VALUES (%s, 'split', %s, %s, %s, %s)
        """,
        [now, old, new, item_id, by],
    )


def _no_new_story() -> int:
    raise AssertionError("a merge makes no story")
