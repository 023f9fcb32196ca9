"""Which story each item tells, decided in one step when it is posted, with the reason; merges of stories, recorded.

Grouping only: nothing about an item is changed or dropped by it.  The rules are in ``telling`` and ``grouping``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from psycopg import AsyncCursor

from ledger.grouping import Nearby, alike, near, shared_terms
from ledger.guard import plain
from ledger.model import Item
from ledger.shelf import Shelf
from ledger.telling import Key, Merge, Teller, Telling, name_of

ALIKE = "titles"
"""Who has merged two stories, where it was no person."""


async def join(cursor: AsyncCursor[Any], items: Sequence[Item], *, now: datetime) -> list[Telling | None]:
    """Give the story of each item and why, in order.  Of two workers at once, the second waits and joins the first's.

    Items that are all there already, with all their keys, are answered without a lock.
    """
    asking = [item for item in items if item.story_keys or item.terms]
    there = await _there(cursor, asking)
    keys = await _keys(cursor, asking)
    if all(name_of(item) in there and keys.keys() >= set(item.story_keys) for item in asking):
        settled = {name: Telling(story, "known") for name, story in there.items()}
        return [settled.get(name_of(item)) for item in items]
    shelf = await Shelf.take_turn(cursor)
    new = [item for item in asking if name_of(item) not in there]
    teller = Teller(
        new_story=iter(await _numbers(cursor, len(new))).__next__,
        memory=shelf.memory,
        keys=await _keys(cursor, asking),  # both again: another worker's turn may have brought some
        there=await _there(cursor, asking),
    )
    tellings = await _tell(teller, shelf, items)
    await _write(cursor, teller, now)
    await shelf.keep()
    return [telling and Telling(teller.now(telling.story), *telling.reason) for telling in tellings]


async def _tell(teller: Teller, shelf: Shelf, items: Sequence[Item]) -> list[Telling | None]:
    await shelf.bring_due(len(items))
    await shelf.bring_terms(term for item in items for term in plain(item.terms))
    await shelf.bring_known(key.story for key in teller.keys.values())
    nearby = [teller.nearby(item) for item in items]
    await shelf.bring_near(nearby)
    await shelf.bring_terms(_shared_terms(teller, nearby))
    return [await _tell_one(teller, shelf, item) for item in items]


async def _tell_one(teller: Teller, shelf: Shelf, item: Item) -> Telling | None:
    """Take the step of ``Teller.tell``, and bring what it needs: nearly always nothing, as little has changed since
    the page's items were looked at."""
    nearby = teller.nearby(item)
    await shelf.bring_near([nearby])
    telling = teller.place(item, nearby)
    if telling is None:
        return None
    await shelf.bring_terms_of(telling.story, wide_with=len(item.terms))
    if teller.remember(item, telling):
        await shelf.bring_terms(shared_terms(teller.memory, telling.story, nearby))
        for gone, kept in alike(teller.memory, telling.story, nearby):
            await shelf.bring_terms_of(gone)
            await shelf.bring_terms_of(kept, wide_with=len(teller.memory.stories[gone].terms))
            teller.memory.merge(gone, kept)
            teller.merge(gone, kept)
            await shelf.bring_terms(shared_terms(teller.memory, kept, nearby))
    return telling


def _shared_terms(teller: Teller, nearby: Sequence[Nearby]) -> Iterator[str]:
    """Guess what the items will tell, and give the terms by which those stories could be merged with others."""
    for stories in nearby:
        if open_ones := near(teller.memory, stories):
            yield from shared_terms(teller.memory, open_ones[0].id, stories)


async def _there(cursor: AsyncCursor[Any], items: Iterable[Item]) -> dict[str, int]:
    """Give the stories of items that are there already, by their names."""
    wanted = {(item.provider, item.key): name_of(item) for item in items}
    if not wanted:
        return {}
    await cursor.execute(
        """
        SELECT provider, key, story_id FROM items
         WHERE story_id IS NOT NULL AND (provider, key) IN (
               SELECT p COLLATE "C", k COLLATE "C" FROM unnest(%s::text[], %s::text[]) AS t(p, k))
        """,
        [[provider for provider, _ in wanted], [key for _, key in wanted]],
    )
    return {wanted[provider, key]: story for provider, key, story in await cursor.fetchall()}


async def _keys(cursor: AsyncCursor[Any], items: Iterable[Item]) -> dict[str, Key]:
    wanted = list({key for item in items for key in item.story_keys})
    if not wanted:
        return {}
    await cursor.execute(
        """
        SELECT k.key, coalesce(s.merged_into, s.id), k.told_by
          FROM story_keys k JOIN stories s ON s.id = k.story_id WHERE k.key = ANY(%s)
        """,
        [wanted],
    )
    return {key: Key(story, told_by) for key, story, told_by in await cursor.fetchall()}


async def _numbers(cursor: AsyncCursor[Any], many: int) -> list[int]:
    """Take as many numbers for new stories as could be needed; those left over are never used."""
    await cursor.execute("SELECT nextval(pg_get_serial_sequence('stories', 'id')) FROM generate_series(1, %s)", [many])
    return [number for (number,) in await cursor.fetchall()]


async def _write(cursor: AsyncCursor[Any], teller: Teller, now: datetime) -> None:
    """Write the new stories, titled by the first item that tells them, their keys, and what was merged."""
    if teller.titles:
        await cursor.execute(
            """
            INSERT INTO stories (id, title, created_at)
            SELECT id, title, %s FROM unnest(%s::bigint[], %s::text[]) AS t(id, title)
            """,
            [now, list(teller.titles), list(teller.titles.values())],
        )
    await write_merges(cursor, dict.fromkeys(teller.merged, ALIKE), teller, now)
    await _write_keys(cursor, teller.new_keys, teller)


async def write_merges(cursor: AsyncCursor[Any], merged: Mapping[Merge, str], teller: Teller, now: datetime) -> None:
    """Let items and ids of stories that are gone lead to those that were kept; keep who said so."""
    if not merged:
        return
    ends = [[merge.gone for merge in merged], [teller.now(merge.gone) for merge in merged]]
    await cursor.execute(
        """
        UPDATE stories s SET merged_into = t.kept FROM unnest(%s::bigint[], %s::bigint[]) AS t(gone, kept)
         WHERE s.id = t.gone OR s.merged_into = t.gone
        """,
        ends,
    )
    await cursor.execute(
        """
        UPDATE items i SET story_id = t.kept FROM unnest(%s::bigint[], %s::bigint[]) AS t(gone, kept)
         WHERE i.story_id = t.gone
        """,
        ends,
    )
    await cursor.execute(
        """
        INSERT INTO story_changes (changed_at, change, story_id, other_id, changed_by)
        SELECT %s, 'merged', kept, gone, by
          FROM unnest(%s::bigint[], %s::bigint[], %s::text[]) AS t(kept, gone, by)
        """,
        [now, [merge.kept for merge in merged], [merge.gone for merge in merged], list(merged.values())],
    )


async def _write_keys(cursor: AsyncCursor[Any], keys: Mapping[str, Key], teller: Teller) -> None:
    if keys:
        await cursor.execute(
            """
            INSERT INTO story_keys (key, story_id, told_by)
            SELECT * FROM unnest(%s::text[], %s::bigint[], %s::text[])
            """,
            [list(keys), [teller.now(key.story) for key in keys.values()], [key.told_by for key in keys.values()]],
        )
