"""What the grouping remembers: open stories, and the terms that they are told by.  Pure; ``shelf`` keeps it.

What is kept of a term and of a story has a fixed size, so a title costs the same however many there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nsmallest
from math import inf, log, sqrt

import orjson

from ledger.guard import plain
from ledger.rule import RULE, Rule

GROUP = "="
RARE = 100
"""Stories that are taken to be there from the start, so that the first titles already have rare and common words."""
WEIGHT_MIN = 0.1
RECENT = 16
"""Stories that a term remembers: the last that told it."""
STORY_TERMS = 64
"""Terms that a story remembers, once it has twice as many: the most told."""
WINDOW_TITLES = 100_000
"""A story that none of so many titles told is closed, and forgotten here; its address and id stay."""
SAMPLES = 3
"""Last titles that a story remembers, to name the neighbour of the next."""

_LOGS = tuple(log(1 + stories) for stories in range(WINDOW_TITLES + 1))


@dataclass(slots=True)
class Term:
    """How many open stories tell a term, and the last of them, newest at the end."""

    stories: int = 0
    recent: list[int] = field(default_factory=list)


Sample = tuple[str, Sequence[str]]
"""The name of an item, and the marked terms of its title."""


@dataclass(slots=True)
class Story:
    """An open story: how often its titles told each term, and when.  Times are POSIX seconds of the world's time."""

    id: int
    titles: int = 0
    terms: dict[str, int] = field(default_factory=dict)
    first_at: float = inf
    last_at: float = -inf
    turn: int = 0  # of the last title
    unread: str = ""  # its last titles as a store keeps them, until somebody asks for them
    last: list[Sample] = field(default_factory=list)
    square: float = 0.0  # of the length of its terms, each weighed when it was told
    apart: frozenset[int] = frozenset()  # stories that a person has parted from it

    @property
    def samples(self) -> list[Sample]:
        """Give its last titles, oldest first."""
        if self.unread:
            self.last = [(name, tuple(terms)) for name, terms in orjson.loads(self.unread)]
            self.unread = ""
        return self.last

    @property
    def is_wide(self) -> bool:
        """Whether it remembers more terms than it should."""
        return self.is_wide_with(0)

    def is_wide_with(self, more: int) -> bool:
        """Whether so many more terms would be too many."""
        return len(self.terms) + more > 2 * STORY_TERMS


@dataclass(frozen=True, slots=True)
class Told:
    """A title on its way to a story: ``name`` tells its item, ``at`` is the world's time in POSIX seconds.

    Names are marked in ``marked`` (``^wexbrook``), not in ``terms``, which are compared.
    """

    name: str
    marked: tuple[str, ...]
    at: float
    terms: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "terms", plain(self.marked))


class Memory:
    """The open stories and their terms: all of them, or those that a store has brought for the titles at hand.

    ``changed_terms``, ``changed_stories`` and ``closed`` tell a store what to write back.
    """

    def __init__(self, rule: Rule = RULE) -> None:
        self.rule = rule
        self.terms: dict[str, Term] = {}
        self.stories: dict[int, Story] = {}
        self.open = 0
        self.turn = 0
        self.changed_terms: set[str] = set()
        self.changed_stories: set[int] = set()
        self.closed: set[int] = set()
        self.parted: dict[int, frozenset[int]] = {}  # of stories that are not open, what a person parted from them
        self._by_turn: dict[int, int] = {}

    # -- weights -----------------------------------------------------------------------------------------------------

    @property
    def rarest(self) -> float:
        """Give the weight of a term that no open story tells."""
        return log(RARE + self.open)

    def rarity(self, term: str) -> float:
        """Weigh a term by how few of the open stories tell it."""
        stories = self.terms[term].stories if term in self.terms else 0
        return max(WEIGHT_MIN, self.rarest - _LOGS[stories])

    def weights(self, terms: Iterable[str]) -> dict[str, float]:
        """Weigh terms by how rare they are among the open stories; each once."""
        every, known, group_weight = self.rarest, self.terms, self.rule.group_weight
        weights = {}
        for term in terms:  # rarity(), spelt out: here most of the time is spent
            rarity = every - _LOGS[known[term].stories] if term in known else every
            weights[term] = (group_weight if term[0] == GROUP else 1.0) * max(WEIGHT_MIN, rarity)
        return weights

    def product(self, one: Story, other: Story) -> float:
        """Give the product of what two stories tell, each term weighed as it is now."""
        weights = self.weights([term for term in one.terms if term in other.terms])
        return sum([one.terms[term] * other.terms[term] * weight * weight for term, weight in weights.items()])

    # -- changes -----------------------------------------------------------------------------------------------------

    def bring(self, story: Story) -> None:
        """Remember a story that a store has kept; its terms must have been brought too."""
        self.stories[story.id] = story
        self._by_turn[story.turn] = story.id

    def add(self, told: Told, story_id: int) -> None:
        """Let the title tell the story, which is opened where it is not open."""
        self.turn += 1
        story = self.stories.get(story_id) or self.reopen(story_id)
        story.titles += 1
        story.first_at, story.last_at = min(story.first_at, told.at), max(story.last_at, told.at)
        story.last = [*story.samples[1 - SAMPLES :], (told.name, told.marked)]
        if self._by_turn.get(story.turn) == story_id:
            del self._by_turn[story.turn]
        story.turn, self._by_turn[self.turn] = self.turn, story_id
        for term in dict.fromkeys(told.terms):
            self._tell(story, term, 1)
        for term, weight in self.weights(told.terms).items():
            story.square += (2 * story.terms[term] - 1) * weight * weight
        self._narrow(story)
        self.changed_stories.add(story_id)
        if (old := self._by_turn.get(self.turn - WINDOW_TITLES)) is not None:
            self.close(old)

    def merge(self, gone_id: int, kept_id: int) -> None:
        """Let one open story take another in."""
        gone, kept = self.stories[gone_id], self.stories[kept_id]
        kept.square += gone.square + 2 * self.product(kept, gone)
        self.close(gone_id)
        kept.titles += gone.titles
        kept.first_at, kept.last_at = min(kept.first_at, gone.first_at), max(kept.last_at, gone.last_at)
        kept.last = [*gone.samples, *kept.samples][-SAMPLES:]
        kept.apart = (kept.apart | gone.apart) - {gone_id, kept_id}
        for term, count in gone.terms.items():
            self._tell(kept, term, count)
        self._narrow(kept)
        self.changed_stories.add(kept_id)

    def take_out(self, told: Told, story_id: int) -> None:
        """Let a title no longer tell an open story, as far as the story remembers it."""
        story = self.stories[story_id]
        story.titles -= 1
        story.last = [(name, terms) for name, terms in story.samples if name != told.name]
        for term, weight in self.weights(set(told.terms) & story.terms.keys()).items():
            story.square -= (2 * story.terms[term] - 1) * weight * weight
            story.terms[term] -= 1
            if not story.terms[term]:
                del story.terms[term]
                self._untell(story_id, term)
        self.changed_stories.add(story_id)

    def part(self, one: int, other: int) -> None:
        """Keep two open stories from ever being merged because they are alike."""
        for mine, its in ((one, other), (other, one)):
            self.stories[mine].apart |= {its}
            self.changed_stories.add(mine)

    def close(self, story_id: int) -> None:
        """Forget a story; nothing joins it by its titles any more."""
        story = self.stories.pop(story_id)
        for term in story.terms:
            self._untell(story_id, term)
        if self._by_turn.get(story.turn) == story_id:
            del self._by_turn[story.turn]
        self.open -= 1
        self.changed_stories.discard(story_id)
        self.closed.add(story_id)

    def reopen(self, story_id: int) -> Story:
        """Open a story that is new, or was closed; nothing of what it told before is remembered."""
        story = self.stories[story_id] = Story(story_id, apart=self.parted.get(story_id, frozenset()))
        self.open += 1
        self.closed.discard(story_id)
        return story

    def _tell(self, story: Story, term: str, count: int) -> None:
        known = self.terms.setdefault(term, Term())
        if term in story.terms:
            if story.id in known.recent:
                known.recent.remove(story.id)
        else:
            known.stories += 1
        known.recent = [*known.recent[1 - RECENT :], story.id]
        story.terms[term] = story.terms.get(term, 0) + count
        self.changed_terms.add(term)

    def _untell(self, story_id: int, term: str) -> None:
        known = self.terms[term]
        known.stories -= 1
        if story_id in known.recent:
            known.recent.remove(story_id)
        self.changed_terms.add(term)

    def _narrow(self, story: Story) -> None:
        """Keep what is told most; among equals what was told first."""
        if not story.is_wide:
            return
        kept = nsmallest(STORY_TERMS, story.terms, key=lambda term: -story.terms[term])
        for term in story.terms.keys() - set(kept):
            self._untell(story.id, term)
        story.terms = {term: story.terms[term] for term in kept}
        story.square = length({t: w * story.terms[t] for t, w in self.weights(kept).items()}) ** 2


def length(weights: Mapping[str, float]) -> float:
    return sqrt(sum([weight * weight for weight in weights.values()]))
