"""What was asked for: ask, list, look, follow, cancel, ask again.  Everybody sees the jobs of their own."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import NamedTuple, TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from broker import jobs as rows
from broker import views
from broker.jobs import NewJob
from broker.views import JobView, PageView
from gateway.api import job_events
from gateway.api.job_shapes import (
    Batch,
    JobAnswer,
    JobListing,
    JobPath,
    JobRequest,
    PageAnswer,
    job_answer,
    page_answer,
)
from gateway.audited import note_refusal
from gateway.call import Call
from gateway.enqueueing import enqueue, hint, leave_room, new_job
from gateway.eventstream import MEDIA_TYPE, EventStream
from gateway.idempotency import once
from gateway.paging import Listing, Page, after, page
from gateway.problems import Problem
from gateway.routes import Reply, Routes
from gateway.texts import moment

routes = Routes("jobs")
Done = TypeVar("Done")


@routes.post(
    "/jobs",
    needs="jobs:write",
    status=202,
    key_required=True,
    problems=("too_large", "forbidden", "queue_quota"),
    example={
        "kind": "fetch",
        "args": {"provider": "cryptopanic", "dataset": "posts", "params": {"currencies": "BTC"}},
    },
)
async def ask_for_jobs(call: Call, body: JobRequest | Batch) -> Reply[JobAnswer | list[JobAnswer]]:
    """Ask for a job, or for a batch of up to 100.

    A batch is all or nothing.  The answer comes when the jobs are kept; `Location` is where one can be followed.  Each
    owner may have 100 jobs under way.
    """
    asked = body if isinstance(body, list) else [body]
    new = [_checked(call, one, n if isinstance(body, list) else None) for n, one in enumerate(asked)]
    made: dict[UUID, str] = {}

    async def effect(conn: AsyncConnection) -> Reply[JobAnswer | list[JobAnswer]]:
        answers = await _made(call, conn, new, made)
        return Reply(answers if isinstance(body, list) else answers[0], status=202)

    reply = await once(call, body, effect, required=True)
    await hint(call, made)
    where = {} if isinstance(body, list) else {"Location": f"{call.request.path}/{_id(reply.value)}"}
    return Reply(reply.value, status=reply.status, headers={**reply.headers, **where})


def _checked(call: Call, asked: JobRequest, place: int | None) -> NewJob:
    try:
        return new_job(call, asked.kind, asked.args, priority=asked.priority)
    except Problem as problem:
        if place is not None:
            problem.extra["job"] = place
        raise


async def _made(call: Call, conn: AsyncConnection, new: Sequence[NewJob], made: dict[UUID, str]) -> list[JobAnswer]:
    receipts = await enqueue(call, conn, new)
    made.update({receipt.id: job.queue for receipt, job in zip(receipts, new, strict=True)})
    read = {job.id: job for job in await views.get_jobs(conn, list(made))}
    return [job_answer(read[receipt.id]) for receipt in receipts]


def _id(told: object) -> object:
    """The id of a job as it was answered; told again, it is what was kept: a mapping."""
    return told["id"] if isinstance(told, dict) else getattr(told, "id", None)


class JobPlace(NamedTuple):
    """Where a job stands in a list."""

    id: UUID


@routes.get("/jobs", needs="jobs:read", problems=("invalid_cursor",))
async def list_jobs(call: Call, query: JobListing) -> Page[JobAnswer]:
    """Your jobs, the newest first."""
    behind, since = after(call, query, JobPlace), moment("since", query.since)
    async with call.rows() as conn:
        found = await views.list_jobs(
            conn,
            state=query.state,
            kind=query.kind,
            provider=query.provider,
            owner=call.principal.user,
            since=since,
            before=behind.id if behind else None,
            limit=query.limit + 1,
        )
    return page(call, query, found, lambda job: JobPlace(job.id), job_answer)


@routes.get("/jobs/{job}", needs="jobs:read", problems=("not_found",))
async def get_job(call: Call, path: JobPath) -> JobAnswer:
    """One job: state, progress, counts, last error."""
    return job_answer(await one(call, path.job))


class PagePlace(NamedTuple):
    """Where a page stands in its job."""

    seq: int
    id: UUID


class PageListing(Listing, forbid_unknown_fields=True, kw_only=True):
    """All pages of the job."""


@routes.get("/jobs/{job}/pages", needs="jobs:read", problems=("not_found", "invalid_cursor"))
async def list_pages(call: Call, path: JobPath, query: PageListing) -> Page[PageAnswer]:
    """What a job received, page by page, with every row that was refused and why."""
    behind = after(call, query, PagePlace)
    async with call.rows() as conn:
        if await views.get_job(conn, path.job) is None:
            raise Problem("not_found")
        found = await views.pages_of(conn, path.job, after=behind, limit=query.limit + 1)
    return page(call, query, found, page_place, page_answer)


def page_place(one: PageView) -> PagePlace:
    """Say where a page stands."""
    return PagePlace(one.seq, one.id)


@routes.get(
    "/jobs/{job}/events",
    needs="jobs:read",
    media_type=MEDIA_TYPE,
    also={204: None},
    problems=("not_found", "too_many_streams"),
)
async def follow_job(call: Call, path: JobPath) -> EventStream | Reply[None]:
    """One job as server-sent events: `state`, `progress`, and `end` when it has ended.

    The data of each event is the job as GET gives it.  A client that comes back with `Last-Event-ID` is told what it
    has not seen, or 204 when there is nothing more to come.
    """
    return await job_events.follow(call, path.job, lambda: one(call, path.job))


@routes.post("/jobs/{job}/cancel", needs="jobs:write", idempotent=True, problems=("not_found", "conflict"))
async def cancel_job(call: Call, path: JobPath) -> Reply[JobAnswer]:
    """Stop a job that has not ended.

    A page it has already paid for is still posted.  409 for a job that has ended.
    """

    async def effect(conn: AsyncConnection) -> Reply[JobAnswer]:
        stopped = await rows.cancel(conn, path.job, now=call.parts.now())
        job = await views.get_job(conn, path.job)
        if job is None:
            raise Problem("not_found")
        if not stopped:
            raise Problem("conflict", f"the job has ended: it {_ended(job)}")
        return Reply(job_answer(job))

    return await _known(call, "job.cancel", path.job, once(call, None, effect))


@routes.post(
    "/jobs/{job}/retry",
    needs="jobs:write",
    status=202,
    idempotent=True,
    problems=("not_found", "conflict", "queue_quota"),
)
async def retry_job(call: Call, path: JobPath) -> Reply[JobAnswer]:
    """Ask again for a job that failed.

    Nothing that is there is paid for again.  A cancelled job can be asked for again before its first page; 409 for any
    other.
    """
    made: dict[UUID, str] = {}

    async def effect(conn: AsyncConnection) -> Reply[JobAnswer]:
        if await views.get_job(conn, path.job) is None:
            raise Problem("not_found")
        await leave_room(call, conn, 1)
        queue = await rows.retry(conn, path.job, now=call.parts.now())
        if queue is None:
            raise Problem("conflict", "only a job that failed, or was cancelled before its first page, can be retried")
        made[path.job] = queue
        return Reply(job_answer((await views.get_jobs(conn, [path.job]))[0]), status=202)

    reply = await _known(call, "job.retry", path.job, once(call, None, effect))
    await hint(call, made)
    return reply


async def one(call: Call, job: UUID) -> JobView:
    """Read one of the asker's jobs; raise Problem ``not_found``, the same for other people's and for none."""
    async with call.rows() as conn:
        found = await views.get_job(conn, job)
    if found is None:
        raise Problem("not_found")
    return found


async def _known(call: Call, action: str, job: UUID, doing: Awaitable[Done]) -> Done:
    """Do it; write down who tried it on a job that is not theirs, if there is one at all."""
    try:
        return await doing
    except Problem as problem:
        if problem.code == "not_found":
            await note_refusal(call, action, job)
        raise


def _ended(job: JobView) -> str:
    return job.state if job.state != "cancelled" else "was cancelled"
