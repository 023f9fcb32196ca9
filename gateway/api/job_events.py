"""Following one job: what is told, and when to stop.

The id of an event is a digest of the job as it was told, so that any gateway process can see from Last-Event-ID whether
the client knows the job as it stands.  A stream ends after a few minutes; clients of server-sent events come back by
themselves, with a token that is still good.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from hashlib import sha256
from uuid import UUID

import msgspec

from broker.views import JobView
from gateway.api.job_shapes import JobAnswer, job_answer
from gateway.call import Call
from gateway.eventstream import HEARTBEAT, EventStream, event
from gateway.problems import Problem
from gateway.routes import Reply

FOLLOWING_MAX = 5
"""Streams that one user may have open at one gateway process."""
LOOK_EVERY_S = 0.5
HEARTBEAT_S = 15.0
LASTS_S = 300.0
BACK_AFTER_MS = 1000

Look = Callable[[], Awaitable[JobView]]
Again = Callable[[], Awaitable[JobView | None]]


async def follow(call: Call, job: UUID, look: Look) -> EventStream | Reply[None]:
    """Open a stream of the job that ``look`` reads as its owner.

    Raises Problem ``not_found`` as ``look`` does, ``too_many_streams``.
    """
    first, seen = job_answer(await look()), call.request.headers.get("Last-Event-ID")
    if first.finished_at is not None and seen == mark(first):
        return Reply(None, status=204)  # which tells an EventSource not to come back
    following, user = call.parts.following, call.principal.user
    if following[user] >= FOLLOWING_MAX:
        detail = f"at most {FOLLOWING_MAX} streams at once; end one first"
        raise Problem("too_many_streams", detail, headers={"Retry-After": "1"}, job=str(job))

    def again() -> Awaitable[JobView | None]:
        return call.parts.watch.next(call.parts.database, job, after_s=LOOK_EVERY_S)

    async def counted() -> AsyncGenerator[bytes, None]:
        following[user] += 1
        try:
            yield b""  # so far it runs before the answer begins: what has begun is also ended
            async for chunk in _told(first, again, seen):
                yield chunk
        finally:
            following[user] -= 1
            if not following[user]:
                del following[user]

    chunks = counted()
    await anext(chunks)
    return EventStream(chunks)


async def _told(job: JobAnswer, again: Again, seen: str | None) -> AsyncGenerator[bytes, None]:
    clock = asyncio.get_running_loop().time
    until, quiet_until, state = clock() + LASTS_S, clock() + HEARTBEAT_S, None
    yield b"retry: %d\n\n" % BACK_AFTER_MS
    while clock() < until:
        if (now := mark(job)) != seen:
            ended = job.finished_at is not None
            name = "end" if ended else "progress" if job.state == state else "state"
            yield event(name, msgspec.to_builtins(job), ident=now)
            seen, quiet_until = now, clock() + HEARTBEAT_S
        if job.finished_at is not None:
            return
        if clock() >= quiet_until:
            yield HEARTBEAT
            quiet_until = clock() + HEARTBEAT_S
        state = job.state
        # None while the database restarts, and of a job that was purged: the client learns of it when it comes back.
        if (found := await again()) is not None:
            job = job_answer(found)


def mark(job: JobAnswer) -> str:
    """Tell one standing of a job from another."""
    return sha256(msgspec.json.encode(job)).hexdigest()[:16]
