"""One gateway process: open what it works with, serve it, close it in reverse."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import redis.asyncio
import structlog
from aiohttp import web
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from broker.limiter import open_limiter as open_provider_limiter
from gateway.api import AREAS
from gateway.app import PREFIX, make_app
from gateway.auth.audit import Origin, note
from gateway.auth.service import open_auth
from gateway.call import Parts
from gateway.edge.accesslog import AccessLog
from gateway.edge.door import Log
from gateway.edge.server import serving
from gateway.health import Probe
from gateway.limit import Outage, Policy, RateLimiter, open_limiter
from gateway.problems import Problem
from ops.bootstrap import configured_providers, open_database, open_hints, server, spent_in
from ops.console_files import serve_console
from ops.health import broker_answers, database_answers, redis_answers
from ops.metrics.gateway import LimitMeters, counted, drops_counted, gateway_meters
from ops.metrics.meters import Meters
from ops.schema_probe import schema_fits
from ops.settings import Settings
from ops.signing import auth_settings
from workers.plan import misfit
from workers.works import utc_now

__all__ = ["PREFIX", "OpenGateway", "gateway_served", "open_gateway", "outages_noted"]

log = structlog.get_logger(__name__)

POOL_SIZE = 10
SYSTEM = Origin("system")


@dataclass(frozen=True, slots=True)
class OpenGateway:
    """An application over open stores, the log that hears of its answers, and what is counted of them."""

    app: web.Application
    parts: Parts
    limiter: RateLimiter
    log: Log
    probes: Mapping[str, Probe]
    meters: Meters


@asynccontextmanager
async def open_gateway(
    settings: Settings,
    *,
    write: Callable[[bytes], object] | None = None,
) -> AsyncIterator[OpenGateway]:
    """Open what a gateway works with, on this loop.

    ``write`` takes lines of the access log (default: stderr).  Raises
    LedgerUnreachable, LimiterUnreachable and WeakSecret.
    """
    providers, meters = configured_providers(settings), gateway_meters()
    name = f"sluice gateway {socket.gethostname()}:{os.getpid()}"
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        database = await enter(open_database(settings, name=name, pool_size=POOL_SIZE))
        # A connection that Redis closed meanwhile is noticed when it is used: no reason to refuse anybody.
        client = redis.asyncio.from_url(server(settings.redis_url), retry=Retry(NoBackoff(), 1))
        stack.push_async_callback(client.aclose)

        limits = {name: provider.limits for name, provider in providers.items()}
        auth = await enter(open_auth(database, client, auth_settings(settings)))
        parts = Parts(
            database=database,
            producer=await enter(open_hints(settings, providers, meters)),
            redis=client,
            now=utc_now,
            providers=await enter(open_provider_limiter(server(settings.redis_url), limits, spent_in(database))),
            cursor_key=auth.master.key("cursors"),
            misfit=misfit(providers),
            jobs_max=settings.gateway.jobs_max,
            auth=auth,
        )
        policy = Policy(processes=settings.gateway.processes, strict=settings.gateway.strict_limits)
        limiter = await enter(
            open_limiter(
                server(settings.redis_url), policy, observer=LimitMeters(meters), report=outages_noted(database)
            )
        )
        probes = {
            "database": database_answers(database),
            "broker": broker_answers(parts.producer),
            "redis": redis_answers(client),
            "revocations": auth.healthy,
            "schema": schema_fits(database),
        }
        lines = AccessLog(drops_counted(write or _to_stderr), share=settings.gateway.edge.log_share)
        stack.callback(lines.flush)
        heard = counted(lines, meters)
        app = make_app(
            parts,
            areas=AREAS,
            authenticator=auth.authenticator,
            limiter=limiter,
            probes=probes,
            log=heard,
            keys=auth.key_set,
            settings=settings.gateway.edge,
        )
        serve_console(app)
        yield OpenGateway(app, parts, limiter, heard, probes, meters)


@asynccontextmanager
async def gateway_served(settings: Settings, opened: OpenGateway, *, share_port: bool = False) -> AsyncIterator[int]:
    """Serve it where the settings say until the block ends; give the port.

    ``share_port``: other processes listen there too, and the kernel spreads connections over them.
    """
    gateway = settings.gateway
    async with serving(
        opened.app,
        gateway.host,
        gateway.port,
        log=opened.log,
        settings=gateway.edge,
        notice_s=gateway.notice_s,
        grace_s=settings.worker.drain_s,
        reuse_port=share_port,
    ) as port:
        yield port


def outages_noted(database: AsyncEngine) -> Callable[[Outage], Awaitable[None]]:
    """Write each time without an exact rate limit into the audit record and the log."""

    async def report(outage: Outage) -> None:
        over = outage.ended is not None
        action = "rate_limit.exact" if over else "rate_limit.degraded"
        log.warning(action, admitted=outage.admitted, refused=outage.refused)
        lasted = f"{(outage.ended - outage.began).total_seconds():.1f} s" if outage.ended else "now"
        try:
            async with database.begin() as conn:
                await note(conn, SYSTEM, action, f"rate limit: since {outage.began:%Y-%m-%dT%H:%M:%SZ}, {lasted}")
        except (SQLAlchemyError, Problem) as error:
            log.error("audit_failed", action=action, error=type(error).__name__)  # noqa: TRY400  no row in logs

    return report


def _to_stderr(lines: bytes) -> None:
    sys.stderr.buffer.write(lines)
    sys.stderr.buffer.flush()
