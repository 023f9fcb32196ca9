"""Exact numbers: whole multiples of a smallest step inside, ``Decimal`` and text at the edges, one rounding rule.

Money is an ``int`` of 10**-18, as NUMERIC(38,18) stores it.  A quantity is an ``int`` of 10**-36: what is told has up
to 24 decimals (NEAR), and the quantity of a quote coin is a product of two such numbers, which is to stay exact.
Sums and differences of whole steps are exact.  ``divided`` is the one place where anything is rounded: half to even.
Decimals are worked on in a context of this module's own; the process-wide context is never read and never changed.
"""

from __future__ import annotations

from decimal import (
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
)

MONEY_PLACES = 18
QUANTITY_PLACES = 36
DIGITS = 38
WHOLE_DIGITS = 20
"""Digits before the point, of money and of quantities: NUMERIC(38,18) has no more."""
END = Decimal(10**WHOLE_DIGITS)
RATIO_PLACES = 30

EXACT = Context(prec=240, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, DivisionByZero, Overflow, Inexact])
"""Products and sums in it are exact or raise: 38 digits of quantity x 60 of price x 60 of rate are 158."""
_ROUNDS = Context(prec=240, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, DivisionByZero, Overflow])
_MONEY_STEP = Decimal(1).scaleb(-MONEY_PLACES)
_QUANTITY_STEP = Decimal(1).scaleb(-QUANTITY_PLACES)
_quantize, _scaleb = _ROUNDS.quantize, _ROUNDS.scaleb


def divided(numerator: int, denominator: int) -> int:
    """Divide whole numbers, half to even; the denominator is positive."""
    quotient, rest = divmod(numerator, denominator)
    twice = rest + rest
    if twice > denominator or (twice == denominator and quotient & 1):
        return quotient + 1
    return quotient


def money(value: Decimal) -> int:
    """Round a finite Decimal to whole steps of money, half to even."""
    return int(_scaleb(_quantize(value, _MONEY_STEP), MONEY_PLACES))


def quantity(value: Decimal) -> int:
    """Round a finite Decimal to whole steps of quantity, half to even."""
    return int(_scaleb(_quantize(value, _QUANTITY_STEP), QUANTITY_PLACES))


def money_decimal(steps: int) -> Decimal:
    """Give money as the Decimal that it is, exactly; the inverse of ``money``."""
    return Decimal(steps).scaleb(-MONEY_PLACES, EXACT)


def quantity_decimal(steps: int) -> Decimal:
    """Give a quantity as the Decimal that it is, exactly; the inverse of ``quantity``."""
    return Decimal(steps).scaleb(-QUANTITY_PLACES, EXACT)


def money_text(steps: int) -> str:
    """Write money in plain digits without trailing zeros: ``"0.5"``, ``"-3"``, ``"0.000000000000000001"``."""
    return _text(steps, MONEY_PLACES)


def quantity_text(steps: int) -> str:
    """Write a quantity in plain digits without trailing zeros."""
    return _text(steps, QUANTITY_PLACES)


def ratio_text(numerator: int, denominator: int) -> str:
    """Write a quotient of whole numbers to thirty places, half to even, without trailing zeros."""
    return _text(divided(numerator * 10**RATIO_PLACES, denominator), RATIO_PLACES)


def plain(value: Decimal) -> str:
    """Write a finite Decimal in plain digits without trailing zeros; equal numbers give equal text."""
    told = format(value, "f")
    if "." in told:
        told = told.rstrip("0").rstrip(".")
    return "0" if told in {"-0", ""} else told


def product(*factors: Decimal) -> Decimal:
    """Multiply exactly."""
    result = factors[0]
    for factor in factors[1:]:
        result = EXACT.multiply(result, factor)
    return result


def _text(steps: int, places: int) -> str:
    whole, part = divmod(abs(steps), 10**places)
    sign = "-" if steps < 0 else ""
    return f"{sign}{whole}.{part:0{places}d}".rstrip("0") if part else f"{sign}{whole}"
