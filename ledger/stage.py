"""The statements that post: rows are copied into a temporary table, then each table takes what is new to it.

Locks are taken in one order by everybody, so that posts that overlap wait for one another but never in a circle: the
turn to tell stories, then new items by (provider, key), then known items that change by id; each in a statement of its
own that sorts first.  Each statement sees what others committed before it began, so the transaction must be READ
COMMITTED.
"""

from __future__ import annotations

from typing import LiteralString

# lead: the first of its key in the call.  variant: the first of its key and fingerprint; only it carries content.
PREPARE: LiteralString = """
CREATE TEMPORARY TABLE IF NOT EXISTS posting_stage (
    n int NOT NULL, lead bool NOT NULL, variant bool NOT NULL,
    provider text COLLATE "C" NOT NULL, key text COLLATE "C" NOT NULL, fingerprint text COLLATE "C" NOT NULL,
    seen_at timestamptz NOT NULL, page_id uuid NOT NULL,
    book text NOT NULL, kind text NOT NULL, happened_at timestamptz NOT NULL,
    title text, url text, coins text[], body jsonb, provisional bool NOT NULL, observed jsonb,
    story_id bigint, story_why jsonb
) ON COMMIT DELETE ROWS;
DELETE FROM posting_stage
"""
"""Made once for a connection, empty at each commit; cleared too, for the caller who posts twice in a transaction."""

COPY: LiteralString = "COPY posting_stage FROM STDIN"

ADD_NEW: LiteralString = """
WITH added AS (
    INSERT INTO items (provider, key, recorded_at, page_id, origin, fingerprint, seen_at, book, kind, happened_at,
                       observed, observed_at, story_id, story_why)
    SELECT provider, key, %(now)s, page_id, fingerprint, fingerprint, seen_at, book, kind, happened_at,
           observed, CASE WHEN observed IS NOT NULL THEN seen_at END, story_id, story_why
      FROM posting_stage WHERE lead ORDER BY provider, key
    ON CONFLICT (provider, key) DO NOTHING
    RETURNING id, provider, key
), fresh AS MATERIALIZED (
    SELECT a.id, s.* FROM added a JOIN posting_stage s USING (provider, key) WHERE s.lead
), told AS (
    INSERT INTO revisions (item_id, fingerprint, provider, book, kind, happened_at, title, url, coins, body,
                           provisional, page_id, seen_at, recorded_at)
    SELECT id, fingerprint, provider, book, kind, happened_at, title, url, coins, body,
           provisional, page_id, seen_at, %(now)s
      FROM fresh
), watched AS (
    INSERT INTO observations (item_id, observed_at, values, page_id, recorded_at)
    SELECT id, seen_at, observed, page_id, %(now)s FROM fresh WHERE observed IS NOT NULL
)
SELECT n FROM fresh
"""
"""Items not there yet, with their first revision and observation; answers their positions."""

LOCK_CHANGING: LiteralString = """
SELECT i.id FROM items i
 WHERE i.id IN (
    SELECT k.id FROM posting_stage s JOIN items k USING (provider, key)
     WHERE s.n = ANY(%(rest)s::int[]) AND (
           s.fingerprint <> k.fingerprint
        OR s.seen_at > k.seen_at
        OR (s.observed IS NOT NULL AND s.seen_at IS DISTINCT FROM k.observed_at
            AND (s.observed IS DISTINCT FROM k.observed OR s.seen_at < k.observed_at))
        OR (k.story_id IS NULL AND s.story_id IS NOT NULL)))
 ORDER BY i.id FOR NO KEY UPDATE
"""
"""The known items about which the call has something to say; a mere redelivery locks and writes nothing."""

ADD_REVISIONS: LiteralString = """
INSERT INTO revisions (item_id, fingerprint, provider, book, kind, happened_at, title, url, coins, body,
                       provisional, page_id, seen_at, recorded_at)
SELECT i.id, s.fingerprint, s.provider, s.book, s.kind, s.happened_at, s.title, s.url, s.coins, s.body,
       s.provisional, s.page_id, s.seen_at, %(now)s
  FROM posting_stage s JOIN items i USING (provider, key)
 WHERE s.variant AND s.n = ANY(%(rest)s::int[]) AND i.id = ANY(%(ids)s::bigint[])
ON CONFLICT (item_id, fingerprint) DO NOTHING
"""

ADD_OBSERVATIONS: LiteralString = """
WITH seen AS (
    SELECT DISTINCT ON (i.id, s.seen_at) i.id, s.seen_at, s.observed, s.page_id
      FROM posting_stage s JOIN items i USING (provider, key)
     WHERE s.n = ANY(%(rest)s::int[]) AND i.id = ANY(%(ids)s::bigint[]) AND s.observed IS NOT NULL
     ORDER BY i.id, s.seen_at, s.n
), before AS (
    SELECT *, lag(seen_at) OVER w AS last_at, lag(observed) OVER w AS last_observed
      FROM seen WINDOW w AS (PARTITION BY id ORDER BY seen_at)
)
INSERT INTO observations (item_id, observed_at, values, page_id, recorded_at)
SELECT b.id, b.seen_at, b.observed, b.page_id, %(now)s
  FROM before b LEFT JOIN LATERAL (
       SELECT o.observed_at, o.values FROM observations o
        WHERE o.item_id = b.id AND o.observed_at < b.seen_at ORDER BY o.observed_at DESC LIMIT 1) o ON true
 WHERE b.observed IS DISTINCT FROM
       CASE WHEN b.last_at IS NULL OR o.observed_at >= b.last_at THEN o.values ELSE b.last_observed END
ON CONFLICT (item_id, observed_at) DO NOTHING
"""

MOVE_HEADS: LiteralString = """
UPDATE items i
   SET fingerprint = s.fingerprint, seen_at = s.seen_at, book = r.book, kind = r.kind, happened_at = r.happened_at
  FROM (SELECT DISTINCT ON (provider, key) provider, key, seen_at, fingerprint
          FROM posting_stage ORDER BY provider, key, seen_at DESC, fingerprint DESC) s
  JOIN items k USING (provider, key)
  JOIN revisions r ON r.item_id = k.id AND r.fingerprint = s.fingerprint
 WHERE i.id = k.id AND k.id = ANY(%(ids)s::bigint[]) AND (s.seen_at, s.fingerprint) > (k.seen_at, k.fingerprint)
"""
"""The head is the latest (seen_at, fingerprint) of all sightings: a maximum, whatever the order of arrival."""

MOVE_OBSERVED: LiteralString = """
UPDATE items i SET observed = o.values, observed_at = o.observed_at
  FROM unnest(%(ids)s::bigint[]) AS t(id) CROSS JOIN LATERAL (
       SELECT o.values, o.observed_at FROM observations o
        WHERE o.item_id = t.id ORDER BY o.observed_at DESC LIMIT 1) o
 WHERE i.id = t.id AND i.observed_at IS DISTINCT FROM o.observed_at
"""

JOIN_STORIES: LiteralString = """
UPDATE items i SET story_id = s.story_id, story_why = s.story_why
  FROM (SELECT DISTINCT ON (provider, key) provider, key, story_id, story_why
          FROM posting_stage WHERE story_id IS NOT NULL ORDER BY provider, key, n) s
 WHERE i.provider = s.provider AND i.key = s.key AND i.id = ANY(%(ids)s::bigint[]) AND i.story_id IS NULL
"""

ADD_RETURNS: LiteralString = """
INSERT INTO returns (item_id, fingerprint, seen_at, recorded_at)
SELECT i.id, i.fingerprint, i.seen_at, %(now)s
  FROM items i CROSS JOIN LATERAL (
       SELECT fingerprint FROM (
           SELECT fingerprint, seen_at FROM revisions WHERE item_id = i.id
           UNION ALL
           SELECT fingerprint, seen_at FROM returns WHERE item_id = i.id) told
        ORDER BY seen_at DESC, fingerprint DESC LIMIT 1) t
 WHERE i.id = ANY(%(ids)s::bigint[]) AND t.fingerprint <> i.fingerprint
ON CONFLICT (item_id, fingerprint, seen_at) DO NOTHING
"""
"""Revisions alone would name another head: an earlier text came back, or another one arrived late."""

COUNT: LiteralString = """
SELECT s.n, i.page_id = s.page_id AND i.origin = s.fingerprint, r.page_id = s.page_id, o.page_id = s.page_id
  FROM posting_stage s
  JOIN items i USING (provider, key)
  JOIN revisions r ON r.item_id = i.id AND r.fingerprint = s.fingerprint
  LEFT JOIN observations o ON s.observed IS NOT NULL AND o.item_id = i.id AND o.observed_at = s.seen_at
 WHERE s.n = ANY(%(rest)s::int[])
"""
"""Of each row: did its own page bring the item, the revision, the observation?  The same on every redelivery."""

CHANGE: tuple[LiteralString, ...] = (
    ADD_REVISIONS,
    ADD_OBSERVATIONS,
    MOVE_HEADS,
    MOVE_OBSERVED,
    JOIN_STORIES,
    ADD_RETURNS,
)
"""What is done, in this order, to known items while they are locked."""
