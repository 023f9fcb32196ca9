"""Read kept pages again with a mended parser, without paying: copies of the pages, as jobs of kind ``reparse``.

One such job stands for one job that was: what a page says may depend on what its job asked and when it first ran, so
both are taken over.  The copies are landed from the start; the dispatcher says ``dedup`` for them, and the jobs end
like any others.  Their list is exhausted and ``landed = want``: nothing can make them fetch.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

REPARSE = "reparse"


@dataclass(frozen=True, slots=True)
class Reparse:
    """What will be read again: the new jobs, and how many pages they hold."""

    jobs: tuple[UUID, ...]
    pages: int


async def reparse(
    conn: AsyncConnection,
    stream: int,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    malformed: bool = False,
    now: datetime,
) -> Reparse:
    """Copy the posted pages of a stream with since <= fetched_at < until; with ``malformed`` also the refused ones.

    Copies belong to no stream: they neither move its watermark nor count in its quality.
    """
    states = ["posted", "malformed"] if malformed else ["posted"]
    asked = {"stream": stream, "since": since, "until": until, "states": states}
    origins = [row.job_id for row in await conn.execute(_ORIGINS, asked)]
    if not origins:
        return Reparse((), 0)
    made = [uuid7() for _ in origins]
    pairs = {"origins": origins, "made": made}
    await conn.execute(_JOBS, pairs | {"now": now})
    copied = (await conn.execute(_SOURCES, asked | pairs)).all()
    ids = {"sources": [row.source for row in copied], "copies": [uuid7() for _ in copied]}
    places = {"jobs": [row.made for row in copied], "seqs": [row.seq for row in copied]}
    await conn.execute(_PAGES, ids | places)
    await conn.execute(_LANDED, {"made": made})
    return Reparse(tuple(made), len(copied))


_WANTED = """pages.stream_id = :stream AND pages.state = ANY(:states)
    AND (CAST(:since AS timestamptz) IS NULL OR fetched_at >= :since)
    AND (CAST(:until AS timestamptz) IS NULL OR fetched_at < :until)"""

_PAIRS = "unnest(CAST(:origins AS uuid[]), CAST(:made AS uuid[])) AS pair(origin, made)"

_ORIGINS = text(f"SELECT DISTINCT job_id FROM pages WHERE {_WANTED} ORDER BY job_id")  # noqa: S608  constants only

_JOBS = text(
    f"""INSERT INTO jobs (id, kind, queue, args, owner, body_hash, state, run_at, published_at, exhausted, polled_at,
        created_at, started_at)
    SELECT pair.made, '{REPARSE}', queue, args || jsonb_build_object('of', id), 'system', '', 'running', :now, :now,
        true, polled_at, :now, started_at
    FROM jobs JOIN {_PAIRS} ON pair.origin = jobs.id"""  # noqa: S608
)

_SOURCES = text(
    f"""SELECT pages.id AS source, pair.made,
        row_number() OVER (PARTITION BY pages.job_id ORDER BY pages.seq, pages.id) AS seq
    FROM pages JOIN {_PAIRS} ON pair.origin = pages.job_id
    WHERE {_WANTED} ORDER BY pages.job_id, pages.seq, pages.id"""  # noqa: S608
)

# answered_at orders what was seen.  The mended reading comes a microsecond after the one it mends, so that the two are
# told apart and the mended one holds, unless a later page says otherwise; each further reading comes one later still.
_PAGES = text(
    f"""INSERT INTO pages (id, job_id, seq, provider, dataset, request, cursor, body, body_bytes, fetched_at,
        answered_at, polled_at, cost, state)
    SELECT copy.id, copy.job, copy.seq, provider, dataset, request, cursor, body, body_bytes, fetched_at,
        answered_at + interval '1 microsecond' * (
            SELECT count(*) FROM jobs WHERE kind = '{REPARSE}' AND args ->> 'of' = pages.job_id::text),
        polled_at, 0, 'landed'
    FROM unnest(CAST(:sources AS uuid[]), CAST(:copies AS uuid[]), CAST(:jobs AS uuid[]), CAST(:seqs AS int[]))
        AS copy(source, id, job, seq)
    JOIN pages ON pages.id = copy.source"""  # noqa: S608
)

_LANDED = text(
    """UPDATE jobs SET landed = counted.pages, want = counted.pages
    FROM (SELECT job_id, count(*) AS pages FROM pages WHERE job_id = ANY(:made) GROUP BY job_id) counted
    WHERE jobs.id = counted.job_id"""
)
