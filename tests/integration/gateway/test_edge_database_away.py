"""PostgreSQL goes away under load and comes back: clients are told when to try again, and nothing is a 500."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
from psycopg import sql

from ops.embedded import Stack
from tests.integration.gateway.accounts import House, forget_guesses, open_house
from tests.integration.gateway.conftest import open_parts
from tests.workshop import eventually

CLIENTS = 8


@contextmanager
def away(stack: Stack, database: str) -> Iterator[None]:
    """End every connection to a database, and let nobody connect meanwhile."""
    name = sql.Identifier(database)
    with psycopg.connect(stack.postgres.start().admin_url, autocommit=True) as admin:
        admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
        try:
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [database])
            yield
        finally:
            admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(name))


async def test_while_the_database_is_away_answers_are_503_and_no_job_is_lost_or_doubled(
    stack: Stack, ledger_url: str, gateway_redis_url: str
) -> None:
    async with (
        open_parts(ledger_url, gateway_redis_url) as parts,
        open_house(replace(parts, jobs_max=1_000_000)) as house,
    ):
        await forget_guesses(parts.redis)
        token = (await house.tokens(await house.add()))["access_token"]
        met: Counter[int] = Counter()
        kept: dict[str, str] = {}
        stop = asyncio.Event()
        clients = [asyncio.create_task(ask_on(house, token, met, kept, stop)) for _ in range(CLIENTS)]

        async def more_of(status: int) -> None:
            seen = met[status]

            async def more() -> bool:
                return met[status] > seen + CLIENTS

            await eventually(more)

        await more_of(202)
        with away(stack, urlsplit(ledger_url).path.lstrip("/")):
            await more_of(503)
        await more_of(202)
        stop.set()
        await asyncio.gather(*clients)
        assert met.keys() == {202, 503}
        async with parts.database.connect() as conn:
            found = await conn.exec_driver_sql("SELECT id::text FROM jobs")
            jobs = [row[0] for row in found]
    assert sorted(jobs) == sorted(kept.values())


async def ask_on(house: House, token: str, met: Counter[int], kept: dict[str, str], stop: asyncio.Event) -> None:
    """Ask for one job after the other, each until it is taken, under a key of its own."""
    args = {"provider": "cryptopanic", "dataset": "posts", "params": {}}
    while not stop.is_set():
        headers, status = {"Idempotency-Key": str(uuid4())}, 0
        while status != 202:
            answer = await house.ask("POST", "jobs", token, json={"kind": "fetch", "args": args}, headers=headers)
            status = answer.status
            met[status] += 1
            if status == 503:
                assert int(answer.headers["Retry-After"]) >= 1
                await asyncio.sleep(0.02)
            elif status == 202:
                kept[headers["Idempotency-Key"]] = answer.body["id"]
            else:
                raise AssertionError(answer)
