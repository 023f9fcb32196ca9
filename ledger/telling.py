"""One step for one item: which story it tells, and why.  Pure; the database and ``sluice eval`` take the same step.

Surest first: an item that is there stays where it is; a known address or title; what the title resembles; a new story.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ledger.grouping import Match, Nearby, find_near, match, merges
from ledger.guard import plain
from ledger.memory import Memory, Told
from ledger.model import Item


@dataclass(frozen=True, slots=True)
class Key:
    """A story that an address or a title stands for, and the name of the item that first brought it."""

    story: int
    told_by: str


@dataclass(frozen=True, slots=True)
class Merge:
    """Two stories that have become one."""

    gone: int
    kept: int


@dataclass(frozen=True, slots=True)
class Telling:
    """The story of an item and the reason: ``by`` is ``address``, ``title``, ``topic``, ``retold``, ``first``."""

    story: int
    by: str
    neighbour: str = ""
    score: float | None = None

    @property
    def reason(self) -> tuple[str, str, float | None]:
        """Everything but the story."""
        return self.by, self.neighbour, self.score

    def why(self) -> dict[str, Any]:
        """Give the reason as it is kept beside the item."""
        told: dict[str, Any] = {"by": self.by}
        if self.neighbour:
            told["neighbour"] = self.neighbour
        if self.score is not None:
            told["score"] = round(self.score, 4)
        return told


def name_of(item: Item) -> str:
    """Name an item for people: ``cryptopanic posts:123``."""
    return f"{item.provider} {item.key}"


def told_by(item: Item) -> Told:
    """Give what the grouping hears of an item."""
    return Told(name_of(item), item.terms, item.happened_at.timestamp())


@dataclass(slots=True)
class Teller:
    """What is known of keys and open stories, and what the items at hand add to it."""

    new_story: Callable[[], int]
    memory: Memory = field(default_factory=Memory)
    keys: dict[str, Key] = field(default_factory=dict)
    there: dict[str, int] = field(default_factory=dict)
    """Stories of items that are there already, by their names."""
    new_keys: dict[str, Key] = field(default_factory=dict)
    titles: dict[int, str] = field(default_factory=dict)
    """New stories, titled by the first item that tells them."""
    merged: list[Merge] = field(default_factory=list)
    _now: dict[int, int] = field(default_factory=dict)

    def nearby(self, item: Item) -> Nearby:
        """List the open stories that ``tell`` will look at."""
        return find_near(self.memory, plain(item.terms))

    def tell(self, item: Item, nearby: Nearby) -> Telling | None:
        """Decide the item's story and remember it; None for one that has neither address nor words."""
        telling = self.place(item, nearby)
        if telling and self.remember(item, telling):
            for gone, kept in merges(self.memory, telling.story, nearby):
                self.merge(gone, kept)
        return telling

    def place(self, item: Item, nearby: Nearby) -> Telling | None:
        """Decide the item's story; its keys lead there from now on."""
        if not item.story_keys and not item.terms:
            return None
        name = name_of(item)
        telling = self._known(item, name) or self._alike(told_by(item), nearby) or self._first(item)
        for key in item.story_keys:
            if key not in self.keys:
                self.keys[key] = self.new_keys[key] = Key(telling.story, name)
        return telling

    def remember(self, item: Item, telling: Telling) -> bool:
        """Let the title tell the story; False where it has before, or has no words."""
        if (name := name_of(item)) in self.there:
            return False
        self.there[name] = telling.story
        if item.terms:
            self.memory.add(told_by(item), telling.story)
        return bool(item.terms)

    def now(self, story: int) -> int:
        """Follow a story to the one that has taken it in."""
        while (kept := self._now.get(story)) is not None:
            story = kept
        return story

    def _known(self, item: Item, name: str) -> Telling | None:
        if name in self.there:
            return Telling(self.now(self.there[name]), "known")
        for key in item.story_keys:
            if known := self.keys.get(key):
                return Telling(self.now(known.story), key.partition(":")[0], known.told_by)
        return None

    def _alike(self, told: Told, nearby: Nearby) -> Telling | None:
        match match(self.memory, told, nearby):
            case Match(why=why, story=story, score=score, neighbour=neighbour):
                return Telling(story, why, neighbour, score)
        return None

    def _first(self, item: Item) -> Telling:
        story = self.new_story()
        self.titles[story] = item.title
        return Telling(story, "first")

    def merge(self, gone: int, kept: int) -> None:
        """Note that one story has taken in another."""
        self._now[gone] = kept
        self.merged.append(Merge(gone, kept))


def group(teller: Teller, items: Sequence[Item]) -> list[int | None]:
    """Tell items in their order, all in memory, and give the story of each as it stands at the end."""
    tellings = [teller.tell(item, teller.nearby(item)) for item in items]
    return [None if telling is None else teller.now(telling.story) for telling in tellings]
