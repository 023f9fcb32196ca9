"""The state of pools as JSON values, and back: what a checkpoint holds.

Whole steps are text, for JSON readers lose integers beyond 53 or 64 bits.  What is restored goes on exactly as what
was told would have.  A pool can be told and restored alone, so that one trade needs only the pools that it touches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from ledger.booking import TOTALS, Booking, Oversell, Pool, Rules
from ledger.lots import Lot, Method, Order
from ledger.moves import PoolBy, PoolKey
from ledger.numbers import divided, plain

FORM = 1
"""The number of this form of snapshot; another one cannot be read, and the history is booked from its start."""


class UnknownForm(ValueError):
    """This snapshot was written by another version: book from the start instead."""


def snapshot(booking: Booking) -> dict[str, Any]:
    """Tell the whole state: the rules, and every pool with its sums and open lots."""
    return {
        "form": FORM,
        "rules": rules_told(booking.rules),
        "pools": [pool_snapshot(pool) for pool in booking.pools.values()],
    }


def restore(told: Mapping[str, Any]) -> Booking:
    """Make the booking that ``snapshot`` told.  Errors: ``UnknownForm``."""
    if told.get("form") != FORM:
        raise UnknownForm(f"form {told.get('form')!r} is not {FORM}")
    booking = Booking(rules_read(told["rules"]))
    for pool in told["pools"]:
        put_pool(booking, pool)
    return booking


def rules_told(rules: Rules) -> dict[str, Any]:
    """Tell the rules as JSON values."""
    return {
        "method": rules.method.value,
        "pool_by": rules.pool_by.value,
        "oversell": rules.oversell.value,
        "allow_short": rules.allow_short,
    }


def rules_read(told: Mapping[str, Any]) -> Rules:
    """Read what ``rules_told`` told."""
    return Rules(
        method=Method(told["method"]),
        pool_by=PoolBy(told["pool_by"]),
        oversell=Oversell(told["oversell"]),
        allow_short=told["allow_short"],
    )


def pool_snapshot(pool: Pool) -> dict[str, Any]:
    """Tell one pool: key, newest booked order, sums, open lots and open shorts (oldest first)."""
    return {
        "key": list(pool.key),
        "last": _order_told(pool.last) if pool.last else None,
        "totals": {name: str(getattr(pool, name)) for name in TOTALS},
        "lots": [_lot_told(lot) for lot in pool.lots.open()],
        "shorts": [_lot_told(lot) for lot in pool.shorts.open()],
    }


def put_pool(booking: Booking, told: Mapping[str, Any]) -> Pool:
    """Put the pool that ``pool_snapshot`` told into a booking under the same rules, in place of any it had."""
    user, account, coin = told["key"]
    pool = booking.pools[PoolKey(user, account, coin)] = Pool(PoolKey(user, account, coin), booking.rules.method)
    pool.last = _order_read(*told["last"]) if told["last"] else None
    for name in TOTALS:
        setattr(pool, name, int(told["totals"][name]))
    for lot in told["lots"]:
        pool.lots.add(_lot_read(lot))
    for lot in told["shorts"]:
        pool.shorts.add(_lot_read(lot))
    return pool


def _order_told(order: Order) -> list[Any]:
    return [order[0].isoformat(), order[1]]


def _order_read(at: str, seq: int) -> Order:
    return (datetime.fromisoformat(at), seq)


def _lot_told(lot: Lot) -> list[Any]:
    at, seq = lot.order
    return [lot.id, at.isoformat(), seq, str(lot.qty), str(lot.cost), str(lot.left), plain(lot.paid), str(lot.bought)]


def _lot_read(told: Sequence[Any]) -> Lot:
    name, at, seq, qty, cost, left, paid, bought = told
    rest = divided(int(cost) * int(left), int(qty))  # the rule of ``lots``: it follows from what is left
    return Lot(name, _order_read(at, seq), int(qty), int(cost), int(left), rest, Decimal(paid), int(bought))
