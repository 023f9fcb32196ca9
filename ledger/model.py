"""The ledger's own values, pure: what may be posted, and what makes two deliveries the same thing.

Delivered again?  Same ``key``: the same item.  Same ``fingerprint``: nothing new about it.  Another fingerprint: a new
revision.  What moves all the time (votes, prices at request time) goes to ``observed`` and never makes a revision.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Context, Decimal
from enum import StrEnum
from hashlib import sha256
from typing import Any

import orjson

FLOAT_DIGITS = 12
"""Significant digits that count when two numbers are compared.

Nansen restates a finished hour in the last digit (9681413.537422001, then ...003); twelve digits call that no change,
and call a really restated balance (12,595,101, then 12,616,005) a revision."""
_ROUND = Context(prec=FLOAT_DIGITS)
_SETTLE = Context(prec=FLOAT_DIGITS + 2)
"""Rounded to this first: 9607840.027005 and its restated twin ...005002 stand on both sides of a twelve-digit tie."""

KEY_CHARS = 500  # four bytes each still fit into an index
COIN_CHARS = 100
NUMBER_DIGITS = 400
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class Book(StrEnum):
    """The four books, by the names their users know."""

    GLASS = "glass"  # on-chain: flows, holdings
    HUMAN = "human"  # news
    CATALYST = "catalyst"  # events
    EXCHANGE = "exchange"  # trades, prices


class InvalidItem(ValueError):
    """This row cannot become an item; the text says why, and it never holds the row itself."""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that a provider told: a post, an article, a flow bucket, a trade.

    ``key`` is unique within the provider (``posts:123``); ``body`` holds the stable fields, numbers as Decimal, int or
    text; ``observed`` the values that move.  ``happened_at`` is the world's time, always aware.  Items that share one
    of their ``story_keys`` tell the same story, and so may items whose ``terms`` (what the title says) are alike; both
    group, they never drop.

    What PostgreSQL cannot hold, a batch never meets: a NUL or half a surrogate pair in a text becomes U+FFFD, in a key
    it is refused; coins end after 100 characters; numbers that are not finite or beyond 400 digits are refused.
    """

    provider: str
    key: str
    book: Book
    kind: str
    happened_at: datetime
    body: Mapping[str, Any]
    title: str = ""
    url: str = ""
    coins: tuple[str, ...] = ()
    observed: Mapping[str, Any] = field(default_factory=dict)
    provisional: bool = False
    story_keys: tuple[str, ...] = ()
    terms: tuple[str, ...] = ()
    fingerprint: str = ""

    def __post_init__(self) -> None:
        if not self.key or len(self.key) > KEY_CHARS:
            raise InvalidItem(f"key must have 1 to {KEY_CHARS} characters, not {len(self.key)}")
        for name in (self.provider, self.key, self.kind):
            if _text(name) is not name or len(name) > KEY_CHARS:
                raise InvalidItem("provider, key or kind is too long or holds a character that cannot be stored")
        self._settle("title", _text(self.title))
        self._settle("url", _text(self.url))
        self._settle("coins", tuple(_text(coin)[:COIN_CHARS] for coin in self.coins))
        self._settle("story_keys", tuple(_story_key(_text(key)) for key in self.story_keys))
        self._settle("terms", tuple(_text(term)[:COIN_CHARS] for term in self.terms if term))
        self._utc()
        if not self.fingerprint:  # else it is a copy of an item that was checked when it was made
            if self.observed:
                _told(self.observed)  # refuses what has no place in an item
            self._settle("fingerprint", self._fingerprint())

    def _settle(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _utc(self) -> datetime:
        if self.happened_at.tzinfo is None:
            raise InvalidItem("happened_at has no time zone")
        try:
            return self.happened_at.astimezone(UTC)
        except OverflowError:
            raise InvalidItem("happened_at is outside the calendar") from None

    def _fingerprint(self) -> str:
        at = self._utc().isoformat()
        return fingerprint([self.kind, at, self.title, self.url, list(self.coins), self.provisional, self.body])


def fingerprint(value: Any) -> str:
    """Give 32 hex digits that are equal for equal content, whatever the order of keys or the last digits of floats."""
    return sha256(_told(value)).hexdigest()[:32]


def _told(value: Any) -> bytes:
    try:
        return orjson.dumps(_comparable(value), option=orjson.OPT_SORT_KEYS)
    except (TypeError, RecursionError) as error:
        raise InvalidItem(f"it cannot be told as JSON: {error}") from None


def _comparable(value: Any) -> Any:
    kind = type(value)  # what there is most of comes first: patterns are slow
    if kind is str:
        return _text(value)
    if kind is dict:
        return {_text(str(name)): _comparable(part) for name, part in value.items()}
    if kind is int:
        return str(value)
    if kind is list:
        return [_comparable(part) for part in value]
    match value:
        case Decimal() | float():
            number = _ROUND.create_decimal(_SETTLE.create_decimal(_number(Decimal(value)))).normalize()
            return format(number, "f") if number else "0"
        case bool() | None:
            return value
        case str():
            return _text(value)
        case int():
            return str(value)  # whole numbers are exact: ids and milliseconds differ in their last digit
        case Mapping():
            return {_text(str(name)): _comparable(part) for name, part in value.items()}
        case Sequence():
            return [_comparable(part) for part in value]
    raise InvalidItem(f"a {type(value).__name__} has no place in an item")


def storable(value: Any) -> Any:
    """Turn Decimals into text, exactly as given, so that no float stands between a provider's digits and ours.

    Integers beyond 64 bits, which JSON readers lose, become text too; texts lose what PostgreSQL cannot hold.
    """
    if type(value) is dict:  # most of what is not text
        return {_text(str(name)): storable(part) for name, part in value.items()}
    match value:
        case str():
            return _text(value)
        case bool() | None:
            return value
        case Decimal():
            return format(_number(value), "f")
        case int():
            return value if -(2**63) <= value < 2**63 else str(value)
        case Mapping():
            return {_text(str(name)): storable(part) for name, part in value.items()}
        case Sequence():
            return [storable(part) for part in value]
    return value


def _number(value: Decimal) -> Decimal:
    if not value.is_finite() or abs(value.adjusted()) > NUMBER_DIGITS:
        raise InvalidItem("a number is not finite, or has hundreds of digits")
    return value


def _text(value: str) -> str:
    """Give the text itself where it can be stored, else with U+FFFD for each NUL and each half of a surrogate pair."""
    if value.isascii():
        return value.replace("\x00", "\ufffd") if "\x00" in value else value
    return _UNSTORABLE.sub("\ufffd", value) if _UNSTORABLE.search(value) else value


def _story_key(key: str) -> str:
    """Shorten what an index cannot hold, such as an address with a whole form in it."""
    return key if len(key) <= KEY_CHARS else fingerprint(key)
