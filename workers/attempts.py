"""What a call's end means for its job, its provider and its budget."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from broker import jobs, providers
from broker.jobs import Claimed
from broker.limiter import Done, LimiterUnreachable
from broker.limits import period_at
from broker.verdicts import Lease
from workers.database import transact
from workers.items import (
    Misconfigured,
    NotThere,
    Provider,
    ProviderError,
    QuotaUsedUp,
    Refused,
    Request,
    RetryLater,
    Usage,
)
from workers.retry import backoff
from workers.works import Works

log = structlog.get_logger(__name__)

HELP_LOOKED_FOR_EVERY = timedelta(minutes=15)
PERIOD_UNKNOWN = timedelta(hours=1)
RATE_WINDOW_MAX = timedelta(hours=1)  # a window that turns later is looked at again by then


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call under way: for which job, of whom, with what right, since when."""

    job: Claimed
    provider: Provider
    request: Request
    lease: Lease
    asked_at: datetime


async def went_well(works: Works, attempt: Attempt, usage: Usage, done: Callable[[Done], Awaitable[None]]) -> bool:
    """Tell the limiter that the provider works, and what the call really cost; say whether the lease was given back."""
    charged = attempt.request.cost if usage.cost is None else usage.cost
    try:
        await done(Done(attempt.lease, charged, usage.remaining))
        if usage.rate_remaining == 0 and usage.rate_reset_s:
            turns = works.clock() + timedelta(seconds=min(usage.rate_reset_s, RATE_WINDOW_MAX.total_seconds()))
            await works.limiter.close_until(attempt.provider.name, turns, "its rate window is full")
    except LimiterUnreachable:
        log.warning("limiter_away")  # the calls table knows what was spent
        return False
    return True


async def gave_trouble(works: Works, attempt: Attempt, error: ProviderError) -> None:
    """Write the failed call down, and do what the error's name says."""
    now, usage = works.clock(), error.usage or Usage()
    name, cost = attempt.provider.name, _cost(attempt, error)
    call = providers.Call(
        provider=name,
        dataset=attempt.job.args["dataset"],
        job=attempt.job.id,
        at=attempt.asked_at,
        status=error.status,
        outcome=type(error).__name__,
        cost=cost,
        seconds=(now - attempt.asked_at).total_seconds(),
    )

    number = await transact(works.database, providers.call_number)

    async def write(conn: AsyncConnection) -> None:
        await providers.called(conn, call, number=number, remaining=usage.remaining)
        await _move_job(conn, works, attempt, error, now)

    await transact(works.database, write)
    works.observer.called(call)
    log.warning("call_failed", provider=name, outcome=call.outcome, status=call.status, error=str(error))
    await _tell_limiter(works, attempt, error, cost, now)


async def _move_job(conn: AsyncConnection, works: Works, attempt: Attempt, error: ProviderError, now: datetime) -> None:
    job, provider, text = attempt.job, attempt.provider, str(error)
    match error:
        case NotThere() if job.seq > 1:
            await jobs.end_of_list(conn, job, now=now)
        case Refused():
            await jobs.fail(conn, job, error=text, now=now)
        case Misconfigured():
            await providers.found(conn, provider.name, "disabled", reason=text, now=now)
            until, reason = now + HELP_LOOKED_FOR_EVERY, f"provider {provider.name} is disabled: {text}"
            await jobs.put_off(conn, job, until=until, reason=reason, error=text, counted=False)
        case QuotaUsedUp():
            until = quota_until(provider, error, now)
            await providers.found(conn, provider.name, "used_up", reason=text, until=until, now=now)
            reason = f"provider {provider.name} is used up until {until:%Y-%m-%d %H:%M}Z: {text}"
            await jobs.put_off(conn, job, until=until, reason=reason, error=text, counted=False)
        case _:
            await _again_later(conn, works, job, error, now)


async def _again_later(conn: AsyncConnection, works: Works, job: Claimed, error: ProviderError, now: datetime) -> None:
    wait = backoff(error, job.attempt, works.rng, now)
    # Being told to slow down is no fault of the job: it waits longer each time, but it never dies of it.
    patient = isinstance(error, RetryLater) and error.rate_limited
    if wait is None or (job.attempt >= works.policy.attempts_max and not patient):
        await jobs.fail(conn, job, error=f"gave up after {job.attempt} attempts: {error}", now=now)
    else:
        counted = job.attempt < works.policy.attempts_max  # the patient stay at the last attempt
        reason = f"retry {job.attempt}: {error}"
        await jobs.put_off(conn, job, until=now + wait, reason=reason, error=str(error), counted=counted)


def quota_until(provider: Provider, error: QuotaUsedUp, now: datetime) -> datetime:
    """Say when a used-up quota comes back: as told, else when the budget's period turns, else look in an hour."""
    if error.until is not None:
        return error.until
    budget = provider.limits.budget
    return period_at(budget.period, now).end if budget else now + PERIOD_UNKNOWN


def _cost(attempt: Attempt, error: ProviderError) -> int:
    if error.usage is not None and error.usage.cost is not None:
        return error.usage.cost
    # A budget of calls counts every call; credits are charged for what was delivered.
    budget = attempt.provider.limits.budget
    return attempt.request.cost if budget is None or budget.unit == "calls" else 0


async def _tell_limiter(works: Works, attempt: Attempt, error: ProviderError, cost: int, now: datetime) -> None:
    name, limiter = attempt.provider.name, works.limiter
    try:
        await limiter.settle(attempt.lease, charged=cost, remaining=error.usage.remaining if error.usage else None)
        match error:
            case RetryLater(rate_limited=True):
                wait = error.after or timedelta(seconds=1)
                await limiter.close_until(name, now + wait, f"{name} asked to slow down")
            case QuotaUsedUp():
                await limiter.close_until(name, quota_until(attempt.provider, error, now), str(error), "quota")
            case Misconfigured() | Refused():
                await limiter.succeeded(name)  # it answers, and sensibly
            case _:
                await limiter.failed(name)
    except LimiterUnreachable:
        log.warning("limiter_away")
