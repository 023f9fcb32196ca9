"""The rows that are the truth behind the queues: jobs, pages, streams, calls, providers."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB, UUID

metadata = sa.MetaData()

_TIME = sa.DateTime(timezone=True)


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False, server_default="0")


streams = sa.Table(
    "streams",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("dataset", sa.Text, nullable=False),
    sa.Column("params", JSONB, nullable=False),
    sa.Column("interval_s", sa.Integer),  # one of interval and cron
    sa.Column("cron", sa.Text),
    sa.Column("overlap_s", sa.Integer, nullable=False),
    sa.Column("priority", sa.SmallInteger, nullable=False, server_default="0"),
    sa.Column("watermark", _TIME),  # the newest happened_at of the last pull that came to its end
    sa.Column("enabled", sa.Boolean, nullable=False, server_default="true"),
    sa.Column("pause_reason", sa.Text),
    sa.Column("next_run_at", _TIME),
    sa.Column("created_at", _TIME, nullable=False),
)

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", UUID, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("queue", sa.Text, nullable=False),  # where its hints go: fetch.<provider>, dedup, probe
    sa.Column("args", JSONB, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("idempotency_key", sa.Text),
    sa.Column("body_hash", sa.Text, nullable=False),  # the same key with another body is refused
    sa.Column("priority", sa.SmallInteger, nullable=False, server_default="0"),
    sa.Column("stream_id", sa.BigInteger, sa.ForeignKey("streams.id")),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),  # why it waits, for a person
    sa.Column("run_at", _TIME, nullable=False),
    sa.Column("attempt", sa.SmallInteger, nullable=False, server_default="0"),
    sa.Column("fence", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("lease_until", _TIME),
    sa.Column("worker", sa.Text),
    sa.Column("published_at", _TIME),
    sa.Column("cursor", sa.Text),
    # Pages are asked for one after the other: a fetch is due while landed < want.
    sa.Column("want", sa.Integer, nullable=False, server_default="1"),
    _count("landed"),
    _count("posted"),
    sa.Column("exhausted", sa.Boolean, nullable=False, server_default="false"),
    sa.Column("pages_total", sa.Integer),  # where the provider tells
    sa.Column("polled_at", _TIME),
    sa.Column("newest", _TIME),
    _count("found"),
    _count("new"),
    _count("duplicate"),
    _count("amended"),
    _count("rejected"),
    _count("skipped"),
    _count("observed"),
    _count("calls"),
    sa.Column("cost", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("last_error", sa.Text),
    sa.Column("created_at", _TIME, nullable=False),
    sa.Column("started_at", _TIME),
    sa.Column("finished_at", _TIME),
    sa.UniqueConstraint("owner", "idempotency_key"),
    sa.CheckConstraint(
        "state IN ('queued', 'running', 'waiting', 'succeeded', 'failed', 'cancelled')", name="jobs_state_known"
    ),
)

# Claims take the most urgent due job of a queue; only rows that still want a worker are in this index.
sa.Index(
    "jobs_due",
    jobs.c.queue,
    jobs.c.priority.desc(),
    jobs.c.run_at,
    jobs.c.id,
    postgresql_where=sa.text("state IN ('queued', 'running', 'waiting') AND landed < want"),
)
sa.Index("jobs_owner", jobs.c.owner, jobs.c.id.desc())
sa.Index("jobs_stream", jobs.c.stream_id, jobs.c.id.desc(), postgresql_where=sa.text("stream_id IS NOT NULL"))
sa.Index("jobs_live", jobs.c.owner, postgresql_where=sa.text("state IN ('queued', 'running', 'waiting')"))
sa.Index("jobs_dead", jobs.c.finished_at.desc(), postgresql_where=sa.text("state = 'failed'"))

pages = sa.Table(
    "pages",
    metadata,
    sa.Column("id", UUID, primary_key=True),
    sa.Column("job_id", UUID, sa.ForeignKey("jobs.id"), nullable=False),
    sa.Column("stream_id", sa.BigInteger),
    sa.Column("seq", sa.Integer, nullable=False),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("dataset", sa.Text, nullable=False),
    sa.Column("request", JSONB, nullable=False),
    sa.Column("cursor", sa.Text),
    sa.Column("body", BYTEA, nullable=False),  # zstandard, redacted, otherwise as it came
    sa.Column("body_bytes", sa.Integer, nullable=False),
    sa.Column("fetched_at", _TIME, nullable=False),  # our clock, when we asked
    sa.Column("answered_at", _TIME, nullable=False),  # the provider's clock, where it told
    sa.Column("polled_at", _TIME, nullable=False),  # answered_at of the job's first page
    sa.Column("cost", sa.Integer, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    # Starts of dedup since it last came to its end: a page that kills its worker is found out by this.
    sa.Column("deliveries", sa.SmallInteger, nullable=False, server_default="0"),
    sa.Column("sends", sa.SmallInteger, nullable=False, server_default="0"),  # times it was sent to post
    sa.Column("lease_until", _TIME),
    sa.Column("published_at", _TIME),
    _count("found"),
    _count("new"),
    _count("duplicate"),
    _count("amended"),
    _count("rejected"),
    _count("skipped"),
    _count("observed"),
    sa.Column("rejects", JSONB, nullable=False, server_default="[]"),  # [{"position": 3, "reason": "no id"}]
    sa.Column("warnings", ARRAY(sa.Text), nullable=False, server_default="{}"),
    sa.Column("complete", sa.Double),  # share of the expected fields that were there, 0 to 1
    sa.Column("newest", _TIME),
    sa.Column("posted_at", _TIME),
    sa.CheckConstraint("state IN ('landed', 'posted', 'malformed', 'dead', 'spare')", name="pages_state_known"),
)
# A malformed page keeps its place in history but not its number: it is asked for again.  A spare one never had any.
sa.Index(
    "pages_seq",
    pages.c.job_id,
    pages.c.seq,
    unique=True,
    postgresql_where=sa.text("state <> ALL (ARRAY['malformed', 'spare'])"),
)
sa.Index("pages_job", pages.c.job_id)
sa.Index("pages_due", pages.c.published_at, postgresql_where=sa.text("state = 'landed'"))
sa.Index("pages_stream", pages.c.stream_id, pages.c.fetched_at, postgresql_where=sa.text("stream_id IS NOT NULL"))

calls = sa.Table(
    "calls",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("dataset", sa.Text, nullable=False),
    sa.Column("job_id", UUID),
    sa.Column("at", _TIME, nullable=False),
    sa.Column("status", sa.SmallInteger),  # none: nothing came back
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("cost", sa.Integer, nullable=False),
    sa.Column("seconds", sa.Double, nullable=False),
)
sa.Index("calls_provider", calls.c.provider, calls.c.at)

providers = sa.Table(
    "providers",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("state", sa.Text, nullable=False),  # ok, disabled (a person must help), paused (an operator), used_up
    sa.Column("reason", sa.Text),
    sa.Column("until", _TIME),
    sa.Column("remaining", sa.BigInteger),  # credits or calls left, as the provider said
    sa.Column("updated_at", _TIME, nullable=False),
    sa.CheckConstraint("state IN ('ok', 'disabled', 'paused', 'used_up')", name="providers_state_known"),
)

# Queues that an operator keeps closed: workers take nothing from them, messages wait in the broker.
queue_pauses = sa.Table(
    "queue_pauses",
    metadata,
    sa.Column("queue", sa.Text(collation="C"), primary_key=True),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("since", _TIME, nullable=False),
)

# What was answered to a request with an Idempotency-Key: the same request gets the same answer for a day.
idempotency = sa.Table(
    "idempotency",
    metadata,
    sa.Column("owner", sa.Text(collation="C"), primary_key=True),
    sa.Column("key", sa.Text(collation="C"), primary_key=True),
    sa.Column("route", sa.Text, nullable=False),
    sa.Column("body_hash", sa.Text, nullable=False),
    sa.Column("status", sa.SmallInteger, nullable=False),
    sa.Column("answer", sa.JSON, nullable=False),
    sa.Column("created_at", _TIME, nullable=False),
)
sa.Index("idempotency_created_at", idempotency.c.created_at)
