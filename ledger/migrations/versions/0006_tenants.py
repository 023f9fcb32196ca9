"""Whose jobs a client sees, what everybody may read, answers kept for repeated requests, flows by address."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

CHAINED = ("pages", "calls")
COLLECTED = ("items", "revisions", "returns", "observations", "stories")
"""What was collected: the same for every user."""


def upgrade() -> None:
    """Apply.  No table is rewritten; row-level security is not forced, so workers and dispatcher go on as before."""
    for statement in _STATEMENTS:
        op.execute(statement)
    for table, seen in (("jobs", _OWN), ("idempotency", _OWN), *((name, _OF_OWN_JOB) for name in CHAINED)):
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY own ON {table} TO sluice_app USING {seen} WITH CHECK {seen}")
    for grant in _GRANTS:
        op.execute(f"GRANT {grant} TO sluice_app")


def downgrade() -> None:
    """Take back."""
    op.execute("DROP INDEX revisions_addresses_idx")
    op.execute("DROP INDEX jobs_live")
    op.execute("DROP VIEW page_origins")
    op.drop_table("idempotency")
    op.execute(f"REVOKE ALL ON {', '.join(('jobs', 'streams', *CHAINED, *COLLECTED))} FROM sluice_app")
    for table in ("jobs", *CHAINED):
        op.execute(f"DROP POLICY own ON {table}")
        op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")


_OWN = "(owner = current_setting('sluice.user_id', true))"
# The jobs of this question are those that the asker may see: the policy of jobs holds in here as well.
_OF_OWN_JOB = "(EXISTS (SELECT FROM jobs WHERE jobs.id = job_id))"

_CHANGED_BY_CANCEL_AND_RETRY = "state, reason, finished_at, exhausted, attempt, run_at, published_at, lease_until"

_GRANTS = (
    "SELECT, INSERT ON jobs",
    f"UPDATE ({_CHANGED_BY_CANCEL_AND_RETRY}) ON jobs",
    # Not the body: what a provider answered is told as items.
    """SELECT (id, job_id, stream_id, seq, provider, dataset, request, cursor, body_bytes, fetched_at, answered_at,
        polled_at, cost, state, reason, deliveries, sends, lease_until, published_at, found, new, duplicate, amended,
        rejected, skipped, observed, rejects, warnings, complete, newest, posted_at) ON pages""",
    "UPDATE (state, reason, deliveries, sends, lease_until, published_at) ON pages",
    "SELECT ON calls",
    "SELECT (id, name) ON streams",
    "SELECT, INSERT, DELETE ON idempotency",
    f"SELECT ON {', '.join(COLLECTED)}, page_origins",
)

_STATEMENTS = (
    # The answer stays as it was written, JSON rather than JSONB: a replay is the same to the byte.
    """CREATE TABLE idempotency (
        owner TEXT COLLATE "C" NOT NULL,
        key TEXT COLLATE "C" NOT NULL,
        route TEXT NOT NULL,
        body_hash TEXT NOT NULL,
        status SMALLINT NOT NULL,
        answer JSON NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        PRIMARY KEY (owner, key)
    )""",
    "CREATE INDEX idempotency_created_at ON idempotency (created_at)",
    "CREATE INDEX jobs_live ON jobs (owner) WHERE state IN ('queued', 'running', 'waiting')",
    # Where collected items came from, for everybody, also pages that somebody else's job has fetched; what users
    # gave themselves is not among them.  The view reads with its owner's rights.
    """CREATE VIEW page_origins AS
        SELECT id, provider, dataset, request, fetched_at FROM pages WHERE provider <> 'user'""",
    """CREATE INDEX revisions_addresses_idx ON revisions USING gin ((ARRAY[body ->> 'token_address',
        body ->> 'token_bought_address', body ->> 'token_sold_address', body ->> 'trader_address']))
        WHERE book = 'glass'""",
)
