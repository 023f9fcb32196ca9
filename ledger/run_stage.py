"""The statements that keep what was booked; rows are staged, as in ``ledger.posting_stage``, and for the same user."""

from __future__ import annotations

from typing import LiteralString

BOOKABLE: LiteralString = "('buy', 'sell', 'income', 'spend', 'transfer')"

POLICY: LiteralString = """
SELECT pool_by, allow_short, oversell FROM policies WHERE user_id = %(user)s ORDER BY recorded_at DESC LIMIT 1
"""

ADD_POLICY: LiteralString = """
INSERT INTO policies (user_id, recorded_at, pool_by, allow_short, oversell)
VALUES (%(user)s, %(now)s, %(pool_by)s, %(allow_short)s, %(oversell)s)
"""

LAST_RUN: LiteralString = "SELECT max(id) FROM book_runs WHERE user_id = %(user)s"

ADD_RUN: LiteralString = """
INSERT INTO book_runs (user_id, recorded_at, cause, rows) VALUES (%(user)s, %(now)s, %(cause)s, %(rows)s) RETURNING id
"""

CHECKPOINT: LiteralString = """
SELECT happened_at, seq, rows, state FROM checkpoints
 WHERE user_id = %(user)s AND (happened_at, seq) < (%(at)s, %(seq)s)
 ORDER BY happened_at DESC, seq DESC LIMIT 1
"""

CHECKPOINTS_FROM: LiteralString = """
SELECT happened_at, seq, rows, state FROM checkpoints
 WHERE user_id = %(user)s AND (happened_at, seq) >= (%(at)s, %(seq)s)
 ORDER BY happened_at, seq
"""

DROP_CHECKPOINTS: LiteralString = """
DELETE FROM checkpoints WHERE user_id = %(user)s AND (happened_at, seq) >= (%(at)s, %(seq)s)
"""

ADD_CHECKPOINT: LiteralString = """
INSERT INTO checkpoints (user_id, happened_at, seq, rows, state)
VALUES (%(user)s, %(at)s, %(seq)s, %(rows)s, %(state)s)
"""

ROWS_AFTER: LiteralString = """
SELECT e.id, e.seq, e.body FROM entries e
 WHERE e.user_id = %(user)s AND (e.happened_at, e.seq) > (%(at)s, %(seq)s)
   AND e.kind IN ('buy', 'sell', 'income', 'spend', 'transfer')
   AND NOT EXISTS (SELECT FROM entries r WHERE r.user_id = e.user_id AND r.reverses = e.id)
 ORDER BY e.happened_at, e.seq
"""

# Coins are named as booking reads or writes them: a row that names none of these touches none of their pools.
ROWS_OF_AFTER: LiteralString = """
SELECT e.id, e.seq, e.body FROM entries e
 WHERE e.user_id = %(user)s AND (e.happened_at, e.seq) > (%(at)s, %(seq)s) AND e.coins && %(coins)s::text[]
   AND e.kind IN ('buy', 'sell', 'income', 'spend', 'transfer')
   AND NOT EXISTS (SELECT FROM entries r WHERE r.user_id = e.user_id AND r.reverses = e.id)
 ORDER BY e.happened_at, e.seq
"""

LOTS_AFTER: LiteralString = """
SELECT id, method, coin, account, entry_id, booked_by, side, qty, cost FROM lots
 WHERE user_id = %(user)s AND superseded IS NULL AND (happened_at, seq) > (%(at)s, %(seq)s)
   AND (%(coins)s::text[] IS NULL OR coin = ANY(%(coins)s))
"""

DISPOSALS_AFTER: LiteralString = """
SELECT d.id, d.method, d.coin, d.account, d.entry_id, d.leg, d.side, d.qty, d.proceeds, d.cost, d.missing_qty,
       d.happened_at, d.seq, m.lots, m.qtys, m.costs
  FROM disposals d
 CROSS JOIN LATERAL (
       SELECT array_agg(lot_entry ORDER BY n) AS lots, array_agg(qty ORDER BY n) AS qtys,
              array_agg(cost ORDER BY n) AS costs
         FROM matches x WHERE x.user_id = d.user_id AND x.disposal_id = d.id) m
 WHERE d.user_id = %(user)s AND d.superseded IS NULL AND (d.happened_at, d.seq) > (%(at)s, %(seq)s)
   AND (%(coins)s::text[] IS NULL OR d.coin = ANY(%(coins)s))
"""

SUPERSEDE_LOTS: LiteralString = """
UPDATE lots SET superseded = %(run)s WHERE user_id = %(user)s AND id = ANY(%(lots)s::bigint[])
"""

SUPERSEDE_DISPOSALS: LiteralString = """
UPDATE disposals SET superseded = %(run)s WHERE user_id = %(user)s AND id = ANY(%(disposals)s::uuid[])
"""

PREPARE: LiteralString = """
CREATE TEMPORARY TABLE IF NOT EXISTS lot_stage (
    method text, coin text NOT NULL, account text NOT NULL, entry_id uuid NOT NULL, booked_by uuid NOT NULL,
    side text NOT NULL, acquired_at timestamptz NOT NULL, happened_at timestamptz NOT NULL, seq bigint NOT NULL,
    qty numeric(78, 36) NOT NULL, cost numeric(60, 18) NOT NULL
) ON COMMIT DELETE ROWS;
CREATE TEMPORARY TABLE IF NOT EXISTS disposal_stage (
    id uuid NOT NULL, method text NOT NULL, coin text NOT NULL, account text NOT NULL, entry_id uuid NOT NULL,
    leg text NOT NULL, side text NOT NULL, happened_at timestamptz NOT NULL, seq bigint NOT NULL,
    qty numeric(78, 36) NOT NULL, proceeds numeric(60, 18) NOT NULL, cost numeric(60, 18) NOT NULL,
    missing_qty numeric(78, 36) NOT NULL, tag text NOT NULL
) ON COMMIT DELETE ROWS;
CREATE TEMPORARY TABLE IF NOT EXISTS match_stage (
    disposal_id uuid NOT NULL, n int NOT NULL, lot_entry uuid, qty numeric(78, 36) NOT NULL,
    cost numeric(60, 18) NOT NULL
) ON COMMIT DELETE ROWS;
DELETE FROM lot_stage;
DELETE FROM disposal_stage;
DELETE FROM match_stage
"""

COPY_LOTS: LiteralString = "COPY lot_stage FROM STDIN"
COPY_DISPOSALS: LiteralString = "COPY disposal_stage FROM STDIN"
COPY_MATCHES: LiteralString = "COPY match_stage FROM STDIN"

ADD_LOTS: LiteralString = """
INSERT INTO lots (user_id, method, coin, account, entry_id, booked_by, side, acquired_at, happened_at, seq, qty, cost,
                  run)
SELECT %(user)s, s.*, %(run)s FROM lot_stage s ORDER BY happened_at, seq
"""

ADD_DISPOSALS: LiteralString = """
INSERT INTO disposals (user_id, id, method, coin, account, entry_id, leg, side, happened_at, seq, qty, proceeds, cost,
                       missing_qty, tag, run)
SELECT %(user)s, s.*, %(run)s FROM disposal_stage s ORDER BY happened_at, seq
"""

ADD_MATCHES: LiteralString = """
INSERT INTO matches (user_id, disposal_id, n, lot_entry, qty, cost) SELECT %(user)s, s.* FROM match_stage s
"""

ADD_ADJUSTMENTS: LiteralString = """
INSERT INTO adjustments (user_id, run, method, coin, account, entry_id, leg, side, happened_at, recorded_at, before,
                         after)
SELECT %(user)s, %(run)s, method, coin, account, entry_id, leg, side, happened_at, %(now)s, before, after
  FROM unnest(%(methods)s::text[], %(coins)s::text[], %(accounts)s::text[], %(entries)s::uuid[], %(legs)s::text[],
              %(sides)s::text[], %(times)s::timestamptz[], %(befores)s::numeric[], %(afters)s::numeric[])
       AS a(method, coin, account, entry_id, leg, side, happened_at, before, after)
"""
