"""Read what was collected: lists, one item with all it ever said, stories; now, or as it was known at a past moment.

*As of* a moment means: of each item, the latest text and values among those recorded by then.  Times are aware, UTC;
lists are newest first and paged by the place of their last row.  Numbers that providers gave as decimals are text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Row,
    ScalarSelect,
    Select,
    Text,
    cast,
    false,
    func,
    literal,
    select,
    text,
    tuple_,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY, array
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.selectable import LateralFromClause

from ledger.answers import Detailed, Holding, Listed, Observation, Place, Revision, Story
from ledger.model import Book, storable
from ledger.tables import ADDRESSES, SEARCH, items, observations, returns, revisions, stories


async def list_items(
    conn: AsyncConnection,
    *,
    book: Book | None = None,
    provider: str | None = None,
    kind: str | None = None,
    coin: str | None = None,
    address: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    q: str | None = None,
    story: int | None = None,
    as_of: datetime | None = None,
    after: Place | None = None,
    limit: int = 50,
) -> list[Listed]:
    """List items with since <= happened_at < until; ``q`` reads like a web search: words, "a phrase", or, -without.

    ``address`` is a token's or a trader's, in the glass book: hexadecimal ones in lower case, as the book writes them.
    """
    told = revisions.c
    query = _heads(as_of)
    if book is not None:
        query = query.where(told.book == book)
    if provider is not None:
        query = query.where(told.provider == storable(provider))
    if kind is not None:
        query = query.where(told.kind == storable(kind))
    if coin is not None:
        query = query.where(told.coins.contains([storable(coin)]))
    if address is not None:
        wanted = cast(array([storable(address)]), ARRAY(Text))
        query = query.where(told.book == text("'glass'"), ADDRESSES.op("@>")(wanted))
    if since is not None:
        query = query.where(told.happened_at >= since)
    if until is not None:
        query = query.where(told.happened_at < until)
    if q is not None:
        query = query.where(SEARCH.op("@@")(func.websearch_to_tsquery(text("'simple'"), storable(q))))
    if story is not None:
        query = query.where(items.c.story_id == _now(story))
    if after is not None:
        query = query.where(_before(told.happened_at, told.item_id, after))
    query = query.order_by(told.happened_at.desc(), told.item_id.desc()).limit(limit)
    return [_listed(row) for row in await conn.execute(query)]


async def get_item(conn: AsyncConnection, item_id: int, *, as_of: datetime | None = None) -> Detailed | None:
    """Give one item with its revisions and observations; None when it is not there, or was not yet."""
    row = (await conn.execute(_heads(as_of).where(items.c.id == item_id))).one_or_none()
    if row is None:
        return None
    said = select(revisions).where(revisions.c.item_id == item_id, *_by(revisions.c.recorded_at, as_of))
    seen = select(observations).where(observations.c.item_id == item_id, *_by(observations.c.recorded_at, as_of))
    told = await conn.execute(said.order_by(revisions.c.seen_at, revisions.c.fingerprint))
    watched = await conn.execute(seen.order_by(observations.c.observed_at))
    return Detailed(
        item=_listed(row),
        revisions=tuple(_revision(one) for one in told),
        observations=tuple(
            Observation(one.observed_at, one._mapping["values"], one.page_id, one.recorded_at) for one in watched
        ),
    )


async def list_stories(
    conn: AsyncConnection, *, as_of: datetime | None = None, after: Place | None = None, limit: int = 50
) -> list[Story]:
    """List stories, the last to appear first."""
    query = _stories(as_of)
    if after is not None:
        query = query.where(_before(stories.c.created_at, stories.c.id, after))
    query = query.order_by(stories.c.created_at.desc(), stories.c.id.desc()).limit(limit)
    return [Story(*row) for row in await conn.execute(query)]


async def get_story(conn: AsyncConnection, story_id: int, *, as_of: datetime | None = None) -> Story | None:
    """Give one story, or the one that has taken it in; its items come from ``list_items(story=…)``."""
    row = (await conn.execute(_stories(as_of).where(stories.c.id == _now(story_id)))).one_or_none()
    return None if row is None else Story(*row)


async def holdings(conn: AsyncConnection, *, as_of: datetime | None = None) -> list[Holding]:
    """Count items by provider and book."""
    query = (
        select(items.c.provider, items.c.book, func.count(), func.max(items.c.happened_at))
        .where(*_by(items.c.recorded_at, as_of))
        .group_by(items.c.provider, items.c.book)
        .order_by(items.c.provider, items.c.book)
    )
    return [Holding(row[0], Book(row[1]), row[2], row[3]) for row in await conn.execute(query)]


def _now(story_id: int) -> ScalarSelect[int]:
    """Follow a story that was merged to the one that answers for it."""
    return select(func.coalesce(stories.c.merged_into, stories.c.id)).where(stories.c.id == story_id).scalar_subquery()


def _stories(as_of: datetime | None) -> Select[Any]:
    """Give each story that has items with their number and the time of the newest."""
    counted = (
        select(func.count().label("number"), func.max(items.c.happened_at).label("newest_at"))
        .where(items.c.story_id == stories.c.id, *_by(items.c.recorded_at, as_of))
        .lateral("counted")
    )
    return (
        select(stories.c.id, stories.c.title, stories.c.created_at, counted.c.number, counted.c.newest_at)
        .join_from(stories, counted, counted.c.number > 0)
        .where(*_by(stories.c.created_at, as_of))
    )


_HEAD = ("fingerprint", "book", "kind", "happened_at", "title", "url", "coins", "body", "provisional", "seen_at")
_ITEM = tuple(items.c[name] for name in ("id", "provider", "key", "recorded_at", "page_id", "story_id", "story_why"))


def _heads(as_of: datetime | None) -> Select[Any]:
    """Select each item with its head: the pointer's for now, computed from what had been recorded for a past moment."""
    columns = (
        *_ITEM,
        *(revisions.c[name] for name in _HEAD),
        revisions.c.page_id.label("told_by"),
        revisions.c.recorded_at.label("told_at"),
    )
    if as_of is None:
        # Wrapped, since the planner takes equal fingerprints for a rare accident, and would sort the whole table.
        is_head = func.coalesce(items.c.fingerprint == revisions.c.fingerprint, false())
        return (
            select(*columns, items.c.observed, items.c.observed_at)
            .join_from(revisions, items, items.c.id == revisions.c.item_id)
            .where(is_head)
        )
    seen = _observed(as_of)
    return (
        select(*columns, seen.c.observed, seen.c.observed_at)
        .join_from(revisions, items, items.c.id == revisions.c.item_id)
        .outerjoin(seen, literal(value=True))
        .where(revisions.c.recorded_at <= as_of, revisions.c.fingerprint == _head_at(as_of))
    )


def _head_at(as_of: datetime) -> ColumnElement[str]:
    """Name the head of the row's item at that moment: the latest (seen_at, fingerprint) recorded by then."""
    said, came_back = revisions.alias("said"), returns.alias("came_back")
    sightings = union_all(
        *(
            select(table.c.fingerprint, table.c.seen_at)
            .where(table.c.item_id == revisions.c.item_id, table.c.recorded_at <= as_of)
            .correlate(revisions)
            for table in (said, came_back)
        )
    ).subquery("sightings")
    latest = select(sightings.c.fingerprint).order_by(sightings.c.seen_at.desc(), sightings.c.fingerprint.desc())
    return latest.limit(1).correlate(revisions).scalar_subquery()


def _observed(as_of: datetime) -> LateralFromClause:
    return (
        select(observations.c["values"].label("observed"), observations.c.observed_at)
        .where(observations.c.item_id == items.c.id, observations.c.recorded_at <= as_of)
        .order_by(observations.c.observed_at.desc())
        .limit(1)
        .lateral("seen")
    )


def _by(recorded_at: ColumnElement[Any], as_of: datetime | None) -> Sequence[ColumnElement[bool]]:
    return () if as_of is None else (recorded_at <= as_of,)


def _before(at: ColumnElement[Any], id_: ColumnElement[Any], place: Place) -> ColumnElement[bool]:
    return tuple_(at, id_) < tuple_(literal(place.at), literal(place.id))


def _listed(row: Row[Any]) -> Listed:
    named = row._mapping
    head = _revision_of({**named, "page_id": row.told_by, "recorded_at": row.told_at})
    identity = {column.name: named[column] for column in _ITEM}
    return Listed(**identity, head=head, observed=row.observed, observed_at=row.observed_at)


def _revision(row: Row[Any]) -> Revision:
    return _revision_of(row._mapping)


def _revision_of(row: Mapping[Any, Any]) -> Revision:
    values = {name: row[name] for name in (*_HEAD, "page_id", "recorded_at")}
    return Revision(**{**values, "book": Book(row["book"]), "coins": tuple(row["coins"])})
