"""What one user's trades came to by one method: in all, by algorithm, by coin, by period.  Summed by the database.

Every answer has the same figures, as text in plain digits; what is not defined is None.

total_pnl       realized + income - expense + unrealized; None where that is unknown
win_rate        percent of the sales that gained; a sale that gained nothing is a loss
profit_factor   what winning sales gained over what losing ones lost
max_drawdown    the deepest fall of the sum of realized gains below an earlier height of it, or below 0; USDT, <= 0
sharpe_ratio    mean over sample deviation of what each day realized, from the first day to the last, times the root of
                365; a float, None for fewer than two days
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, LiteralString

from psycopg.rows import dict_row
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.bookview import BEGINNING, FOREVER, When, seen_by
from ledger.figures import Step, period_end, period_start
from ledger.lots import Method
from ledger.model import storable
from ledger.numbers import EXACT, money, plain, ratio_text
from ledger.performance import DAYS_A_YEAR
from ledger.positions import Priced, positions, total
from ledger.report import time_told
from ledger.tenancy import acting_for, driver_cursor

PERIODS_MAX = 2500
_ZERO = Decimal(0)
_TINY = 1e-13
Figures = dict[str, Any]


class TooLong(ValueError):
    """So many periods are not told at once: ask for longer periods, or for less time."""


async def summary(
    conn: AsyncConnection,
    user: str,
    method: Method,
    *,
    when: When | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    coin: str | None = None,
    tag: str | None = None,
    prices: Priced,
) -> Figures:
    """Sum everything, or what a window, a coin or an algorithm did; the last two decide which trades count.

    What is not realized yet belongs to no algorithm and to no window: with ``tag``, ``since`` or ``until`` it is None.
    """
    asked = _asked(user, method, when, since, until) | {"coin": _name(coin), "tag": _name(tag)}
    told = (await _sums(conn, asked, when, _BY_NOTHING)).get("", _NOTHING)
    figures = _figures(told)
    if tag is None and since is None and until is None:
        held = await positions(conn, user, method, when=when, coin=coin, prices=prices)
        _add_unrealized(figures, told, total(held, "unrealized_pnl"))
    return figures


async def by_algorithm(
    conn: AsyncConnection,
    user: str,
    method: Method,
    *,
    when: When | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[Figures]:
    """Sum by ``algorithm`` (empty: none): a gain is its who sold, whoever had bought."""
    sums = await _sums(conn, _asked(user, method, when, since, until), when, _BY_TAG)
    return [{"algorithm": name} | _figures(told) for name, told in sorted(sums.items())]


async def by_coin(
    conn: AsyncConnection,
    user: str,
    method: Method,
    *,
    when: When | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    prices: Priced,
) -> list[Figures]:
    """Sum by ``coin``: trades by what was traded; gains by the coin that was given, which may have been the price."""
    sums = await _sums(conn, _asked(user, method, when, since, until), when, _BY_COIN)
    held: dict[str, list[Mapping[str, Any]]] = {}
    if since is None and until is None:
        for one in await positions(conn, user, method, when=when, prices=prices):
            held.setdefault(one["coin"], []).append(one)
    told: list[Figures] = []
    for coin in sorted(sums.keys() | held.keys()):
        figures = _figures(sums.get(coin, _NOTHING))
        if since is None and until is None:
            _add_unrealized(figures, sums.get(coin, _NOTHING), total(held.get(coin, ()), "unrealized_pnl"))
        told.append({"coin": coin} | figures)
    return told


async def history(
    conn: AsyncConnection,
    user: str,
    method: Method,
    step: Step,
    *,
    when: When | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    coin: str | None = None,
    tag: str | None = None,
) -> list[Figures]:
    """Sum by period [from, to), without a hole from the first to the last that has any; raise TooLong beyond 2,500.

    ``realized_total`` is what had been realized from ``since`` to the end of the period.
    """
    asked = _asked(user, method, when, since, until) | {"coin": _name(coin), "tag": _name(tag), "step": step.value}
    sums = await _sums(conn, asked, when, _BY_PERIOD)
    by_start = {period_start(datetime.fromisoformat(start), step): told for start, told in sums.items()}
    if not by_start:
        return []
    rows: list[Figures] = []
    start, last, summed = min(by_start), max(by_start), _ZERO
    while start <= last:
        if len(rows) == PERIODS_MAX:
            raise TooLong(f"more than {PERIODS_MAX} times a {step.value} lie between {min(by_start)} and {last}")
        end, told = period_end(start, step), by_start.get(start, _NOTHING)
        summed = EXACT.add(summed, told["realized"])
        place = {"from": time_told(start), "to": time_told(end), "realized_total": plain(summed)}
        rows.append(place | _figures(told))
        start = end
    return rows


def _asked(
    user: str, method: Method, when: When | None, since: datetime | None, until: datetime | None
) -> dict[str, Any]:
    when = when or When()
    whose = {"user": storable(user), "method": method.value, "as_of": when.as_of, "known_at": when.known_at}
    return whose | {"since": since or BEGINNING, "until": until or FOREVER, "coin": None, "tag": None, "step": "day"}


def _name(told: str | None) -> str | None:
    return None if told is None else storable(told)


async def _sums(
    conn: AsyncConnection, asked: Mapping[str, Any], when: When | None, group: LiteralString
) -> dict[str, dict[str, Any]]:
    sql = seen_by(when or When(), _SUMS.replace("{group}", group))
    async with acting_for(conn, asked["user"]), driver_cursor(conn) as cursor:
        cursor.row_factory = dict_row
        await cursor.execute(sql, asked)
        return {row["place"]: row for row in await cursor.fetchall()}


def _figures(told: Mapping[str, Any]) -> Figures:
    wins, losses, sales = told["wins"], told["losses"], told["wins"] + told["losses"]
    profit, loss = told["profit"], told["loss"]
    return {
        "total_pnl": None,
        "realized_pnl": plain(told["realized"]),
        "unrealized_pnl": None,
        "income": plain(told["income"]),
        "expense": plain(told["expense"]),
        "total_trades": told["trades"],
        "winning_trades": wins,
        "losing_trades": losses,
        "win_rate": ratio_text(wins * 100, sales) if sales else None,
        "profit_factor": ratio_text(money(profit), -money(loss)) if loss else None,
        "average_win": _mean(profit, wins),
        "average_loss": _mean(loss, losses),
        "largest_win": _or_none(told["largest_win"]),
        "largest_loss": _or_none(told["largest_loss"]),
        "max_drawdown": plain(told["fall"]),
        "sharpe_ratio": _sharpe(told),
        "total_volume": plain(told["volume"]),
        "total_fees": plain(told["fees"]),
        "missing_trades": told["missing"],
    }


def _add_unrealized(figures: Figures, told: Mapping[str, Any], unrealized: str | None) -> None:
    figures["unrealized_pnl"] = unrealized
    if unrealized is not None:
        net = EXACT.subtract(EXACT.add(told["realized"], told["income"]), told["expense"])
        figures["total_pnl"] = plain(EXACT.add(net, Decimal(unrealized)))


def _mean(summed: Decimal, count: int) -> str | None:
    return ratio_text(money(summed), count * 10**18) if count else None


def _or_none(value: Decimal | None) -> str | None:
    return None if value is None else plain(value)


def _sharpe(told: Mapping[str, Any]) -> float | None:
    """Work out mean over deviation from the number of days, their sum and their sum of squares, all exact."""
    if told["first"] is None or (days := (told["last"] - told["first"]).days + 1) < 2:
        return None
    summed, squares = told["realized"], told["squares"]
    spread = EXACT.subtract(squares * days, EXACT.multiply(summed, summed))  # days x (days - 1) x variance
    deviation = math.sqrt(float(spread) / days / (days - 1)) if spread > 0 else 0.0
    return float(summed) / days / deviation * math.sqrt(DAYS_A_YEAR) if deviation > _TINY else None


_NOTHING: Mapping[str, Any] = {
    **dict.fromkeys(("trades", "wins", "losses", "missing"), 0),
    **dict.fromkeys(("realized", "income", "expense", "volume", "fees", "profit", "loss", "fall", "squares"), _ZERO),
    **dict.fromkeys(("largest_win", "largest_loss", "first", "last")),
}
_BY_NOTHING: LiteralString = "''"
_BY_TAG: LiteralString = "tag"
_BY_COIN: LiteralString = "coin"
_BY_PERIOD: LiteralString = (
    """to_char(date_trunc(%(step)s, happened_at AT TIME ZONE 'UTC'), 'YYYY-MM-DD"T"HH24:00:00"+00:00"')"""
)

# A trade is one row here for each coin that it concerns: its own, with volume and fees, and each other whose lots it
# used.  What it did in its own coin decides whether a sale won.
_SUMS: LiteralString = """
WITH told AS (
    SELECT e.id, e.happened_at, e.seq, e.kind, e.body ->> 'tag' AS tag, e.body ->> 'base' AS coin,
           e.body ->> 'quote' AS quote, e.body ->> 'fee_coin' AS fee_coin,
           (e.body ->> 'qty')::numeric * (e.body ->> 'price')::numeric * (e.body ->> 'rate')::numeric AS value,
           (e.body ->> 'fee_qty')::numeric AS fee_qty, (e.body ->> 'price')::numeric AS price,
           (e.body ->> 'rate')::numeric AS rate, nullif(e.body ->> 'fee_value', '')::numeric AS fee_value
      FROM entries e
     WHERE e.user_id = %(user)s AND e.kind IN ('buy', 'sell', 'income', 'spend', 'transfer')
       AND e.happened_at <= %(as_of)s AND e.recorded_at <= %(known_at)s
       AND e.happened_at >= %(since)s AND e.happened_at < %(until)s
       AND NOT EXISTS (SELECT FROM entries r
                        WHERE r.user_id = e.user_id AND r.reverses = e.id AND r.recorded_at <= %(known_at)s)
       AND (%(coin)s::text IS NULL OR %(coin)s = ANY(e.coins))
       AND (%(tag)s::text IS NULL OR e.body ->> 'tag' = %(tag)s)),
trade AS (
    SELECT id, happened_at, seq, kind, tag, coin, true AS own, round(value, 18) AS value,
           round(CASE WHEN fee_qty = 0 THEN 0 WHEN fee_coin = 'USDT' THEN fee_qty
                WHEN fee_coin = coin THEN fee_qty * price * rate WHEN fee_coin = quote THEN fee_qty * rate
                ELSE fee_value END, 18) AS fee
      FROM told),
gain AS (
    SELECT x.entry_id, x.coin, sum(x.gain) AS realized, sum(x.gain) FILTER (WHERE x.leg = 'base') AS base_gain,
           bool_or(x.missing_qty > 0) AS missing
      FROM disposals x
     WHERE x.method = %(method)s AND x.side <> 'carry' AND {visible}
       AND x.happened_at >= %(since)s AND x.happened_at < %(until)s
     GROUP BY x.entry_id, x.coin),
row AS (
    SELECT t.happened_at, t.seq, t.kind, t.tag, t.coin, t.own, t.value, t.fee, coalesce(g.realized, 0) AS realized,
           CASE WHEN t.kind IN ('buy', 'sell') THEN g.base_gain END AS base_gain, coalesce(g.missing, false) AS missing
      FROM trade t LEFT JOIN gain g ON g.entry_id = t.id AND g.coin = t.coin
     WHERE %(coin)s::text IS NULL OR t.coin = %(coin)s
     UNION ALL
    SELECT t.happened_at, t.seq, t.kind, t.tag, g.coin, false, 0, 0, g.realized, NULL, g.missing
      FROM trade t JOIN gain g ON g.entry_id = t.id AND g.coin <> t.coin
     WHERE %(coin)s::text IS NULL OR g.coin = %(coin)s),
placed AS (SELECT {group} AS place, date_trunc('day', happened_at AT TIME ZONE 'UTC')::date AS day, r.* FROM row r),
days AS (
    SELECT place, day, sum(realized) AS realized FROM placed GROUP BY place, day),
spread AS (
    SELECT place, min(day) AS first, max(day) AS last, sum(realized * realized) AS squares FROM days GROUP BY place),
high AS (
    SELECT p.*, sum(realized) OVER w AS height FROM placed p
    WINDOW w AS (PARTITION BY place ORDER BY happened_at, seq, own DESC, coin ROWS UNBOUNDED PRECEDING)),
low AS (
    SELECT h.*, height - greatest(0, max(height) OVER w) AS fall FROM high h
    WINDOW w AS (PARTITION BY place ORDER BY happened_at, seq, own DESC, coin ROWS UNBOUNDED PRECEDING))
SELECT place, s.first, s.last, s.squares, count(*) FILTER (WHERE own) AS trades, sum(realized) AS realized,
       coalesce(sum(value) FILTER (WHERE own AND kind IN ('buy', 'sell')), 0) AS volume, sum(fee) AS fees,
       coalesce(sum(value) FILTER (WHERE own AND kind = 'income'), 0) AS income,
       coalesce(sum(value) FILTER (WHERE own AND kind = 'spend'), 0)
       + coalesce(sum(fee) FILTER (
           WHERE own AND (kind = 'transfer' OR (kind IN ('income', 'spend') AND coin = 'USDT'))), 0) AS expense,
       count(*) FILTER (WHERE base_gain > 0) AS wins, count(*) FILTER (WHERE base_gain <= 0) AS losses,
       coalesce(sum(base_gain) FILTER (WHERE base_gain > 0), 0) AS profit,
       coalesce(sum(base_gain) FILTER (WHERE base_gain <= 0), 0) AS loss,
       max(base_gain) FILTER (WHERE base_gain > 0) AS largest_win,
       min(base_gain) FILTER (WHERE base_gain <= 0) AS largest_loss, min(fall) AS fall,
       count(*) FILTER (WHERE missing) AS missing
  FROM low JOIN spread s USING (place)
 GROUP BY place, s.first, s.last, s.squares
"""
