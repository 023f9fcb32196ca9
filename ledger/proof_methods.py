"""Compare the matches in the tables, by every method, with those of a second booking (``ledger.second_opinion``)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from fractions import Fraction
from typing import Any, LiteralString
from uuid import UUID

from psycopg import AsyncCursor

from ledger.legs import Act
from ledger.lots import Method
from ledger.numbers import QUANTITY_PLACES
from ledger.second_opinion import In, Matches, Out, booked_again, differs
from ledger.trades import InvalidTrade, from_body

_STEPS = 10**QUANTITY_PLACES


async def first_that_differs(cursor: AsyncCursor[Any], user: str) -> tuple[int, str | None]:
    """Book one user's pools again by all four methods: how many disposals, and the first that is not the same."""
    counted, found = 0, None
    units = await _units(cursor, user)
    for method in Method:
        given = {"user": user, "method": method.value}
        came = [_came(units, *row) for row in await _rows(cursor, _CAME, given)]
        left = [_left(*row) for row in await _rows(cursor, _LEFT, given)]
        kept: dict[UUID, dict[UUID | None, tuple[Fraction, Fraction]]] = {}
        for disposal, lot, qty, cost in await _rows(cursor, _KEPT, given):
            kept.setdefault(disposal, {})[lot] = (Fraction(qty), Fraction(cost))
        again = booked_again(method, came, left)
        counted += len(left)
        found = found or _first(method, left, kept, again)
    return counted, found


def _first(method: Method, left: list[Out], kept: Matches, again: Matches) -> str | None:
    nothing: Mapping[UUID | None, tuple[Fraction, Fraction]] = {}
    for one in left:
        mine, other = kept.get(one.id, nothing), again.get(one.id, nothing)
        if differs(mine, other):
            used = " against ".join(map(_used, (mine, other)))
            return f"disposal {one.id} of {one.coin} by {method.value} used {used} by the second booking"
    return None


def _used(lots: Mapping[UUID | None, tuple[Fraction, Fraction]]) -> str:
    told = [f"{float(qty):g} of {lot or 'the pool'} for {float(cost):g}" for lot, (qty, cost) in lots.items()]
    return ", ".join(told) or "nothing"


def _came(units: Mapping[tuple[UUID, str], Fraction], *row: Any) -> In:
    coin, account, side, lot, born, number, at, seq, qty, cost = row
    unit = units[lot, coin]
    return In(coin, account, side, lot, _utc(born), number, _utc(at), seq, Fraction(qty), Fraction(cost), unit)


def _left(*row: Any) -> Out:
    id_, coin, account, side, at, seq, leg, qty = row
    return Out(id_, coin, account, side, _utc(at), seq, leg, Fraction(qty))


async def _units(cursor: AsyncCursor[Any], user: str) -> dict[tuple[UUID, str], Fraction]:
    """The unrounded unit cost of what each entry brought, by coin; what came without a cost is 0."""
    units: dict[tuple[UUID, str], Fraction] = {}
    for entry, coin, body in await _rows(cursor, _BROUGHT, {"user": user}):
        try:
            legs = [leg for leg in from_body(body).legs if leg.coin == coin and leg.act is Act.ACQUIRE]
        except (KeyError, InvalidTrade):  # the chain says that this entry is not what was posted
            legs = []
        units[entry, coin] = sum((Fraction(leg.paid) * _STEPS / leg.qty for leg in legs), Fraction(0))
    return units


def _utc(at: Any) -> Any:
    return at.astimezone(UTC)


async def _rows(cursor: AsyncCursor[Any], sql: LiteralString, given: Mapping[str, Any]) -> list[Any]:
    await cursor.execute(sql, given)
    return await cursor.fetchall()


_BROUGHT: LiteralString = """
SELECT DISTINCT ON (l.entry_id, l.coin) l.entry_id, l.coin, e.body
  FROM lots l JOIN entries e ON e.user_id = l.user_id AND e.id = l.entry_id
 WHERE l.user_id = %(user)s AND l.superseded IS NULL
"""

_CAME: LiteralString = """
SELECT l.coin, l.account, l.side, l.entry_id, l.acquired_at, e.seq, l.happened_at, l.seq, l.qty, l.cost
  FROM lots l JOIN entries e ON e.user_id = l.user_id AND e.id = l.entry_id
 WHERE l.user_id = %(user)s AND l.superseded IS NULL AND (l.method IS NULL OR l.method = %(method)s)
 ORDER BY l.id
"""

_LEFT: LiteralString = """
SELECT id, coin, account, side, happened_at, seq, leg, qty - missing_qty FROM disposals
 WHERE user_id = %(user)s AND superseded IS NULL AND method = %(method)s ORDER BY happened_at, seq, leg
"""

_KEPT: LiteralString = """
SELECT m.disposal_id, m.lot_entry, sum(m.qty), sum(m.cost)
  FROM matches m JOIN disposals d ON d.user_id = m.user_id AND d.id = m.disposal_id
 WHERE m.user_id = %(user)s AND d.superseded IS NULL AND d.method = %(method)s GROUP BY 1, 2
"""
