"""Everybody's jobs: for administrators, on addresses of their own, and each look is recorded."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from broker import jobs, views
from broker.views import JobView
from gateway.api.job_shapes import JobAnswer, JobListing, JobPath, PageAnswer, job_fields, page_answer
from gateway.api.jobs import PageListing, PagePlace, page_place
from gateway.audited import note
from gateway.call import Call
from gateway.idempotency import once
from gateway.paging import Page, after, page
from gateway.problems import Problem
from gateway.routes import Reply, Routes
from gateway.texts import Name, moment

routes = Routes("all-jobs")


class AllListing(JobListing, forbid_unknown_fields=True, kw_only=True):
    """Which jobs, of whom, of which stream."""

    owner: Name | None = None
    stream: Name | None = None


class OwnedJob(JobAnswer, forbid_unknown_fields=True, kw_only=True):
    """A job, whose it is, and where it is worked on."""

    owner: str
    stream: str | None
    queue: str


class JobPlace(NamedTuple):
    """Where a job stands in the list."""

    id: UUID


@routes.get("/admin/jobs", needs="admin:read", problems=("invalid_cursor",))
async def list_all_jobs(call: Call, query: AllListing) -> Page[OwnedJob]:
    """Jobs of every owner, the newest first."""
    behind, since = after(call, query, JobPlace), moment("since", query.since)
    async with call.works() as conn:
        found = await views.list_jobs(
            conn,
            state=query.state,
            kind=query.kind,
            provider=query.provider,
            owner=query.owner,
            stream=query.stream,
            since=since,
            before=behind.id if behind else None,
            limit=query.limit + 1,
        )
        await note(call, conn, "jobs.read", query.owner or "all")
    return page(call, query, found, lambda job: JobPlace(job.id), owned_job)


@routes.get("/admin/jobs/{job}", needs="admin:read", problems=("not_found",))
async def get_any_job(call: Call, path: JobPath) -> OwnedJob:
    """One job, whoever it belongs to."""
    async with call.works() as conn:
        job = await _existing(conn, path.job)
        await note(call, conn, "jobs.read", path.job)
    return owned_job(job)


@routes.get("/admin/jobs/{job}/pages", needs="admin:read", problems=("not_found", "invalid_cursor"))
async def list_any_pages(call: Call, path: JobPath, query: PageListing) -> Page[PageAnswer]:
    """What a job received, page by page, with every row that was refused and why, whoever it belongs to."""
    behind = after(call, query, PagePlace)
    async with call.works() as conn:
        await _existing(conn, path.job)
        found = await views.pages_of(conn, path.job, after=behind, limit=query.limit + 1)
        await note(call, conn, "jobs.read", path.job)
    return page(call, query, found, page_place, page_answer)


@routes.post("/admin/jobs/{job}/cancel", needs="admin:write", idempotent=True, problems=("not_found", "conflict"))
async def cancel_any_job(call: Call, path: JobPath) -> Reply[OwnedJob]:
    """Stop somebody's job that has not ended; 409 for one that has."""

    async def effect(conn: AsyncConnection) -> Reply[OwnedJob]:
        stopped = await jobs.cancel(conn, path.job, now=call.parts.now())
        job = await _existing(conn, path.job)
        if not stopped:
            raise Problem("conflict", f"the job has ended: {job.state}")
        await note(call, conn, "job.cancel", path.job)
        return Reply(owned_job(job))

    return await once(call, None, effect, opened=call.works)


async def _existing(conn: AsyncConnection, job: UUID) -> JobView:
    found = await views.get_job(conn, job)
    if found is None:
        raise Problem("not_found")
    return found


def owned_job(job: JobView) -> OwnedJob:
    """Tell a job with its owner."""
    return OwnedJob(**job_fields(job), owner=job.owner, stream=job.stream, queue=job.queue)
