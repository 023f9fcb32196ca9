"""Jobs that failed for good, of everybody: read, asked again, forgotten.  For administrators; each look is recorded."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, ClassVar, NamedTuple
from uuid import UUID

from msgspec import Meta, Struct
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from broker import dead, views
from broker.dead import DeadGroup
from broker.views import PageView
from gateway.api.all_jobs import OwnedJob, owned_job
from gateway.api.job_shapes import JobPath
from gateway.audited import note
from gateway.call import Call
from gateway.enqueueing import hint
from gateway.idempotency import once
from gateway.paging import Listing, Page, after, page
from gateway.problems import Problem
from gateway.routes import Reply, Routes
from gateway.texts import Name, Reason, either

AT_ONCE_MAX = 100
EXCERPT_BYTES = 500

routes = Routes("dead-letters")


class DeadListing(Listing, forbid_unknown_fields=True, kw_only=True):
    """``error`` is a part of the text, as a job or as a group shows it."""

    error: Reason | None = None
    provider: Name | None = None


class Chosen(Struct, forbid_unknown_fields=True, kw_only=True):
    """Which ones: ``jobs`` by id, or those whose error holds a text, the oldest first."""

    jobs: Annotated[list[UUID], Meta(min_length=1, max_length=AT_ONCE_MAX)] | None = None
    error: Reason | None = None
    provider: Name | None = None
    limit: Annotated[int, Meta(ge=1, le=AT_ONCE_MAX)] = AT_ONCE_MAX

    TOGETHER: ClassVar = either(jobs="array", error="string")


class Unwanted(Chosen, forbid_unknown_fields=True, kw_only=True):
    """Which ones, and why they are forgotten: it stands in the audit record."""

    reason: Reason | None = None


class GroupAnswer(Struct, forbid_unknown_fields=True, kw_only=True):
    """Failed jobs with the same error, in which numbers and ids count as equal; ``example`` is the newest."""

    error: str
    kind: str
    provider: str | None
    jobs: int
    dead_pages: int
    first_at: datetime
    last_at: datetime
    example: UUID


class DeadPage(Struct, forbid_unknown_fields=True, kw_only=True):
    """A page that could not be read, and how it begins."""

    id: UUID
    state: str
    reason: str | None
    fetched_at: datetime
    bytes: int
    excerpt: str


class DeadAnswer(Struct, forbid_unknown_fields=True, kw_only=True):
    """A dead letter with the pages that nobody could read."""

    job: OwnedJob
    pages: list[DeadPage]


class Replayed(Struct, forbid_unknown_fields=True):
    """How many are asked again, and how many cannot be: they never were jobs, or have not failed."""

    replayed: int
    left: int


class Purged(Struct, forbid_unknown_fields=True):
    """How many are forgotten, and how many stay: they have pages that were paid for, or have not failed."""

    purged: int
    left: int


class DeadPlace(NamedTuple):
    """Where a dead letter stands in the list."""

    id: UUID


@routes.get("/dead-letters/groups", needs="admin:read")
async def list_groups(call: Call) -> list[GroupAnswer]:
    """Failed jobs by what went wrong, the largest group first; at most 100 groups."""
    async with call.works() as conn:
        found = await dead.groups(conn, limit=100)
        await note(call, conn, "dead_letters.read", "groups")
    return [_group(one) for one in found]


@routes.get("/dead-letters", needs="admin:read", problems=("invalid_cursor",))
async def list_dead(call: Call, query: DeadListing) -> Page[OwnedJob]:
    """Failed jobs, those asked for last first."""
    behind = after(call, query, DeadPlace)
    async with call.works() as conn:
        wanted = await dead.newest(
            conn,
            error=query.error,
            provider=query.provider,
            before=behind.id if behind else None,
            limit=query.limit + 1,
        )
        found = (await views.get_jobs(conn, wanted))[::-1]
        await note(call, conn, "dead_letters.read", query.error or "all")
    return page(call, query, found, lambda job: DeadPlace(job.id), owned_job)


@routes.get("/dead-letters/{job}", needs="admin:read", problems=("not_found",))
async def get_dead(call: Call, path: JobPath) -> DeadAnswer:
    """One failed job: what was asked, why it failed, and how its unreadable pages begin."""
    async with call.works() as conn:
        job = await views.get_job(conn, path.job)
        if job is None or job.state != "failed":
            raise Problem("not_found")
        bad = [one for one in await views.pages_of(conn, path.job) if one.state in ("dead", "malformed")]
        pages = [await _dead_page(conn, one) for one in bad[:AT_ONCE_MAX]]
        await note(call, conn, "dead_letters.read", path.job)
    return DeadAnswer(job=owned_job(job), pages=pages)


@routes.post(
    "/dead-letters/replay",
    needs="admin:write",
    status=202,
    idempotent=True,
    example={"error": "the page could not be read", "limit": 10},
)
async def replay(call: Call, body: Chosen) -> Reply[Replayed]:
    """Ask again for dead letters, at most 100 at a time; pages that are there are not paid for again."""
    made: dict[UUID, str] = {}

    async def effect(conn: AsyncConnection) -> Reply[Replayed]:
        wanted = await _chosen(conn, body)
        done = await dead.replay(conn, wanted, now=call.parts.now())
        made.update(await _queues(conn, wanted))
        await note(call, conn, "dead_letters.replay", _in_words(body, wanted))
        return Reply(Replayed(len(done.queues), done.left), status=202)

    reply = await once(call, body, effect, opened=call.works)
    await hint(call, made)
    return reply


@routes.post(
    "/dead-letters/purge",
    needs="admin:write",
    idempotent=True,
    example={"error": "there is no dataset", "reason": "asked by mistake"},
)
async def purge(call: Call, body: Unwanted) -> Reply[Purged]:
    """Forget dead letters that paid for nothing, at most 100 at a time."""

    async def effect(conn: AsyncConnection) -> Reply[Purged]:
        wanted = await _chosen(conn, body)
        gone = await dead.purge(conn, wanted)
        await note(call, conn, "dead_letters.purge", f"{_in_words(body, wanted)}{_why(body)}")
        return Reply(Purged(gone, len(wanted) - gone))

    return await once(call, body, effect, opened=call.works)


async def _chosen(conn: AsyncConnection, body: Chosen) -> list[UUID]:
    if (body.jobs is None) == (body.error is None):
        raise Problem("invalid", "give jobs or error: one of the two", field="jobs")
    if body.jobs is not None:
        return sorted(set(body.jobs))
    return await dead.find(conn, error=body.error, provider=body.provider, limit=body.limit)


async def _queues(conn: AsyncConnection, replayed: list[UUID]) -> dict[UUID, str]:
    """Say where the hints of those go that want a worker; the dispatcher sees to the pages of the others."""
    asked = text("SELECT id, queue FROM jobs WHERE id = ANY(:ids) AND state = 'queued'")
    return {row.id: row.queue for row in await conn.execute(asked, {"ids": replayed})}


async def _dead_page(conn: AsyncConnection, one: PageView) -> DeadPage:
    body = await views.body_of(conn, one.id) or b""
    return DeadPage(
        id=one.id,
        state=one.state,
        reason=one.reason,
        fetched_at=one.fetched_at,
        bytes=one.body_bytes,
        excerpt=body[:EXCERPT_BYTES].decode("utf-8", "replace"),
    )


def _group(one: DeadGroup) -> GroupAnswer:
    return GroupAnswer(**{name: getattr(one, name) for name in GroupAnswer.__struct_fields__})


def _why(body: Unwanted) -> str:
    return f"; reason: {body.reason}" if body.reason else ""


def _in_words(body: Chosen, wanted: Sequence[UUID]) -> str:
    chosen_by = f"error: {body.error}: " if body.error else ""
    return chosen_by + ", ".join(map(str, wanted))
