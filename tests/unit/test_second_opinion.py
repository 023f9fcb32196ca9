"""The second booking agrees with the first as far as rounding goes, and no further."""

from __future__ import annotations

from fractions import Fraction
from uuid import UUID

import pytest

from ledger.second_opinion import differs

A, B = UUID(int=1), UUID(int=2)
KEPT = {A: (Fraction(2), Fraction(10))}


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
    assert differs({**KEPT}, again) is other
