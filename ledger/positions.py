"""What one user holds by one method: positions with their worth, open lots, and what is not realised yet.

Amounts are text in plain digits.  No price is unknown, never 0: then ``why_unknown`` says what is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, LiteralString, NamedTuple

from psycopg import AsyncCursor
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.bookview import BEGINNING, LEFT, When, marks, seen_by
from ledger.lots import AVERAGE_LOT, Method
from ledger.marks import Mark
from ledger.model import storable
from ledger.numbers import EXACT, money, money_decimal, plain, product, quantity, ratio_text
from ledger.report import time_told
from ledger.tenancy import acting_for, driver_cursor

_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Priced:
    """Which prices may be used: with an ``age_max``, only those that are no older than that at ``now``."""

    now: datetime
    age_max: timedelta | None = None

    def why_not(self, coin: str, mark: Mark | None) -> str:
        """Say why a price cannot be used; nothing where it can."""
        if mark is None:
            return f"no price of {coin}"
        if self.age_max is not None and (mark.at is None or self.now - mark.at > self.age_max):
            return f"the price of {coin} is from {mark.at and time_told(mark.at)}, too old"
        return ""


class LotPlace(NamedTuple):
    """Where an open lot stands: one trade may have brought a long and a short in several pools."""

    acquired: datetime
    lot: str
    coin: str
    account: str
    side: str


class Held(NamedTuple):
    """What is left of one lot (of a short: what is owed); ``account`` is None where accounts share a pool."""

    coin: str
    account: str | None
    side: str
    lot: str
    acquired: datetime
    qty: Decimal
    cost: Decimal


async def positions(
    conn: AsyncConnection,
    user: str,
    method: Method,
    *,
    when: When | None = None,
    coin: str | None = None,
    prices: Priced,
) -> list[dict[str, Any]]:
    """List what is held and owed (quantity and cost below 0), by coin and account; part of the caller's transaction.

    Each: ``coin``, ``account``, ``qty``, ``cost``, ``unit_cost``, ``price``, ``price_at``, ``market_value``,
    ``unrealized_pnl``, ``why_unknown``, ``missing_qty``.
    """
    given = _given(user, method, when, coin)
    async with acting_for(conn, given["user"]), driver_cursor(conn) as cursor:
        held = await _held(cursor, when, given)
        await cursor.execute(_read(_MISSING, when, coin), given)
        missing = {(coin, account): qty for coin, account, qty in await cursor.fetchall()}
    sums: dict[tuple[str, str], tuple[Decimal, Decimal]] = {}
    for one in held:
        place = (one.coin, one.account or "")
        qty, cost = sums.get(place, (_ZERO, _ZERO))
        add = EXACT.add if one.side == "long" else EXACT.subtract
        sums[place] = add(qty, one.qty), add(cost, one.cost)
    known = await marks(conn, when)
    return [
        _position(place, qty, cost, known.get(place[0]), prices) | {"missing_qty": plain(missing.get(place, _ZERO))}
        for place, (qty, cost) in sorted(sums.items())
    ]


async def unrealized(
    conn: AsyncConnection, user: str, method: Method, *, when: When | None = None, prices: Priced
) -> dict[str, Any]:
    """Sum positions: ``unrealized_pnl`` and ``market_value`` are None as soon as one of them has no usable price."""
    held = await positions(conn, user, method, when=when, prices=prices)
    return {
        "unrealized_pnl": total(held, "unrealized_pnl"),
        "market_value": total(held, "market_value"),
        "cost": total(held, "cost"),
        "warnings": sorted({one["why_unknown"] for one in held if one["why_unknown"]}),
        "positions": held,
    }


async def lots(
    conn: AsyncConnection,
    user: str,
    method: Method,
    *,
    when: When | None = None,
    coin: str | None = None,
    after: LotPlace | None = None,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    """List open lots, oldest first, as many as ``limit`` behind a place; AVERAGE has one a pool, named ``pool``.

    Each: ``coin``, ``account``, ``lot`` (the id of the trade that brought it), ``side`` (long, short), ``acquired``,
    ``qty``, ``cost`` (of a short: what it brought), ``unit_cost``.
    """
    given = _given(user, method, when, coin)
    async with acting_for(conn, given["user"]), driver_cursor(conn) as cursor:
        held = await _held(cursor, when, given, after, limit)
    return [
        {"coin": one.coin, "account": one.account, "lot": one.lot, "side": one.side}
        | {"acquired": time_told(one.acquired), "qty": plain(one.qty), "cost": plain(one.cost)}
        | {"unit_cost": _unit(one.qty, one.cost)}
        for one in held
    ]


def total(held: Sequence[Mapping[str, Any]], name: str) -> str | None:
    """Sum a column of positions; unknown as soon as one is."""
    if any(one[name] is None for one in held):
        return None
    summed = _ZERO
    for one in held:
        summed = EXACT.add(summed, Decimal(one[name]))
    return plain(summed)


def _position(place: tuple[str, str], qty: Decimal, cost: Decimal, mark: Mark | None, prices: Priced) -> dict[str, Any]:
    coin, account = place
    why = prices.why_not(coin, mark)
    value = None if why or mark is None else money_decimal(money(product(qty, mark.price)))
    return {
        "coin": coin,
        "account": account or None,
        "qty": plain(qty),
        "cost": plain(cost),
        "unit_cost": _unit(qty, cost),
        "price": mark and plain(mark.price),
        "price_at": mark and mark.at and time_told(mark.at),
        "market_value": None if value is None else plain(value),
        "unrealized_pnl": None if value is None else plain(EXACT.subtract(value, cost)),
        "why_unknown": why,
    }


def _unit(qty: Decimal, cost: Decimal) -> str:
    if qty < 0:
        qty, cost = -qty, -cost
    return ratio_text(money(cost) * 10**18, quantity(qty))  # steps of money are 10**18 times as large


def _given(user: str, method: Method, when: When | None, coin: str | None) -> dict[str, Any]:
    when = when or When()
    moments = {"as_of": when.as_of, "known_at": when.known_at}
    return moments | {"user": storable(user), "method": method.value, "coin": None if coin is None else storable(coin)}


async def _held(
    cursor: AsyncCursor[Any],
    when: When | None,
    given: Mapping[str, Any],
    after: LotPlace | None = None,
    limit: int | None = None,
) -> list[Held]:
    at, lot, coin, account, side = after or LotPlace(BEGINNING, "", "", "", "")
    place = {"at": at, "last_lot": storable(lot), "last_coin": storable(coin), "last_account": storable(account)}
    place |= {"last_side": storable(side), "limit": limit, "average": AVERAGE_LOT}
    await cursor.execute(_read(_HELD, when, given["coin"]), {**given, **place})
    return [
        Held(coin, account or None, side, lot, acquired.astimezone(UTC), qty, cost)
        for coin, account, side, lot, acquired, qty, cost in await cursor.fetchall()
    ]


def _read(sql: LiteralString, when: When | None, coin: str | None) -> LiteralString:
    """Complete a statement for this moment, and for one coin where one is asked for."""
    return seen_by(when or When(), sql if coin is None else sql.replace("{visible}", "{visible} AND x.coin = %(coin)s"))


_HELD: LiteralString = """
SELECT * FROM (
    SELECT coin, account, side, coalesce(lot, %(average)s) COLLATE "C" AS lot, acquired_at, qty_left, cost_left
      FROM ({left}) AS each WHERE qty_left > 0) AS held
 WHERE (acquired_at, lot, coin, account, side) > (%(at)s, %(last_lot)s, %(last_coin)s, %(last_account)s, %(last_side)s)
 ORDER BY acquired_at, lot, coin, account, side LIMIT %(limit)s
""".replace("{left}", LEFT)

_MISSING: LiteralString = """
SELECT x.coin, x.account, sum(x.missing_qty) FROM disposals x
 WHERE x.method = %(method)s AND x.missing_qty > 0 AND {visible} GROUP BY 1, 2
"""
