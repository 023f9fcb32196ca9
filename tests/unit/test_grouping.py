"""The rule by which titles tell stories, in memory: what joins, what stays apart, and that its memory stays small."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import count, permutations
from typing import Any

import pytest

from ledger import memory as remembered
from ledger.grouping import find_near, match, merges
from ledger.memory import Memory, Told
from workers.titles import marked_terms

HOUR_S = 3_600.0


def tell(memory: Memory, *titles: tuple[str, float]) -> list[int]:
    """Tell titles at these hours, each joining what it matches; give their stories."""
    stories: list[int] = []
    numbers = count(len(memory.stories) + 1)
    for n, (title, hour) in enumerate(titles):
        told = Told(f"item {n}", marked_terms(title), hour * HOUR_S)
        nearby = find_near(memory, told.terms)
        found = match(memory, told, nearby)
        story = found.story if found else next(numbers)
        memory.add(told, story)
        for gone, kept in merges(memory, story, nearby):
            stories = [kept if one == gone else one for one in stories]
            story = kept if story == gone else story
        stories.append(story)
    return stories


def together(*titles: tuple[str, float]) -> bool:
    """Do they all tell one story?"""
    return len(set(tell(Memory(), *titles))) == 1


def test_other_words_for_the_same_news_tell_one_story() -> None:
    assert together(("Wormhole loses 40 million dollars in bridge hack", 0), ("Bridge exploit drains Wormhole", 1))


def test_hacks_of_two_bridges_are_two_stories() -> None:
    """What the demo shows: told in other words as well, in any order, both hacks within the hour."""
    wexbrook = ("Attacker takes $111M from Wexbrook Trust's Ethereum bridge",
                "Wexbrook Trust drained of $111 million in bridge exploit")  # fmt: skip
    everbrook = ("Everbrook Pay drained of $729 million in bridge exploit",
                 "Attacker takes $729M from Everbrook Pay's Solana bridge")  # fmt: skip
    for order in permutations((*wexbrook, *everbrook)):
        stories = dict(zip(order, tell(Memory(), *((title, 0.1 * n) for n, title in enumerate(order))), strict=True))
        assert not {stories[title] for title in wexbrook} & {stories[title] for title in everbrook}
        assert len(set(stories.values())) == 2


def test_sales_of_two_coins_are_two_stories() -> None:
    umbergate = ("Umbergate Ventures sells 26,243 QNTM, price drops 23.4%",
                 "Quontium slides 23.4% after Umbergate Ventures unloads 26,243 coins")  # fmt: skip
    caldmere = ("Caldmere Pay sells 52,692 ETH, price drops 2.1%",
                "Ethereum slides 2.1% after Caldmere Pay unloads 52,692 coins")  # fmt: skip
    for order in permutations((*umbergate, *caldmere)):
        stories = dict(zip(order, tell(Memory(), *((title, 0.1 * n) for n, title in enumerate(order))), strict=True))
        assert not {stories[title] for title in umbergate} & {stories[title] for title in caldmere}


def test_one_pattern_with_another_name_is_another_story() -> None:
    """One place is filled otherwise, and with a name: whoever reads the rest of both reads the same."""
    clears = [f"Singapore court clears {name} in Chainlink fraud case" for name in ("Wren Ivers", "Tomas Adeyo")]
    lists = [f"{name} to list Solana perpetuals in August" for name in ("Marvane Trust", "Norbrook Trust")]
    for one, other in (clears, lists):
        assert not together((one, 0), (other, 0.1))
        again = tell(Memory(), (one, 0), (other, 0.1), (one, 0.2), (other, 0.3), (f"Today {one}", 0.4))
        assert again == [1, 2, 1, 2, 1]


def test_one_word_in_common_is_chance() -> None:
    assert not together(("Solana upgrade goes live", 0), ("Solana phone ships to first buyers", 0.1))


def test_after_a_silence_the_same_words_must_say_more() -> None:
    first, second = "Quillhaven wins licence in Norway", "Norway: Quillhaven to offer custody with its licence"
    assert together((first, 0), (second, 1))
    assert not together((first, 0), (second, 9))


def test_a_story_is_closed_to_what_happened_days_before_or_after() -> None:
    title = "Quillhaven wins licence in Norway"
    assert together((title, 0), (title, 20))
    assert not together((title, 0), (title, 80))
    assert not together((title, 80), (title, 0))


def test_the_neighbour_is_the_title_that_says_most_of_it() -> None:
    memory = Memory()
    tell(memory, ("Quillhaven wins licence in Norway", 0), ("Norway regulator on Quillhaven licence: a first", 0.1))
    told = Told("new", marked_terms("Quillhaven wins Norway licence"), HOUR_S)
    found = match(memory, told, find_near(memory, told.terms))
    assert found is not None
    assert found.neighbour == "item 0"


def test_stories_that_a_person_parted_are_not_merged_for_being_alike() -> None:
    for parted in (False, True):
        memory = Memory()
        words = [("Quillhaven wins licence in Norway", story) for story in (1, 2, 1, 2)]
        for n, (title, story) in enumerate(words):
            memory.add(Told(str(n), marked_terms(title), 0.0), story)
        if parted:
            memory.part(1, 2)
        assert list(merges(memory, 1, {2: False})) == ([] if parted else [(2, 1)])


def invented(rng: random.Random, many: int) -> Sequence[Told]:
    """Invent titles of which some resemble one another."""
    words = [f"w{n:x}".translate(str.maketrans("0123456789", "ghijklmnop")) for n in range(300)]
    return [Told(str(n), tuple(rng.sample(words[: rng.choice([30, 300])], 6)), n * 60.0) for n in range(many)]


@pytest.mark.parametrize("seed", range(5))
def test_what_is_remembered_agrees_with_itself_and_stays_small(monkeypatch: Any, seed: int) -> None:
    for name, value in {"WINDOW_TITLES": 80, "STORY_TERMS": 10, "RECENT": 5}.items():
        monkeypatch.setattr(remembered, name, value)
    memory, numbers = Memory(), count(1)
    for told in invented(random.Random(seed), 600):
        nearby = find_near(memory, told.terms)
        found = match(memory, told, nearby)
        story = found.story if found else next(numbers)
        memory.add(told, story)
        list(merges(memory, story, nearby))
        assert memory.open == len(memory.stories) <= 80
    telling: dict[str, set[int]] = {}
    for kept in memory.stories.values():
        assert len(kept.terms) <= 20
        for term in kept.terms:
            telling.setdefault(term, set()).add(kept.id)
    for term, known in memory.terms.items():
        assert known.stories == len(telling.get(term, ()))
        assert len(known.recent) == len(set(known.recent)) <= 5
        assert set(known.recent) <= telling.get(term, set())
