"""Pages: what was received, kept as it came, and how far it has got.

``landed`` ──▶ ``posted``, or ``malformed`` (kept and counted, asked for again) or ``dead`` (its parser failed on it, or
it kills its workers: mend, then ``sluice dead replay``; nothing is paid again).  A ``spare`` page is a second answer to
a question that another worker has answered meanwhile: it was paid for, so it is kept, and it is never posted.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import zstandard
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from broker.jobs import Claimed
from broker.providers import Call

_PACKER, _UNPACKER = zstandard.ZstdCompressor(), zstandard.ZstdDecompressor()  # to make one costs more than a page


class LostLeaseError(Exception):
    """Another worker has this job now: what this one did must not be written."""


@dataclass(frozen=True, slots=True)
class NewPage:
    """An answer as it is kept: ``body`` redacted, ``request`` without token, ``cost`` in the budget's unit.

    ``fetched_at`` is our clock, ``answered_at`` the provider's (its ``Date``): what an answer says was true then.
    ``taken_until``: it lands in the hands of its lander, who reads it at once, as if ``claim`` had given it.
    """

    provider: str
    dataset: str
    request: Mapping[str, Any]
    body: bytes
    fetched_at: datetime
    answered_at: datetime
    cost: int
    taken_until: datetime | None = None
    id: UUID = field(default_factory=uuid7)


@dataclass(frozen=True, slots=True)
class LandedPage:
    """A kept page in dedup's hands, with what its job asked; ``deliveries`` counts this start.

    ``found`` and ``rejects`` are what an earlier reading found, 0 and none before the first.
    """

    id: UUID
    job_id: UUID
    seq: int
    provider: str
    dataset: str
    cursor: str | None
    body: bytes
    fetched_at: datetime
    polled_at: datetime
    deliveries: int
    sends: int
    kind: str
    args: Mapping[str, Any]
    queue: str
    started_at: datetime
    found: int
    rejects: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Decision:
    """What dedup found on a page; ``next`` is the cursor of the next one that is wanted, None where the list ends."""

    page: UUID
    found: int
    rejected: int
    skipped: int
    rejects: Sequence[Mapping[str, Any]]
    warnings: Sequence[str]
    complete: float | None
    newest: datetime | None
    pages_total: int | None
    next: str | None


@dataclass(frozen=True, slots=True)
class Counts:
    """What posting a page did."""

    page: UUID
    new: int
    amended: int
    observed: int
    refused: Sequence[Mapping[str, Any]] = ()
    """What only posting could find out, as in ``Decision.rejects``."""


async def land(conn: AsyncConnection, job: Claimed, page: NewPage, *, now: datetime) -> UUID:
    """Keep the page and move the job on, in one commit; raise LostLeaseError if the job is no longer this worker's.

    A job that was cancelled meanwhile, or that failed by another of its pages, still lands what it has paid for.
    """
    if page.id not in await land_all(conn, [(job, page, None)], now=now):
        raise LostLeaseError(f"job {job.id}")
    return page.id


async def land_all(
    conn: AsyncConnection, answers: Sequence[tuple[Claimed, NewPage, Call | None]], *, now: datetime
) -> frozenset[UUID]:
    """Keep several pages as ``land`` does, and the calls that brought them; name those that landed.

    The jobs of the others are no longer ours, and their calls are not written.
    """
    landed = await conn.execute(
        _LAND, {"rows": _kept(answers), "jobs": sorted({job.id for job, _, _ in answers}), "now": now}
    )
    return frozenset(row.id for row in landed)


async def keep_spare(conn: AsyncConnection, job: Claimed, page: NewPage) -> bool:
    """Keep an answer whose job was no longer this worker's; False: this very page landed in an earlier try."""
    kept = await conn.execute(_KEEP_SPARE, {"rows": _kept([(job, page, None)])})
    return kept.rowcount == 1


def _kept(answers: Sequence[tuple[Claimed, NewPage, Call | None]]) -> str:
    rows = [
        {
            "job": job.id,
            "fence": job.fence,
            "seq": job.seq,
            "id": page.id,
            "provider": page.provider,
            "dataset": page.dataset,
            "request": dict(page.request),
            "body": b64encode(_PACKER.compress(page.body)).decode(),
            "body_bytes": len(page.body),
            "fetched_at": page.fetched_at,
            "answered_at": page.answered_at,
            "cost": page.cost,
            "taken_until": page.taken_until,
            "outcome": call and call.outcome,
            "status": call and call.status,
            "seconds": call and call.seconds,
        }
        for job, page, call in answers
    ]
    return orjson.dumps(rows).decode()


def in_hand(job: Claimed, page: NewPage) -> LandedPage:
    """Give a page that its lander has taken, as ``claim`` would."""
    return LandedPage(
        id=page.id,
        job_id=job.id,
        seq=job.seq,
        provider=page.provider,
        dataset=page.dataset,
        cursor=job.cursor,
        body=page.body,
        fetched_at=page.fetched_at,
        polled_at=job.polled_at or page.answered_at,
        deliveries=1,
        sends=0,
        kind=job.kind,
        args=job.args,
        queue=job.queue,
        started_at=job.started_at,
        found=0,
        rejects=(),
    )


async def land_given(conn: AsyncConnection, job: Claimed, page: NewPage, *, now: datetime) -> UUID:
    """Keep the rows that a job brought with it as its one page; they leave the job's own row, and nobody was called."""
    page_id = await land(conn, job, page, now=now)
    await conn.execute(text("UPDATE jobs SET args = args - 'rows', calls = 0 WHERE id = :id"), {"id": job.id})
    return page_id


async def claim(
    conn: AsyncConnection, wanted: Sequence[UUID], *, suspects: bool, now: datetime, lease: timedelta
) -> list[LandedPage]:
    """Take landed pages for dedup; a page that was started before is a suspect and is only taken when asked for."""
    rows = await conn.execute(
        _CLAIM, {"ids": list(wanted), "suspects": suspects, "now": now, "lease_until": now + lease}
    )
    return [_landed(row._mapping) for row in rows]


async def renew(conn: AsyncConnection, held: Mapping[UUID, int], *, now: datetime, lease: timedelta) -> None:
    """Say that these pages (id to ``deliveries``) are still being read; whoever took one since has counted it."""
    await conn.execute(_RENEW, {"until": now + lease, "ids": list(held), "deliveries": list(held.values())})


async def read_before(conn: AsyncConnection, page: UUID) -> LandedPage | None:
    """Give a page that dedup has read and post has not written, without taking it; None for any other."""
    row = (await conn.execute(_READ_BEFORE, {"id": page})).one_or_none()
    return _landed(row._mapping) if row else None


def _landed(row: Mapping[Any, Any]) -> LandedPage:
    return LandedPage(**{**row, "body": _UNPACKER.decompress(row["body"])})


async def decide(
    conn: AsyncConnection, decisions: Sequence[Decision], *, now: datetime, done: Collection[UUID] = ()
) -> dict[UUID, datetime]:
    """Write what dedup found, and ask for the next page or end the list; saying it twice changes nothing.

    ``done`` are the pages that have nothing for the ledger: they are posted with that.  Gives the ``answered_at`` of
    those that were not posted before.
    """
    rows = [
        {
            "id": str(d.page),
            "found": d.found,
            "rejected": d.rejected,
            "skipped": d.skipped,
            "rejects": list(d.rejects),
            "warnings": list(d.warnings),
            "complete": d.complete,
            "newest": d.newest and d.newest.isoformat(),
            "pages_total": d.pages_total,
            "next": d.next,
            "done": d.page in done,
        }
        for d in sorted(decisions, key=lambda d: d.page)
    ]
    params = {"rows": orjson.dumps(rows).decode(), "now": now}
    posted = {row.id: row.answered_at for row in await conn.execute(_DECIDE, params) if row.done}
    if posted:
        await conn.execute(_FINISH_JOBS, {"pages": list(posted), "now": now})
    return posted


async def lock_landed(conn: AsyncConnection, wanted: Sequence[UUID]) -> dict[UUID, datetime]:
    """Take the row locks of those pages that still wait to be posted; give their ``answered_at``."""
    rows = await conn.execute(
        text("SELECT id, answered_at FROM pages WHERE id = ANY(:ids) AND state = 'landed' ORDER BY id FOR UPDATE"),
        {"ids": list(wanted)},
    )
    return {row.id: row.answered_at for row in rows}


async def posted(conn: AsyncConnection, counts: Sequence[Counts], *, now: datetime) -> None:
    """Mark pages as posted, add their counts to their jobs, end jobs that are complete, and move watermarks on."""
    rows = [
        {"id": str(c.page), "new": c.new, "amended": c.amended, "observed": c.observed, "refused": list(c.refused)}
        for c in counts
    ]
    params = {"rows": orjson.dumps(rows).decode(), "now": now}
    await conn.execute(_POSTED, params)
    await conn.execute(_FINISH_JOBS, {"pages": [c.page for c in counts], "now": now})


_GIVEN = """SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS given(job uuid, fence bigint, seq int, id uuid,
        provider text, dataset text, request jsonb, body text, body_bytes int, fetched_at timestamptz,
        answered_at timestamptz, cost int, taken_until timestamptz, outcome text, status smallint, seconds float8)"""

# Jobs are locked in the order of their ids, as by all who lock several.
_LAND = text(
    f"""WITH given AS ({_GIVEN}),
    locked AS (SELECT id FROM jobs WHERE id = ANY(:jobs) ORDER BY id FOR UPDATE),
    mine AS (
        UPDATE jobs SET landed = want, lease_until = NULL, attempt = 0, calls = calls + 1,
            cost = jobs.cost + given.cost,
            polled_at = coalesce(polled_at, given.answered_at), last_error = NULL
        FROM given
        WHERE jobs.id = given.job AND jobs.id IN (SELECT id FROM locked) AND jobs.fence = given.fence
            AND want = given.seq AND landed < want AND state IN ('running', 'cancelled', 'failed')
        RETURNING given.id, stream_id, cursor, polled_at),
    called AS (
        INSERT INTO calls (provider, dataset, job_id, at, status, outcome, cost, seconds)
        SELECT provider, dataset, job, fetched_at, status, outcome, cost, seconds
        FROM mine JOIN given USING (id) WHERE outcome IS NOT NULL)
    INSERT INTO pages (id, job_id, stream_id, seq, provider, dataset, request, cursor, body, body_bytes, fetched_at,
        answered_at, polled_at, cost, state, published_at, lease_until, deliveries)
    SELECT id, job, stream_id, seq, provider, dataset, request, cursor, decode(body, 'base64'), body_bytes, fetched_at,
        answered_at, polled_at, cost, 'landed', :now, taken_until, CASE WHEN taken_until IS NULL THEN 0 ELSE 1 END
    FROM mine JOIN given USING (id) RETURNING id"""  # noqa: S608  only the constant above goes in
)

_KEEP_SPARE = text(
    f"""WITH given AS ({_GIVEN}),
    paid AS (
        UPDATE jobs SET calls = calls + 1, cost = jobs.cost + given.cost
        FROM given
        WHERE jobs.id = given.job AND NOT EXISTS (SELECT FROM pages WHERE pages.id = given.id)
        RETURNING given.id, stream_id, cursor)
    INSERT INTO pages (id, job_id, stream_id, seq, provider, dataset, request, cursor, body, body_bytes, fetched_at,
        answered_at, polled_at, cost, state, reason)
    SELECT id, job, stream_id, seq, provider, dataset, request, cursor, decode(body, 'base64'), body_bytes, fetched_at,
        answered_at, answered_at, cost, 'spare', 'another worker answered first'
    FROM paid JOIN given USING (id)"""  # noqa: S608
)

_TAKEN = """SELECT taken.id, job_id, seq, provider, dataset, taken.cursor, body, fetched_at, taken.polled_at,
        deliveries, sends, jobs.kind, jobs.args, jobs.queue, jobs.started_at, taken.found, rejects
    FROM taken JOIN jobs ON jobs.id = job_id"""

_CLAIM = text(
    f"""WITH taken AS (
        UPDATE pages SET deliveries = deliveries + 1, lease_until = :lease_until
        WHERE id = ANY(:ids) AND state = 'landed' AND (lease_until IS NULL OR lease_until < :now)
            AND (deliveries > 0) = :suspects
        RETURNING *)
    {_TAKEN}"""  # noqa: S608  only the constant above goes in
)

_RENEW = text(
    """WITH mine AS (
        SELECT pages.id FROM pages
        JOIN unnest(CAST(:ids AS uuid[]), CAST(:deliveries AS int[])) AS held(id, deliveries) USING (id, deliveries)
        WHERE state = 'landed' AND lease_until IS NOT NULL
        ORDER BY pages.id FOR UPDATE OF pages SKIP LOCKED)
    UPDATE pages SET lease_until = :until FROM mine WHERE pages.id = mine.id"""
)

_READ_BEFORE = text(
    f"""WITH taken AS (SELECT * FROM pages WHERE id = :id AND state = 'landed' AND sends > 0)
    {_TAKEN}"""  # noqa: S608
)

_ROWS = """jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(id uuid, found int, rejected int, skipped int, rejects jsonb,
    warnings text[], complete float8, newest timestamptz, pages_total int, next text, done boolean)"""

# Only the newest page of a job decides, and only once: the same page again finds want already moved, or the list ended.
_DECIDE = text(
    f"""WITH decided AS (
        UPDATE pages SET found = r.found, rejected = r.rejected, skipped = r.skipped, rejects = r.rejects,
            warnings = r.warnings, complete = r.complete, newest = r.newest, deliveries = 0, sends = sends + 1,
            lease_until = NULL, published_at = :now, state = CASE WHEN r.done THEN 'posted' ELSE state END,
            posted_at = CASE WHEN r.done THEN CAST(:now AS timestamptz) END,
            duplicate = CASE WHEN r.done THEN r.found - r.rejected ELSE duplicate END
        FROM {_ROWS} WHERE pages.id = r.id AND pages.state = 'landed'
        RETURNING pages.id, job_id, seq, answered_at, r.done, r.next, r.pages_total),
    locked AS (SELECT id FROM jobs WHERE id IN (SELECT job_id FROM decided) ORDER BY id FOR UPDATE),
    moved AS (
        UPDATE jobs SET
            want = CASE WHEN d.next IS NULL OR jobs.state = 'cancelled' THEN want ELSE want + 1 END,
            cursor = coalesce(d.next, jobs.cursor), exhausted = d.next IS NULL OR jobs.state = 'cancelled',
            pages_total = coalesce(d.pages_total, jobs.pages_total), run_at = :now, published_at = :now
        FROM decided d
        WHERE jobs.id = d.job_id AND jobs.id IN (SELECT id FROM locked)
            AND jobs.want = d.seq AND jobs.landed = jobs.want AND NOT jobs.exhausted)
    SELECT id, answered_at, done FROM decided"""  # noqa: S608  only the constant above goes in
)

_POSTED = text(
    """UPDATE pages SET state = 'posted', posted_at = :now, new = r.new, amended = r.amended, observed = r.observed,
        rejected = pages.rejected + jsonb_array_length(r.refused), rejects = pages.rejects || r.refused,
        duplicate = pages.found - pages.rejected - jsonb_array_length(r.refused) - r.new - r.amended, lease_until = NULL
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(id uuid, new int, amended int, observed int, refused jsonb)
    WHERE pages.id = r.id"""
)

_FINISH_JOBS = text(
    """WITH done AS (
        SELECT job_id, count(*) AS posted, sum(found) AS found, sum(new) AS new, sum(duplicate) AS duplicate,
            sum(amended) AS amended, sum(rejected) AS rejected, sum(skipped) AS skipped, sum(observed) AS observed,
            max(newest) AS newest
        FROM pages WHERE id = ANY(:pages) GROUP BY job_id),
    locked AS (
        SELECT jobs.id FROM jobs JOIN done ON done.job_id = jobs.id ORDER BY jobs.id FOR UPDATE OF jobs),
    counted AS (
        UPDATE jobs SET posted = jobs.posted + done.posted, found = jobs.found + done.found, new = jobs.new + done.new,
            duplicate = jobs.duplicate + done.duplicate, amended = jobs.amended + done.amended,
            rejected = jobs.rejected + done.rejected, skipped = jobs.skipped + done.skipped,
            observed = jobs.observed + done.observed, newest = greatest(jobs.newest, done.newest),
            state = CASE WHEN state = 'running' AND exhausted AND jobs.posted + done.posted = landed
                THEN 'succeeded' ELSE state END,
            finished_at = CASE WHEN state = 'running' AND exhausted AND jobs.posted + done.posted = landed
                THEN :now ELSE finished_at END
        FROM done WHERE jobs.id = done.job_id AND jobs.id IN (SELECT id FROM locked)
        RETURNING jobs.stream_id, jobs.state, jobs.newest)
    UPDATE streams SET watermark = greatest(watermark, counted.newest)
    FROM counted WHERE streams.id = counted.stream_id AND counted.state = 'succeeded'"""
)
