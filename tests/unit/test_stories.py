"""What makes two tellings the same story, and what does not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ledger.model import Book, Item
from workers.addresses import canonical
from workers.stories import story_keys, telling
from workers.titles import plain_words

AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
TITLE = "Exchange halts withdrawals after $40 million theft"


def item(title: str = TITLE, url: str = "", at: datetime = AT, provider: str = "cryptopanic") -> Item:
    return Item(provider, "k", Book.HUMAN, "news", at, {}, title=title, url=url)


def shared(first: Item, second: Item) -> set[str]:
    return set(story_keys(first)) & set(story_keys(second))


@pytest.mark.parametrize(
    "url",
    [
        "http://www.example.com/a/story",
        "https://example.com/a/story/",
        "https://m.example.com/a/story?utm_source=x&fbclid=1#comments",
        "HTTPS://EXAMPLE.com/a/story?mtm_campaign=API",
    ],
)
def test_one_page_has_one_address_however_it_is_written(url: str) -> None:
    assert canonical(url) == "https://example.com/a/story"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://example.com/a?id=1", "https://example.com/a?id=2"),
        ("https://example.com/a", "https://example.com/b"),
        ("https://example.com/A", "https://example.com/a"),
        ("https://news.example.com/a", "https://example.com/a"),
        ("https://example.com/#!/a", "https://example.com/#!/b"),
    ],
)
def test_two_pages_keep_two_addresses(one: str, other: str) -> None:
    assert canonical(one) != canonical(other)


@pytest.mark.parametrize("url", ["http://[::1", "not an address", "", "mailto:a@b.c"])
def test_an_address_that_cannot_be_read_comes_back_as_it_is(url: str) -> None:
    assert canonical(url) == url


def test_the_same_address_is_the_same_story_whatever_the_title() -> None:
    assert shared(
        item(url="https://e.com/a?utm_medium=rss"), item("Quite another headline here", "http://www.e.com/a/")
    )


def test_the_same_title_on_the_same_day_is_the_same_story() -> None:
    assert shared(item(), item("exchange HALTS withdrawals — after $40 Million theft!", provider="newscatcher"))


def test_the_same_title_on_another_day_is_another_story() -> None:
    assert not shared(item(), item(at=AT + timedelta(days=1)))


def test_another_number_is_another_story() -> None:
    assert not shared(item(), item(TITLE.replace("40", "41")))


def test_a_title_of_a_few_words_is_a_rubric_and_no_story() -> None:
    assert story_keys(item("Bitcoin price today")) == ()


def test_accents_and_scripts_are_words_too() -> None:
    assert list(plain_words("Bitcóin überholt: 1.000 €")) == ["bitcoin", "uberholt", "1", "000"]
    assert list(plain_words("比特币 价格")) == ["比特币", "价格"]


def test_the_surest_key_comes_first() -> None:
    first, second = story_keys(item(url="https://e.com/a"))
    assert (first.partition(":")[0], second.partition(":")[0]) == ("address", "title")


def test_an_item_is_told_with_its_keys_and_the_terms_of_its_title() -> None:
    told = telling(item(url="https://e.com/a"))
    assert told.story_keys == story_keys(item(url="https://e.com/a"))
    assert told.terms
    assert told.fingerprint == item(url="https://e.com/a").fingerprint
