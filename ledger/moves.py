"""What a trade does to pools of coins: lots come, units leave, lots are carried over.  Pure, and the same for all
methods of booking; nothing here knows which lots there are.

Conventions: a fee in the bought coin makes the lot smaller, in the sold coin lets more units leave; any other fee
raises the cost or lowers the proceeds by its value; a fee in a third coin is also a disposal of that coin.  A trade
quoted in a coin disposes of that coin, or acquires it, too.  A fee on a transfer is money spent.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from ledger.numbers import EXACT, money, product, quantity
from ledger.trades import CASH, Kind, Trade


class PoolBy(StrEnum):
    """What shares one pool of lots."""

    USER_COIN = "user_coin"
    USER_ACCOUNT_COIN = "user_account_coin"


class PoolKey(NamedTuple):
    """Whose lots of which coin; ``account`` is None where all accounts of a user share a pool."""

    user: str
    account: str | None
    coin: str


class Act(StrEnum):
    """What happens to a pool."""

    ACQUIRE = "acquire"  # a lot comes: amount is its cost
    DISPOSE = "dispose"  # units leave: amount is the proceeds
    CARRY = "carry"  # units move to another account's pool with time and cost
    NOTE = "note"  # only income or expense is counted


class Move(NamedTuple):
    """One thing that a trade does to one pool; ``qty`` in steps of quantity, all else in steps of money.

    ``paid`` is the unrounded cost of a lot, by which HIFO compares; ``to`` is the receiver of a carry.
    """

    pool: PoolKey
    act: Act
    leg: str
    qty: int
    amount: int
    paid: Decimal
    income: int = 0
    expense: int = 0
    to: PoolKey | None = None


_ZERO = Decimal(0)


def moves(trade: Trade, pool_by: PoolBy) -> list[Move]:
    """Say what the trade does to each pool, in the order in which it is to be done."""
    match trade.kind:
        case Kind.BUY:
            return _bought(trade, pool_by)
        case Kind.SELL:
            return _sold(trade, pool_by)
        case Kind.INCOME:
            return _received(trade, pool_by)
        case Kind.SPEND:
            return _spent(trade, pool_by)
        case Kind.TRANSFER:
            return _transferred(trade, pool_by)


def pools_of(trade: Trade, pool_by: PoolBy) -> list[PoolKey]:
    """List the pools that booking the trade reads or writes, sorted: what one writer must hold."""
    touched = {key for move in moves(trade, pool_by) for key in (move.pool, move.to) if key is not None}
    return sorted(touched, key=lambda key: (key.user, key.account or "", key.coin))


def pool_key(trade: Trade, coin: str, pool_by: PoolBy) -> PoolKey:
    """Name the pool of a coin in the trade's own account."""
    return PoolKey(trade.user, trade.account if pool_by is PoolBy.USER_ACCOUNT_COIN else None, coin)


def _bought(trade: Trade, pool_by: PoolBy) -> list[Move]:
    value = product(trade.qty, trade.price, trade.rate)
    if trade.base == CASH:
        return _coin_sold_for_cash(trade, pool_by, value)
    qty, paid = trade.qty, value
    if trade.fee_qty:
        if trade.fee_coin == trade.base:
            qty = EXACT.subtract(qty, trade.fee_qty)
        else:
            paid = EXACT.add(value, trade.fee_worth)
    lot = Move(pool_key(trade, trade.base, pool_by), Act.ACQUIRE, "base", quantity(qty), money(paid), paid)
    if trade.quote == CASH and not trade.fee_qty:
        return [lot]
    return [lot, *_quote_given(trade, pool_by, value, paid), *_third_coin_fee(trade, pool_by)]


def _sold(trade: Trade, pool_by: PoolBy) -> list[Move]:
    value = product(trade.qty, trade.price, trade.rate)
    if trade.base == CASH:
        return _coin_bought_with_cash(trade, pool_by, value)
    qty, net = trade.qty, value
    if trade.fee_qty:
        if trade.fee_coin == trade.base:
            qty = EXACT.add(qty, trade.fee_qty)
        else:
            net = EXACT.subtract(value, trade.fee_worth)
    left = Move(pool_key(trade, trade.base, pool_by), Act.DISPOSE, "base", quantity(qty), money(net), _ZERO)
    if trade.quote == CASH and not trade.fee_qty:
        return [left]
    return [left, *_quote_taken(trade, pool_by, value, net), *_third_coin_fee(trade, pool_by)]


def _quote_given(trade: Trade, pool_by: PoolBy, value: Decimal, with_fee: Decimal) -> list[Move]:
    """Dispose of the coin that was paid with; a fee in that coin leaves with it, at the same rate."""
    if trade.quote == CASH:
        return []
    gross = product(trade.qty, trade.price)
    if trade.fee_coin == trade.quote:
        gross, value = EXACT.add(gross, trade.fee_qty), with_fee
    return _unless_nothing(pool_key(trade, trade.quote, pool_by), Act.DISPOSE, gross, value)


def _quote_taken(trade: Trade, pool_by: PoolBy, value: Decimal, net: Decimal) -> list[Move]:
    """Acquire the coin that was received, less a fee in that coin, at what that net quantity was worth."""
    if trade.quote == CASH:
        return []
    gross = product(trade.qty, trade.price)
    if trade.fee_coin == trade.quote:
        gross, value = EXACT.subtract(gross, trade.fee_qty), net
    return _unless_nothing(pool_key(trade, trade.quote, pool_by), Act.ACQUIRE, gross, value)


def _coin_sold_for_cash(trade: Trade, pool_by: PoolBy, value: Decimal) -> list[Move]:
    """Buying USDT with a coin is selling that coin: a fee not in the coin lowers the proceeds."""
    gross = product(trade.qty, trade.price)
    if trade.fee_coin == trade.quote:
        gross = EXACT.add(gross, trade.fee_qty)
    else:
        value = EXACT.subtract(value, trade.fee_worth)
    pool = pool_key(trade, trade.quote, pool_by)
    return [*_unless_nothing(pool, Act.DISPOSE, gross, value), *_third_coin_fee(trade, pool_by)]


def _coin_bought_with_cash(trade: Trade, pool_by: PoolBy, value: Decimal) -> list[Move]:
    """Selling USDT for a coin is buying that coin: a fee not in the coin raises the cost."""
    gross = product(trade.qty, trade.price)
    if trade.fee_coin == trade.quote:
        gross = EXACT.subtract(gross, trade.fee_qty)
    else:
        value = EXACT.add(value, trade.fee_worth)
    pool = pool_key(trade, trade.quote, pool_by)
    return [*_unless_nothing(pool, Act.ACQUIRE, gross, value), *_third_coin_fee(trade, pool_by)]


def _received(trade: Trade, pool_by: PoolBy) -> list[Move]:
    value = trade.value
    pool = pool_key(trade, trade.base, pool_by)
    if trade.base == CASH:
        return [Move(pool, Act.NOTE, "base", 0, 0, _ZERO, income=money(value)), *_third_coin_fee(trade, pool_by)]
    in_base = trade.fee_coin == trade.base
    qty = EXACT.subtract(trade.qty, trade.fee_qty) if in_base else trade.qty
    paid = value if in_base else EXACT.add(value, trade.fee_worth)
    lot = Move(pool, Act.ACQUIRE, "base", quantity(qty), money(paid), paid, income=money(value))
    return [lot, *_third_coin_fee(trade, pool_by)]


def _spent(trade: Trade, pool_by: PoolBy) -> list[Move]:
    value = trade.value
    pool = pool_key(trade, trade.base, pool_by)
    if trade.base == CASH:
        return [Move(pool, Act.NOTE, "base", 0, 0, _ZERO, expense=money(value)), *_third_coin_fee(trade, pool_by)]
    in_base = trade.fee_coin == trade.base
    qty = EXACT.add(trade.qty, trade.fee_qty) if in_base else trade.qty
    net = value if in_base else EXACT.subtract(value, trade.fee_worth)
    left = Move(pool, Act.DISPOSE, "base", quantity(qty), money(net), _ZERO, expense=money(value))
    return [left, *_third_coin_fee(trade, pool_by)]


def _transferred(trade: Trade, pool_by: PoolBy) -> list[Move]:
    done: list[Move] = []
    if pool_by is PoolBy.USER_ACCOUNT_COIN and trade.base != CASH:
        there = PoolKey(trade.user, trade.to_account, trade.base)
        here = pool_key(trade, trade.base, pool_by)
        done.append(Move(here, Act.CARRY, "base", quantity(trade.qty), 0, _ZERO, to=there))
    if trade.fee_qty:
        worth = money(trade.fee_worth)
        pool = pool_key(trade, trade.fee_coin, pool_by)
        if pool.coin == CASH:
            done.append(Move(pool, Act.NOTE, "fee", 0, 0, _ZERO, expense=worth))
        else:
            done.append(Move(pool, Act.DISPOSE, "fee", quantity(trade.fee_qty), worth, _ZERO, expense=worth))
    return done


def _third_coin_fee(trade: Trade, pool_by: PoolBy) -> list[Move]:
    """Dispose of the fee's coin, unless its units have left, or did not come, with the trade itself."""
    if not trade.fee_qty or trade.fee_coin in {CASH, trade.base}:
        return []
    if trade.fee_coin == trade.quote and trade.kind in {Kind.BUY, Kind.SELL}:
        return []
    pool = pool_key(trade, trade.fee_coin, pool_by)
    return [Move(pool, Act.DISPOSE, "fee", quantity(trade.fee_qty), money(trade.fee_worth), _ZERO)]


def _unless_nothing(pool: PoolKey, act: Act, qty: Decimal, worth: Decimal) -> list[Move]:
    """Move the quote coin, unless what moves rounds to no units at all."""
    number = quantity(qty)
    return [Move(pool, act, "quote", number, money(worth), worth)] if number else []
