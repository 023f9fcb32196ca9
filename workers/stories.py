"""The same story, told twice: what an item brings to the question.  Pure; the answer is given in ``ledger.telling``.

Two items share a story for certain when they share their canonical address, or their title within a day; and they may
when the terms of their titles are alike.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

from ledger.model import Item
from workers.addresses import canonical
from workers.titles import TITLE_WORDS_MIN, marked_terms, plain_words

TRANSLATED = "title_translated_en"
"""Where a provider gives an English title beside a foreign one, stories are told across languages."""


def telling(item: Item) -> Item:
    """Give the item with its story keys and the terms of its title, names marked."""
    return replace(item, story_keys=story_keys(item), terms=marked_terms(_comparable_title(item)))


def story_keys(item: Item) -> tuple[str, ...]:
    """Give the keys of an item's story, the surest first; none for an item without address and title."""
    keys = []
    if item.url:
        keys.append("address:" + _digest(canonical(item.url)))
    words = plain_words(item.title)
    if len(words) >= TITLE_WORDS_MIN:
        keys.append(f"title:{item.happened_at:%Y-%m-%d}:" + _digest(" ".join(words)))
    return tuple(keys)


def _comparable_title(item: Item) -> str:
    translated = item.observed.get(TRANSLATED)
    return translated if isinstance(translated, str) and translated else item.title


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "replace")).hexdigest()[:24]
