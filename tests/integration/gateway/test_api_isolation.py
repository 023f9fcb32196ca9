"""Whose jobs a session sees is the database's to say: a forgotten WHERE shows nobody else's."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from aiohttp import ClientSession
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine

from ledger.tenancy import acting_for
from tests.integration.gateway.asking import enqueue, look
from tests.integration.gateway.conftest import ALICE, BOB

pytestmark = pytest.mark.usefixtures("nothing_under_way")


@pytest.fixture
async def job(alice: ClientSession, gateway_engine: AsyncEngine) -> UUID:
    """A job of alice's with a page and a call."""
    made = UUID((await enqueue(alice)).body["id"])
    await look(
        gateway_engine,
        """INSERT INTO pages (id, job_id, seq, provider, dataset, request, body, body_bytes, fetched_at, answered_at,
            polled_at, cost, state, rejects)
        VALUES (:page, :job, 1, 'p', 'd', '{}', 'secret', 6, now(), now(), now(), 1, 'posted', '[{"position": 1}]')""",
        page=uuid4(),
        job=made,
    )
    await look(
        gateway_engine,
        """INSERT INTO calls (provider, dataset, job_id, at, outcome, cost, seconds)
        VALUES ('p', 'd', :job, now(), 'landed', 1, 0.1)""",
        job=made,
    )
    return made


async def run_as(engine: AsyncEngine, user: str, sql: str, **values: Any) -> list[Any]:
    """What the gateway's session gets or does when it acts for a user."""
    async with engine.begin() as conn, acting_for(conn, user):
        done = await conn.execute(text(sql), values)
        return list(done.all()) if done.returns_rows else [done.rowcount]


SEEN = {
    "jobs": "SELECT count(*) FROM jobs WHERE id = :job",
    "pages": "SELECT count(id) FROM pages WHERE job_id = :job",
    "rejects": "SELECT count(*) FROM pages, jsonb_array_elements(rejects) WHERE job_id = :job",
    "calls": "SELECT count(*) FROM calls WHERE job_id = :job",
}


@pytest.mark.parametrize("what", SEEN)
async def test_a_job_and_what_hangs_on_it_are_seen_by_their_owner_alone(
    what: str, job: UUID, gateway_engine: AsyncEngine
) -> None:
    assert await run_as(gateway_engine, ALICE, SEEN[what], job=job) == [(1,)]
    assert await run_as(gateway_engine, BOB, SEEN[what], job=job) == [(0,)]
    assert await run_as(gateway_engine, "", SEEN[what], job=job) == [(0,)]
    assert await look(gateway_engine, SEEN[what], job=job) == [(1,)]  # workers and dispatcher see all


async def test_another_users_jobs_and_pages_are_not_changed(job: UUID, gateway_engine: AsyncEngine) -> None:
    for sql in (
        "UPDATE jobs SET state = 'cancelled' WHERE id = :job",
        "UPDATE pages SET state = 'dead' WHERE job_id = :job",
    ):
        assert await run_as(gateway_engine, BOB, sql, job=job) == [0]
        assert await run_as(gateway_engine, ALICE, sql, job=job) == [1]


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE jobs SET owner = :other WHERE id = :job",
        "UPDATE jobs SET args = '{}' WHERE id = :job",
        "UPDATE jobs SET fence = 99, worker = 'me' WHERE id = :job",
        "DELETE FROM jobs WHERE id = :job",
        "DELETE FROM pages WHERE job_id = :job",
        "SELECT body FROM pages WHERE job_id = :job",
        "UPDATE pages SET body = '' WHERE job_id = :job",
        "DELETE FROM calls WHERE job_id = :job",
        "SELECT params FROM streams",
        "UPDATE streams SET enabled = false",
        "UPDATE items SET observed = '{}'",
        "INSERT INTO stories (title, created_at) VALUES ('mine', now())",
        "SELECT password_hash FROM users",
        "SELECT digest FROM api_keys",
        "SELECT * FROM audit",
        "UPDATE page_origins SET dataset = 'mine'",
        """INSERT INTO jobs (id, kind, queue, args, owner, body_hash, state, run_at, created_at)
        VALUES (gen_random_uuid(), 'probe', 'probe', '{}', :other, '', 'queued', now(), now())""",
        """INSERT INTO idempotency (owner, key, route, body_hash, status, answer, created_at)
        VALUES (:other, 'k', '', '', 200, '{}', now())""",
    ],
)
async def test_a_users_session_may_do_only_what_the_api_does(sql: str, job: UUID, gateway_engine: AsyncEngine) -> None:
    values = {name: value for name, value in {"job": job, "other": BOB}.items() if f":{name}" in sql}
    with pytest.raises(ProgrammingError, match=r"permission denied|row-level security"):
        await run_as(gateway_engine, ALICE, sql, **values)


async def test_an_answer_that_is_kept_is_its_owners_alone(alice: ClientSession, gateway_engine: AsyncEngine) -> None:
    key, asked = str(uuid4()), "SELECT count(*) FROM idempotency WHERE key = :key"
    await enqueue(alice, key=key)
    assert await run_as(gateway_engine, ALICE, asked, key=key) == [(1,)]
    assert await run_as(gateway_engine, BOB, asked, key=key) == [(0,)]
    assert await run_as(gateway_engine, BOB, "DELETE FROM idempotency WHERE key = :key", key=key) == [0]


async def test_where_users_rows_came_from_is_no_origin_that_everybody_reads(
    job: UUID, gateway_engine: AsyncEngine
) -> None:
    given = "UPDATE pages SET provider = 'user' WHERE job_id = :job RETURNING id"
    asked = "SELECT count(*) FROM page_origins WHERE id = :page"
    ((page,),) = await look(gateway_engine, "SELECT id FROM pages WHERE job_id = :job", job=job)
    assert await run_as(gateway_engine, BOB, asked, page=page) == [(1,)]
    await look(gateway_engine, given, job=job)
    assert await run_as(gateway_engine, BOB, asked, page=page) == [(0,)]


async def test_the_plans_of_workers_know_nothing_of_row_level_security(gateway_engine: AsyncEngine) -> None:
    claim = "EXPLAIN SELECT id FROM jobs WHERE queue = 'probe' AND state = 'queued' AND landed < want"
    assert "sluice.user_id" not in str(await look(gateway_engine, claim))
    assert "sluice.user_id" in str(await run_as(gateway_engine, ALICE, claim))


async def test_one_users_list_is_read_along_an_index(gateway_engine: AsyncEngine) -> None:
    async with gateway_engine.begin() as conn:
        await conn.execute(text("SET LOCAL enable_seqscan = off"))
        await conn.execute(text("SET LOCAL enable_bitmapscan = off"))
        async with acting_for(conn, ALICE):
            asked = "EXPLAIN SELECT id FROM jobs ORDER BY id DESC LIMIT 51"
            plan = str((await conn.execute(text(asked))).all())
            live = "EXPLAIN SELECT count(*) FROM jobs WHERE owner = :me AND state IN ('queued', 'running', 'waiting')"
            counted = str((await conn.execute(text(live), {"me": ALICE})).all())
    assert "jobs_owner" in plan
    assert "jobs_live" in counted
