"""What a title says, without how it is spelled; and how alike two titles are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.likeness import likeness
from ledger.memory import Memory
from workers.titles import TERMS_MAX, marked_terms, terms

RARITY = Memory().rarity


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Two killed in U.S. blast", "2 die: explosion in the United States"),
        ("French PM resigns", "Prime minister of France quits"),
        ("BTC surges 5%", "Bitcoin rises 5 percent"),
        ("Firm raises $2,500", "firm RAISED $2500"),
        ("Fund raises $3bn", "Fund raised $3 billion"),
    ],
)
def test_what_says_the_same_has_the_same_terms(one: str, other: str) -> None:
    assert set(terms(one)) == set(terms(other))


def test_numbers_and_names_are_kept_apart() -> None:
    assert set(terms("Solana falls to $98k")) & set(terms("Cardano falls to $97k")) == {"=fall"}


def test_writing_without_spaces_is_read_by_pairs_of_signs() -> None:
    assert set(terms("比特币大涨")) == {"比特", "特币", "币大", "大涨"}


@given(st.text(max_size=200))
def test_any_text_has_terms_that_can_be_kept(text: str) -> None:
    found = terms(text)
    assert len(found) <= TERMS_MAX
    assert all(found)


@given(
    st.lists(st.text("abc=@19", min_size=1, max_size=6), max_size=8),
    st.lists(st.text("abc=@19", min_size=1), max_size=8),
)
def test_likeness_is_the_same_from_both_sides(one: list[str], other: list[str]) -> None:
    assert likeness(one, other, RARITY) == pytest.approx(likeness(other, one, RARITY))


@pytest.mark.parametrize(
    ("title", "named"),
    [
        ("Attacker takes $111M from Wexbrook Trust's Ethereum bridge", {"wexbrook", "trust", "=ethereum"}),
        ("Everbrook Pay drained of $729 million in bridge exploit", {"everbrook", "=pay"}),
        ("Dubai regulator opens a probe: Quillhaven is asked about its coins", set()),
        ("Everbrook Pay Drained Of $729 Million In Bridge Exploit", set()),
        ("EVERBROOK PAY DRAINED OF MILLIONS", set()),
        ("Everbrook falls", set()),
    ],
)
def test_names_are_told_by_capitals_where_other_words_have_none(title: str, named: set[str]) -> None:
    found = marked_terms(title)
    assert {term[1:] for term in found if term[0] == "^"} == named
    assert tuple(term.removeprefix("^") for term in found) == terms(title)


@given(st.text(max_size=200))
def test_marks_change_nothing_else(text: str) -> None:
    assert tuple(term.removeprefix("^") for term in marked_terms(text)) == terms(text)


def alike(one: str, other: str) -> float:
    return likeness(terms(one), terms(other), RARITY)


def test_another_number_place_day_or_the_opposite_makes_titles_less_alike() -> None:
    title = "Exchange in Japan gains 40 million users on Monday"
    same = alike(title, title)
    assert same > 4
    for other in (title.replace("40", "41"), title.replace("Japan", "Spain"), title.replace("Monday", "Friday")):
        assert alike(title, other) < same - 0.5
    assert alike("Court backs the fund", "Court rejects the fund") < alike(
        "Court backs the fund", "Court hears the fund"
    )
