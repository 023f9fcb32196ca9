"""From what was read to what is told: pure.  A figure that is not known has no value here, not the value zero."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from broker.backlog import Backlog, Freshness
from broker.messages import JOBS
from broker.pauses import Pause
from broker.providers import Standing
from broker.verdicts import ProviderStatus
from broker.watching import Seen

Figures = dict[str, Mapping[tuple[str, ...], float]]
"""Values by the name of their series and its labels."""

BREAKER = {"closed": 0, "half_open": 1, "open": 2}


def of_queues(seen: Mapping[str, Seen]) -> Figures:
    """Tell what the broker told."""
    told: dict[str, dict[str, int | None]] = {
        "sluice_queue_ready": {queue: one.ready for queue, one in seen.items()},
        "sluice_queue_consumers": {queue: one.consumers for queue, one in seen.items()},
        "sluice_queue_unacked": {queue: one.unacked for queue, one in seen.items()},
        "sluice_queue_delayed": {queue: one.delayed for queue, one in seen.items()},
        "sluice_queue_dead": {queue: one.dead for queue, one in seen.items()},
    }
    return {
        name: {(queue,): float(value) for queue, value in values.items() if value is not None}
        for name, values in told.items()
    }


def of_backlog(found: Backlog, queues: Sequence[str], now: datetime) -> Figures:
    """Tell what waits.  Messages of the queue ``jobs`` have no rows yet, so nobody knows how long they wait."""
    ages = {
        queue: _age_s(found.since[queue], now) if queue in found.since else 0.0 for queue in queues if queue != JOBS
    }
    oldest = 0.0 if found.undispatched_since is None else _age_s(found.undispatched_since, now)
    return {
        "sluice_queue_oldest_seconds": {(queue,): age for queue, age in ages.items()},
        "sluice_jobs_undispatched": {(): float(found.undispatched)},
        "sluice_jobs_undispatched_oldest_seconds": {(): oldest},
        "sluice_dead_letters": {(): float(found.dead)},
        "sluice_jobs": {(state,): float(jobs) for state, jobs in found.live.items()},
    }


def of_pauses(paused: Sequence[Pause], queues: Sequence[str], now: datetime) -> Figures:
    """Tell how long queues have been kept closed; what is open has been for no time."""
    since = {one.queue: _age_s(one.since, now) for one in paused}
    return {"sluice_queue_paused_seconds": {(queue,): since.get(queue, 0.0) for queue in queues}}


def of_streams(streams: Sequence[Freshness], now: datetime) -> Figures:
    """Tell how fresh each stream is."""
    return {
        "sluice_stream_age_seconds": {(one.stream,): _age_s(one.since, now) for one in streams},
        "sluice_stream_interval_seconds": {
            (one.stream,): float(one.interval_s) for one in streams if one.interval_s is not None
        },
    }


def of_standings(standings: Sequence[Standing], providers: Collection[str]) -> Figures:
    """Tell which providers may be called; one of which nobody has ever written anything may."""
    stand = dict.fromkeys(sorted(providers), 1.0) | {one.name: float(one.state == "ok") for one in standings}
    return {"sluice_provider_usable": {(name,): usable for name, usable in stand.items()}}


def of_limits(statuses: Sequence[ProviderStatus]) -> Figures:
    """Tell what may still be spent, and the circuits."""
    left = {one.provider: one.account_left for one in statuses}
    budget = {one.provider: one.budget.amount - (one.spent or 0) for one in statuses if one.budget is not None}
    return {
        "sluice_provider_account_left": {(name,): float(value) for name, value in left.items() if value is not None},
        "sluice_provider_budget_left": {(name,): float(max(0, value)) for name, value in budget.items()},
        "sluice_provider_breaker_state": {(one.provider,): float(BREAKER[one.breaker]) for one in statuses},
    }


def _age_s(since: datetime, now: datetime) -> float:
    return max(0.0, (now - since).total_seconds())
