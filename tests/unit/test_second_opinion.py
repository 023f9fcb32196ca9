"""The second booking agrees with the first as far as rounding goes, and no further."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from uuid import UUID

import pytest

from ledger.lots import Method
from ledger.second_opinion import In, Out, booked_again, differs

A, B = UUID(int=1), UUID(int=2)
KEPT: dict[UUID | None, tuple[Fraction, Fraction]] = {A: (Fraction(2), Fraction(10))}


@pytest.mark.parametrize(
    ("again", "other"),
    [
        (KEPT, False),
        ({A: (Fraction(2), 10 + Fraction(1, 10**17))}, False),
        ({A: (Fraction(2), 10 + Fraction(11, 10**18))}, True),
        ({A: (2 + Fraction(1, 10**36), Fraction(10))}, True),
        ({B: (Fraction(2), Fraction(10))}, True),
        ({None: (Fraction(2), Fraction(10))}, True),
        ({}, True),
    ],
)
def test_another_lot_any_other_quantity_and_a_cost_beyond_rounding_differ(
    again: dict[UUID | None, tuple[Fraction, Fraction]], other: bool
) -> None:
    assert differs(KEPT, again) is other


AT = datetime(2025, 3, 1, tzinfo=UTC)
OUT = UUID(int=9)


def came(lot: UUID, hour: int, side: str, cost: int, born: int) -> In:
    """A coin that came at this hour as a lot of another."""
    at, one = AT + timedelta(hours=hour), Fraction(1)
    return In("BTC", "", side, lot, AT + timedelta(hours=born), born, at, hour, one, Fraction(cost), Fraction(cost))


def used(method: Method, side: str, *lots: In) -> Mapping[UUID | None, tuple[Fraction, Fraction]]:
    """What is used of these lots when one coin goes."""
    out = Out(OUT, "BTC", "", side, AT + timedelta(hours=8), 8, "base", Fraction(1))
    return booked_again(method, lots, [out])[OUT]


@pytest.mark.parametrize("method", [Method.FIFO, Method.LIFO, Method.HIFO])
def test_the_oldest_short_is_covered_first_by_every_method(method: Method) -> None:
    lots = (came(A, 1, "short", 10, born=1), came(B, 2, "short", 30, born=2))
    assert used(method, "cover", *lots) == {A: (Fraction(1), Fraction(10))}


def test_of_lots_of_one_moment_and_number_the_last_to_come_goes_first_under_lifo_alone() -> None:
    lots = (came(A, 1, "long", 10, born=0), came(B, 2, "long", 10, born=0))
    assert [used(method, "sell", *lots).keys() for method in (Method.FIFO, Method.LIFO, Method.HIFO)] == [{A}, {B}, {A}]
