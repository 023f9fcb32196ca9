"""How the works are: queues, the quality of streams, the audit record.  For administrators."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Annotated, NamedTuple

from msgspec import Meta, Struct
from sqlalchemy import Row, select, text

from broker import pauses
from broker.measured import StreamQuality, quality
from broker.messages import queues
from broker.pauses import Pause
from broker.producer import BrokerUnreachableError, Held, Telling
from broker.quality import Level
from gateway.audited import note
from gateway.auth.tables import audit
from gateway.call import Call
from gateway.paging import Listing, Page, after, page
from gateway.problems import Problem
from gateway.routes import Routes
from gateway.texts import Name, When, moment

BROKER_S = 2.0

routes = Routes("works")


class PausedAnswer(Struct, forbid_unknown_fields=True, kw_only=True):
    """Who keeps a queue closed (`sluice queues`), why, and since when."""

    who: str
    reason: str
    since: datetime


class QueueAnswer(Struct, forbid_unknown_fields=True, kw_only=True):
    """One queue: what the broker holds, null where it cannot tell or is away, and the job rows behind it.

    ``delayed`` messages are not made here: a job that is to be tried later waits as a row.  ``paused`` is null for a
    queue that is worked on.
    """

    name: str
    paused: PausedAnswer | None
    ready: int | None
    unacked: int | None
    delayed: int | None
    dead: int | None
    jobs_queued: int
    jobs_running: int
    jobs_waiting: int
    jobs_failed: int
    oldest_at: Annotated[datetime | None, Meta(description="When the oldest job that has not ended was asked for")]


class QualityQuery(Struct, forbid_unknown_fields=True):
    """Which stream (absent: all), and how far to look back, in seconds."""

    stream: Name | None = None
    window_s: Annotated[int, Meta(ge=60, le=90 * 86_400)] = 86_400


class QualityAnswer(Struct, forbid_unknown_fields=True, kw_only=True):
    """How good a stream was in the window; figures from 0 to 1, null where there is no data.

    The score is 0.3 completeness + 0.4 timeliness + 0.3 accuracy; below 0.7 is an alert, below 0.5 high.
    """

    stream: str
    provider: str
    dataset: str
    enabled: bool
    score: float | None
    level: Level
    completeness: float | None
    timeliness: float | None
    accuracy: float | None
    duplicate_rate: float | None
    runs_due: int
    runs_on_time: int
    age_s: float | None
    new: int
    usual: float | None
    pages: int
    malformed: int
    dead: int
    found: int
    rejected: int
    rejects: dict[str, int]
    succeeded: int
    failed: int


class AuditListing(Listing, forbid_unknown_fields=True, kw_only=True):
    """Which records."""

    actor: Name | None = None
    action: Name | None = None
    since: When | None = None


class AuditAnswer(Struct, forbid_unknown_fields=True, kw_only=True):
    """Who did what to what, when, from where, and whether it was let happen."""

    id: int
    at: datetime
    actor: str
    action: str
    object: str
    outcome: str
    request_id: str | None
    address: str | None


class AuditPlace(NamedTuple):
    """Where a record stands in the list."""

    id: int


@routes.get("/queues", needs="admin:read")
async def list_queues(call: Call) -> list[QueueAnswer]:
    """Every queue: messages that are ready, and the jobs behind them."""
    names = queues(sorted(call.parts.providers.limits))
    async with call.works() as conn:
        rows = {row.queue: row for row in await conn.execute(_JOBS_BY_QUEUE)}
        paused = {one.queue: one for one in await pauses.listed(conn)}
    held = await _held(call, names)
    return [_queue(name, held.get(name), rows.get(name), paused.get(name)) for name in names]


@routes.get("/quality", needs="admin:read", problems=("not_found",))
async def list_quality(call: Call, query: QualityQuery) -> list[QualityAnswer]:
    """How good each stream is, or one of them."""
    async with call.works() as conn:
        found = await quality(conn, now=call.parts.now(), window=timedelta(seconds=query.window_s), stream=query.stream)
    if query.stream is not None and not found:
        raise Problem("not_found")
    return [_quality(one) for one in found]


@routes.get("/audit", needs="admin:read", problems=("invalid_cursor",))
async def list_audit(call: Call, query: AuditListing) -> Page[AuditAnswer]:
    """The audit record, the newest first; nothing changes or removes any of it."""
    behind, since = after(call, query, AuditPlace), moment("since", query.since)
    asked = select(audit).order_by(audit.c.id.desc()).limit(query.limit + 1)
    if behind is not None:
        asked = asked.where(audit.c.id < behind.id)
    if query.actor is not None:
        asked = asked.where(audit.c.actor == query.actor)
    if query.action is not None:
        asked = asked.where(audit.c.action == query.action)
    if since is not None:
        asked = asked.where(audit.c.at >= since)
    async with call.works() as conn:
        found = (await conn.execute(asked)).all()
        await note(call, conn, "audit.read", query.actor or "all")
    return page(call, query, found, lambda row: AuditPlace(row.id), _record)


async def _held(call: Call, names: tuple[str, ...]) -> dict[str, Held | int]:
    """Ask the broker what it holds, or at least how many messages wait; nothing about a queue that it does not tell."""
    producer, told = call.parts.producer, dict[str, Held | int]()
    try:
        async with asyncio.timeout(BROKER_S):
            for name in names:
                told[name] = await (producer.held(name) if isinstance(producer, Telling) else producer.depth(name))
    except (BrokerUnreachableError, TimeoutError):
        pass
    return told


def _queue(
    name: str, told: Held | int | None, row: Row[tuple[object, ...]] | None, paused: Pause | None
) -> QueueAnswer:
    counts = row._mapping if row is not None else {}
    held = told if isinstance(told, Held) else None
    return QueueAnswer(
        name=name,
        paused=PausedAnswer(who=paused.who, reason=paused.reason, since=paused.since) if paused else None,
        ready=told.ready if isinstance(told, Held) else told,
        unacked=held.unacked if held else None,
        delayed=held.delayed if held else None,
        dead=held.dead if held else None,
        jobs_queued=counts.get("queued", 0),
        jobs_running=counts.get("running", 0),
        jobs_waiting=counts.get("waiting", 0),
        jobs_failed=counts.get("failed", 0),
        oldest_at=counts.get("oldest_at"),
    )


def _quality(one: StreamQuality) -> QualityAnswer:
    age = one.timeliness.age
    return QualityAnswer(
        stream=one.stream,
        provider=one.provider,
        dataset=one.dataset,
        enabled=one.enabled,
        score=one.figures.score,
        level=one.figures.level,
        completeness=one.figures.completeness,
        timeliness=one.figures.timeliness,
        accuracy=one.figures.accuracy,
        duplicate_rate=one.duplicate_rate,
        runs_due=one.timeliness.due,
        runs_on_time=one.timeliness.on_time,
        age_s=age.total_seconds() if age is not None else None,
        new=one.volume.new,
        usual=one.volume.usual,
        pages=one.pages,
        malformed=one.malformed,
        dead=one.dead,
        found=one.found,
        rejected=one.rejected,
        rejects=dict(one.rejects),
        succeeded=one.succeeded,
        failed=one.failed,
    )


def _record(row: Row[tuple[object, ...]]) -> AuditAnswer:
    return AuditAnswer(**{name: row._mapping[name] for name in AuditAnswer.__struct_fields__})


_JOBS_BY_QUEUE = text(
    """SELECT queue, count(*) FILTER (WHERE state = 'queued') AS queued,
        count(*) FILTER (WHERE state = 'running') AS running, count(*) FILTER (WHERE state = 'waiting') AS waiting,
        count(*) FILTER (WHERE state = 'failed') AS failed,
        min(created_at) FILTER (WHERE state <> 'failed') AS oldest_at
    FROM jobs WHERE state IN ('queued', 'running', 'waiting', 'failed') GROUP BY queue"""
)
