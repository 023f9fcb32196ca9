"""The actors: one for each queue, named like it, each a line that hands its message to the pipeline."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import wraps
from typing import Any, ParamSpec
from uuid import UUID

import dramatiq
import structlog
from dramatiq.broker import Broker

from broker.envelope import UNREADABLE
from broker.messages import DEDUP, JOBS, LEDGER, POST, PROBE, fetch_queue
from workers.pipeline import Pipeline

P = ParamSpec("P")
log = structlog.get_logger(__name__)

MESSAGE_TIME_S = 300
"""No message may take longer; where the engine has a limit of its own, it is a minute later."""


def register(broker: Broker, providers: Iterable[str], pipeline: Callable[[], Pipeline]) -> None:
    """Declare every queue and its actor.  ``pipeline`` gives the process's own, once its services are open."""

    # Only an engine that interrupts threads knows this option.
    limited = {"time_limit": (MESSAGE_TIME_S + 60) * 1000} if "time_limit" in broker.actor_options else {}
    options: dict[str, Any] = {"broker": broker, **limited}

    def actor(queue: str, body: Callable[..., Awaitable[None]], name: str | None = None, *, priority: int = 0) -> None:
        declare = dramatiq.actor(actor_name=name or queue, queue_name=queue, priority=priority, **options)
        declare(_bounded(body))

    for provider in providers:
        queue = fetch_queue(provider)
        actor(queue, _fetching(pipeline, queue))

    async def ledger() -> None:
        await pipeline().keep(LEDGER)

    async def dedup(page: str) -> None:
        await pipeline().dedup(UUID(page))

    async def post(page: str) -> None:
        await pipeline().post(UUID(page))

    async def probe() -> None:
        await pipeline().probe(PROBE)

    async def jobs(kind: Any, args: Any = None, idempotency_key: Any = None, priority: Any = 0, **more: Any) -> None:
        if more:
            await pipeline().inbox.refuse(
                {"kind": kind, "args": args}, f"unknown fields: {', '.join(sorted(more))[:200]}"
            )
        else:
            await pipeline().inbox.accept(kind, {} if args is None else args, idempotency_key, priority)

    async def unreadable(body: str, reason: str) -> None:
        await pipeline().inbox.refuse(body, reason)

    actor(LEDGER, ledger)
    actor(DEDUP, dedup)
    actor(POST, post, priority=-1)  # before more pages are read: what was read lies in memory until then
    actor(PROBE, probe)
    actor(JOBS, jobs)
    actor(JOBS, unreadable, UNREADABLE)


def _fetching(pipeline: Callable[[], Pipeline], queue: str) -> Callable[[], Awaitable[None]]:
    async def fetch() -> None:
        await pipeline().fetch(queue)

    return fetch


def _bounded(body: Callable[P, Awaitable[None]]) -> Callable[P, Awaitable[None]]:
    @wraps(body)  # an engine looks at the arguments before it calls
    async def bounded(*args: P.args, **kwargs: P.kwargs) -> None:
        structlog.contextvars.clear_contextvars()
        async with asyncio.timeout(MESSAGE_TIME_S):
            await body(*args, **kwargs)

    return bounded
