"""From what a client asks to job rows: checked, counted, written; the hint goes out after the commit.

The row is what was asked for, the hint only saves time: a broker that is away changes nothing but how soon work
begins, and the dispatcher says it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
import structlog
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from broker import due, jobs, views
from broker.jobs import NewJob, Receipt
from broker.kinds import UnfitJobError, check, queue_of
from broker.messages import WorkOnJob
from broker.producer import BrokerUnreachableError
from gateway.call import Call
from gateway.problems import Problem

log = structlog.get_logger(__name__)

ARGS_BYTES_MAX = 64 * 1024
HINT_S = 1.0  # longer than a broker takes, shorter than a client waits
MORE_THAN_WRITING_JOBS = {"ledger.trades": "ledger:write", "ledger.prices": "admin:write"}
"""What a kind needs beside ``jobs:write``: trades change books, prices change everybody's."""


def new_job(
    call: Call, kind: str, args: Mapping[str, Any], *, priority: int = 0, bytes_max: int = ARGS_BYTES_MAX
) -> NewJob:
    """Check what is asked for, and make it the asker's.

    Raises Problem ``invalid`` for what does not fit its kind, ``too_large``, ``insufficient_scope``, and ``forbidden``
    for somebody else's books or a place before everybody else's jobs.
    """
    needed = MORE_THAN_WRITING_JOBS.get(kind)
    if needed is not None and needed not in call.principal.scopes:
        raise lacks(needed)
    if priority > 0 and "admin:write" not in call.principal.scopes:
        raise Problem("forbidden", "priority: only administrators put jobs before those of others", field="priority")
    if len(msgspec.json.encode(args)) > bytes_max:
        raise Problem("too_large", f"args: at most {bytes_max} bytes of JSON", field="args")
    given = _own(call, kind, args)
    try:
        check(kind, given)
        queue = queue_of(kind, given)
    except UnfitJobError as error:
        raise Problem("invalid", str(error), field="args") from None
    check_provider(call, kind, given)
    return NewJob(kind, queue, given, owner=call.principal.user, priority=priority)


def check_provider(call: Call, kind: str, args: Mapping[str, Any]) -> None:
    """Raise Problem ``invalid`` for what no provider could do: nobody would ever look at its queue."""
    known = call.parts.providers.limits
    if "provider" in args and args["provider"] not in known:
        why: str | None = f"there is no provider {args['provider']!r}; there are {', '.join(sorted(known))}"
    else:
        why = call.parts.misfit(kind, args)
    if why is not None:
        raise Problem("invalid", why, field="args")


def lacks(scope: str) -> Problem:
    """Refuse a token that does not say enough (RFC 6750, section 3.1)."""
    challenge = f'Bearer error="insufficient_scope", scope="{scope}"'
    return Problem("insufficient_scope", f"this needs the scope {scope}", headers={"WWW-Authenticate": challenge})


def _own(call: Call, kind: str, args: Mapping[str, Any]) -> Mapping[str, Any]:
    if kind != "ledger.trades":
        return args
    if args.get("user", call.principal.user) != call.principal.user:
        raise Problem("forbidden", "args.user: trades are posted to the books of who asks", field="args.user")
    return {**args, "user": call.principal.user}


async def enqueue(call: Call, conn: AsyncConnection, new: Sequence[NewJob]) -> list[Receipt]:
    """Write the asker's jobs inside ``call.rows()``; raise Problem ``queue_quota`` if too many would be under way.

    Call ``hint`` with their queues after the commit.
    """
    await leave_room(call, conn, len(new))
    return await jobs.enqueue(conn, new, now=call.parts.now())


async def leave_room(call: Call, conn: AsyncConnection, more: int) -> None:
    """Raise Problem ``queue_quota`` unless so many more jobs of the asker may be under way; held to the commit."""
    owner, most = call.principal.user, call.parts.jobs_max
    # One at a time for each owner, or two requests would both count before either has written.
    await conn.execute(_ONE_AT_A_TIME, {"name": f"jobs of {owner}"})
    live = await views.count_live(conn, owner)
    if live + more > most:
        detail = f"{live} of at most {most} jobs are under way, and {more} more were asked for"
        raise Problem("queue_quota", detail, headers={"Retry-After": "5"}, under_way=live, limit=most)


async def hint(call: Call, made: Mapping[Any, str]) -> None:
    """Tell the workers of ``made`` (job id to queue), as far as the broker can be reached within a second."""
    if not made:
        return
    try:
        async with asyncio.timeout(HINT_S):
            await call.parts.producer.send([WorkOnJob(queue) for queue in made.values()])
    except (BrokerUnreachableError, TimeoutError) as error:
        log.warning("hint_not_sent", jobs=len(made), error=type(error).__name__)
        await _leave_to_the_dispatcher(call, made)


async def _leave_to_the_dispatcher(call: Call, made: Collection[Any]) -> None:
    try:
        async with call.parts.database.begin() as conn:
            await due.unsay(conn, list(made))
    except (SQLAlchemyError, OSError):
        pass  # a hint that is marked and was never sent is found out a little later


_ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
