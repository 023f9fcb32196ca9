"""Jobs as clients write and read them: exactly these fields, nothing of queues, workers or leases."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from msgspec import Meta, Struct

from broker.kinds import kinds
from broker.reparse import REPARSE
from broker.views import JobState, JobView, PageView
from gateway.paging import Listing
from gateway.texts import PRINTABLE, Name, When

BATCH_MAX = 100


Kind = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=100,
        pattern=PRINTABLE,
        extra_json_schema={"enum": [kind for kind in kinds() if kind != REPARSE]},
    ),
]
"""A kind that can be asked for; another is refused with a sentence that names them, not with a bare list."""


class JobPath(Struct, forbid_unknown_fields=True):
    """Which job."""

    job: UUID


class JobRequest(Struct, forbid_unknown_fields=True):
    """What is asked for: a kind, and args as its JSON Schema says (docs/messages.md)."""

    kind: Kind
    args: Annotated[dict[str, Any], Meta(description="At most 64 kB; fits the JSON Schema of its kind")] = {}
    priority: Annotated[int, Meta(ge=-100, le=100, description="Higher goes first; above 0 for administrators")] = 0


Batch = Annotated[list[JobRequest], Meta(min_length=1, max_length=BATCH_MAX)]


class JobListing(Listing, forbid_unknown_fields=True, kw_only=True):
    """Which jobs; ``since`` is when they were asked for."""

    state: JobState | None = None
    kind: Name | None = None
    provider: Name | None = None
    since: When | None = None


class Counts(Struct, forbid_unknown_fields=True):
    """Rows by what became of them."""

    found: int
    new: int
    duplicate: int
    amended: int
    rejected: int
    skipped: int
    observed: int


class Progress(Struct, forbid_unknown_fields=True):
    """Pages that have landed and are posted; ``total`` where it is known; ``text`` for people."""

    landed: int
    posted: int
    total: int | None
    text: str


class JobAnswer(Struct, forbid_unknown_fields=True, kw_only=True):
    """A job as it stands; ``outcome`` once it has ended, ``reason`` and ``waits_until`` while it waits."""

    id: UUID
    kind: str
    args: dict[str, Any]
    priority: int
    state: JobState
    outcome: str | None
    reason: str | None
    waits_until: datetime | None
    attempt: int
    progress: Progress
    counts: Counts
    calls: int
    cost: Annotated[int, Meta(description="Calls or credits, as the provider counts them")]
    last_error: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class PageReject(Struct, forbid_unknown_fields=True):
    """A row that was refused: its place in the page, from 0, and why."""

    position: int
    reason: str


class PageAnswer(Struct, forbid_unknown_fields=True, kw_only=True):
    """A page that a job has received: which call brought it, and what became of its rows."""

    id: UUID
    number: int
    provider: str
    dataset: str
    request: dict[str, Any]
    fetched_at: datetime
    bytes: int
    cost: int
    state: str
    reason: str | None
    counts: Counts
    rejects: list[PageReject]
    warnings: list[str]
    posted_at: datetime | None


def job_fields(job: JobView) -> dict[str, Any]:
    """Give the fields of a JobAnswer."""
    return {
        "id": job.id,
        "kind": job.kind,
        "args": dict(job.args),
        "priority": job.priority,
        "state": job.state,
        "outcome": job.outcome,
        "reason": job.reason,
        "waits_until": job.run_at if job.state == "waiting" else None,
        "attempt": job.attempt,
        "progress": Progress(job.landed, job.posted, job.landed if job.exhausted else job.pages_total, job.progress),
        "counts": _counts(job),
        "calls": job.calls,
        "cost": job.cost,
        "last_error": job.last_error,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
    }


def job_answer(job: JobView) -> JobAnswer:
    """Tell a job."""
    return JobAnswer(**job_fields(job))


def page_answer(page: PageView) -> PageAnswer:
    """Tell a page without its body."""
    return PageAnswer(
        id=page.id,
        number=page.seq,
        provider=page.provider,
        dataset=page.dataset,
        request=dict(page.request),
        fetched_at=page.fetched_at,
        bytes=page.body_bytes,
        cost=page.cost,
        state=page.state,
        reason=page.reason,
        counts=_counts(page),
        rejects=[PageReject(bad["position"], bad["reason"]) for bad in page.rejects],
        warnings=list(page.warnings),
        posted_at=page.posted_at,
    )


def _counts(of: JobView | PageView) -> Counts:
    return Counts(of.found, of.new, of.duplicate, of.amended, of.rejected, of.skipped, of.observed)
