"""Prove one user's books: every figure is worked out again another way, and the first row that differs is named.

chain      each entry against its hash, each batch against the one before it
balances   each account's balance against the sum of its transfers
lots       FIFO booked a second time by one set-based query, match by match
methods    every method booked a second time by other means, with carried lots and shorts, match by match
matches    each disposal against the lots that it used
gains      each method's realised account against its disposals
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC
from typing import Any, LiteralString
from uuid import UUID

from psycopg import AsyncCursor
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.entries import GENESIS, LEAF_BYTES, Key, body_text, chained, leaf, leaf_head
from ledger.numbers import plain
from ledger.proof_methods import first_that_differs
from ledger.tenancy import acting_for, auditing, driver_cursor

CHECKS = ("chain", "balances", "lots", "matches", "gains", "methods")


@dataclass(frozen=True, slots=True)
class Finding:
    """One check of one user's books: what it went over, and the first row that does not agree, in words."""

    user: str
    check: str
    rows: int
    diverges: str | None = None


async def users(conn: AsyncConnection) -> list[str]:
    """Name everybody who has books."""
    async with auditing(conn), driver_cursor(conn) as cursor:
        await cursor.execute("SELECT DISTINCT user_id FROM entries ORDER BY 1")
        return [user for (user,) in await cursor.fetchall()]


async def verify(conn: AsyncConnection, user: str) -> list[Finding]:
    """Run every check over one user's books, as that user's session sees them."""
    async with acting_for(conn, user), driver_cursor(conn) as cursor:
        # Temporary results have no statistics, and the planner would think them small enough to loop over.
        await cursor.execute("SET LOCAL enable_nestloop = off; SET LOCAL statement_timeout = '30min'")
        findings = [await _chain(cursor, user)]
        for check, sql in _QUERIES.items():
            await cursor.execute(sql, {"user": user})
            counted = 0
            for rows, diverges in await cursor.fetchall():
                counted, first = rows, diverges
            findings.append(Finding(user, check, counted, first if counted else None))
        findings.append(Finding(user, "methods", *await first_that_differs(cursor, user)))
    return findings


async def _chain(cursor: AsyncCursor[Any], user: str) -> Finding:
    await cursor.execute("SELECT n, entries, previous, leaves, hash FROM batches WHERE user_id = %s ORDER BY n", [user])
    batches = {n: rest for n, *rest in await cursor.fetchall()}
    told = {n: _cut(leaves) for n, (_, _, leaves, _) in batches.items()}
    again: dict[int, int] = {}
    rows = 0
    async for batch, entry, key, hashed in _leaves(cursor, user):
        rows += 1
        place = again[batch] = again.get(batch, 0) + 1
        if batch not in told:
            return Finding(user, "chain", rows, f"batch {batch} is missing")
        if place > len(told[batch]) or told[batch][place - 1] != hashed:
            return Finding(user, "chain", rows, f"entry {entry} ({key}) is not what was posted")
    before = GENESIS
    for expected, (n, (count, previous, _, hash_)) in enumerate(batches.items(), 1):
        if n != expected:
            return Finding(user, "chain", rows, f"batch {expected} is missing")
        if again.get(n, 0) != count:
            return Finding(user, "chain", rows, f"batch {n} has {again.get(n, 0)} entries and was posted with {count}")
        if previous != before or hash_ != chained(previous, told[n]):
            return Finding(user, "chain", rows, f"batch {n} does not follow from the one before it")
        before = hash_
    return Finding(user, "chain", rows)


def _cut(leaves: bytes) -> list[bytes]:
    return [leaves[at : at + LEAF_BYTES] for at in range(0, len(leaves), LEAF_BYTES)]


async def _leaves(cursor: AsyncCursor[Any], user: str) -> AsyncIterator[tuple[int, UUID, Key, bytes]]:
    """Work out the hash of each entry again, by batch and in the order in which they were posted."""
    await cursor.execute(_ENTRIES, {"user": user})
    while rows := await cursor.fetchmany(1000):
        for batch, id_, *key, kind, happened, recorded, reverses, body, debits, credits_, assets, amounts in rows:
            times = (happened.astimezone(UTC).isoformat(), recorded.astimezone(UTC).isoformat())
            head = leaf_head(id_, user, Key(*key), kind, times)
            told = map(plain, amounts or ())
            moved = list(zip(debits or (), credits_ or (), assets or (), told, strict=True))
            yield batch, id_, Key(*key), leaf(head, reverses, body_text(body), moved)


_ENTRIES: LiteralString = """
SELECT e.batch, e.id, e.source, e.external_id, e.occurrence, e.kind, e.happened_at, e.recorded_at, e.reverses,
       e.body, t.debits, t.credits, t.assets, t.amounts
  FROM entries e
  LEFT JOIN (
       SELECT t.entry_id, array_agg(d.name ORDER BY t.n) AS debits, array_agg(c.name ORDER BY t.n) AS credits,
              array_agg(t.asset ORDER BY t.n) AS assets, array_agg(t.amount ORDER BY t.n) AS amounts
         FROM transfers t
         JOIN accounts d ON d.user_id = t.user_id AND d.id = t.debit
         JOIN accounts c ON c.user_id = t.user_id AND c.id = t.credit
        WHERE t.user_id = %(user)s GROUP BY t.entry_id) t ON t.entry_id = e.id
 WHERE e.user_id = %(user)s
 ORDER BY e.batch, e.seq
"""

_BALANCES: LiteralString = """
WITH sums AS (
    SELECT account, sum(amount) AS amount FROM (
        SELECT debit AS account, amount FROM transfers WHERE user_id = %(user)s
         UNION ALL SELECT credit, -amount FROM transfers WHERE user_id = %(user)s) moved GROUP BY account)
SELECT count(*), min(CASE WHEN coalesce(b.amount, 0) <> coalesce(s.amount, 0) THEN
       format('account %%s (%%s) holds %%s and its transfers sum to %%s', a.name, a.asset,
              trim_scale(coalesce(b.amount, 0)), trim_scale(coalesce(s.amount, 0))) END COLLATE "C")
  FROM accounts a
  LEFT JOIN balances b ON b.user_id = a.user_id AND b.account_id = a.id
  LEFT JOIN sums s ON s.account = a.id
 WHERE a.user_id = %(user)s
"""

# Every pool is a line from 0 to all that was ever bought: lots lie on it end to end in order of their time, and so do
# the disposals; under FIFO a disposal uses the lots that lie beside it.  The ends of both cut the line into pieces, and
# a piece belongs to the next lot and the next disposal that end at or after it.  Pools into which lots were carried
# from other accounts are left out: there, order of arrival is not order of time.
_LOTS: LiteralString = """
WITH carried AS (
    SELECT DISTINCT coin, account FROM lots
     WHERE user_id = %(user)s AND superseded IS NULL AND booked_by <> entry_id),
lot AS (
    SELECT coin, account, entry_id, qty, cost, row_number() OVER w AS n, sum(qty) OVER w AS stop
      FROM lots l
     WHERE user_id = %(user)s AND superseded IS NULL AND side = 'long' AND (method IS NULL OR method = 'FIFO')
       AND NOT EXISTS (SELECT FROM carried c WHERE c.coin = l.coin AND c.account = l.account)
    WINDOW w AS (PARTITION BY coin, account ORDER BY happened_at, seq)),
sale AS (
    SELECT id, entry_id, coin, account, happened_at, seq, leg,
           row_number() OVER w AS n, sum(qty - missing_qty) OVER w AS stop
      FROM disposals d
     WHERE user_id = %(user)s AND superseded IS NULL AND method = 'FIFO' AND side IN ('sell', 'carry')
       AND NOT EXISTS (SELECT FROM carried c WHERE c.coin = d.coin AND c.account = d.account)
    WINDOW w AS (PARTITION BY coin, account ORDER BY happened_at, seq, leg)),
ends AS (
    SELECT coin, account, stop, n AS lot, NULL::bigint AS sale, 0 AS k FROM lot
     UNION ALL SELECT coin, account, stop, NULL, n, 1 FROM sale),
piece AS (
    SELECT coin, account, stop, coalesce(lag(stop) OVER up, 0) AS start, min(lot) OVER down AS lot,
           min(sale) OVER down AS sale
      FROM ends
    WINDOW up AS (PARTITION BY coin, account ORDER BY stop, k, lot, sale),
           down AS (PARTITION BY coin, account ORDER BY stop DESC, k DESC, lot DESC NULLS FIRST, sale DESC NULLS FIRST
                    ROWS UNBOUNDED PRECEDING)),
again AS (
    SELECT s.id, l.entry_id AS lot, p.stop - p.start AS qty,
           round(l.cost * (l.stop - p.start) / l.qty, 18) - round(l.cost * (l.stop - p.stop) / l.qty, 18) AS cost
      FROM piece p
      JOIN lot l ON l.coin = p.coin AND l.account = p.account AND l.n = p.lot
      JOIN sale s ON s.coin = p.coin AND s.account = p.account AND s.n = p.sale
     WHERE p.stop > p.start),
kept AS (
    SELECT m.disposal_id AS id, m.lot_entry AS lot, sum(m.qty) AS qty, sum(m.cost) AS cost
      FROM matches m JOIN sale s ON s.id = m.disposal_id WHERE m.user_id = %(user)s GROUP BY 1, 2),
both_ways AS (
    SELECT id, lot, k.qty AS qty, k.cost AS cost, a.qty AS again_qty, a.cost AS again_cost
      FROM kept k FULL JOIN again a USING (id, lot)),
judged AS (
    SELECT b.*, s.happened_at, s.seq, s.leg, s.coin,
           qty IS DISTINCT FROM again_qty OR abs(coalesce(cost, 0) - coalesce(again_cost, 0)) > 1e-17 AS wrong
      FROM both_ways b JOIN sale s USING (id))
SELECT count(*), (array_agg(
       format('disposal %%s of %%s: %%s of lot %%s for %%s, and by the other way %%s for %%s', id, coin,
              coalesce(trim_scale(qty)::text, 'nothing'), lot, coalesce(trim_scale(cost)::text, '-'),
              coalesce(trim_scale(again_qty)::text, 'nothing'), coalesce(trim_scale(again_cost)::text, '-'))
       ORDER BY happened_at, seq, leg) FILTER (WHERE wrong))[1]
  FROM judged
"""

_MATCHES: LiteralString = """
WITH used AS (
    SELECT disposal_id, sum(qty) AS qty, sum(cost) AS cost FROM matches WHERE user_id = %(user)s GROUP BY disposal_id)
SELECT count(*), (array_agg(
       format('disposal %%s of %%s %%s cost %%s, and its lots %%s of %%s', d.id, trim_scale(d.qty), d.coin,
              trim_scale(d.cost), trim_scale(coalesce(m.cost, 0)), trim_scale(coalesce(m.qty, 0)))
       ORDER BY d.happened_at, d.seq) FILTER (
       WHERE d.qty <> coalesce(m.qty, 0) + d.missing_qty
          OR CASE d.side WHEN 'cover' THEN d.proceeds ELSE d.cost END <> coalesce(m.cost, 0)))[1]
  FROM disposals d LEFT JOIN used m ON m.disposal_id = d.id
 WHERE d.user_id = %(user)s AND d.superseded IS NULL
"""

_GAINS: LiteralString = """
SELECT count(*), min(CASE WHEN gain <> posted THEN
       format('%%s realised %%s and its account says %%s', method, trim_scale(gain), trim_scale(posted)) END
       COLLATE "C")
  FROM (
    SELECT m.method,
           coalesce((SELECT sum(d.gain) FROM disposals d WHERE d.user_id = %(user)s AND d.superseded IS NULL
                        AND d.side <> 'carry' AND d.method = m.method), 0) AS gain,
           coalesce((SELECT -b.amount
                       FROM balances b JOIN accounts a ON a.user_id = b.user_id AND a.id = b.account_id
                      WHERE a.user_id = %(user)s AND a.name = 'realised:' || m.method AND a.asset = 'USDT'), 0)
           AS posted
      FROM (VALUES ('FIFO'), ('LIFO'), ('HIFO'), ('AVERAGE')) m(method)) both_ways
"""

_QUERIES: dict[str, LiteralString] = {"balances": _BALANCES, "lots": _LOTS, "matches": _MATCHES, "gains": _GAINS}
