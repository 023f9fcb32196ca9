"""Post items: what is new is added, what differs becomes a revision, what moved is observed, nothing is overwritten."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from psycopg import AsyncCursor
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger import stage, stories
from ledger.model import Item, storable
from ledger.telling import Telling
from ledger.tenancy import driver_cursor


@dataclass(frozen=True, slots=True)
class Posting:
    """Items of one page, all or some; ``seen_at`` is when the page was fetched, always the same for one page."""

    page: UUID
    seen_at: datetime
    items: Sequence[Item]


@dataclass(frozen=True, slots=True)
class Posted:
    """How many items of one posting its page was the first to bring, how many it repeated or brought another text of.

    ``new + duplicate + amended`` is the number of items; ``observed`` counts the moved values that were written.
    """

    new: int
    duplicate: int
    amended: int
    observed: int


@dataclass(frozen=True, slots=True)
class Known:
    """What the ledger holds of one key.

    ``fingerprint`` and ``seen_at`` of the head; every ``fingerprints`` it ever had, with the page that brought each;
    ``observed`` as last seen, in JSON types (numbers that were Decimal are text).
    """

    fingerprint: str
    seen_at: datetime
    fingerprints: Mapping[str, UUID]
    observed: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class _Row:
    """One sighting as it is staged; only the first of its key and fingerprint carries content."""

    n: int
    item: Item
    posting: Posting
    lead: bool
    variant: bool


_Brought = tuple[bool, bool, bool]
"""Did the row's own page bring the item, the revision, the observation?"""


async def post(conn: AsyncConnection, postings: Sequence[Posting], *, now: datetime) -> list[Posted]:
    """Write the items and count them, one answer for each posting; ``now`` becomes their ``recorded_at``.

    Part of the caller's transaction, which must be READ COMMITTED and should call this once, before it locks anything
    that another post may hold.  Posting a page again changes nothing and counts the same.
    """
    assert conn.in_transaction(), "post is part of the caller's transaction"
    rows = _rows(postings)
    if not rows:
        return [_count(posting, {}, set()) for posting in postings]
    async with driver_cursor(conn) as cursor:
        told = await stories.join(cursor, [row.item for row in rows], now=now)
        await _copy(cursor, rows, told)
        await cursor.execute(stage.ADD_NEW, {"now": now})
        fresh = {n for (n,) in await cursor.fetchall()}
        brought = {row.n: (True, True, bool(row.item.observed)) for row in rows if row.n in fresh}
        rest = [row.n for row in rows if row.n not in fresh]
        if rest:
            brought |= await _post_known(cursor, rest, now)
    by_sighting = {_sighting(row.posting, row.item): brought[row.n] for row in rows}
    counted: set[_Sighting] = set()
    return [_count(posting, by_sighting, counted) for posting in postings]


_Sighting = tuple[UUID, str, str, str]


def _sighting(posting: Posting, item: Item) -> _Sighting:
    return posting.page, item.provider, item.key, item.fingerprint


def _rows(postings: Iterable[Posting]) -> list[_Row]:
    """Lay out what is to be staged; what one page repeats word for word is left out."""
    rows: list[_Row] = []
    keys: set[tuple[str, str]] = set()
    variants: set[tuple[str, str, str]] = set()
    sightings: set[_Sighting] = set()
    for posting in postings:
        for item in posting.items:
            sighting = _sighting(posting, item)
            if sighting in sightings:
                continue
            key, variant = (item.provider, item.key), (item.provider, item.key, item.fingerprint)
            rows.append(_Row(len(rows), item, posting, lead=key not in keys, variant=variant not in variants))
            sightings.add(sighting)
            keys.add(key)
            variants.add(variant)
    return rows


async def _copy(cursor: AsyncCursor[Any], rows: Sequence[_Row], told: Sequence[Telling | None]) -> None:
    await cursor.execute(stage.PREPARE)
    async with cursor.copy(stage.COPY) as copy:
        for row, telling in zip(rows, told, strict=True):
            await copy.write_row(_staged(row, telling))


def _staged(row: _Row, telling: Telling | None) -> tuple[Any, ...]:
    item, posting = row.item, row.posting
    content: tuple[Any, ...] = (None, None, None, None)
    if row.variant:
        content = (item.title, item.url, list(item.coins), _json(item.body))
    return (
        row.n,
        row.lead,
        row.variant,
        item.provider,
        item.key,
        item.fingerprint,
        posting.seen_at,
        posting.page,
        item.book.value,
        item.kind,
        item.happened_at,
        *content,
        item.provisional,
        _json(item.observed) if item.observed else None,
        telling and telling.story,
        telling and orjson.dumps(telling.why()).decode(),
    )


def _json(value: Mapping[str, Any]) -> str:
    """Write what ``storable`` would give, the quick way where every value is an ordinary one."""
    try:
        told = orjson.dumps(value, default=storable, option=orjson.OPT_STRICT_INTEGER)
    except TypeError:  # a whole number that readers lose, half a surrogate pair, a key that is no text
        return orjson.dumps(storable(value)).decode()
    return told.decode() if _NUL not in told else orjson.dumps(storable(value)).decode()


_NUL = rb"\u0000"


async def _post_known(cursor: AsyncCursor[Any], rest: list[int], now: datetime) -> dict[int, _Brought]:
    """Write what the rows say about items that are there, and tell what their pages were first to bring."""
    given = {"rest": rest, "now": now}
    await cursor.execute(stage.LOCK_CHANGING, given)
    if changing := [id_ for (id_,) in await cursor.fetchall()]:
        for statement in stage.CHANGE:
            await cursor.execute(statement, {**given, "ids": changing})
    await cursor.execute(stage.COUNT, given)
    return {n: (bool(item), bool(revision), bool(seen)) for n, item, revision, seen in await cursor.fetchall()}


def _count(posting: Posting, brought: Mapping[_Sighting, _Brought], counted: set[_Sighting]) -> Posted:
    new = amended = observed = 0
    moved: set[tuple[str, str]] = set()
    for item in posting.items:
        sighting = _sighting(posting, item)
        if sighting in counted:
            continue
        counted.add(sighting)
        brought_item, brought_revision, brought_observation = brought[sighting]
        new += brought_item
        amended += brought_revision and not brought_item
        if brought_observation and (item.provider, item.key) not in moved:
            moved.add((item.provider, item.key))
            observed += 1
    return Posted(new, len(posting.items) - new - amended, amended, observed)


async def known(conn: AsyncConnection, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Known]:
    """Tell what the ledger holds of these (provider, key), in one question; keys it has never seen are left out."""
    asked = sorted(set(keys))
    if not asked:
        return {}
    # As JSON: the driver writes arrays of text in Python, which takes longer than the question itself.
    told = orjson.dumps([{"provider": provider, "key": key} for provider, key in asked])
    rows = await conn.execute(_KNOWN, {"asked": told.decode()})
    return {
        (row.provider, row.key): Known(
            row.fingerprint, row.seen_at, dict(zip(row.fingerprints, row.pages, strict=True)), row.observed
        )
        for row in rows
    }


_KNOWN = text(
    """
    SELECT i.provider, i.key, i.fingerprint, i.seen_at, i.observed, r.fingerprints, r.pages
      FROM jsonb_to_recordset(CAST(:asked AS jsonb)) AS asked(provider text, key text)
      JOIN items i ON i.provider = asked.provider COLLATE "C" AND i.key = asked.key COLLATE "C"
     CROSS JOIN LATERAL (
           SELECT array_agg(fingerprint) AS fingerprints, array_agg(page_id) AS pages
             FROM revisions WHERE item_id = i.id) r
    """
)


def unseen(items: Iterable[Item], held: Mapping[tuple[str, str], Known], page: UUID | None = None) -> list[Item]:
    """Keep what ``post`` must see: new keys, other texts than the head's, values that moved; each once.

    With ``page``, also what that page itself was the first to bring, so that a page that is worked on again is counted
    as it was the first time.  Each item left out is a duplicate, and leaves no sighting: an earlier page that is posted
    later may move the head, until the next page shows the item (docs/ledger.md).
    """
    kept: dict[tuple[str, str, str], Item] = {}
    for item in items:
        one = held.get((item.provider, item.key))
        if one is None or _says_more(item, one) or (page and one.fingerprints.get(item.fingerprint) == page):
            kept.setdefault((item.provider, item.key, item.fingerprint), item)
    return list(kept.values())


def _says_more(item: Item, one: Known) -> bool:
    return item.fingerprint != one.fingerprint or bool(item.observed and storable(item.observed) != one.observed)
