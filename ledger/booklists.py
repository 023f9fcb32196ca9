"""One user's rows as lists, newest first, paged by the place of the last row that was given (keyset).

Amounts and quantities are text in plain digits, times are UTC.  ``since <= happened_at < until``; ``when`` leaves out
what happened, or was recorded, later.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Generic, LiteralString, NamedTuple, TypeVar
from uuid import UUID

from psycopg.rows import dict_row
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.bookview import BEGINNING, FOREVER, When, seen_by
from ledger.lots import AVERAGE_LOT, Method
from ledger.model import storable
from ledger.numbers import plain
from ledger.report import time_told
from ledger.tenancy import acting_for, driver_cursor

PlaceT = TypeVar("PlaceT")


class Place(NamedTuple):
    """Where a posted row stands."""

    happened_at: datetime
    seq: int


class DisposalPlace(NamedTuple):
    """Where a disposal stands."""

    happened_at: datetime
    seq: int
    leg: str
    id: UUID


class PricePlace(NamedTuple):
    """Where a price stands."""

    happened_at: datetime
    coin: str
    source: str


class Listed(NamedTuple, Generic[PlaceT]):
    """One row and its place: ask for what comes after it."""

    place: PlaceT
    body: dict[str, Any]


async def trades(
    conn: AsyncConnection,
    user: str,
    *,
    when: When | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    coin: str | None = None,
    kind: str | None = None,
    tag: str | None = None,
    account: str | None = None,
    after: Place | None = None,
    limit: int = 50,
) -> list[Listed[Place]]:
    """List every posted row, reversals and what they undid as well; ``coin`` may be base, quote or fee.

    Each: ``id``, ``seq``, ``trade_id``, ``source``, ``kind``, ``happened_at``, ``recorded_at``, ``account``,
    ``to_account``, ``base``, ``qty``, ``quote``, ``price``, ``rate``, ``fee_qty``, ``fee_coin``, ``fee_value``,
    ``tag``, ``reversed_by``, ``reverses``, ``page_id``, ``position``.
    """
    last = after or Place(FOREVER, 0)
    wanted = {"coin": _name(coin), "kind": kind, "tag": _name(tag), "account": _name(account)}
    place = {"at": last.happened_at, "seq": last.seq, "limit": limit}
    given = _given(user, when, since, until) | wanted | place
    async with acting_for(conn, given["user"]):
        rows = await _read(conn, _TRADES, given)
    return [Listed(Place(row["happened_at"].astimezone(UTC), row["seq"]), _body(row)) for row in rows]


async def realized(
    conn: AsyncConnection,
    user: str,
    method: Method,
    *,
    when: When | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    coin: str | None = None,
    tag: str | None = None,
    after: DisposalPlace | None = None,
    limit: int = 50,
) -> list[Listed[DisposalPlace]]:
    """List disposals with their gains and the lots that each used; lots that only moved are not among them.

    Each: ``id``, ``trade_id``, ``leg``, ``side``, ``coin``, ``account``, ``happened_at``, ``qty``, ``proceeds``,
    ``cost``, ``gain``, ``missing_qty``, ``tag``, ``lots`` of ``lot``, ``qty``, ``cost``.
    """
    last = after or DisposalPlace(FOREVER, 0, "", UUID(int=0))
    wanted = {"method": method.value, "coin": _name(coin), "tag": _name(tag), "limit": limit}
    last_place = {"at": last.happened_at, "seq": last.seq, "leg": last.leg, "id": last.id}
    given = _given(user, when, since, until) | wanted | last_place
    async with acting_for(conn, given["user"]):
        rows = await _read(conn, seen_by(when or When(), _REALIZED), given)
    told: list[Listed[DisposalPlace]] = []
    for row in rows:
        place = DisposalPlace(row["happened_at"].astimezone(UTC), row.pop("seq"), row["leg"], row["id"])
        used = zip(*(row.pop(name) or () for name in ("lots", "qtys", "costs")), strict=True)
        lots = [{"lot": lot or AVERAGE_LOT, "qty": plain(qty), "cost": plain(cost)} for lot, qty, cost in used]
        told.append(Listed(place, _body(row) | {"lots": lots}))
    return told


async def prices(
    conn: AsyncConnection,
    *,
    coin: str | None = None,
    when: When | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    after: PricePlace | None = None,
    limit: int = 50,
) -> list[Listed[PricePlace]]:
    """List what coins were worth in USDT, which is the same for everybody.

    Each: ``coin``, ``happened_at``, ``price``, ``source``, ``recorded_at``.
    """
    last = after or PricePlace(FOREVER, "", "")
    place = {"at": last.happened_at, "last_coin": _name(last.coin), "last_source": _name(last.source)}
    given = _given("", when, since, until) | place | {"coin": _name(coin), "limit": limit}
    rows = await _read(conn, _PRICES, given)
    return [
        Listed(PricePlace(row["happened_at"].astimezone(UTC), row["coin"], row["source"]), _body(row)) for row in rows
    ]


def _given(user: str, when: When | None, since: datetime | None, until: datetime | None) -> dict[str, Any]:
    when = when or When()
    moments = {"as_of": when.as_of, "known_at": when.known_at, "since": since or BEGINNING, "until": until or FOREVER}
    return {"user": storable(user), **moments}


def _name(told: str | None) -> str | None:
    return None if told is None else storable(told)


async def _read(conn: AsyncConnection, sql: LiteralString, given: Mapping[str, Any]) -> list[dict[str, Any]]:
    async with driver_cursor(conn) as cursor:
        cursor.row_factory = dict_row
        await cursor.execute(sql, given)
        return [dict(row) for row in await cursor.fetchall()]


def _body(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _told(value) for name, value in row.items()}


def _told(value: Any) -> Any:
    match value:
        case Decimal():
            return plain(value)
        case datetime():
            return time_told(value)
        case UUID():
            return str(value)
        case _:
            return value


_TRADES: LiteralString = """
SELECT e.id, e.seq, coalesce(e.body ->> 'trade_id', e.external_id) AS trade_id, e.source, e.kind, e.happened_at,
       e.recorded_at, e.body ->> 'account' AS account, e.body ->> 'to_account' AS to_account, e.body ->> 'base' AS base,
       e.body ->> 'qty' AS qty, e.body ->> 'quote' AS quote, e.body ->> 'price' AS price, e.body ->> 'rate' AS rate,
       e.body ->> 'fee_qty' AS fee_qty, e.body ->> 'fee_coin' AS fee_coin, e.body ->> 'fee_value' AS fee_value,
       e.body ->> 'tag' AS tag, r.id AS reversed_by, e.reverses, e.page_id, e.position
  FROM entries e
  LEFT JOIN entries r ON r.user_id = e.user_id AND r.reverses = e.id AND r.recorded_at <= %(known_at)s
 WHERE e.user_id = %(user)s AND e.kind <> 'gains' AND e.happened_at <= %(as_of)s AND e.recorded_at <= %(known_at)s
   AND e.happened_at >= %(since)s AND e.happened_at < %(until)s AND (e.happened_at, e.seq) < (%(at)s, %(seq)s)
   AND (%(coin)s::text IS NULL OR %(coin)s = ANY(e.coins)) AND (%(kind)s::text IS NULL OR e.kind = %(kind)s)
   AND (%(tag)s::text IS NULL OR e.body ->> 'tag' = %(tag)s)
   AND (%(account)s::text IS NULL OR %(account)s IN (e.body ->> 'account', e.body ->> 'to_account'))
 ORDER BY e.happened_at DESC, e.seq DESC LIMIT %(limit)s
"""

_REALIZED: LiteralString = """
SELECT x.id, e.body ->> 'trade_id' AS trade_id, x.leg, x.side, x.coin, nullif(x.account, '') AS account, x.happened_at,
       x.seq, x.qty, x.proceeds, x.cost, x.gain, x.missing_qty, x.tag, m.lots, m.qtys, m.costs
  FROM (
       SELECT x.* FROM disposals x
        WHERE x.method = %(method)s AND x.side <> 'carry' AND {visible}
          AND x.happened_at >= %(since)s AND x.happened_at < %(until)s
          AND (x.happened_at, x.seq, x.leg, x.id) < (%(at)s, %(seq)s, %(leg)s COLLATE "C", %(id)s)
          AND (%(coin)s::text IS NULL OR x.coin = %(coin)s) AND (%(tag)s::text IS NULL OR x.tag = %(tag)s)
        ORDER BY x.happened_at DESC, x.seq DESC, x.leg DESC, x.id DESC LIMIT %(limit)s) x
  JOIN entries e ON e.user_id = x.user_id AND e.id = x.entry_id
 CROSS JOIN LATERAL (
       SELECT array_agg(l.body ->> 'trade_id' ORDER BY t.n) AS lots, array_agg(t.qty ORDER BY t.n) AS qtys,
              array_agg(t.cost ORDER BY t.n) AS costs
         FROM matches t LEFT JOIN entries l ON l.user_id = t.user_id AND l.id = t.lot_entry
        WHERE t.user_id = x.user_id AND t.disposal_id = x.id) m
 ORDER BY x.happened_at DESC, x.seq DESC, x.leg DESC, x.id DESC
"""

_PRICES: LiteralString = """
SELECT p.coin, p.happened_at, p.price, p.source, p.recorded_at FROM prices p
 WHERE p.happened_at <= %(as_of)s AND p.recorded_at <= %(known_at)s
   AND p.happened_at >= %(since)s AND p.happened_at < %(until)s
   AND (p.happened_at, p.coin, p.source) < (%(at)s, %(last_coin)s COLLATE "C", %(last_source)s COLLATE "C")
   AND (%(coin)s::text IS NULL OR p.coin = %(coin)s)
 ORDER BY p.happened_at DESC, p.coin DESC, p.source DESC LIMIT %(limit)s
"""
