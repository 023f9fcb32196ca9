"""What is asked for again and again: administrators say what, how often, and whether at all."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar, NamedTuple
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType
from sqlalchemy.ext.asyncio import AsyncConnection

from broker import jobs, streams, views
from broker.streams import NewStream, Stream
from broker.timetable import BadScheduleError, cron_after, pull_job
from gateway.api.job_shapes import JobAnswer, job_answer
from gateway.audited import note
from gateway.call import Call
from gateway.enqueueing import check_provider, hint
from gateway.idempotency import once
from gateway.paging import Listing, Page, after, page
from gateway.problems import Problem
from gateway.routes import Reply, Routes
from gateway.texts import Name, Reason, either

YEAR_S = 366 * 86_400
StreamName = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@-]*$")]
Every = Annotated[int, Meta(ge=10, le=YEAR_S, description="Seconds from one pull to the next")]
Cron = Annotated[str, Meta(max_length=100, description="minute hour day month weekday, in UTC; instead of interval_s")]
Overlap = Annotated[int, Meta(ge=0, le=YEAR_S, description="Seconds that a pull reads behind the one before")]
Priority = Annotated[int, Meta(ge=-100, le=100)]

routes = Routes("streams")


class StreamPath(Struct, forbid_unknown_fields=True):
    """Which stream."""

    stream: Annotated[str, Meta(min_length=1, max_length=200)]


class StreamListing(Listing, forbid_unknown_fields=True, kw_only=True):
    """All streams."""


class StreamRequest(Struct, forbid_unknown_fields=True, kw_only=True):
    """A new stream: whom to ask for what, and either interval_s or cron."""

    name: StreamName
    provider: Name
    dataset: Name
    params: dict[str, Any] = {}
    interval_s: Every | None = None
    cron: Cron | None = None
    overlap_s: Overlap = 3600
    priority: Priority = 0

    TOGETHER: ClassVar = either(interval_s="integer", cron="string")


class Schedule(Struct, forbid_unknown_fields=True, kw_only=True):
    """What to change; what is left out stays."""

    interval_s: Every | UnsetType = UNSET
    cron: Cron | UnsetType = UNSET
    overlap_s: Overlap | UnsetType = UNSET
    priority: Priority | UnsetType = UNSET

    TOGETHER: ClassVar = {"not": {"required": ["interval_s", "cron"]}}


class PauseRequest(Struct, forbid_unknown_fields=True):
    """Why, for others to read."""

    reason: Reason


class RunRequest(Struct, forbid_unknown_fields=True):
    """``backfill`` reads the whole list to its end, known or not."""

    backfill: bool = False


class StreamAnswer(Struct, forbid_unknown_fields=True, kw_only=True):
    """A stream as it stands; ``watermark`` is the newest moment of its last complete pull."""

    name: str
    provider: str
    dataset: str
    params: dict[str, Any]
    interval_s: int | None
    cron: str | None
    overlap_s: int
    priority: int
    watermark: datetime | None
    enabled: bool
    pause_reason: str | None
    next_run_at: datetime | None


class StreamDetail(Struct, forbid_unknown_fields=True, kw_only=True):
    """A stream and what its last run did."""

    stream: StreamAnswer
    last_job: JobAnswer | None


class StreamPlace(NamedTuple):
    """Where a stream stands in the list."""

    name: str


@routes.get("/streams", needs="admin:read", problems=("invalid_cursor",))
async def list_streams(call: Call, query: StreamListing) -> Page[StreamAnswer]:
    """All streams, by name."""
    behind = after(call, query, StreamPlace)
    async with call.works() as conn:
        found = [one for one in await streams.listed(conn) if behind is None or one.name > behind.name]
    found.sort(key=lambda one: one.name)
    return page(call, query, found[: query.limit + 1], lambda one: StreamPlace(one.name), stream_answer)


@routes.get("/streams/{stream}", needs="admin:read", problems=("not_found",))
async def get_stream(call: Call, path: StreamPath) -> StreamDetail:
    """One stream and its last job."""
    async with call.works() as conn:
        found = await existing(conn, path.stream)
        last = await views.list_jobs(conn, stream=found.name, limit=1)
    return StreamDetail(stream=stream_answer(found), last_job=job_answer(last[0]) if last else None)


@routes.post(
    "/streams",
    needs="admin:write",
    status=201,
    idempotent=True,
    problems=("conflict",),
    example={"name": "btc-posts", "provider": "cryptopanic", "dataset": "posts", "interval_s": 600},
)
async def add_stream(call: Call, body: StreamRequest) -> Reply[StreamAnswer]:
    """Add a stream; it is due at once.

    409 when there is one of that name: its schedule is changed with PATCH.
    """
    if (body.interval_s is None) == (body.cron is None):
        raise Problem("invalid", "give interval_s or cron: one of the two", field="interval_s")
    _check_cron(call, body.cron)
    check_provider(call, "fetch", {"provider": body.provider, "dataset": body.dataset, "params": body.params})
    new = NewStream(
        body.name,
        body.provider,
        body.dataset,
        body.params,
        interval_s=body.interval_s,
        cron=body.cron,
        overlap_s=body.overlap_s,
        priority=body.priority,
    )

    async def effect(conn: AsyncConnection) -> Reply[StreamAnswer]:
        if await streams.named(conn, new.name) is not None:
            raise Problem("conflict", f"there is a stream {new.name!r}")
        made = await streams.add(conn, new, now=call.parts.now())
        await note(call, conn, "stream.add", new.name)
        return Reply(stream_answer(made), status=201)

    return await once(call, body, effect, opened=call.works)


@routes.patch("/streams/{stream}", needs="admin:write", problems=("not_found",), example={"interval_s": 1200})
async def schedule_stream(call: Call, path: StreamPath, body: Schedule) -> StreamAnswer:
    """Change how often a stream is pulled, how far back it reads, and how urgent it is."""
    if body.interval_s is not UNSET and body.cron is not UNSET:
        raise Problem("invalid", "give interval_s or cron, not both", field="cron")
    async with call.works() as conn:
        changed = _changed(await existing(conn, path.stream), body)
        _check_cron(call, None if body.cron is UNSET else body.cron)
        made = await streams.add(conn, changed, now=call.parts.now())
        if body.interval_s is not UNSET or body.cron is not UNSET:
            await streams.set_next(conn, made.id, _due(made, call.parts.now()))
        await note(call, conn, "stream.schedule", path.stream)
        return stream_answer(await existing(conn, path.stream))


@routes.post(
    "/streams/{stream}/pause",
    needs="admin:write",
    idempotent=True,
    problems=("not_found",),
    example={"reason": "the quota is kept for another stream"},
)
async def pause_stream(call: Call, path: StreamPath, body: PauseRequest) -> Reply[StreamAnswer]:
    """Stop asking, for a reason that others can read; jobs that are under way go on."""

    async def effect(conn: AsyncConnection) -> Reply[StreamAnswer]:
        await streams.pause(conn, path.stream, reason=body.reason)
        await note(call, conn, "stream.pause", path.stream)
        return Reply(stream_answer(await existing(conn, path.stream)))

    return await once(call, body, effect, opened=call.works)


@routes.post("/streams/{stream}/resume", needs="admin:write", idempotent=True, problems=("not_found",))
async def resume_stream(call: Call, path: StreamPath) -> Reply[StreamAnswer]:
    """Enable a stream: ask again, from now on."""

    async def effect(conn: AsyncConnection) -> Reply[StreamAnswer]:
        await streams.resume(conn, path.stream, now=call.parts.now())
        await note(call, conn, "stream.resume", path.stream)
        return Reply(stream_answer(await existing(conn, path.stream)))

    return await once(call, None, effect, opened=call.works)


@routes.post(
    "/streams/{stream}/run",
    needs="admin:write",
    status=202,
    idempotent=True,
    problems=("not_found", "conflict"),
    example={"backfill": False},
)
async def run_stream(call: Call, path: StreamPath, body: RunRequest) -> Reply[JobAnswer]:
    """Pull a stream now, also a paused one; 409 while one of its jobs is under way."""
    made: dict[UUID, str] = {}

    async def effect(conn: AsyncConnection) -> Reply[JobAnswer]:
        stream = await existing(conn, path.stream)
        last = await views.list_jobs(conn, stream=stream.name, limit=1)
        if last and not last[0].ended:
            raise Problem("conflict", f"job {last[0].id} of this stream is under way")
        new = pull_job(stream, kind="backfill" if body.backfill else "fetch")
        job = (await jobs.enqueue(conn, [new], now=call.parts.now()))[0].id
        made[job] = new.queue
        await note(call, conn, "stream.run", path.stream)
        return Reply(job_answer((await views.get_jobs(conn, [job]))[0]), status=202)

    reply = await once(call, body, effect, opened=call.works)
    await hint(call, made)
    return reply


@routes.delete("/streams/{stream}", needs="admin:write", problems=("not_found",))
async def remove_stream(call: Call, path: StreamPath) -> None:
    """Forget a stream's schedule; what it collected stays."""
    async with call.works() as conn:
        if not await streams.remove(conn, path.stream):
            raise Problem("not_found")
        await note(call, conn, "stream.remove", path.stream)


async def existing(conn: AsyncConnection, name: str) -> Stream:
    """Read a stream; raise Problem ``not_found``."""
    stream = await streams.named(conn, name)
    if stream is None:
        raise Problem("not_found")
    return stream


def stream_answer(stream: Stream) -> StreamAnswer:
    """Tell a stream."""
    return StreamAnswer(**{name: getattr(stream, name) for name in StreamAnswer.__struct_fields__})


def _changed(stream: Stream, by: Schedule) -> NewStream:
    cron = stream.cron if by.cron is UNSET else by.cron
    if by.interval_s is not UNSET:
        cron = None
    return NewStream(
        stream.name,
        stream.provider,
        stream.dataset,
        stream.params,
        interval_s=stream.interval_s if by.interval_s is UNSET else by.interval_s,
        cron=cron,
        overlap_s=stream.overlap_s if by.overlap_s is UNSET else by.overlap_s,
        priority=stream.priority if by.priority is UNSET else by.priority,
    )


def _due(stream: Stream, now: datetime) -> datetime:
    """Say when a changed stream is due: by its cron, or no later than one new interval from now."""
    if stream.cron:
        return cron_after(stream.cron, now)
    return min(stream.next_run_at or now, now + timedelta(seconds=stream.interval_s or 0))


def _check_cron(call: Call, cron: str | None) -> None:
    if cron is None:
        return
    try:
        cron_after(cron, call.parts.now())
    except BadScheduleError as error:
        raise Problem("invalid", f"cron: {error}"[:300], field="cron") from None
