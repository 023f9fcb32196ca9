"""The statements that post entries: rows are copied into temporary tables, then each table takes what is new to it.

Run as one user, who is its only writer meanwhile (``ledger.tenancy``); the user's id comes from the session.
"""

from __future__ import annotations

from typing import LiteralString

PREPARE: LiteralString = """
CREATE TEMPORARY TABLE IF NOT EXISTS entry_stage (
    id uuid NOT NULL, source text NOT NULL, external_id text NOT NULL, occurrence int NOT NULL, body_hash text NOT NULL,
    kind text NOT NULL, happened_at timestamptz NOT NULL, reverses uuid, page_id uuid, position int NOT NULL,
    coins text[] NOT NULL, body jsonb NOT NULL
) ON COMMIT DELETE ROWS;
CREATE TEMPORARY TABLE IF NOT EXISTS transfer_stage (
    entry_id uuid NOT NULL, n smallint NOT NULL, debit bigint NOT NULL, credit bigint NOT NULL, asset text NOT NULL,
    amount numeric NOT NULL
) ON COMMIT DELETE ROWS;
DELETE FROM entry_stage;
DELETE FROM transfer_stage
"""

COPY_ENTRIES: LiteralString = "COPY entry_stage FROM STDIN"
COPY_TRANSFERS: LiteralString = "COPY transfer_stage FROM STDIN"

OPEN_ACCOUNTS: LiteralString = """
INSERT INTO accounts (user_id, name, asset, opened_at)
SELECT %(user)s, name, asset, %(now)s FROM unnest(%(names)s::text[], %(assets)s::text[]) AS w(name, asset)
 ORDER BY name, asset
RETURNING name, asset, id
"""

ACCOUNTS: LiteralString = """
SELECT a.name, a.asset, a.id
  FROM unnest(%(names)s::text[], %(assets)s::text[]) AS w(name, asset)
  JOIN accounts a ON a.user_id = %(user)s AND a.name = w.name COLLATE "C" AND a.asset = w.asset COLLATE "C"
"""

ADD_ENTRIES: LiteralString = """
INSERT INTO entries (user_id, id, source, external_id, occurrence, body_hash, kind, happened_at, recorded_at, reverses,
                     page_id, position, batch, coins, body)
SELECT %(user)s, id, source, external_id, occurrence, body_hash, kind, happened_at, %(now)s, reverses,
       page_id, position, %(batch)s, coins, body
  FROM entry_stage
RETURNING id, seq
"""

ADD_TRANSFERS: LiteralString = """
INSERT INTO transfers (user_id, entry_id, n, debit, credit, asset, amount)
SELECT %(user)s, * FROM transfer_stage
"""

MOVE_BALANCES: LiteralString = """
INSERT INTO balances (user_id, account_id, asset, amount)
SELECT %(user)s, account, asset, sum(amount)
  FROM (SELECT debit AS account, asset, amount FROM transfer_stage
         UNION ALL SELECT credit, asset, -amount FROM transfer_stage) m
 GROUP BY account, asset ORDER BY account
ON CONFLICT (user_id, account_id) DO UPDATE SET amount = balances.amount + excluded.amount
"""

LAST_BATCH: LiteralString = "SELECT n, hash FROM batches WHERE user_id = %(user)s ORDER BY n DESC LIMIT 1"

ADD_BATCH: LiteralString = """
INSERT INTO batches (user_id, n, entries, previous, leaves, hash, recorded_at)
VALUES (%(user)s, %(batch)s, %(entries)s, %(previous)s, %(leaves)s, %(hash)s, %(now)s)
"""

KNOWN: LiteralString = """
SELECT e.source, e.external_id, e.occurrence, e.id, e.body_hash, e.kind, e.body, e.coins, e.happened_at, e.seq,
       EXISTS (SELECT FROM entries r WHERE r.user_id = e.user_id AND r.reverses = e.id) AS reversed
  FROM unnest(%(sources)s::text[], %(ids)s::text[], %(occurrences)s::int[]) AS asked(source, external_id, occurrence)
  JOIN entries e ON e.user_id = %(user)s AND e.source = asked.source COLLATE "C"
   AND e.external_id = asked.external_id COLLATE "C" AND e.occurrence = asked.occurrence
"""

TRANSFERS_OF: LiteralString = """
SELECT t.entry_id, d.name, c.name, t.asset, t.amount
  FROM transfers t
  JOIN accounts d ON d.user_id = t.user_id AND d.asset = t.asset AND d.id = t.debit
  JOIN accounts c ON c.user_id = t.user_id AND c.asset = t.asset AND c.id = t.credit
 WHERE t.user_id = %(user)s AND t.entry_id = ANY(%(entries)s::uuid[])
 ORDER BY t.entry_id, t.n
"""

ADD_PRICES: LiteralString = """
INSERT INTO prices (coin, happened_at, source, price, recorded_at, page_id, position)
SELECT coin, happened_at, source, price, %(now)s, page_id, position
  FROM unnest(%(coins)s::text[], %(times)s::timestamptz[], %(sources)s::text[], %(prices)s::numeric[],
              %(pages)s::uuid[], %(positions)s::int[]) AS p(coin, happened_at, source, price, page_id, position)
 ORDER BY coin, happened_at, source
ON CONFLICT (coin, happened_at, source) DO NOTHING
RETURNING coin, happened_at, source
"""

PRICES_AT: LiteralString = """
SELECT p.coin, p.happened_at, p.source, p.price
  FROM unnest(%(coins)s::text[], %(times)s::timestamptz[], %(sources)s::text[]) AS asked(coin, happened_at, source)
  JOIN prices p ON p.coin = asked.coin COLLATE "C" AND p.happened_at = asked.happened_at
   AND p.source = asked.source COLLATE "C"
"""
