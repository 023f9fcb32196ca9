"""Jobs, pages, streams, calls, providers: the rows behind the queues."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Take back."""
    for table in ("pages", "jobs", "streams", "calls", "providers"):
        op.drop_table(table)


_STATEMENTS = (
    """CREATE TABLE calls (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        provider TEXT NOT NULL,
        dataset TEXT NOT NULL,
        job_id UUID,
        at TIMESTAMP WITH TIME ZONE NOT NULL,
        status SMALLINT,
        outcome TEXT NOT NULL,
        cost INTEGER NOT NULL,
        seconds DOUBLE PRECISION NOT NULL,
        PRIMARY KEY (id)
    )""",
    "CREATE INDEX calls_provider ON calls (provider, at)",
    """CREATE TABLE providers (
        name TEXT NOT NULL,
        state TEXT NOT NULL,
        reason TEXT,
        until TIMESTAMP WITH TIME ZONE,
        remaining BIGINT,
        updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
        PRIMARY KEY (name),
        CONSTRAINT providers_state_known CHECK (state IN ('ok', 'disabled', 'paused', 'used_up'))
    )""",
    """CREATE TABLE streams (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        name TEXT NOT NULL,
        provider TEXT NOT NULL,
        dataset TEXT NOT NULL,
        params JSONB NOT NULL,
        interval_s INTEGER,
        cron TEXT,
        overlap_s INTEGER NOT NULL,
        priority SMALLINT DEFAULT '0' NOT NULL,
        watermark TIMESTAMP WITH TIME ZONE,
        enabled BOOLEAN DEFAULT 'true' NOT NULL,
        pause_reason TEXT,
        next_run_at TIMESTAMP WITH TIME ZONE,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        PRIMARY KEY (id),
        UNIQUE (name)
    )""",
    """CREATE TABLE jobs (
        id UUID NOT NULL,
        kind TEXT NOT NULL,
        queue TEXT NOT NULL,
        args JSONB NOT NULL,
        owner TEXT NOT NULL,
        idempotency_key TEXT,
        body_hash TEXT NOT NULL,
        priority SMALLINT DEFAULT '0' NOT NULL,
        stream_id BIGINT,
        state TEXT NOT NULL,
        reason TEXT,
        run_at TIMESTAMP WITH TIME ZONE NOT NULL,
        attempt SMALLINT DEFAULT '0' NOT NULL,
        fence BIGINT DEFAULT '0' NOT NULL,
        lease_until TIMESTAMP WITH TIME ZONE,
        worker TEXT,
        published_at TIMESTAMP WITH TIME ZONE,
        cursor TEXT,
        want INTEGER DEFAULT '1' NOT NULL,
        landed INTEGER DEFAULT '0' NOT NULL,
        posted INTEGER DEFAULT '0' NOT NULL,
        exhausted BOOLEAN DEFAULT 'false' NOT NULL,
        pages_total INTEGER,
        polled_at TIMESTAMP WITH TIME ZONE,
        newest TIMESTAMP WITH TIME ZONE,
        found INTEGER DEFAULT '0' NOT NULL,
        "new" INTEGER DEFAULT '0' NOT NULL,
        duplicate INTEGER DEFAULT '0' NOT NULL,
        amended INTEGER DEFAULT '0' NOT NULL,
        rejected INTEGER DEFAULT '0' NOT NULL,
        skipped INTEGER DEFAULT '0' NOT NULL,
        observed INTEGER DEFAULT '0' NOT NULL,
        calls INTEGER DEFAULT '0' NOT NULL,
        cost BIGINT DEFAULT '0' NOT NULL,
        last_error TEXT,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        started_at TIMESTAMP WITH TIME ZONE,
        finished_at TIMESTAMP WITH TIME ZONE,
        PRIMARY KEY (id),
        UNIQUE (owner, idempotency_key),
        CONSTRAINT jobs_state_known
            CHECK (state IN ('queued', 'running', 'waiting', 'succeeded', 'failed', 'cancelled')),
        FOREIGN KEY(stream_id) REFERENCES streams (id)
    )""",
    """CREATE INDEX jobs_dead ON jobs (finished_at DESC)
        WHERE state = 'failed'""",
    """CREATE INDEX jobs_due ON jobs (queue, priority DESC, run_at, id)
        WHERE state IN ('queued', 'running', 'waiting') AND landed < want""",
    "CREATE INDEX jobs_owner ON jobs (owner, id DESC)",
    """CREATE INDEX jobs_stream ON jobs (stream_id, id DESC)
        WHERE stream_id IS NOT NULL""",
    """CREATE TABLE pages (
        id UUID NOT NULL,
        job_id UUID NOT NULL,
        stream_id BIGINT,
        seq INTEGER NOT NULL,
        provider TEXT NOT NULL,
        dataset TEXT NOT NULL,
        request JSONB NOT NULL,
        cursor TEXT,
        body BYTEA NOT NULL,
        body_bytes INTEGER NOT NULL,
        fetched_at TIMESTAMP WITH TIME ZONE NOT NULL,
        answered_at TIMESTAMP WITH TIME ZONE NOT NULL,
        polled_at TIMESTAMP WITH TIME ZONE NOT NULL,
        cost INTEGER NOT NULL,
        state TEXT NOT NULL,
        reason TEXT,
        deliveries SMALLINT DEFAULT '0' NOT NULL,
        sends SMALLINT DEFAULT '0' NOT NULL,
        lease_until TIMESTAMP WITH TIME ZONE,
        published_at TIMESTAMP WITH TIME ZONE,
        found INTEGER DEFAULT '0' NOT NULL,
        "new" INTEGER DEFAULT '0' NOT NULL,
        duplicate INTEGER DEFAULT '0' NOT NULL,
        amended INTEGER DEFAULT '0' NOT NULL,
        rejected INTEGER DEFAULT '0' NOT NULL,
        skipped INTEGER DEFAULT '0' NOT NULL,
        observed INTEGER DEFAULT '0' NOT NULL,
        rejects JSONB DEFAULT '[]' NOT NULL,
        warnings TEXT[] DEFAULT '{}' NOT NULL,
        complete DOUBLE PRECISION,
        newest TIMESTAMP WITH TIME ZONE,
        posted_at TIMESTAMP WITH TIME ZONE,
        PRIMARY KEY (id),
        CONSTRAINT pages_state_known CHECK (state IN ('landed', 'posted', 'malformed', 'dead', 'spare')),
        FOREIGN KEY(job_id) REFERENCES jobs (id)
    )""",
    """CREATE INDEX pages_due ON pages (published_at)
        WHERE state = 'landed'""",
    "CREATE INDEX pages_job ON pages (job_id)",
    """CREATE UNIQUE INDEX pages_seq ON pages (job_id, seq)
        WHERE state <> ALL (ARRAY['malformed', 'spare'])""",
    """CREATE INDEX pages_stream ON pages (stream_id, fetched_at)
        WHERE stream_id IS NOT NULL""",
)
