"""Which story a title tells: the rule.  Pure; what it asks is in a ``Memory``.

A story is the sum of its titles' terms.  A term weighs by how few *stories* tell it, not how few titles: a name that
three hundred titles of one story repeat is what marks that story.  A title joins the story whose sum it resembles most;
two stories that have come to resemble one another become one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from operator import itemgetter
from typing import Literal

from ledger import guard
from ledger.guard import plain
from ledger.likeness import likeness
from ledger.memory import Memory, Story, Told, length

SMALL_TITLES = 6
"""With a story of fewer titles one word in common is chance."""
RETOLD_LOOKED_AT = 4
RETOLD_SHARED = 0.5
"""The part of a title's terms that a story must share for its last titles to be compared with it one by one."""
TERMS_MIN = 2
"""A title of one term resembles everything that holds it; only its address and its words can place it."""
MERGE_TITLES_MIN = 2
LOOKED_AT = 8
"""Stories that a title is compared with: those that share the most of its weight."""
WINDOW_S = 3 * 86_400
"""A story is open to titles until so long after its last, and from so long before its first."""

Nearby = Mapping[int, bool]
"""Stories, those that share most with a title first, and whether it is one term that a story shares."""
_SHARED_WEIGHT = itemgetter(1)


@dataclass(frozen=True, slots=True)
class Match:
    """The story that a title tells, and why: ``score`` is its cosine with the topic, or its likeness to the neighbour.

    The neighbour is the one of the story's last titles that resembles it most.
    """

    why: Literal["topic", "retold"]
    story: int
    score: float
    neighbour: str


def find_near(memory: Memory, terms: Iterable[str]) -> Nearby:
    """List the stories to compare with: they share the most weight with the terms, newest first among equals."""
    weights = memory.weights(terms)
    if len(weights) < TERMS_MIN:
        return {}
    common: defaultdict[int, float] = defaultdict(float)
    for term, weight in weights.items():
        if known := memory.terms.get(term):
            square = weight * weight
            for story in reversed(known.recent):
                common[story] += square
    of_one = {weight * weight for weight in weights.values()}
    found = sorted(common.items(), key=_SHARED_WEIGHT, reverse=True)[:LOOKED_AT]
    return {story: square in of_one for story, square in found}


def near(memory: Memory, nearby: Nearby) -> list[Story]:
    """Give of these stories those that are open and share enough: one word in common with a small one is chance."""
    stories = [(memory.stories[id_], by_one) for id_, by_one in nearby.items() if id_ in memory.stories]
    return [story for story, by_one in stories if not by_one or story.titles >= SMALL_TITLES]


def match(memory: Memory, told: Told, nearby: Nearby) -> Match | None:
    """Find the story that the title tells; None for a new one."""
    title = memory.weights(told.terms)
    stories = [story for story in near(memory, nearby) if _silence_s(story, told.at) <= WINDOW_S]
    return _topic(memory, told, title, stories) or _retold(memory, told, stories[:RETOLD_LOOKED_AT])


def _topic(memory: Memory, told: Told, title: Mapping[str, float], stories: Iterable[Story]) -> Match | None:
    """Find the story that the title resembles most of those it resembles as much as they ask for."""
    best: Match | None = None
    title_length = length(title)
    for story in stories:
        shared = [term for term in title if term in story.terms]
        asked = max(_asked(memory, story, told.at), best.score if best else 0.0)
        product = sum([story.terms[term] * title[term] ** 2 for term in shared])
        score = product / (title_length * sqrt(story.square))
        if score < asked or (best and (score, story.id) < (best.score, best.story)):
            continue
        neighbour, marked = _nearest(title, story)
        if not _refuses(memory, told, story, marked):
            best = Match("topic", story.id, score, neighbour)
    return best


def _retold(memory: Memory, told: Told, stories: Iterable[Story]) -> Match | None:
    found = []
    unheard = memory.rarest
    rarities = {term: memory.rarity(term) for term in told.terms}  # a store has brought these; others count as new
    for story in stories:
        if sum([term in story.terms for term in rarities]) < RETOLD_SHARED * len(rarities):
            continue
        for name, marked in story.samples:
            score = likeness(told.terms, plain(marked), lambda term: rarities.get(term, unheard))
            if score >= memory.rule.retold and not _refuses(memory, told, story, marked):
                found.append((score, story.id, name))
    if not found:
        return None
    score, story_id, neighbour = max(found)
    return Match("retold", story_id, score, neighbour)


def _refuses(memory: Memory, told: Told, story: Story, neighbour: Sequence[str]) -> bool:
    """Tell whether the title has other names and numbers than the story, or its title that is nearest."""
    if memory.rule.names and guard.knows_neither(told.marked, story.terms):
        return True
    return guard.filled_otherwise(told.marked, neighbour, memory.rule.pattern)


def _asked(memory: Memory, story: Story, at: float) -> float:
    """Give the cosine that the story asks of a title told at that time."""
    rule, silence_h = memory.rule, _silence_s(story, at) / 3_600
    return rule.join + rule.join_more / story.titles + min(rule.silence_more_max, rule.silence_more * silence_h)


def merges(memory: Memory, story_id: int, nearby: Nearby) -> Iterator[tuple[int, int]]:
    """Make one of the story and those nearby that it has come to resemble; give (gone, kept) of each."""
    for gone, kept in alike(memory, story_id, nearby):
        memory.merge(gone, kept)
        yield gone, kept


def alike(memory: Memory, story_id: int, nearby: Nearby) -> Iterator[tuple[int, int]]:
    """Give what should be merged (gone, kept); each before the next is asked for."""
    for other in rivals(memory, story_id, nearby):
        story = memory.stories[story_id]
        if _may_be_one(memory, story, other) and _are_one(memory, story, other):
            kept, gone = sorted((story_id, other.id))  # the elder keeps its name
            yield gone, kept
            story_id = kept


def rivals(memory: Memory, story_id: int, nearby: Nearby) -> list[Story]:
    """List the stories nearby that the story could be one with, before it is known what they tell."""
    story = memory.stories[story_id]
    return [other for other in near(memory, nearby) if other is not story and _may_be_one(memory, story, other)]


def shared_terms(memory: Memory, story_id: int, nearby: Nearby) -> set[str]:
    """Give the terms of the story and its rivals that must be weighed to tell whether any two are one."""
    mine = memory.stories[story_id].terms.keys()
    return {term for rival in rivals(memory, story_id, nearby) for term in mine & rival.terms.keys()}


def _may_be_one(memory: Memory, story: Story, other: Story) -> bool:
    return (
        min(story.titles, other.titles) >= MERGE_TITLES_MIN
        and other.id not in story.apart
        and story.id not in other.apart
        and max(story.first_at - other.last_at, other.first_at - story.last_at) < memory.rule.merge_silence_s
    )


def _are_one(memory: Memory, story: Story, other: Story) -> bool:
    if memory.product(story, other) < memory.rule.merge * sqrt(story.square * other.square):
        return False
    mine, its = ([marked for _, marked in one.samples] for one in (story, other))
    return not (memory.rule.names and guard.parted(mine, its, memory.rule.pattern))


def _nearest(title: Mapping[str, float], story: Story) -> tuple[str, Sequence[str]]:
    """Give that of the story's last titles which shares most weight with the title, the newest among equals."""
    return max(
        reversed(story.samples),
        key=lambda sample: sum([title.get(term, 0.0) ** 2 for term in dict.fromkeys(plain(sample[1]))]),
        default=("", ()),
    )


def _silence_s(story: Story, at: float) -> float:
    return max(0.0, at - story.last_at, story.first_at - at)
