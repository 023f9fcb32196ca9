"""Which story an item tells: that of the first of its keys which is already known, else a new one.

Grouping only: nothing about an item is changed or dropped by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from psycopg import AsyncCursor

from ledger.model import Item


async def join(cursor: AsyncCursor[Any], items: Sequence[Item], *, now: datetime) -> list[int | None]:
    """Give the story of each item, in order.  Of two workers at once, the second waits and joins the first's story.

    Keys are claimed in sorted order, in one statement, before anything else is locked.
    """
    wanted = sorted({key for item in items for key in item.story_keys})
    if not wanted:
        return [None] * len(items)
    known = await _known(cursor, wanted)
    told = await _told(cursor, items) if len(known) < len(wanted) else {}
    plan = _assign(items, known, told)
    fresh = await _reserve(cursor, plan)
    missing = {key: fresh.get(plan[key], plan[key]) for key in wanted if key not in known}
    claimed = await _claim(cursor, missing)
    if len(claimed) < len(missing):  # another worker's stories have just been committed
        known |= await _known(cursor, sorted(missing.keys() - claimed))
        plan = _assign(items, known, told)
        await _correct(cursor, {key: fresh.get(plan[key], plan[key]) for key in claimed})
    await _write(cursor, items, plan, fresh, now)
    stories = ((plan[item.story_keys[0]] if item.story_keys else None) for item in items)
    return [None if story is None else fresh.get(story, story) for story in stories]


_Told = Mapping[tuple[str, str], int]
"""The stories of items that are there already: an item stays in its story, and brings further keys to it."""


def _assign(items: Iterable[Item], known: Mapping[str, int], told: _Told) -> dict[str, int]:
    """Say which story each key belongs to; new stories are numbered -1, -2 and so on."""
    plan = dict(known)
    new = 0
    for item in items:
        if not item.story_keys:
            continue
        story = told.get((item.provider, item.key)) or next((plan[key] for key in item.story_keys if key in plan), None)
        if story is None:
            new -= 1
            story = new
        for key in item.story_keys:
            plan.setdefault(key, story)
    return plan


async def _told(cursor: AsyncCursor[Any], items: Iterable[Item]) -> _Told:
    names = {(item.provider, item.key) for item in items if item.story_keys}
    await cursor.execute(
        """
        SELECT provider, key, story_id FROM items
         WHERE story_id IS NOT NULL AND (provider, key) IN (
               SELECT p COLLATE "C", k COLLATE "C" FROM unnest(%s::text[], %s::text[]) AS t(p, k))
        """,
        [[provider for provider, _ in names], [key for _, key in names]],
    )
    return {(provider, key): story for provider, key, story in await cursor.fetchall()}


async def _known(cursor: AsyncCursor[Any], keys: Sequence[str]) -> dict[str, int]:
    await cursor.execute("SELECT key, story_id FROM story_keys WHERE key = ANY(%s)", [list(keys)])
    return dict(await cursor.fetchall())


async def _reserve(cursor: AsyncCursor[Any], plan: Mapping[str, int]) -> dict[int, int]:
    """Give each new story of the plan its number."""
    new = sorted({story for story in plan.values() if story < 0}, reverse=True)
    if not new:
        return {}
    await cursor.execute(
        "SELECT nextval(pg_get_serial_sequence('stories', 'id')) FROM generate_series(1, %s)", [len(new)]
    )
    return {story: number for story, (number,) in zip(new, await cursor.fetchall(), strict=True)}


async def _claim(cursor: AsyncCursor[Any], stories: Mapping[str, int]) -> set[str]:
    """Record the keys; answer those that were not recorded by somebody else in the meantime."""
    if not stories:
        return set()
    await cursor.execute(
        """
        INSERT INTO story_keys (key, story_id)
        SELECT key, story_id FROM unnest(%s::text[], %s::bigint[]) AS t(key, story_id) ORDER BY key COLLATE "C"
        ON CONFLICT (key) DO NOTHING RETURNING key
        """,
        [list(stories), list(stories.values())],
    )
    return {key for (key,) in await cursor.fetchall()}


async def _correct(cursor: AsyncCursor[Any], stories: Mapping[str, int]) -> None:
    """Move keys that this transaction has claimed, and so has locked, to the story that was there first."""
    await cursor.execute(
        """
        UPDATE story_keys k SET story_id = t.story_id
          FROM unnest(%s::text[], %s::bigint[]) AS t(key, story_id)
         WHERE k.key = t.key COLLATE "C" AND k.story_id <> t.story_id
        """,
        [list(stories), list(stories.values())],
    )


async def _write(
    cursor: AsyncCursor[Any], items: Iterable[Item], plan: Mapping[str, int], fresh: Mapping[int, int], now: datetime
) -> None:
    """Write the new stories that are still needed, titled by the first item that tells them."""
    titles: dict[int, str] = {}
    for item in items:
        if item.story_keys and (story := plan[item.story_keys[0]]) < 0:
            titles.setdefault(fresh[story], item.title)
    if titles:
        await cursor.execute(
            """
            INSERT INTO stories (id, title, created_at)
            SELECT id, title, %s FROM unnest(%s::bigint[], %s::text[]) AS t(id, title)
            """,
            [now, list(titles), list(titles.values())],
        )
