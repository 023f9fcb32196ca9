"""Rows as people read them: lists and single look-ups of jobs, pages and calls.  Nothing here writes.

Every list is newest first and paged by the id of its last row (ids are UUIDv7: they sort by time).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import zstandard
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

JobState = Literal["queued", "running", "waiting", "succeeded", "failed", "cancelled"]
JOB_STATES: tuple[JobState, ...] = ("queued", "running", "waiting", "succeeded", "failed", "cancelled")
ENDED: tuple[JobState, ...] = ("succeeded", "failed", "cancelled")
HEALTHY, DEGRADED = 0.95, 0.80  # shares of calls that went well


@dataclass(frozen=True, slots=True)
class JobView:
    """A job as it stands; ``run_at`` is until when it waits, ``cost`` in the provider's unit, ``stream`` a name."""

    id: UUID
    kind: str
    queue: str
    args: Mapping[str, Any]
    owner: str
    idempotency_key: str | None
    priority: int
    stream: str | None
    state: JobState
    reason: str | None
    run_at: datetime
    attempt: int
    worker: str | None
    landed: int
    posted: int
    exhausted: bool
    pages_total: int | None
    found: int
    new: int
    duplicate: int
    amended: int
    rejected: int
    skipped: int
    observed: int
    calls: int
    cost: int
    last_error: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def ended(self) -> bool:
        """Whether it has come to its end, good or bad."""
        return self.state in ENDED

    @property
    def outcome(self) -> str | None:
        """What came of it, in words; None while it is under way."""
        if not self.ended:
            return None
        return outcome_words(self) if self.state == "succeeded" else self.state

    @property
    def progress(self) -> str:
        """How far it is: "3 of 10 pages", or "3 pages" where the provider does not tell how many there are."""
        known = self.landed if self.exhausted else self.pages_total
        if known and known > self.posted:
            return f"{self.posted} of {known} pages"
        return f"{self.posted} page{'' if self.posted == 1 else 's'}"

    @property
    def waits(self) -> str | None:
        """Why it waits, with the time; None where it does not."""
        if self.state != "waiting":
            return None
        return f"{self.reason or 'not yet due'} (until {self.run_at:%Y-%m-%d %H:%M:%SZ})"


def outcome_words(job: JobView) -> str:
    """Tell apart: found something new, nothing new, nothing at all, nothing usable."""
    if job.found == 0:
        return "found nothing" if job.posted else "done"
    if job.rejected == job.found:
        return "every row was rejected"
    changed = f", {job.amended} amended" if job.amended else ""
    return (f"found {job.new} new" if job.new else "nothing new") + changed


@dataclass(frozen=True, slots=True)
class PageView:
    """A kept page without its body; ``complete`` is the share of expected fields that were there, 0 to 1."""

    id: UUID
    job_id: UUID
    seq: int
    provider: str
    dataset: str
    request: Mapping[str, Any]
    cursor: str | None
    body_bytes: int
    fetched_at: datetime
    answered_at: datetime
    cost: int
    state: str
    reason: str | None
    found: int
    new: int
    duplicate: int
    amended: int
    rejected: int
    skipped: int
    observed: int
    rejects: Sequence[Mapping[str, Any]]
    warnings: Sequence[str]
    complete: float | None
    posted_at: datetime | None


@dataclass(frozen=True, slots=True)
class Origin:
    """The call that brought a page: whom it asked for what, and when."""

    id: UUID
    provider: str
    dataset: str
    request: Mapping[str, Any]
    fetched_at: datetime


@dataclass(frozen=True, slots=True)
class CallView:
    """One call as it went; ``status`` None where nothing came back."""

    at: datetime
    provider: str
    dataset: str
    status: int | None
    outcome: str
    cost: int
    seconds: float


@dataclass(frozen=True, slots=True)
class CallShare:
    """Calls of one provider in a window, and the share of them that went well (None: none was made)."""

    provider: str
    calls: int
    good: int
    cost: int
    last_at: datetime

    @property
    def share(self) -> float | None:
        """The share of calls that went well, 0 to 1."""
        return self.good / self.calls if self.calls else None


def health(share: float | None) -> str:
    """Name the tier of a share of good calls: healthy from 95 %, degraded from 80 %, failing below; else unknown."""
    if share is None:
        return "unknown"
    return "healthy" if share >= HEALTHY else "degraded" if share >= DEGRADED else "failing"


async def list_jobs(
    conn: AsyncConnection,
    *,
    state: str | None = None,
    provider: str | None = None,
    kind: str | None = None,
    stream: str | None = None,
    owner: str | None = None,
    since: datetime | None = None,
    before: UUID | None = None,
    limit: int = 50,
) -> list[JobView]:
    """List jobs made at ``since`` or later, the newest first; ``before`` goes on behind the last one of a list."""
    asked = {
        "jobs.state = :state": state,
        "args ->> 'provider' = :provider": provider,
        "kind = :kind": kind,
        "streams.name = :stream": stream,
        "owner = :owner": owner,
        "jobs.created_at >= :since": since,
        "jobs.id < :before": before,
    }
    values: dict[str, object] = {"state": state, "provider": provider, "kind": kind, "stream": stream, "owner": owner}
    values |= {"since": since, "before": before}
    where = " AND ".join(clause for clause, value in asked.items() if value is not None) or "true"
    rows = await conn.execute(
        text(f"{_JOBS} WHERE {where} ORDER BY jobs.id DESC LIMIT :limit"),  # only constants of this module go in
        {name: value for name, value in values.items() if value is not None} | {"limit": limit},
    )
    return [JobView(**row._mapping) for row in rows]


async def get_jobs(conn: AsyncConnection, wanted: Sequence[UUID]) -> list[JobView]:
    """Read jobs by id, in the order in which they were asked for; those that do not exist are left out."""
    rows = await conn.execute(text(f"{_JOBS} WHERE jobs.id = ANY(:ids) ORDER BY jobs.id"), {"ids": list(wanted)})
    return [JobView(**row._mapping) for row in rows]


async def get_job(conn: AsyncConnection, job: UUID) -> JobView | None:
    """Read one job."""
    found = await get_jobs(conn, [job])
    return found[0] if found else None


async def pages_of(
    conn: AsyncConnection, job: UUID, *, after: tuple[int, UUID] | None = None, limit: int = 1000
) -> list[PageView]:
    """Read the pages of a job, first page first; ``after`` goes on behind a page's (seq, id)."""
    seq, behind = after or (-1, UUID(int=0))
    rows = await conn.execute(
        text(f"{_PAGES} WHERE job_id = :job AND (seq, id) > (:seq, :behind) ORDER BY seq, id LIMIT :limit"),
        {"job": job, "seq": seq, "behind": behind, "limit": limit},
    )
    return [PageView(**row._mapping) for row in rows]


async def get_page(conn: AsyncConnection, page: UUID) -> PageView | None:
    """Read one page."""
    row = (await conn.execute(text(f"{_PAGES} WHERE id = :page"), {"page": page})).one_or_none()
    return PageView(**row._mapping) if row else None


async def origins(conn: AsyncConnection, pages: Collection[UUID]) -> dict[UUID, Origin]:
    """Say of pages which call brought them; those that users gave themselves are left out."""
    rows = await conn.execute(
        text("SELECT id, provider, dataset, request, fetched_at FROM page_origins WHERE id = ANY(:ids)"),
        {"ids": list(pages)},
    )
    return {row.id: Origin(**row._mapping) for row in rows}


async def count_live(conn: AsyncConnection, owner: str) -> int:
    """Count one owner's jobs that have not come to their end."""
    found = await conn.execute(
        text("SELECT count(*) FROM jobs WHERE owner = :owner AND state IN ('queued', 'running', 'waiting')"),
        {"owner": owner},
    )
    return int(found.scalar_one())


async def body_of(conn: AsyncConnection, page: UUID) -> bytes | None:
    """Read what a page holds, as it came (its token was cut out before it was kept)."""
    body = (await conn.execute(text("SELECT body FROM pages WHERE id = :page"), {"page": page})).scalar_one_or_none()
    return None if body is None else zstandard.decompress(body)


async def calls_of(conn: AsyncConnection, job: UUID, *, limit: int = 1000) -> list[CallView]:
    """Read the calls that were made for a job, in order."""
    rows = await conn.execute(
        text(
            """SELECT at, provider, dataset, status, outcome, cost, seconds FROM calls
            WHERE job_id = :job ORDER BY id LIMIT :limit"""
        ),
        {"job": job, "limit": limit},
    )
    return [CallView(**row._mapping) for row in rows]


async def call_shares(conn: AsyncConnection, *, since: datetime) -> dict[str, CallShare]:
    """Count each provider's calls since then; a page past the end of its list is an answer like any other."""
    rows = await conn.execute(
        text(
            """SELECT provider, count(*) AS calls, count(*) FILTER (WHERE outcome IN ('landed', 'NotThere')) AS good,
                sum(cost)::bigint AS cost, max(at) AS last_at
            FROM calls WHERE at >= :since GROUP BY provider"""
        ),
        {"since": since},
    )
    return {row.provider: CallShare(**row._mapping) for row in rows}


# The rows that a job brings stay out: a hundred jobs of a megabyte each would be read, held and told at once.
_JOBS = """SELECT jobs.id, kind, queue,
    CASE WHEN kind IN ('ledger.trades', 'ledger.prices') THEN args - 'rows' ELSE args END AS args,
    owner, idempotency_key, jobs.priority, streams.name AS stream, state, reason, run_at, attempt, worker,
    landed, posted, exhausted, pages_total, found, new, duplicate, amended, rejected, skipped, observed, calls, cost,
    last_error, jobs.created_at, started_at, finished_at
    FROM jobs LEFT JOIN streams ON streams.id = jobs.stream_id"""

_PAGES = """SELECT id, job_id, seq, provider, dataset, request, cursor, body_bytes, fetched_at, answered_at, cost,
    state, reason, found, new, duplicate, amended, rejected, skipped, observed, rejects, warnings, complete, posted_at
    FROM pages"""
