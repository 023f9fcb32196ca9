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
from operator import itemgetter
from typing import Literal

import orjson

from ledger import guard
from ledger.guard import plain
from ledger.likeness import likeness
from ledger.rule import RULE, Rule

SMALL_TITLES = 6
"""With a story of fewer titles one word in common is chance."""
RETOLD_LOOKED_AT = 4
RETOLD_SHARED = 0.5
"""The part of a title's terms that a story must share for its last titles to be compared with it one by one."""
GROUP = "="
TERMS_MIN = 2
"""A title of one term resembles everything that holds it; only its address and its words can place it."""
MERGE_TITLES_MIN = 2
RARE = 100
"""Stories that are taken to be there from the start, so that the first titles already have rare and common words."""
WEIGHT_MIN = 0.1
RECENT = 16
"""Stories that a term remembers: the last that told it."""
LOOKED_AT = 8
"""Stories that a title is compared with: those that share the most of its weight."""
STORY_TERMS = 64
"""Terms that a story remembers, once it has twice as many: the most told."""
WINDOW_S = 3 * 86_400
"""A story is open to titles until so long after its last, and from so long before its first."""
WINDOW_TITLES = 100_000
"""A story that none of so many titles told is closed, and forgotten here; its address and id stay."""
SAMPLES = 3
"""Last titles that a story remembers, to name the neighbour of the next."""


Nearby = Mapping[int, bool]
"""Stories, those that share most with a title first, and whether it is one term that a story shares."""
_SHARED_WEIGHT = itemgetter(1)

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

    # -- questions ----------------------------------------------------------------------------------------------------

    def nearby(self, terms: Iterable[str]) -> Nearby:
        """List the stories to compare with: they share the most weight with the terms, newest first among equals."""
        weights = self._weights(terms)
        if len(weights) < TERMS_MIN:
            return {}
        common: dict[int, float] = {}
        for term, weight in weights.items():
            if known := self.terms.get(term):
                square = weight * weight
                for story in reversed(known.recent):
                    common[story] = common.get(story, 0.0) + square
        of_one = {weight * weight for weight in weights.values()}
        found = sorted(common.items(), key=_SHARED_WEIGHT, reverse=True)[:LOOKED_AT]
        return {story: square in of_one for story, square in found}

    def near(self, nearby: Nearby) -> list[Story]:
        """Give of these stories those that are open and share enough: one word in common with a small one is chance."""
        stories = [(self.stories[id_], by_one) for id_, by_one in nearby.items() if id_ in self.stories]
        return [story for story, by_one in stories if not by_one or story.titles >= SMALL_TITLES]

    def match(self, told: Told, nearby: Nearby) -> Match | None:
        """Find the story that the title tells; None for a new one."""
        title = self._weights(told.terms)
        stories = [story for story in self.near(nearby) if _silence_s(story, told.at) <= WINDOW_S]
        return self._topic(told, title, stories) or self._retold(told, stories[:RETOLD_LOOKED_AT])

    def _topic(self, told: Told, title: Mapping[str, float], stories: Iterable[Story]) -> Match | None:
        """Find the story that the title resembles most of those it resembles as much as they ask for."""
        best: Match | None = None
        length = _length(title)
        for story in stories:
            shared = [term for term in title if term in story.terms]
            asked = max(self._asked(story, told.at), best.score if best else 0.0)
            product = sum([story.terms[term] * title[term] ** 2 for term in shared])
            score = product / (length * sqrt(story.square))
            if score < asked or (best and (score, story.id) < (best.score, best.story)):
                continue
            neighbour, marked = _nearest(title, story)
            if not self._refuses(told, story, marked):
                best = Match("topic", story.id, score, neighbour)
        return best

    def _retold(self, told: Told, stories: Iterable[Story]) -> Match | None:
        found = []
        unheard = log(RARE + self.open)
        rarities = {term: self.rarity(term) for term in told.terms}  # a store has brought these; others count as new
        for story in stories:
            if sum([term in story.terms for term in rarities]) < RETOLD_SHARED * len(rarities):
                continue
            for name, marked in story.samples:
                alike = likeness(told.terms, plain(marked), lambda term: rarities.get(term, unheard))
                if alike >= self.rule.retold and not self._refuses(told, story, marked):
                    found.append((alike, story.id, name))
        if not found:
            return None
        alike, story_id, neighbour = max(found)
        return Match("retold", story_id, alike, neighbour)

    def _refuses(self, told: Told, story: Story, neighbour: Sequence[str]) -> bool:
        """Tell whether the title has other names and numbers than the story, or its title that is nearest."""
        if self.rule.names and guard.knows_neither(told.marked, story.terms):
            return True
        return guard.filled_otherwise(told.marked, neighbour, self.rule.pattern)

    def _asked(self, story: Story, at: float) -> float:
        """Give the cosine that the story asks of a title told at that time."""
        rule, silence_h = self.rule, _silence_s(story, at) / 3_600
        return rule.join + rule.join_more / story.titles + min(rule.silence_more_max, rule.silence_more * silence_h)

    def rarity(self, term: str) -> float:
        """Weigh a term by how few of the open stories tell it."""
        stories = self.terms[term].stories if term in self.terms else 0
        return max(WEIGHT_MIN, log(RARE + self.open) - _LOGS[stories])

    def _weights(self, terms: Iterable[str]) -> dict[str, float]:
        """Weigh terms by how rare they are among the open stories; each once."""
        every, known, group_weight = log(RARE + self.open), self.terms, self.rule.group_weight
        weights = {}
        for term in terms:  # rarity(), spelt out: here most of the time is spent
            rarity = every - _LOGS[known[term].stories] if term in known else every
            weights[term] = (group_weight if term[0] == GROUP else 1.0) * max(WEIGHT_MIN, rarity)
        return weights

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
        story.last = [*story.samples[1 - SAMPLES :], (told.name, told.marked)]
        if self._by_turn.get(story.turn) == story_id:
            del self._by_turn[story.turn]
        story.turn, self._by_turn[self.turn] = self.turn, story_id
        for term in dict.fromkeys(told.terms):
            self._tell(story, term, 1)
        for term, weight in self._weights(told.terms).items():
            story.square += (2 * story.terms[term] - 1) * weight * weight
        self._narrow(story)
        self.changed_stories.add(story_id)
        if (old := self._by_turn.get(self.turn - WINDOW_TITLES)) is not None:
            self.close(old)

    def merges(self, story_id: int, nearby: Nearby) -> Iterator[tuple[int, int]]:
        """Make one of the story and those nearby that it has come to resemble; give (gone, kept) of each."""
        for gone, kept in self.alike(story_id, nearby):
            self.merge(gone, kept)
            yield gone, kept

    def alike(self, story_id: int, nearby: Nearby) -> Iterator[tuple[int, int]]:
        """Give what should be merged (gone, kept); each before the next is asked for."""
        for other in self.rivals(story_id, nearby):
            story = self.stories[story_id]
            if self._may_be_one(story, other) and self._are_one(story, other):
                kept, gone = sorted((story_id, other.id))  # the elder keeps its name
                yield gone, kept
                story_id = kept

    def rivals(self, story_id: int, nearby: Nearby) -> list[Story]:
        """List the stories nearby that the story could be one with, before it is known what they tell."""
        story = self.stories[story_id]
        return [other for other in self.near(nearby) if other is not story and self._may_be_one(story, other)]

    def shared_terms(self, story_id: int, nearby: Nearby) -> set[str]:
        """Give the terms of the story and its rivals that must be weighed to tell whether any two are one."""
        rivals = self.rivals(story_id, nearby)
        mine = self.stories[story_id].terms.keys()
        return {term for rival in rivals for term in mine & rival.terms.keys()}

    def _may_be_one(self, story: Story, other: Story) -> bool:
        return (
            min(story.titles, other.titles) >= MERGE_TITLES_MIN
            and other.id not in story.apart
            and story.id not in other.apart
            and max(story.first_at - other.last_at, other.first_at - story.last_at) < self.rule.merge_silence_s
        )

    def _are_one(self, story: Story, other: Story) -> bool:
        if self._product(story, other) < self.rule.merge * sqrt(story.square * other.square):
            return False
        mine, its = ([marked for _, marked in one.samples] for one in (story, other))
        return not (self.rule.names and guard.parted(mine, its, self.rule.pattern))

    def _product(self, one: Story, other: Story) -> float:
        weights = self._weights([term for term in one.terms if term in other.terms])
        return sum([one.terms[term] * other.terms[term] * weight * weight for term, weight in weights.items()])

    def merge(self, gone_id: int, kept_id: int) -> None:
        """Let one open story take another in."""
        gone, kept = self.stories[gone_id], self.stories[kept_id]
        kept.square += gone.square + 2 * self._product(kept, gone)
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
        for term, weight in self._weights(set(told.terms) & story.terms.keys()).items():
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
        story.square = _length({t: w * story.terms[t] for t, w in self._weights(kept).items()}) ** 2


def _nearest(title: Mapping[str, float], story: Story) -> tuple[str, Sequence[str]]:
    """Give that of the story's last titles which shares most weight with the title, the newest among equals."""
    return max(
        reversed(story.samples),
        key=lambda sample: sum([title.get(term, 0.0) ** 2 for term in dict.fromkeys(plain(sample[1]))]),
        default=("", ()),
    )


def _silence_s(story: Story, at: float) -> float:
    return max(0.0, at - story.last_at, story.first_at - at)


def _length(weights: Mapping[str, float]) -> float:
    return sqrt(sum([weight * weight for weight in weights.values()]))
