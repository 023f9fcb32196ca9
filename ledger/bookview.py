"""What the tables say about one user's books by one method: as of a moment of the world, as known at a moment of ours.

``as_of`` leaves out what happened later, ``known_at`` what was recorded later: with both, *what did we believe on
Monday about Friday* is one reading.  Nothing is booked here: lots, disposals and matches are read as runs wrote them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, LiteralString, NamedTuple

from psycopg import AsyncCursor
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger import run_stage
from ledger.beside import beside
from ledger.booking import Booking, Disposal, Oversell, Side
from ledger.figures import State, states, statistics
from ledger.legs import Act
from ledger.lots import AVERAGE_LOT, Lot, Match, Method, Order
from ledger.marks import Mark
from ledger.moves import PoolBy, PoolKey
from ledger.numbers import money, quantity
from ledger.report import (
    disposals_told,
    open_lots_told,
    open_shorts_told,
    pool_told,
    sums_told,
    users_told,
)
from ledger.runs import Policy
from ledger.tenancy import acting_for, driver_cursor
from ledger.trades import Trade, from_body

BEGINNING = datetime(1, 1, 1, tzinfo=UTC)
FOREVER = datetime(9999, 1, 1, tzinfo=UTC)
Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class When:
    """Two moments: the world's and ours."""

    as_of: datetime = FOREVER
    known_at: datetime = FOREVER


class Acquired(NamedTuple):
    """A lot as it came (short: what it brought): quantity and cost in steps, whatever is left of it."""

    trade_id: str
    pool: PoolKey
    side: str
    order: Order
    qty: int
    cost: int


@dataclass(frozen=True, slots=True)
class View:
    """One user's books by one method; ids are those of the sources, and ``lots`` all that there ever were."""

    policy: Policy
    booking: Booking
    disposals: Sequence[Disposal]
    trades: Sequence[Trade]
    lots: Sequence[Acquired]

    @property
    def states(self) -> list[State]:
        """Where each pool stands."""
        return states(self.booking)


async def view(conn: AsyncConnection, user: str, method: Method, when: When | None = None) -> View:
    """Read a user's books; part of the caller's transaction."""
    when = when or When()
    given = {"user": user, "method": method.value, "as_of": when.as_of, "known_at": when.known_at}
    async with acting_for(conn, user), driver_cursor(conn) as cursor:
        policy = await _policy(cursor, user)
        queries = (_TRADES, seen_by(when, _DISPOSALS), seen_by(when, _OPEN))
        rows = [await _rows(cursor, query, given) for query in queries]
    return await beside(sum(map(len, rows)), _put_together, user, policy, method, rows)


def _put_together(user: str, policy: Policy, method: Method, rows: Sequence[Sequence[Row]]) -> View:
    (posted, sold, put), booking = rows, Booking(policy.rules(method))
    trades = [from_body(body, seq=seq) for seq, body in posted]
    disposals, carried = _disposals(sold, user, policy)
    lots = _put_lots(put, user, booking)
    _add_up(booking, trades, disposals, carried)
    return View(policy, booking, disposals, trades, lots)


async def marks(conn: AsyncConnection, when: When | None = None) -> dict[str, Mark]:
    """Read the newest known price of each coin; of equal times that of the first source by name."""
    when = when or When()
    async with driver_cursor(conn) as cursor:
        await cursor.execute(_MARKS, {"as_of": when.as_of, "known_at": when.known_at})
        return {coin: Mark(price, at.astimezone(UTC)) for coin, price, at in await cursor.fetchall()}


def told(seen: View, prices: Mapping[str, Mark]) -> dict[str, Any]:
    """Tell a view in the form of the golden cases."""
    booking = seen.booking
    pools = sorted(booking.pools.values(), key=lambda pool: (pool.key.user, pool.key.account or "", pool.key.coin))
    document: dict[str, Any] = {
        "pools": [pool_told(pool, prices) for pool in pools],
        "users": users_told(booking, prices),
    }
    if booking.rules.method is not Method.AVERAGE:
        document["open_lots"] = open_lots_told(booking)
    if seen.policy.allow_short:
        document["open_shorts"] = open_shorts_told(booking, seen.policy.pool_by)
    document["disposals"] = disposals_told(seen.disposals)
    sums = statistics(seen.trades, seen.disposals)
    document["statistics"] = {user: sums_told(one) for user, one in sorted(sums.items())}
    return document


async def _policy(cursor: AsyncCursor[Any], user: str) -> Policy:
    await cursor.execute(run_stage.POLICY, {"user": user})
    row = await cursor.fetchone()
    return Policy(PoolBy(row[0]), row[1], Oversell(row[2])) if row else Policy()


async def _rows(cursor: AsyncCursor[Any], query: LiteralString, given: Mapping[str, Any]) -> list[Row]:
    await cursor.execute(query, given)
    return await cursor.fetchall()


def _disposals(rows: Sequence[Row], user: str, policy: Policy) -> tuple[list[Disposal], list[tuple[PoolKey, int, int]]]:
    """Give disposals, and what moved to other accounts of the user: pool, missing quantity, cost."""
    disposals: list[Disposal] = []
    carried: list[tuple[PoolKey, int, int]] = []
    for (
        trade,
        coin,
        account,
        leg,
        side,
        at,
        seq,
        qty,
        proceeds,
        cost,
        missing,
        tag,
        *matched,
    ) in rows:
        pool = _key(user, account, coin, policy)
        if side == "carry":
            carried.append((pool, quantity(missing), money(cost)))
            continue
        lots, qtys, costs = (part or [] for part in matched)
        used = tuple(
            Match(lot or AVERAGE_LOT, quantity(part), money(paid))
            for lot, part, paid in zip(lots, qtys, costs, strict=True)
        )
        numbers = (quantity(qty), money(proceeds), money(cost), quantity(missing))
        disposals.append(Disposal(pool, trade, leg, Side(side), at.astimezone(UTC), seq, *numbers, used, tag))
    return disposals, carried


def _put_lots(rows: Sequence[Row], user: str, booking: Booking) -> list[Acquired]:
    """Put what is left of each lot into its pool, and list all lots."""
    lots: list[Acquired] = []
    policy = Policy(booking.rules.pool_by, booking.rules.allow_short)
    for coin, account, side, trade, acquired, seq, qty, cost, left, rest in rows:
        pool = booking.pool(_key(user, account, coin, policy))
        whole, stays = quantity(qty), quantity(left)
        order = (acquired.astimezone(UTC), seq)
        lots.append(Acquired(trade or AVERAGE_LOT, pool.key, side, order, whole, money(cost)))
        if left > 0:
            lot = Lot(trade or AVERAGE_LOT, order, whole, money(cost), stays, money(rest), Decimal(0), whole)
            (pool.lots if side == "long" else pool.shorts).add(lot)
    return lots


def _add_up(
    booking: Booking,
    trades: Sequence[Trade],
    disposals: Sequence[Disposal],
    carried: Sequence[tuple[PoolKey, int, int]],
) -> None:
    rules = booking.rules
    for one in disposals:
        pool = booking.pool(one.pool)
        pool.proceeds += one.proceeds
        pool.cost_of_sold += one.cost
        pool.missing_qty += one.missing
    for key, missing, cost in carried:
        pool = booking.pool(key)
        pool.missing_qty += missing
        pool.carried_out += cost
    for trade in trades:
        for leg in trade.legs:
            account = trade.account if rules.pool_by is PoolBy.USER_ACCOUNT_COIN else None
            if leg.act is Act.CARRY and account is None:
                continue
            pool = booking.pool(PoolKey(trade.user, account, leg.coin))
            pool.income += leg.income
            pool.expense += leg.expense
            if leg.act is Act.ACQUIRE:
                pool.acquired += leg.amount


def _key(user: str, account: str, coin: str, policy: Policy) -> PoolKey:
    return PoolKey(user, account if policy.pool_by is PoolBy.USER_ACCOUNT_COIN else None, coin)


_TRADES: LiteralString = """
SELECT e.seq, e.body FROM entries e
 WHERE e.user_id = %(user)s AND e.happened_at <= %(as_of)s AND e.recorded_at <= %(known_at)s
   AND e.kind IN ('buy', 'sell', 'income', 'spend', 'transfer')
   AND NOT EXISTS (
       SELECT FROM entries r WHERE r.user_id = e.user_id AND r.reverses = e.id AND r.recorded_at <= %(known_at)s)
 ORDER BY e.happened_at, e.seq
"""

# A row counts from the run that wrote it until the run that replaced it.
VISIBLE: LiteralString = """
   x.user_id = %(user)s AND x.happened_at <= %(as_of)s
   AND EXISTS (SELECT FROM book_runs w WHERE w.user_id = x.user_id AND w.id = x.run AND w.recorded_at <= %(known_at)s)
   AND NOT EXISTS (
       SELECT FROM book_runs s WHERE s.user_id = x.user_id AND s.id = x.superseded AND s.recorded_at <= %(known_at)s)
"""
TODAY: LiteralString = "x.user_id = %(user)s AND x.happened_at <= %(as_of)s AND x.superseded IS NULL"
"""The same where nothing is left out for having been recorded later: an index leads straight there."""


def seen_by(when: When, sql: LiteralString) -> LiteralString:
    """Complete a statement that reads lots or disposals as ``x``, at its ``{visible}``."""
    return sql.replace("{visible}", TODAY if when.known_at == FOREVER else VISIBLE)


_DISPOSALS: LiteralString = """
SELECT e.body ->> 'trade_id', x.coin, x.account, x.leg, x.side, x.happened_at, x.seq, x.qty, x.proceeds, x.cost,
       x.missing_qty, x.tag, m.lots, m.qtys, m.costs
  FROM disposals x
  JOIN entries e ON e.user_id = x.user_id AND e.id = x.entry_id
 CROSS JOIN LATERAL (
       SELECT array_agg(l.body ->> 'trade_id' ORDER BY n) AS lots, array_agg(qty ORDER BY n) AS qtys,
              array_agg(cost ORDER BY n) AS costs
         FROM matches t LEFT JOIN entries l ON l.user_id = t.user_id AND l.id = t.lot_entry
        WHERE t.user_id = x.user_id AND t.disposal_id = x.id) m
 WHERE x.method = %(method)s AND {visible}
 ORDER BY x.happened_at, x.seq
"""

# An average has no lot, told as the id of nobody: by equality PostgreSQL can hash, by IS NOT DISTINCT FROM it compares
# each lot with each, which for a book of 20,000 trades takes seconds.
LEFT: LiteralString = """
WITH put AS (
    SELECT x.coin, x.account, x.side,
           CASE WHEN %(method)s <> 'AVERAGE' THEN x.entry_id ELSE '00000000-0000-0000-0000-000000000000' END AS lot,
           min(x.acquired_at) AS acquired_at, sum(x.qty) AS qty, sum(x.cost) AS cost
      FROM lots x WHERE (x.method IS NULL OR x.method = %(method)s) AND {visible} GROUP BY 1, 2, 3, 4),
taken AS (
    SELECT x.coin, x.account, CASE x.side WHEN 'cover' THEN 'short' ELSE 'long' END AS side,
           coalesce(t.lot_entry, '00000000-0000-0000-0000-000000000000') AS lot,
           sum(t.qty) AS qty, sum(t.cost) AS cost
      FROM disposals x JOIN matches t ON t.user_id = x.user_id AND t.disposal_id = x.id
     WHERE x.method = %(method)s AND {visible} GROUP BY 1, 2, 3, 4)
SELECT p.coin, p.account, p.side, e.body ->> 'trade_id' AS lot, p.acquired_at, coalesce(e.seq, 0) AS seq, p.qty, p.cost,
       p.qty - coalesce(t.qty, 0) AS qty_left, p.cost - coalesce(t.cost, 0) AS cost_left
  FROM put p
  LEFT JOIN taken t ON t.coin = p.coin AND t.account = p.account AND t.side = p.side AND t.lot = p.lot
  LEFT JOIN entries e ON e.user_id = %(user)s AND e.id = p.lot
"""
"""What is left of each lot, also where that is nothing."""
_OPEN: LiteralString = LEFT + " ORDER BY p.acquired_at, e.seq"

_MARKS: LiteralString = """
SELECT DISTINCT ON (coin) coin, price, happened_at FROM prices
 WHERE happened_at <= %(as_of)s AND recorded_at <= %(known_at)s ORDER BY coin, happened_at DESC, source
"""
