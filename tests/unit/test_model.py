"""What makes two deliveries the same thing, and what may not become an item."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.model import Book, InvalidItem, Item, fingerprint, storable

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
TEXT = st.text(st.characters(codec=None), max_size=40)  # NUL and lone surrogates too
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30)
    | TEXT
)
BODIES = st.dictionaries(
    TEXT,
    st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4)),
    max_size=6,
)


def item(**changes: Any) -> Item:
    """Make an item, changed as told."""
    told: dict[str, Any] = {
        "provider": "p",
        "key": "k",
        "book": Book.HUMAN,
        "kind": "post",
        "happened_at": AT,
        "body": {},
        **changes,
    }
    return Item(**told)


def shuffled(value: Any, rng: random.Random) -> Any:
    """Say the same with every mapping in another order."""
    match value:
        case dict():
            names = list(value)
            rng.shuffle(names)
            return {name: shuffled(value[name], rng) for name in names}
        case list():
            return [shuffled(part, rng) for part in value]
    return value


def has_twins(value: Any) -> bool:
    """Tell whether two names become one when what cannot be stored is taken from them."""
    match value:
        case dict():
            return len({storable(name) for name in value}) < len(value) or any(map(has_twins, value.values()))
        case list():
            return any(map(has_twins, value))
    return False


@settings(max_examples=40)
@given(BODIES.filter(lambda body: not has_twins(body)), st.randoms(use_true_random=False))
def test_order_of_names_is_no_difference(body: dict[str, Any], rng: random.Random) -> None:
    assert fingerprint(shuffled(body, rng)) == fingerprint(body)


@given(st.integers(1, 10**12 - 1), st.integers(-12, 6), st.integers(-3, 3))
def test_last_digits_of_a_float_are_no_difference(digits: int, exponent: int, steps: int) -> None:
    number = float(f"{digits}e{exponent}")
    assert fingerprint({"n": number * (1 + steps * 2.0**-52)}) == fingerprint({"n": number})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (9681413.537422001, 9681413.537422003),
        (9607840.027005, 9607840.027005002),
        (1, 1.0),
        (Decimal("1.50"), 1.5),
        (0.0, -0.0),
        (Decimal("0E-20"), 0),
    ],
)
def test_numbers_that_say_the_same_are_no_difference(one: Any, other: Any) -> None:
    assert fingerprint([one]) == fingerprint([other])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (12595101, 12616005),
        (Decimal("0.1"), Decimal("0.10000001")),
        (True, 1),
        (None, ""),
        (["a", "b"], ["b", "a"]),
        ({"a": None}, {}),
    ],
)
def test_what_differs_has_another_fingerprint(one: Any, other: Any) -> None:
    assert fingerprint([one]) != fingerprint([other])


@pytest.mark.parametrize(
    "change",
    [
        {"title": "other"},
        {"url": "https://a"},
        {"coins": ("BTC",)},
        {"kind": "media"},
        {"body": {"a": 1}},
        {"happened_at": AT + timedelta(microseconds=1)},
        {"provisional": True},
    ],
)
def test_each_stable_field_counts(change: dict[str, Any]) -> None:
    assert item(**change).fingerprint != item().fingerprint


@pytest.mark.parametrize(
    "change",
    [
        {"observed": {"votes": 3}},
        {"story_keys": ("s",)},
        {"book": Book.CATALYST},
        {"happened_at": AT.astimezone(timezone(timedelta(hours=5)))},
    ],
)
def test_what_moves_or_groups_does_not_count(change: dict[str, Any]) -> None:
    assert item(**change).fingerprint == item().fingerprint


@settings(max_examples=40)
@given(BODIES, TEXT, st.lists(TEXT, max_size=3), BODIES)
def test_any_text_becomes_an_item_that_can_be_stored(
    body: dict[str, Any], title: str, coins: list[str], observed: dict[str, Any]
) -> None:
    made = item(body=body, title=title, url=title, coins=tuple(coins), observed=observed, story_keys=tuple(coins))
    stored = [orjson.dumps(part) for part in (storable(made.body), storable(made.observed), [made.title, *made.coins])]
    assert not any(b"\\u0000" in part for part in stored)
    assert storable(storable(made.body)) == storable(made.body)


def test_decimals_are_stored_as_their_digits() -> None:
    assert storable({"a": [Decimal("1.500"), Decimal("1E-18"), 10**30]}) == {
        "a": ["1.500", "0.000000000000000001", "1" + "0" * 30]
    }


def nested(depth: int) -> Any:
    """Put a list into a list, so many times."""
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "change",
    [
        {"key": ""},
        {"key": "k" * 501},
        {"key": "a\x00b"},
        {"key": "a\ud800"},
        {"kind": "a\x00"},
        {"happened_at": AT.replace(tzinfo=None)},
        {"happened_at": datetime.min.replace(tzinfo=timezone(timedelta(hours=5)))},
        {"body": {"a": {1, 2}}},
        {"body": {"a": float("nan")}},
        {"body": {"a": Decimal("sNaN")}},
        {"body": {"a": Decimal("1e999999999")}},
        {"body": {"a": Decimal("0e-999999999")}},
        {"body": {"a": nested(500)}},
        {"body": {"a": nested(100_000)}},
        {"observed": {"a": nested(500)}},
    ],
)
def test_what_cannot_be_kept_is_refused_with_a_reason(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidItem) as refusal:
        item(**change)
    assert len(str(refusal.value)) < 200


def test_unstorable_characters_are_marked_and_the_rest_stays() -> None:
    made = item(title="a\x00b\ud83dc😀", coins=("B\x00" + "x" * 200,), story_keys=("s" * 3000,))
    assert made.title == "a\ufffdb\ufffdc😀"
    assert made.coins == ("B\ufffd" + "x" * 98,)
    assert len(made.story_keys[0]) == 32
