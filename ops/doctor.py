"""What is reachable and what is wrong, each with what to do about it; works when everything is down.

Every check is tried by itself: one that raises is a finding, never the end of the examination.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from alembic.util.exc import CommandError
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from broker import pauses
from broker.messages import queues
from ledger import migrate
from ledger.engine import LedgerUnreachable, open_ledger
from ops.backups.programs import BackupTrouble
from ops.backups.programs import found as program
from ops.doctor_queues import broken_queues, depths
from ops.servers import located
from ops.settings import BadSetting, Settings
from workers.dispatch import LEADER
from workers.http import token_variable

State = Literal["ok", "note", "wrong"]

ANSWER_S_MAX = 10
DISK_FREE_MIN = 0.05
LANDED_AGE_MAX = timedelta(minutes=5)
UNDISPATCHED_AGE_MAX = timedelta(minutes=1)
PAUSED_AGE_MAX = timedelta(hours=24)
_TROUBLE = (SQLAlchemyError, RedisError, LedgerUnreachable, CommandError, BadSetting, OSError, TimeoutError, ValueError)


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the examination; ``remedy`` says what to do where something is wrong."""

    what: str
    state: State
    detail: str
    remedy: str = ""


Check = Callable[[Settings], Awaitable[list[Finding]]]


async def examine(environ: Mapping[str, str] | None = None) -> list[Finding]:
    """Examine settings, servers, processes and rows; ``environ`` None is this process's own."""
    try:
        settings = Settings.from_env() if environ is None else Settings.from_env(environ)
    except BadSetting as error:
        return [Finding("settings", "wrong", str(error), "mend this variable and look again")]
    findings = [*_settings(settings), *_providers(settings), _disk(settings)]
    try:
        settings = await asyncio.to_thread(located, settings)
    except BadSetting as error:
        return [*findings, Finding("servers", "wrong", "nothing is running here", str(error))]
    checks: tuple[tuple[str, Check], ...] = (("database", _database), ("redis", _redis), ("broker", _broker))
    for found in await asyncio.gather(*(_tried(name, check, settings) for name, check in checks)):
        findings += found
    if any((one.what, one.state) == ("workers", "ok") for one in findings):
        # Workers have their own keys, or a sandbox: a provider that they cannot call is named by its standing.
        return [one for one in findings if (one.what, one.state) != ("provider keys", "note")]
    return findings


async def _tried(name: str, check: Check, settings: Settings) -> list[Finding]:
    try:
        async with asyncio.timeout(ANSWER_S_MAX):
            return await check(settings)
    except _TROUBLE as error:
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        for secret in settings.secrets():
            told = told.replace(secret, "REDACTED")
        return [Finding(name, "wrong", told[:300], _REMEDIES[name])]


_REMEDIES = {
    "database": "start PostgreSQL, or mend SLUICE_DATABASE_URL",
    "redis": "start Redis, or mend SLUICE_REDIS_URL; no provider is called while limits cannot be checked",
    "broker": "start the broker, or mend SLUICE_BROKER_URL; nothing is lost meanwhile",
}


def _settings(settings: Settings) -> list[Finding]:
    found = [Finding("settings", "ok", f"data under {settings.var}")]
    if settings.unknown:
        detail = f"{', '.join(settings.unknown)[:300]}: nothing reads it"
        found.append(Finding("settings", "note", detail, "docs/settings.md names those there are"))
    return found


def _providers(settings: Settings) -> list[Finding]:
    without = [name for name, given in settings.providers.items() if given.key is None]
    with_key = [name for name in settings.providers if name not in without]
    found = [Finding("provider keys", "ok", f"set for {', '.join(with_key)}")] if with_key else []
    if without:
        variables = ", ".join(map(token_variable, without))
        remedy = f"set {variables}, or use the sandbox: sluice up points at it by itself"
        # Only the processes that call need keys, and these may have been given them elsewhere.
        found.append(Finding("provider keys", "note", f"none here for {', '.join(without)}", remedy))
    return found


def _disk(settings: Settings) -> Finding:
    folder = settings.var
    while not folder.exists():
        folder = folder.parent
    usage = shutil.disk_usage(folder)
    free = usage.free / usage.total
    detail = f"{usage.free / 2**30:.1f} GiB free ({free:.0%}) at {folder}"
    if free < DISK_FREE_MIN:
        return Finding("disk", "wrong", detail, "make room: databases stop when the disk is full")
    return Finding("disk", "ok", detail)


async def _redis(settings: Settings) -> list[Finding]:
    assert settings.redis_url is not None
    async with Redis.from_url(settings.redis_url.reveal(), decode_responses=True) as redis:
        info = await redis.info()
        detail = f"{settings.redis_url}: {info['redis_version']}"
        found = [Finding("redis", "ok", detail)]
        policy = info.get("maxmemory_policy", "unknown")
        if policy != "noeviction":
            remedy = "set maxmemory-policy noeviction: evicted keys are lost limits and lost messages"
            found.append(Finding("redis eviction", "wrong", policy, remedy))
        if info.get("aof_enabled") == 1:
            found.append(Finding("redis persistence", "ok", "append-only file"))
        else:
            broker_is_redis = settings.broker_url is not None and settings.broker_url.scheme.startswith("redis")
            remedy = "set appendonly yes: after a crash, spent budgets are counted anew and messages are sent anew"
            found.append(Finding("redis persistence", "wrong" if broker_is_redis else "note", "none", remedy))
    return found


async def _broker(settings: Settings) -> list[Finding]:
    assert settings.broker_url is not None
    names, url = queues(sorted(settings.providers)), settings.broker_url.reveal()
    if settings.broker_url.scheme.startswith("amqp"):
        bad = await broken_queues(url, names)
        if bad:
            remedy = "missing queues are declared when a worker starts; one of another type must be deleted first"
            return [Finding("broker", "ok", str(settings.broker_url))] + [
                Finding(f"queue {name}", "wrong", why, remedy) for name, why in bad.items()
            ]
    waiting = {name: depth for name, depth in (await depths(url, names)).items() if depth}
    detail = ", ".join(f"{name} {depth}" for name, depth in waiting.items()) or "all empty"
    return [Finding("broker", "ok", str(settings.broker_url)), Finding("queues", "ok", f"waiting messages: {detail}")]


async def _database(settings: Settings) -> list[Finding]:
    assert settings.database_url is not None
    url = settings.database_url.reveal()
    opening = open_ledger(url, pool_size=1, application_name="sluice doctor", connect_timeout_s=5)
    async with opening as database, database.begin() as conn:
        version = (await conn.execute(text("SHOW server_version"))).scalar_one()
        found = [Finding("database", "ok", f"{settings.database_url}: PostgreSQL {version}")]
        current, head = await asyncio.to_thread(migrate.current, url), migrate.head()
        if current is not None and current not in migrate.revisions():
            detail = f"{current}, newer than this code, whose newest is {head}"
            return [
                *found,
                Finding("schema", "note", detail, "look with the code that runs here: nothing is to be migrated"),
            ]
        if current != head:
            detail = f"{current or 'empty'}, this code needs {head}"
            return [*found, Finding("schema", "wrong", detail, "run sluice migrate")]
        found += [Finding("schema", "ok", head), *await _broken_indexes(conn), await _backup_program(conn)]
        now = datetime.now(UTC)
        found += [await _dispatcher(conn), await _workers(conn), await _gateways(conn)]
        found += [await _administrators(conn), *await _stopped(conn)]
        found += await _paused(conn, now)
        return [*found, await _undispatched(conn, now), await _landed(conn, now), await _dead(conn)]


async def _broken_indexes(conn: AsyncConnection) -> list[Finding]:
    rows = await conn.execute(text("SELECT indexrelid::regclass::text AS name FROM pg_index WHERE NOT indisvalid"))
    remedy = "a migration left it unfinished: DROP INDEX CONCURRENTLY, then sluice migrate"
    return [Finding(f"index {row.name}", "wrong", "is not valid: it is written and never read", remedy) for row in rows]


async def _backup_program(conn: AsyncConnection) -> Finding:
    version = int((await conn.execute(text("SHOW server_version_num"))).scalar_one()) // 10_000
    try:
        return Finding("backups", "ok", str(await asyncio.to_thread(program, "pg_dump", version)))
    except BackupTrouble as error:
        return Finding("backups", "note", str(error), "install PostgreSQL's client programs where backups are made")


async def _dispatcher(conn: AsyncConnection) -> Finding:
    leads = await conn.execute(
        text(
            """SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND classid = :high AND objid = :low"""
        ),
        {"high": LEADER >> 32, "low": LEADER & 0xFFFFFFFF},
    )
    if leads.scalar_one():
        return Finding("dispatcher", "ok", "one leads")
    return Finding(
        "dispatcher", "wrong", "none leads", "run sluice dispatch: without it nothing scheduled or lost goes on"
    )


async def _workers(conn: AsyncConnection) -> Finding:
    if alive := await _connected(conn, "sluice worker %"):
        return Finding("workers", "ok", f"{alive} connected")
    return Finding("workers", "wrong", "none is connected", "run sluice worker")


async def _gateways(conn: AsyncConnection) -> Finding:
    if alive := await _connected(conn, "sluice gateway %"):
        return Finding("gateways", "ok", f"{alive} connected")
    return Finding("gateways", "note", "none is connected: nobody is served over HTTP", "run sluice serve")


async def _connected(conn: AsyncConnection, named: str) -> int:
    """Count the processes of a kind that hold connections to this database."""
    count = await conn.execute(
        text(
            """SELECT count(DISTINCT application_name) FROM pg_stat_activity
            WHERE datname = current_database() AND application_name LIKE :named"""
        ),
        {"named": named},
    )
    return int(count.scalar_one())


async def _administrators(conn: AsyncConnection) -> Finding:
    count = await conn.execute(text("SELECT count(*) FROM users WHERE role = 'admin' AND enabled"))
    if administrators := count.scalar_one():
        return Finding("administrators", "ok", f"{administrators} enabled")
    return Finding("administrators", "note", "none", "sluice user add NAME --role admin asks for a password")


async def _stopped(conn: AsyncConnection) -> list[Finding]:
    rows = await conn.execute(text("SELECT name, state, reason FROM providers WHERE state <> 'ok' ORDER BY name"))
    return [
        Finding(
            f"provider {row.name}",
            "wrong" if row.state == "disabled" else "note",
            f"{row.state.replace('_', ' ')}: {row.reason}"[:300],
            f"mend it, then sluice providers enable {row.name}" if row.state != "used_up" else "",
        )
        for row in rows
    ]


async def _paused(conn: AsyncConnection, now: datetime) -> list[Finding]:
    return [
        Finding(
            f"queue {one.queue}",
            "wrong" if now - one.since > PAUSED_AGE_MAX else "note",
            f"paused by {one.who} since {one.since:%Y-%m-%d %H:%M:%SZ}: {one.reason}"[:300],
            f"when that is over: sluice queues resume {one.queue}",
        )
        for one in await pauses.listed(conn)
    ]


async def _undispatched(conn: AsyncConnection, now: datetime) -> Finding:
    row = (
        await conn.execute(
            text(
                """SELECT count(*) AS jobs, min(run_at) AS oldest FROM jobs
                WHERE state IN ('queued', 'waiting') AND landed < want AND published_at IS NULL AND run_at <= :by"""
            ),
            {"by": now - UNDISPATCHED_AGE_MAX},
        )
    ).one()
    if row.jobs:
        detail = f"{row.jobs} jobs are due and not published, since {row.oldest:%Y-%m-%d %H:%M:%SZ}"
        return Finding("undispatched jobs", "wrong", detail, "look at the dispatcher and the broker above")
    return Finding("undispatched jobs", "ok", "none")


async def _landed(conn: AsyncConnection, now: datetime) -> Finding:
    # A page that is read again keeps the time it was fetched at; what waits, waits since it was last said to be due.
    asked = text(
        "SELECT count(*) AS pages, min(coalesce(published_at, :now)) AS oldest FROM pages WHERE state = 'landed'"
    )
    row = (await conn.execute(asked, {"now": now})).one()
    if not row.pages:
        return Finding("landed pages", "ok", "none waits to be posted")
    detail = f"{row.pages} wait to be posted, the oldest since {row.oldest:%Y-%m-%d %H:%M:%SZ}"
    if now - row.oldest > LANDED_AGE_MAX:
        return Finding(
            "landed pages", "wrong", detail, "look at workers and paused queues above: dedup or post does not get on"
        )
    return Finding("landed pages", "ok", detail)


async def _dead(conn: AsyncConnection) -> Finding:
    count = (await conn.execute(text("SELECT count(*) FROM jobs WHERE state = 'failed'"))).scalar_one()
    if count:
        return Finding("dead letters", "note", f"{count} failed jobs", "sluice dead list says why")
    return Finding("dead letters", "ok", "none")
