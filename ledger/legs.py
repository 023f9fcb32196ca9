"""What a row does to coins: lots come, units leave, units are carried over.  Pure, rounded once, the same for every
method of booking and every way of pooling.

Conventions: a fee in the bought coin makes the lot smaller, in the sold coin lets more units leave; any other fee
raises the cost or lowers the proceeds by its value; a fee in a third coin is also a disposal of that coin.  A trade
quoted in a coin disposes of that coin, or acquires it, too.  A fee on a transfer is money spent.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from ledger.numbers import EXACT, money, product, quantity

if TYPE_CHECKING:
    from ledger.trades import Trade

CASH = "USDT"
"""The currency that gains are told in.  It has no lots of its own."""
_ZERO = Decimal(0)


class Kind(StrEnum):
    """What a row is."""

    BUY = "buy"
    SELL = "sell"
    INCOME = "income"  # staking, airdrop, reward
    SPEND = "spend"  # network fee, payment
    TRANSFER = "transfer"  # own account to own account


class Act(StrEnum):
    """What happens to a pool."""

    ACQUIRE = "acquire"  # a lot comes: amount is its cost
    DISPOSE = "dispose"  # units leave: amount is the proceeds
    CARRY = "carry"  # units move to another account's pool with time and cost
    NOTE = "note"  # only income or expense is counted


class Leg(NamedTuple):
    """One thing that a row does to one coin; ``qty`` in steps of quantity, the rest in steps of money.

    ``leg`` says which side of the row it is: base, quote or fee.  ``paid`` is the unrounded cost of a lot, by which
    HIFO compares.
    """

    act: Act
    leg: str
    coin: str
    qty: int
    amount: int
    paid: Decimal
    income: int = 0
    expense: int = 0


def legs_of(row: Trade) -> tuple[Leg, ...]:
    """Say what the row does, in the order in which it is to be done."""
    return tuple(_BY_KIND[row.kind](row))


def _bought(row: Trade) -> list[Leg]:
    value = row.value
    if row.base == CASH:
        return _coin_sold_for_cash(row, value)
    qty, paid = row.qty, value
    if row.fee_qty:
        if row.fee_coin == row.base:
            qty = EXACT.subtract(qty, row.fee_qty)
        else:
            paid = EXACT.add(value, row.fee_worth)
    lot = Leg(Act.ACQUIRE, "base", row.base, quantity(qty), money(paid), paid)
    if row.quote == CASH and (not row.fee_qty or row.fee_coin == CASH):
        return [lot]
    return [lot, *_quote_given(row, value, paid), *_third_coin_fee(row)]


def _sold(row: Trade) -> list[Leg]:
    value = row.value
    if row.base == CASH:
        return _coin_bought_with_cash(row, value)
    qty, net = row.qty, value
    if row.fee_qty:
        if row.fee_coin == row.base:
            qty = EXACT.add(qty, row.fee_qty)
        else:
            net = EXACT.subtract(value, row.fee_worth)
    left = Leg(Act.DISPOSE, "base", row.base, quantity(qty), money(net), _ZERO)
    if row.quote == CASH and (not row.fee_qty or row.fee_coin == CASH):
        return [left]
    return [left, *_quote_taken(row, value, net), *_third_coin_fee(row)]


def _quote_given(row: Trade, value: Decimal, with_fee: Decimal) -> list[Leg]:
    """Dispose of the coin that was paid with; a fee in that coin leaves with it, at the same rate."""
    if row.quote == CASH:
        return []
    gross = product(row.qty, row.price)
    if row.fee_coin == row.quote:
        gross, value = EXACT.add(gross, row.fee_qty), with_fee
    return _unless_nothing(row.quote, Act.DISPOSE, gross, value)


def _quote_taken(row: Trade, value: Decimal, net: Decimal) -> list[Leg]:
    """Acquire the coin that was received, less a fee in that coin, at what that net quantity was worth."""
    if row.quote == CASH:
        return []
    gross = product(row.qty, row.price)
    if row.fee_coin == row.quote:
        gross, value = EXACT.subtract(gross, row.fee_qty), net
    return _unless_nothing(row.quote, Act.ACQUIRE, gross, value)


def _coin_sold_for_cash(row: Trade, value: Decimal) -> list[Leg]:
    """Buying USDT with a coin is selling that coin: a fee not in the coin lowers the proceeds."""
    gross = product(row.qty, row.price)
    if row.fee_coin == row.quote:
        gross = EXACT.add(gross, row.fee_qty)
    else:
        value = EXACT.subtract(value, row.fee_worth)
    return [*_unless_nothing(row.quote, Act.DISPOSE, gross, value), *_third_coin_fee(row)]


def _coin_bought_with_cash(row: Trade, value: Decimal) -> list[Leg]:
    """Selling USDT for a coin is buying that coin: a fee not in the coin raises the cost."""
    gross = product(row.qty, row.price)
    if row.fee_coin == row.quote:
        gross = EXACT.subtract(gross, row.fee_qty)
    else:
        value = EXACT.add(value, row.fee_worth)
    return [*_unless_nothing(row.quote, Act.ACQUIRE, gross, value), *_third_coin_fee(row)]


def _received(row: Trade) -> list[Leg]:
    value = row.value
    if row.base == CASH:
        return [Leg(Act.NOTE, "base", CASH, 0, 0, _ZERO, income=money(value)), *_fee_spent(row)]
    in_base = row.fee_coin == row.base
    qty = EXACT.subtract(row.qty, row.fee_qty) if in_base else row.qty
    paid = value if in_base else EXACT.add(value, row.fee_worth)
    lot = Leg(Act.ACQUIRE, "base", row.base, quantity(qty), money(paid), paid, income=money(value))
    return [lot, *_third_coin_fee(row)]


def _spent(row: Trade) -> list[Leg]:
    value = row.value
    if row.base == CASH:
        return [Leg(Act.NOTE, "base", CASH, 0, 0, _ZERO, expense=money(value)), *_fee_spent(row)]
    in_base = row.fee_coin == row.base
    qty = EXACT.add(row.qty, row.fee_qty) if in_base else row.qty
    net = value if in_base else EXACT.subtract(value, row.fee_worth)
    left = Leg(Act.DISPOSE, "base", row.base, quantity(qty), money(net), _ZERO, expense=money(value))
    return [left, *_third_coin_fee(row)]


def _transferred(row: Trade) -> list[Leg]:
    if row.base == CASH:
        return _fee_spent(row)
    return [Leg(Act.CARRY, "base", row.base, quantity(row.qty), 0, _ZERO), *_fee_spent(row)]


def _fee_spent(row: Trade) -> list[Leg]:
    """Count a fee that is part of no lot's cost and of no proceeds as money spent."""
    if not row.fee_qty:
        return []
    worth = money(row.fee_worth)
    if row.fee_coin == CASH:
        return [Leg(Act.NOTE, "fee", CASH, 0, 0, _ZERO, expense=worth)]
    return [Leg(Act.DISPOSE, "fee", row.fee_coin, quantity(row.fee_qty), worth, _ZERO, expense=worth)]


def _third_coin_fee(row: Trade) -> list[Leg]:
    """Dispose of the fee's coin, unless its units have left, or did not come, with the trade itself."""
    if not row.fee_qty or row.fee_coin in {CASH, row.base}:
        return []
    if row.fee_coin == row.quote and row.kind in {Kind.BUY, Kind.SELL}:
        return []
    return [Leg(Act.DISPOSE, "fee", row.fee_coin, quantity(row.fee_qty), money(row.fee_worth), _ZERO)]


def _unless_nothing(coin: str, act: Act, qty: Decimal, worth: Decimal) -> list[Leg]:
    """Move the quote coin, unless what moves rounds to no steps at all."""
    number = quantity(qty)
    return [Leg(act, "quote", coin, number, money(worth), worth)] if number else []


_BY_KIND = {
    Kind.BUY: _bought,
    Kind.SELL: _sold,
    Kind.INCOME: _received,
    Kind.SPEND: _spent,
    Kind.TRANSFER: _transferred,
}
