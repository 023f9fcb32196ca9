"""Which story a title tells: the rule, and what it must remember.  Pure; a store keeps it (``stories``, or a dict).

A story is the sum of its titles' terms.  A term weighs by how few *stories* tell it, not how few titles: a name that
three hundred titles of one story repeat is what marks that story.  A title joins the story whose sum it resembles most;
two stories that have come to resemble one another become one.  What is kept of a term and of a story has a fixed size,
so a title costs the same however many there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nsmallest
from math import inf, log, sqrt
from typing import Literal

from ledger.likeness import likeness

JOIN_MIN = 0.16
"""Cosine of a title and a story from which the title tells that story, once the story is a long one."""
JOIN_MORE = 0.1
"""What a story of one title asks for beyond that; one of n titles asks for the nth part."""
SILENCE_MORE = 0.1
SILENCE_MORE_MAX = 0.6
"""What is asked for beyond that for each hour between a title and the story's last (or first), and at most: a day later
the same words mostly tell of something else."""
SMALL_TITLES = 4
SMALL_SHARED = 2
"""A story of fewer titles must have so many terms in common with a title: one word in common is chance."""
RETOLD_MIN = 3.8
"""Likeness of a title to one of a story's last titles from which it is the same news, whatever the story's rest."""
RETOLD_LOOKED_AT = 4
GROUP, GROUP_WEIGHT = "=", 0.6
"""What a word counts that headlines use for others (``=kill``): it tells what happened, and names tell to whom."""
MERGE_MIN = 0.30
"""Cosine of two stories, each of two titles at least, from which they are one."""
TERMS_MIN = 2
"""A title of one term resembles everything that holds it; only its address and its words can place it."""
MERGE_TITLES_MIN = 2
MERGE_SILENCE_S = 2 * 3_600
"""Stories with a longer silence between them stay two."""
RARE = 100
"""Stories that are taken to be there from the start, so that the first titles already have rare and common words."""
WEIGHT_MIN = 0.1
RECENT = 32
"""Stories that a term remembers: the last that told it."""
LOOKED_AT = 12
"""Stories that a title is compared with: those that share the most of its weight."""
STORY_TERMS = 64
"""Terms that a story remembers, once it has twice as many: the most told."""
WINDOW_S = 3 * 86_400
"""A story is open to titles until so long after its last, and from so long before its first."""
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


@dataclass(slots=True)
class Story:
    """An open story: how often its titles told each term, and when.  Times are POSIX seconds of the world's time."""

    id: int
    titles: int = 0
    terms: dict[str, int] = field(default_factory=dict)
    first_at: float = inf
    last_at: float = -inf
    turn: int = 0  # of the last title
    samples: list[tuple[str, Sequence[str]]] = field(default_factory=list)
    apart: frozenset[int] = frozenset()  # stories that a person has parted from it

    @property
    def is_wide(self) -> bool:
        """Whether it remembers more terms than it should."""
        return len(self.terms) > 2 * STORY_TERMS


@dataclass(frozen=True, slots=True)
class Told:
    """A title on its way to a story: ``name`` tells its item, ``at`` is the world's time in POSIX seconds."""

    name: str
    terms: tuple[str, ...]
    at: float


@dataclass(frozen=True, slots=True)
class Match:
    """The story that a title tells, and why: ``score`` is its cosine with the topic, or its likeness to the neighbour.

    The neighbour is the one of the story's last titles that resembles it most.
    """

    why: Literal["topic", "retold"]
    story: int
    score: float
    neighbour: str


class Memory:
    """The open stories and their terms: all of them, or those that a store has brought for the titles at hand.

    ``changed_terms``, ``changed_stories`` and ``closed`` tell a store what to write back.
    """

    def __init__(self) -> None:
        self.terms: dict[str, Term] = {}
        self.stories: dict[int, Story] = {}
        self.open = 0
        self.turn = 0
        self.changed_terms: set[str] = set()
        self.changed_stories: set[int] = set()
        self.closed: set[int] = set()
        self._by_turn: dict[int, int] = {}

    # -- questions ----------------------------------------------------------------------------------------------------

    def nearby(self, terms: Iterable[str]) -> list[int]:
        """List the stories to compare with: they share the most weight with the terms, newest first among equals."""
        shares = self._unit(dict.fromkeys(terms, 1.0))
        if len(shares) < TERMS_MIN:
            return []
        common: dict[int, float] = {}
        for term, share in shares.items():
            if known := self.terms.get(term):
                for story in known.recent:
                    common[story] = common.get(story, 0.0) + share * share
        return nsmallest(LOOKED_AT, common, key=lambda story: (-common[story], -story))

    def match(self, told: Told, nearby: Sequence[int]) -> Match | None:
        """Find the story that the title tells; None for a new one."""
        title = self._unit(dict.fromkeys(told.terms, 1.0))
        stories = [story for story in map(self.stories.__getitem__, nearby) if _silence_s(story, told.at) <= WINDOW_S]
        scores = [(_cosine(title, self._unit(story.terms)), story) for story in stories if _has_enough_of(title, story)]
        fit = [(score, story.id) for score, story in scores if score >= _asked(story, told.at)]
        samples = (
            (likeness(told.terms, terms, self.rarity), story.id, name)
            for story in ([self.stories[max(fit)[1]]] if fit else stories[:RETOLD_LOOKED_AT])
            for name, terms in story.samples
        )
        alike, story_id, neighbour = max(samples, default=(0.0, 0, ""))
        if fit:
            return Match("topic", story_id, max(fit)[0], neighbour)
        return Match("retold", story_id, alike, neighbour) if alike >= RETOLD_MIN else None

    def rarity(self, term: str) -> float:
        """Weigh a term by how few of the open stories tell it."""
        stories = self.terms[term].stories if term in self.terms else 0
        return max(WEIGHT_MIN, log(RARE + self.open) - _LOGS[stories])

    def _unit(self, counts: Mapping[str, float]) -> dict[str, float]:
        """Weigh terms by how rare they are among the open stories; the squares sum to 1."""
        every, known = log(RARE + self.open), self.terms
        weights = {}
        for term, count in counts.items():  # rarity(), spelt out: here most of the time is spent
            rarity = every - _LOGS[known[term].stories] if term in known else every
            weights[term] = count * (GROUP_WEIGHT if term[0] == GROUP else 1.0) * max(WEIGHT_MIN, rarity)
        length = sqrt(sum(weight * weight for weight in weights.values())) or 1.0
        return {term: weight / length for term, weight in weights.items()}

    # -- changes ------------------------------------------------------------------------------------------------------

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
        story.samples = [*story.samples[1 - SAMPLES :], (told.name, told.terms)]
        if self._by_turn.get(story.turn) == story_id:
            del self._by_turn[story.turn]
        story.turn, self._by_turn[self.turn] = self.turn, story_id
        for term in dict.fromkeys(told.terms):
            self._tell(story, term, 1)
        self._narrow(story)
        self.changed_stories.add(story_id)
        if (old := self._by_turn.get(self.turn - WINDOW_TITLES)) is not None:
            self.close(old)

    def merges(self, story_id: int, nearby: Iterable[int]) -> Iterator[tuple[int, int]]:
        """Make one of the story and those nearby that it has come to resemble; give (gone, kept) of each."""
        for other_id in nearby:
            story, other = self.stories[story_id], self.stories.get(other_id)
            if other is None or other is story or not self._are_one(story, other):
                continue
            kept, gone = sorted((story_id, other_id))  # the elder keeps its name
            self.merge(gone, kept)
            story_id = kept
            yield gone, kept

    def _are_one(self, story: Story, other: Story) -> bool:
        return (
            min(story.titles, other.titles) >= MERGE_TITLES_MIN
            and other.id not in story.apart
            and story.id not in other.apart
            and max(story.first_at - other.last_at, other.first_at - story.last_at) < MERGE_SILENCE_S
            and _cosine(self._unit(story.terms), self._unit(other.terms)) >= MERGE_MIN
        )

    def merge(self, gone_id: int, kept_id: int) -> None:
        """Let one open story take another in."""
        gone, kept = self.stories[gone_id], self.stories[kept_id]
        self.close(gone_id)
        kept.titles += gone.titles
        kept.first_at, kept.last_at = min(kept.first_at, gone.first_at), max(kept.last_at, gone.last_at)
        kept.samples = [*gone.samples, *kept.samples][-SAMPLES:]
        kept.apart = (kept.apart | gone.apart) - {gone_id, kept_id}
        for term, count in gone.terms.items():
            self._tell(kept, term, count)
        self._narrow(kept)
        self.changed_stories.add(kept_id)

    def take_out(self, told: Told, story_id: int) -> None:
        """Let a title no longer tell an open story, as far as the story remembers it."""
        story = self.stories[story_id]
        story.titles -= 1
        story.samples = [(name, terms) for name, terms in story.samples if name != told.name]
        for term in set(told.terms) & story.terms.keys():
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
        story = self.stories[story_id] = Story(story_id)
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


def _has_enough_of(title: Iterable[str], story: Story) -> bool:
    return story.titles >= SMALL_TITLES or sum(term in story.terms for term in title) >= SMALL_SHARED


def _asked(story: Story, at: float) -> float:
    """Give the cosine that the story asks of a title told at that time."""
    silence_h = _silence_s(story, at) / 3_600
    return JOIN_MIN + JOIN_MORE / story.titles + min(SILENCE_MORE_MAX, SILENCE_MORE * silence_h)


def _silence_s(story: Story, at: float) -> float:
    return max(0.0, at - story.last_at, story.first_at - at)


def _cosine(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    return sum(share * other[term] for term, share in one.items() if term in other)
