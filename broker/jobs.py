"""Jobs: what somebody asked for, as rows.

Every function takes an open connection inside the caller's transaction, and the time as an argument.  States:

    queued ──▶ running ──▶ succeeded
      ▲ ▲         │  ├───▶ failed (a dead letter: read, retry)
      │ └─────────┤  └───▶ cancelled
      └─ waiting ◀┘        (waiting has a reason that a person can read, and ``run_at``)

A worker claims a job and gets a lease with a fencing number (``fence``): a message delivered twice runs once, and a
worker that wakes late cannot commit.  A fetch is due while ``landed < want``; a job is done when its list is
``exhausted`` and every landed page is posted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from broker.jsonb import kept
from broker.providers import Standing

LIVE = ("queued", "running", "waiting")


class KeyReusedError(ValueError):
    """This idempotency key was used before, for another request."""

    def __init__(self, key: str, job: UUID) -> None:
        super().__init__(f"idempotency key {key!r} already belongs to job {job}, which asked for something else")
        self.job = job


@dataclass(frozen=True, slots=True)
class NewJob:
    """What somebody asks for; ``queue`` is where its hints go.

    ``id`` is for who may have to write it twice, because nobody heard whether the first commit came to pass.
    """

    kind: str
    queue: str
    args: Mapping[str, Any] = field(default_factory=dict)
    owner: str = "system"
    idempotency_key: str | None = None
    priority: int = 0
    stream_id: int | None = None
    run_at: datetime | None = None
    id: UUID | None = None

    @property
    def body_hash(self) -> str:
        """Equal for equal requests, so that a key used twice for two things is noticed."""
        return sha256(orjson.dumps([self.kind, self.args], option=orjson.OPT_SORT_KEYS)).hexdigest()


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer to asking: the job, and whether this call made it."""

    id: UUID
    state: str
    created: bool


@dataclass(frozen=True, slots=True)
class Claimed:
    """A job in a worker's hands until ``lease_until``; ``fence`` proves it."""

    id: UUID
    fence: int
    kind: str
    queue: str
    args: Mapping[str, Any]
    attempt: int
    seq: int
    cursor: str | None
    stream_id: int | None
    started_at: datetime
    polled_at: datetime | None


async def enqueue(conn: AsyncConnection, new: Sequence[NewJob], *, now: datetime, hinted: bool = True) -> list[Receipt]:
    """Write jobs, one receipt each in the same order; raise KeyReusedError for a key used for something else.

    The caller sends the hints after the commit; ``published_at`` says that it does, and the dispatcher repeats what got
    lost.  With ``hinted=False`` the dispatcher is to send them.
    """
    ids = [job.id or uuid7() for job in new]
    rows = [
        {
            "id": str(job_id),
            "kind": job.kind,
            "queue": job.queue,
            "args": dict(job.args),
            "owner": job.owner,
            "idempotency_key": job.idempotency_key,
            "body_hash": job.body_hash,
            "priority": job.priority,
            "stream_id": job.stream_id,
            "run_at": (job.run_at or now).isoformat(),
        }
        for job_id, job in zip(ids, new, strict=True)
    ]
    created = {
        row.id
        for row in await conn.execute(_INSERT, {"rows": orjson.dumps(rows).decode(), "now": now, "hinted": hinted})
    }
    return [
        Receipt(job_id, "queued", created=True) if job_id in created else await _already(conn, job_id, job)
        for job_id, job in zip(ids, new, strict=True)
    ]


async def _already(conn: AsyncConnection, job_id: UUID, job: NewJob) -> Receipt:
    found = await conn.execute(
        text("SELECT id, state, body_hash FROM jobs WHERE id = :id OR owner = :owner AND idempotency_key = :key"),
        {"id": job_id, "owner": job.owner, "key": job.idempotency_key},
    )
    row = found.one()
    if row.id == job_id:
        return Receipt(row.id, row.state, created=True)  # in an earlier try, of which no answer came
    if row.body_hash != job.body_hash:
        raise KeyReusedError(str(job.idempotency_key), row.id)
    return Receipt(row.id, row.state, created=False)


async def claim(
    conn: AsyncConnection, queue: str, count: int, *, worker: str, now: datetime, lease: timedelta
) -> list[Claimed]:
    """Take up to ``count`` of the queue's most urgent due jobs; nobody else can until the lease runs out."""
    rows = await conn.execute(
        _CLAIM, {"queue": queue, "count": count, "worker": worker, "now": now, "lease_until": now + lease}
    )
    return [Claimed(*row) for row in rows]


async def claim_to_call(
    conn: AsyncConnection, queue: str, count: int, *, provider: str, worker: str, now: datetime, lease: timedelta
) -> list[tuple[Claimed, Standing]]:
    """Take jobs as ``claim`` does, each with how its provider stands, in one trip."""
    given = {"queue": queue, "count": count, "worker": worker, "now": now, "lease_until": now + lease}
    rows = await conn.execute(_CLAIM_TO_CALL, given | {"provider": provider})
    return [(Claimed(*row[:-4]), Standing(provider, row[-4] or "ok", *row[-3:])) for row in rows]


async def renew(conn: AsyncConnection, held: Mapping[UUID, int], *, now: datetime, lease: timedelta) -> None:
    """Say that these jobs (id to fence) are still being worked on.

    One whose row is locked is left for the next time: nobody can take it meanwhile, and the others must not wait.
    """
    await conn.execute(
        text(
            """WITH locked AS (SELECT id FROM jobs WHERE id = ANY(:ids) ORDER BY id FOR UPDATE SKIP LOCKED)
            UPDATE jobs SET lease_until = :until
            FROM unnest(CAST(:ids AS uuid[]), CAST(:fences AS bigint[])) AS held(id, fence)
            WHERE jobs.id = held.id AND jobs.id IN (SELECT id FROM locked) AND jobs.fence = held.fence
                AND lease_until IS NOT NULL"""
        ),
        {"until": now + lease, "ids": list(held), "fences": list(held.values())},
    )


async def put_off(
    conn: AsyncConnection, job: Claimed, *, until: datetime, reason: str, error: str | None = None, counted: bool = True
) -> bool:
    """Give the job back until a time, for a reason; ``counted=False`` when waiting was not its own fault.

    A job that waited without fault, and to which nothing was answered yet, has not started.
    """
    done = await conn.execute(
        text(
            """UPDATE jobs SET state = 'waiting', reason = :reason, run_at = :until, lease_until = NULL,
                published_at = NULL, attempt = attempt - :refund, last_error = coalesce(:error, last_error),
                started_at = CASE WHEN :refund = 0 OR landed > 0 OR calls > 0 THEN started_at END
            WHERE id = :id AND fence = :fence AND state = 'running'"""
        ),
        _mine(job) | {"until": until, "reason": reason, "error": error, "refund": 0 if counted else 1},
    )
    return done.rowcount == 1 or await _let_go(conn, job)


async def fail(conn: AsyncConnection, job: Claimed, *, error: str, now: datetime) -> bool:
    """Make the job a dead letter: it stays, with its reason, until somebody retries or purges it."""
    done = await conn.execute(
        text(
            """UPDATE jobs SET state = 'failed', reason = NULL, last_error = :error, finished_at = :now,
                lease_until = NULL
            WHERE id = :id AND fence = :fence AND state = 'running'"""
        ),
        _mine(job) | {"error": error, "now": now},
    )
    return done.rowcount == 1 or await _let_go(conn, job)


async def _let_go(conn: AsyncConnection, job: Claimed) -> bool:
    """A job that was ended while it was in a worker's hands is in nobody's now: a retry need not wait for the lease."""
    await conn.execute(
        text("UPDATE jobs SET lease_until = NULL WHERE id = :id AND fence = :fence AND state <> 'running'"), _mine(job)
    )
    return False


async def finish(conn: AsyncConnection, done: Sequence[Claimed], *, now: datetime) -> None:
    """End jobs that have no pages (probes)."""
    await conn.execute(
        text(
            """UPDATE jobs SET state = 'succeeded', landed = want, exhausted = true, finished_at = :now,
                lease_until = NULL
            FROM unnest(CAST(:ids AS uuid[]), CAST(:fences AS bigint[])) AS held(id, fence)
            WHERE jobs.id = held.id AND jobs.fence = held.fence AND state = 'running'"""
        ),
        {"now": now, "ids": [job.id for job in done], "fences": [job.fence for job in done]},
    )


async def end_of_list(conn: AsyncConnection, job: Claimed, *, now: datetime) -> None:
    """The page that was wanted does not exist: the list has ended with the page before it."""
    await conn.execute(
        text(
            """WITH let_go AS (
                UPDATE jobs SET lease_until = NULL WHERE id = :id AND fence = :fence AND state <> 'running'),
            ended AS (
                UPDATE jobs SET want = landed, exhausted = true, lease_until = NULL,
                    state = CASE WHEN posted = landed THEN 'succeeded' ELSE state END,
                    finished_at = CASE WHEN posted = landed THEN CAST(:now AS timestamptz) END
                WHERE id = :id AND fence = :fence AND state = 'running'
                RETURNING stream_id, state, newest)
            UPDATE streams SET watermark = greatest(watermark, ended.newest)
            FROM ended WHERE streams.id = ended.stream_id AND ended.state = 'succeeded'"""
        ),
        _mine(job) | {"now": now},
    )


async def cancel(conn: AsyncConnection, job: UUID, *, now: datetime) -> bool:
    """Stop a job that has not ended; a page it has already paid for is still landed and posted."""
    done = await conn.execute(
        text(
            """UPDATE jobs SET state = 'cancelled', reason = NULL, finished_at = :now, exhausted = true
            WHERE id = :id AND state = ANY(:live)"""
        ),
        {"id": job, "now": now, "live": list(LIVE)},
    )
    return done.rowcount == 1


async def retry(conn: AsyncConnection, job: UUID, *, now: datetime) -> str | None:
    """Ask again for a failed job and its dead pages; give the queue to hint at, or None if there is nothing to retry.

    A cancelled job can be asked for again only before its first page: afterwards a new job is the honest way.  A job
    that a worker still has in hand goes on there: its call is paid for already, and another one is not made before the
    lease runs out.
    """
    revived = await conn.execute(
        text(
            """UPDATE jobs SET
                state = CASE WHEN landed < want AND (lease_until < :now) IS NOT FALSE THEN 'queued' ELSE 'running' END,
                attempt = CASE WHEN lease_until >= :now THEN 1 ELSE 0 END,
                lease_until = CASE WHEN lease_until >= :now THEN lease_until END,
                run_at = :now, published_at = :now, finished_at = NULL,
                exhausted = exhausted AND landed > 0
            WHERE id = :id AND (state = 'failed' OR state = 'cancelled' AND landed = 0) AND kind <> 'unreadable'
            RETURNING queue"""
        ),
        {"id": job, "now": now},
    )
    queue: str | None = revived.scalar_one_or_none()
    if queue is not None:
        await conn.execute(
            text(
                """UPDATE pages SET state = 'landed', reason = NULL, deliveries = 0, sends = 0, published_at = NULL,
                    lease_until = NULL
                WHERE job_id = :id AND state = 'dead'"""
            ),
            {"id": job},
        )
    return queue


async def purge(conn: AsyncConnection, job: UUID) -> bool:
    """Forget a dead letter that paid for nothing; one with kept pages stays."""
    done = await conn.execute(
        text(
            """DELETE FROM jobs WHERE id = :id AND state IN ('failed', 'cancelled')
            AND NOT EXISTS (SELECT FROM pages WHERE job_id = :id)"""
        ),
        {"id": job},
    )
    return done.rowcount == 1


async def refuse(conn: AsyncConnection, *, queue: str, error: str, args: Mapping[str, Any], now: datetime) -> UUID:
    """Keep a message that cannot become a job as a failed one, with the reason; it is never tried again by itself."""
    job = uuid7()
    await conn.execute(
        text(
            """INSERT INTO jobs (id, kind, queue, args, owner, body_hash, state, run_at, last_error, created_at,
                finished_at)
            VALUES (:id, 'unreadable', :queue, CAST(:args AS jsonb), 'system', '', 'failed', :now, :error, :now,
                :now)"""
        ),
        {"id": job, "queue": queue, "args": kept(dict(args)), "now": now, "error": error.replace("\x00", "\ufffd")},
    )
    return job


async def bury(conn: AsyncConnection, new: NewJob, *, error: str, now: datetime) -> None:
    """Write a job that never began as a dead letter, to be read and retried; one that is there by its key stays so."""
    (receipt,) = await enqueue(conn, [new], now=now)
    if receipt.created:
        await conn.execute(
            text("UPDATE jobs SET state = 'failed', last_error = :error, finished_at = :now WHERE id = :id"),
            {"id": receipt.id, "error": error, "now": now},
        )


def _mine(job: Claimed) -> dict[str, Any]:
    return {"id": job.id, "fence": job.fence}


_INSERT = text(
    """INSERT INTO jobs (id, kind, queue, args, owner, idempotency_key, body_hash, priority, stream_id, state,
        run_at, published_at, created_at)
    SELECT id, kind, queue, args, owner, idempotency_key, body_hash, priority, stream_id, 'queued',
        run_at, CASE WHEN :hinted AND run_at <= :now THEN CAST(:now AS timestamptz) END, :now
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(id uuid, kind text, queue text, args jsonb, owner text,
        idempotency_key text, body_hash text, priority smallint, stream_id bigint, run_at timestamptz)
    ON CONFLICT DO NOTHING RETURNING id"""
)

_CLAIMED = """WITH due AS (
        SELECT id FROM jobs
        WHERE queue = :queue AND state IN ('queued', 'running', 'waiting') AND landed < want
            AND run_at <= :now AND (lease_until IS NULL OR lease_until < :now)
        ORDER BY priority DESC, run_at, id LIMIT :count FOR UPDATE SKIP LOCKED),
    claimed AS (
        UPDATE jobs SET state = 'running', reason = NULL, fence = fence + 1, lease_until = :lease_until,
            attempt = attempt + 1, worker = :worker, started_at = coalesce(started_at, :now)
        FROM due WHERE jobs.id = due.id
        RETURNING jobs.id, fence, kind, queue, args, attempt, want AS seq, cursor, stream_id, started_at, polled_at)
    SELECT claimed.*"""

_CLAIM = text(f"{_CLAIMED} FROM claimed")

_CLAIM_TO_CALL = text(
    f"""{_CLAIMED}, stands.state, stands.reason, stands.until, stands.remaining
    FROM claimed LEFT JOIN providers stands ON stands.name = :provider"""
)
