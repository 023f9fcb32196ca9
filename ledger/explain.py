"""Where a gain comes from: its lots, fees and prices, and the kept page or file row that each was read from."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Context
from typing import Any

import orjson
import zstandard
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.lots import Method
from ledger.numbers import RATIO_PLACES, plain
from ledger.tenancy import acting_for

_UNIT = Context(prec=RATIO_PLACES, rounding=ROUND_HALF_EVEN)


class NoDisposal(LookupError):
    """There is no such disposal in this user's books; the text says what was looked for."""


async def explain(conn: AsyncConnection, user: str, trade_id: str, method: Method) -> list[dict[str, Any]]:
    """Explain what one trade disposed of, one object for each leg; raise NoDisposal where it disposed of nothing.

    ``trade_id`` is the source's id, or the id of an entry or of a disposal.  Part of the caller's transaction.
    """
    given = {"user": user, "id": trade_id, "method": method.value}
    async with acting_for(conn, user):
        disposals = [dict(row._mapping) for row in await conn.execute(_DISPOSALS, given)]
        ids = [one["id"] for one in disposals]
        used = [dict(row._mapping) for row in await conn.execute(_MATCHES, {"user": user, "ids": ids})]
    if not disposals:
        raise NoDisposal(f"{user} has no disposal {trade_id!r} by {method.value}")
    rows = [*disposals, *used]
    origins = await _origins(conn, {row["page_id"] for row in rows if row["page_id"] is not None})
    told = []
    for one in disposals:
        mine = [row for row in used if row["disposal_id"] == one["id"]]
        told.append(_disposal(one, origins) | {"lots": [_lot(row, origins) for row in mine]})
    return told


def _disposal(row: Mapping[str, Any], origins: Mapping[Any, _Origin]) -> dict[str, Any]:
    body = row["body"]
    return {
        "id": str(row["id"]),
        "trade_id": body["trade_id"],
        "leg": row["leg"],
        "side": row["side"],
        "at": body["happened_at"],
        "coin": row["coin"],
        **{name: plain(row[name]) for name in ("qty", "proceeds", "cost", "gain", "missing_qty")},
        "formula": f"{body['kind']} {body['qty']} {body['base']} at {body['price']} {body['quote']}"
        f" (worth {body['rate']} USDT){_fee(body)}",
        "trade": body,
        "came_from": _came_from(row, origins),
    }


def _lot(row: Mapping[str, Any], origins: Mapping[Any, _Origin]) -> dict[str, Any]:
    body = row["body"] or {}
    return {
        "lot": body.get("trade_id", "pool"),
        "acquired": body.get("happened_at"),
        "qty": plain(row["qty"]),
        "cost": plain(row["cost"]),
        "unit_cost": plain(_UNIT.divide(row["cost"], row["qty"])) if row["qty"] else None,
        "price": body.get("price"),
        "fee": _fee(body).removeprefix(", ") if body else "",
        "trade": row["body"],
        "came_from": _came_from(row, origins) if body else "the moving average of all lots before",
    }


def _fee(body: Mapping[str, str]) -> str:
    if body.get("fee_qty", "0") == "0":
        return ""
    value = f" (worth {body['fee_value']} USDT)" if body["fee_value"] else ""
    return f", fee {body['fee_qty']} {body['fee_coin']}{value}"


_Origin = tuple[Mapping[str, Any], list[Any]]


async def _origins(conn: AsyncConnection, pages: set[Any]) -> dict[Any, _Origin]:
    """Read the kept pages: what each was said to be, and its rows."""
    if not pages:
        return {}
    found = await conn.execute(text("SELECT id, request, body FROM pages WHERE id = ANY(:ids)"), {"ids": list(pages)})
    return {row.id: (row.request, orjson.loads(zstandard.decompress(row.body))) for row in found}


def _came_from(row: Mapping[str, Any], origins: Mapping[Any, _Origin]) -> str:
    if (origin := origins.get(row["page_id"])) is None:
        return f"entry {row['entry_id']}"
    request, rows = origin
    place = f"row {row['position'] + 1} of page {row['page_id']}"
    given = rows[row["position"]] if row["position"] < len(rows) else {}
    line = given.get("line") if isinstance(given, dict) else None
    return f"row {line} of {request['file']} ({place})" if line is not None and "file" in request else place


_DISPOSALS = text(
    """SELECT d.*, e.body, e.page_id, e.position
    FROM disposals d JOIN entries e ON e.user_id = d.user_id AND e.id = d.entry_id
    WHERE d.user_id = :user AND d.method = :method AND d.superseded IS NULL AND d.side <> 'carry'
        AND (e.body ->> 'trade_id' = :id OR CAST(d.id AS text) = :id OR CAST(e.id AS text) = :id)
    ORDER BY d.happened_at, d.seq, d.leg"""
)

_MATCHES = text(
    """SELECT m.disposal_id, m.qty, m.cost, m.lot_entry AS entry_id, e.body, e.page_id, e.position
    FROM matches m LEFT JOIN entries e ON e.user_id = m.user_id AND e.id = m.lot_entry
    WHERE m.user_id = :user AND m.disposal_id = ANY(:ids) ORDER BY m.disposal_id, m.n"""
)
