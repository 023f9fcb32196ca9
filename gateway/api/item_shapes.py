"""What was collected, as clients read it: each item with the call that brought it.

Numbers of the glass and exchange books are money or quantities: they are told as text, digit by digit.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from msgspec import Meta, Struct

from broker.views import Origin
from gateway.paging import Listing
from gateway.texts import Name, RowId, When, Words
from ledger.answers import Detailed, Listed, Observation, Revision, Story
from ledger.model import Book

MONEY_BOOKS = (Book.GLASS, Book.EXCHANGE)
Origins = Mapping[UUID, Origin]


class CollectedListing(Listing, forbid_unknown_fields=True, kw_only=True):
    """What items and flows are chosen by: since <= happened_at < until; ``as_of``: as it was known at that moment."""

    coin: Name | None = None
    kind: Name | None = None
    provider: Name | None = None
    since: When | None = None
    until: When | None = None
    as_of: When | None = None


class ItemListing(CollectedListing, forbid_unknown_fields=True, kw_only=True):
    """``q`` reads like a web search: words, "a phrase", or, -without."""

    book: Book | None = None
    story: RowId | None = None
    q: Words | None = None


class FlowListing(CollectedListing, forbid_unknown_fields=True, kw_only=True):
    """``address`` is a token's or a trader's."""

    address: Name | None = None


class StoryListing(Listing, forbid_unknown_fields=True, kw_only=True):
    """Stories as they were known at a moment."""

    as_of: When | None = None


class ItemPath(Struct, forbid_unknown_fields=True):
    """Which item."""

    item: RowId


class StoryPath(Struct, forbid_unknown_fields=True):
    """Which story."""

    story: RowId


class AsOf(Struct, forbid_unknown_fields=True):
    """As it was known at a moment; absent: as it is known now."""

    as_of: When | None = None


class CameFrom(Struct, forbid_unknown_fields=True, kw_only=True):
    """The call that brought it: whom it asked for what, and when; null where its page is gone."""

    provider: str
    dataset: str | None
    page: UUID
    request: dict[str, Any] | None
    fetched_at: datetime | None
    revision: Annotated[str, Meta(description="Fingerprint of the content: another content is another revision")]


class ItemAnswer(Struct, forbid_unknown_fields=True, kw_only=True):
    """One thing that a provider told, as it last told it; ``observed`` are its values that move."""

    id: int
    provider: str
    key: str
    book: Book
    kind: str
    happened_at: datetime
    recorded_at: datetime
    title: str
    url: str
    coins: list[str]
    body: dict[str, Any]
    provisional: bool
    observed: dict[str, Any] | None
    observed_at: datetime | None
    story: int | None
    came_from: CameFrom


class RevisionAnswer(Struct, forbid_unknown_fields=True, kw_only=True):
    """One content that an item had."""

    book: Book
    kind: str
    happened_at: datetime
    recorded_at: datetime
    title: str
    url: str
    coins: list[str]
    body: dict[str, Any]
    provisional: bool
    came_from: CameFrom


class ObservationAnswer(Struct, forbid_unknown_fields=True, kw_only=True):
    """Values that move, as they stood at a moment."""

    observed_at: datetime
    recorded_at: datetime
    values: dict[str, Any]
    page: UUID


class DetailAnswer(Struct, forbid_unknown_fields=True, kw_only=True):
    """An item with everything it ever said, oldest first; ``story_why`` says what put it into its story."""

    item: ItemAnswer
    story_why: dict[str, Any] | None
    revisions: list[RevisionAnswer]
    observations: list[ObservationAnswer]


class StoryAnswer(Struct, forbid_unknown_fields=True, kw_only=True):
    """Items that tell the same; ``newest_at`` is the world's time of the last of them."""

    id: int
    title: str
    created_at: datetime
    items: int
    newest_at: datetime


class StoryDetail(Struct, forbid_unknown_fields=True, kw_only=True):
    """A story and its newest items; all of them: /items?story=ID."""

    story: StoryAnswer
    newest: list[ItemAnswer]


def pages_of(listed: Collection[Listed]) -> set[UUID]:
    """Name the pages that brought what is told of these items."""
    return {item.head.page_id for item in listed}


def item_answer(item: Listed, origins: Origins) -> ItemAnswer:
    """Tell an item."""
    head = item.head
    return ItemAnswer(
        id=item.id,
        provider=item.provider,
        key=item.key,
        book=head.book,
        kind=head.kind,
        happened_at=head.happened_at,
        recorded_at=item.recorded_at,
        title=head.title,
        url=head.url,
        coins=list(head.coins),
        body=_told(head.book, head.body),
        provisional=head.provisional,
        observed=None if item.observed is None else _told(head.book, item.observed),
        observed_at=item.observed_at,
        story=item.story_id,
        came_from=_came_from(item.provider, head, origins),
    )


def detail_answer(detailed: Detailed, origins: Origins) -> DetailAnswer:
    """Tell everything about an item."""
    item = detailed.item
    return DetailAnswer(
        item=item_answer(item, origins),
        story_why=dict(item.story_why) if item.story_why else None,
        revisions=[_revision(item.provider, told, origins) for told in detailed.revisions],
        observations=[_observation(item.head.book, seen) for seen in detailed.observations],
    )


def story_answer(story: Story) -> StoryAnswer:
    """Tell a story."""
    return StoryAnswer(
        id=story.id, title=story.title, created_at=story.created_at, items=story.items, newest_at=story.newest_at
    )


def _revision(provider: str, told: Revision, origins: Origins) -> RevisionAnswer:
    return RevisionAnswer(
        book=told.book,
        kind=told.kind,
        happened_at=told.happened_at,
        recorded_at=told.recorded_at,
        title=told.title,
        url=told.url,
        coins=list(told.coins),
        body=_told(told.book, told.body),
        provisional=told.provisional,
        came_from=_came_from(provider, told, origins),
    )


def _observation(book: Book, seen: Observation) -> ObservationAnswer:
    return ObservationAnswer(
        observed_at=seen.observed_at, recorded_at=seen.recorded_at, values=_told(book, seen.values), page=seen.page_id
    )


def _came_from(provider: str, told: Revision, origins: Origins) -> CameFrom:
    origin = origins.get(told.page_id)
    return CameFrom(
        provider=provider,
        dataset=origin.dataset if origin else None,
        page=told.page_id,
        request=dict(origin.request) if origin else None,
        fetched_at=origin.fetched_at if origin else None,
        revision=told.fingerprint,
    )


def _told(book: Book, values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _as_text(value) for name, value in values.items()} if book in MONEY_BOOKS else dict(values)


def _as_text(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _as_text(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_as_text(part) for part in value]
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
