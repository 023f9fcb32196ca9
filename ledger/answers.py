"""What the ledger answers: frozen values.  Times are aware, in UTC; what providers gave as decimals is text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from ledger.model import Book


class Place(NamedTuple):
    """Where a page of a list ended: pass it as ``after`` to read on, without gaps or repeats."""

    at: datetime
    id: int


@dataclass(frozen=True, slots=True)
class Revision:
    """One text of an item; ``page_id`` names the page that brought it, ``seen_at`` when that page was fetched."""

    fingerprint: str
    book: Book
    kind: str
    happened_at: datetime
    title: str
    url: str
    coins: tuple[str, ...]
    body: Mapping[str, Any]
    provisional: bool
    page_id: UUID
    seen_at: datetime
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Observation:
    """Values that move, as they stood at ``observed_at``; ``page_id`` names the page that told them."""

    observed_at: datetime
    values: Mapping[str, Any]
    page_id: UUID
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Listed:
    """An item with its head and its last observation; ``page_id`` and ``recorded_at`` are of its first sighting.

    ``story_why`` is the reason for its story: ``by`` (address, title, topic, retold, first or person), ``neighbour``,
    the item that it was found beside, and ``score``.
    """

    id: int
    provider: str
    key: str
    recorded_at: datetime
    page_id: UUID
    story_id: int | None
    story_why: Mapping[str, Any] | None
    head: Revision
    observed: Mapping[str, Any] | None
    observed_at: datetime | None

    @property
    def place(self) -> Place:
        """Where a list that ends with this item goes on."""
        return Place(self.head.happened_at, self.id)


@dataclass(frozen=True, slots=True)
class Detailed:
    """An item with everything it ever said, oldest sighting first, and where each part came from."""

    item: Listed
    revisions: tuple[Revision, ...]
    observations: tuple[Observation, ...]


@dataclass(frozen=True, slots=True)
class Story:
    """Items that tell the same; ``newest_at`` is the world's time of the last of them."""

    id: int
    title: str
    created_at: datetime
    items: int
    newest_at: datetime

    @property
    def place(self) -> Place:
        """Where a list that ends with this story goes on."""
        return Place(self.created_at, self.id)


@dataclass(frozen=True, slots=True)
class Holding:
    """How much of one provider's book is there."""

    provider: str
    book: Book
    items: int
    newest_at: datetime
