"""Headlines of one pattern with other names and numbers are other news; corrections and other words are not."""

from __future__ import annotations

import pytest

from ledger.guard import filled_otherwise, knows_neither, name_others, names, plain
from ledger.rule import RULE
from workers.titles import marked_terms


def otherwise(one: str, other: str) -> bool:
    """Are they one pattern, filled otherwise?  The same from both sides."""
    found = filled_otherwise(marked_terms(one), marked_terms(other), RULE.pattern)
    assert found == filled_otherwise(marked_terms(other), marked_terms(one), RULE.pattern)
    return found


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            "Everbrook Pay drained of $729 million in bridge exploit",
            "Wexbrook Trust drained of $111 million in bridge exploit",
        ),
        ("Umbergate Ventures sells 26,243 QNTM, price drops 23.4%", "Caldmere Pay sells 52,692 ETH, price drops 2.1%"),
        ("EVERBROOK LOSES $7 MILLION IN PARIS RAID", "WEXBROOK LOSES $9 MILLION IN TOKYO RAID"),
        ("BTC perpetual futures coming to Caldholt Capital", "BTC perpetual futures coming to Ironridge Pay"),
        ("Court clears Wren Brandt in fraud case", "Court clears Wren Ivers in fraud case"),
        ("Split bug in Quontium found by Mara Corvino on Monday", "Split bug in Pelvar found by Oona Brandt on Friday"),
    ],
)
def test_other_names_and_numbers_in_one_pattern_are_other_news(one: str, other: str) -> None:
    assert otherwise(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Blast in Kabul kills 5 people at market", "Blast in Kabul kills 7 people at market"),
        ("Bridge exploit drains Wormhole of $40 million", "Bridge exploit drains Wormhole of $40M, users angry"),
        ("Gas prices on the rise in Massachusetts", "Gas prices continue to rise across Montana and nation"),
        ("Court clears Wren Brandt in fraud case", "Court clears banker Wren Brandt in fraud case"),
        ("Court backs the fund of Mara Corvino", "Mara Corvino wins in court"),
        ("Solana falls", "Cardano falls"),
        ("", "Cardano falls"),
    ],
)
def test_a_later_count_or_other_words_are_not(one: str, other: str) -> None:
    assert not otherwise(one, other)


def test_above_one_nothing_is_a_pattern() -> None:
    one, other = "A Bank sells 5 ships in Paris", "B Corp sells 7 ships in Tokyo"
    assert not filled_otherwise(marked_terms(one), marked_terms(other), 9.0)


def test_marks_are_taken_off_and_found_again() -> None:
    assert plain(("^wexbrook", "drain", "7")) == ("wexbrook", "drain", "7")
    assert names(("^wexbrook", "drain", "7")) == {"wexbrook"}


def test_a_story_knows_a_title_by_one_name_or_one_number() -> None:
    title = ("^wexbrook", "drain", "111")
    assert knows_neither(title, {"drain", "729"})
    assert not knows_neither(title, {"drain", "729", "wexbrook"})
    assert not knows_neither(title, {"drain", "111"})
    assert not knows_neither(title, {"drain"})
    assert not knows_neither(("drain", "111"), {"drain", "729"})


def test_stories_that_name_only_others_are_two() -> None:
    assert name_others(("^wexbrook", "bridge"), ("^everbrook", "bridge"))
    assert not name_others(("^wexbrook", "bridge"), ("everbrook", "wexbrook", "bridge"))
    assert not name_others(("^wexbrook", "bridge"), ("^everbrook", "wexbrook"))
    assert not name_others(("bridge",), ("^everbrook", "bridge"))
