"""Who is called, what is left to spend, and how well they answer: for administrators."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal

from msgspec import Meta, Struct
from sqlalchemy.ext.asyncio import AsyncConnection

from broker import providers, views
from broker.limiter import LimiterUnreachable
from broker.providers import Standing, State
from broker.verdicts import BreakerState, ProviderStatus
from broker.views import CallShare
from gateway.audited import note
from gateway.call import Call
from gateway.idempotency import once
from gateway.problems import Problem
from gateway.routes import Reply, Routes
from gateway.texts import Moment, Name, Reason

DAY = timedelta(hours=24)

routes = Routes("providers")


class ProviderPath(Struct, forbid_unknown_fields=True):
    """Which provider."""

    provider: Name


class ProviderPause(Struct, forbid_unknown_fields=True):
    """Why, and until when (absent: until somebody resumes it)."""

    reason: Reason
    until: Moment | None = None


class BudgetAnswer(Struct, forbid_unknown_fields=True, kw_only=True):
    """What may be spent in a period; ``left_now`` is what its pace lets be spent at this moment."""

    amount: int
    unit: Literal["calls", "credits"]
    spent: int
    left: int
    left_now: int
    ends_at: datetime | None
    next_call_at: datetime | None


class LimitsAnswer(Struct, forbid_unknown_fields=True, kw_only=True):
    """How calls to it are held back just now."""

    budget: BudgetAnswer | None
    in_flight: int
    concurrency: int | None
    breaker: BreakerState
    breaker_until: datetime | None
    closed_until: datetime | None
    closed_reason: str | None


class ProviderAnswer(Struct, forbid_unknown_fields=True, kw_only=True):
    """How a provider stands: ``health`` of its calls of a day, ``limits`` null while Redis does not answer.

    ``account_left`` is what the provider itself last said is left.
    """

    name: str
    state: State
    reason: str | None
    until: datetime | None
    health: Annotated[str, Meta(description="healthy from 95 % good calls, degraded from 80 %, failing, unknown")]
    good_share: float | None
    calls_24h: int
    cost_24h: int
    last_call_at: datetime | None
    account_left: int | None
    limits: LimitsAnswer | None


@routes.get("/providers", needs="admin:read")
async def list_providers(call: Call) -> list[ProviderAnswer]:
    """All providers: health, budget left, why and until when one is not called."""
    async with call.works() as conn:
        standing = {one.name: one for one in await providers.standings(conn)}
        shares = await views.call_shares(conn, since=call.parts.now() - DAY)
    names = sorted(call.parts.providers.limits)
    return [_answer(_standing(name, standing), shares.get(name), await _status(call, name)) for name in names]


@routes.get("/providers/{provider}", needs="admin:read", problems=("not_found",))
async def get_provider(call: Call, path: ProviderPath) -> ProviderAnswer:
    """One provider."""
    _known(call, path.provider)
    async with call.works() as conn:
        return await _one(call, conn, path.provider)


@routes.post(
    "/providers/{provider}/pause",
    needs="admin:write",
    idempotent=True,
    problems=("not_found",),
    example={"reason": "they asked us to wait", "until": "2099-01-01T00:00:00Z"},
)
async def pause_provider(call: Call, path: ProviderPath, body: ProviderPause) -> Reply[ProviderAnswer]:
    """Stop calling a provider; its jobs wait, nothing is lost."""
    _known(call, path.provider)
    now = call.parts.now()
    if body.until is not None and body.until <= now:
        raise Problem("invalid", "until: this is over", field="until")

    async def effect(conn: AsyncConnection) -> Reply[ProviderAnswer]:
        await providers.stand(conn, path.provider, "paused", reason=body.reason, until=body.until, now=now)
        await note(call, conn, "provider.pause", path.provider)
        return Reply(await _one(call, conn, path.provider))

    return await once(call, body, effect, opened=call.works)


@routes.post("/providers/{provider}/resume", needs="admin:write", idempotent=True, problems=("not_found",))
async def resume_provider(call: Call, path: ProviderPath) -> Reply[ProviderAnswer]:
    """Call a provider again: somebody has mended what was wrong; the jobs that waited for it are due at once."""
    _known(call, path.provider)

    async def effect(conn: AsyncConnection) -> Reply[ProviderAnswer]:
        await _reopen(call, path.provider)
        await providers.stand(conn, path.provider, "ok", reason=None, now=call.parts.now())
        await note(call, conn, "provider.resume", path.provider)
        return Reply(await _one(call, conn, path.provider))

    return await once(call, None, effect, opened=call.works)


async def _reopen(call: Call, name: str) -> None:
    try:
        await call.parts.providers.reopen(name)
    except LimiterUnreachable:
        raise Problem("unavailable", "the limiter does not answer", headers={"Retry-After": "2"}) from None


def _known(call: Call, name: str) -> None:
    if name not in call.parts.providers.limits:
        raise Problem("not_found")


async def _one(call: Call, conn: AsyncConnection, name: str) -> ProviderAnswer:
    standing = await providers.standing(conn, name)
    shares = await views.call_shares(conn, since=call.parts.now() - DAY)
    return _answer(standing, shares.get(name), await _status(call, name))


async def _status(call: Call, name: str) -> ProviderStatus | None:
    try:
        return await call.parts.providers.status(name)
    except LimiterUnreachable:
        return None


def _standing(name: str, written: dict[str, Standing]) -> Standing:
    return written.get(name) or Standing(name, "ok", None, None, None)


def _answer(standing: Standing, calls: CallShare | None, status: ProviderStatus | None) -> ProviderAnswer:
    share = calls.share if calls else None
    return ProviderAnswer(
        name=standing.name,
        state=standing.state,
        reason=standing.reason,
        until=standing.until,
        health=views.health(share),
        good_share=share,
        calls_24h=calls.calls if calls else 0,
        cost_24h=calls.cost if calls else 0,
        last_call_at=calls.last_at if calls else None,
        account_left=standing.remaining,
        limits=_limits(status) if status else None,
    )


def _limits(status: ProviderStatus) -> LimitsAnswer:
    return LimitsAnswer(
        budget=_budget(status),
        in_flight=status.in_flight,
        concurrency=status.concurrency,
        breaker=status.breaker,
        breaker_until=status.breaker_until,
        closed_until=status.closed_until,
        closed_reason=status.closed_reason,
    )


def _budget(status: ProviderStatus) -> BudgetAnswer | None:
    if status.budget is None or status.spent is None:
        return None
    return BudgetAnswer(
        amount=status.budget.amount,
        unit=status.budget.unit,
        spent=status.spent,
        left=max(0, status.budget.amount - status.spent),
        left_now=max(0, (status.allowed or 0) - status.spent),
        ends_at=status.period.end if status.period else None,
        next_call_at=status.next_at,
    )
