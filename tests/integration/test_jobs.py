"""Job rows: who may take one, for how long, and what becomes of whoever comes late."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from broker import jobs, pages, spoiled
from broker.jobs import Claimed, KeyReusedError, NewJob
from broker.pages import LostLeaseError, NewPage
from tests.workshop import Workshop, empty, eventually
from workers.works import Works, heartbeat

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
LEASE = timedelta(seconds=60)
SECOND = timedelta(seconds=1)
QUEUE = "fetch.nansen"
ARGS = {"provider": "nansen", "dataset": "account"}
PAGE = NewPage("nansen", "account", {}, b"{}", fetched_at=NOW, answered_at=NOW, cost=5)


class Desk:
    """Jobs of one queue, and the hands that take them."""

    def __init__(self, database: AsyncEngine) -> None:
        self.database = database

    async def ask(self, *new: NewJob) -> list[jobs.Receipt]:
        async with self.database.begin() as conn:
            return await jobs.enqueue(conn, list(new) or [job()], now=NOW)

    async def take(self, count: int = 1, *, at: datetime = NOW, who: str = "a") -> list[Claimed]:
        async with self.database.begin() as conn:
            return await jobs.claim(conn, QUEUE, count, worker=who, now=at, lease=LEASE)

    async def land(self, held: Claimed) -> UUID:
        async with self.database.begin() as conn:
            return await pages.land(conn, held, replace(PAGE, id=uuid4()), now=NOW)

    async def row(self, job_id: UUID) -> Any:
        async with self.database.connect() as conn:
            return (await conn.execute(text("SELECT * FROM jobs WHERE id = :id"), {"id": job_id})).one()

    async def count(self, table: str) -> int:
        async with self.database.connect() as conn:
            return int((await conn.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one())


@pytest.fixture
async def desk(ledger: AsyncEngine) -> Desk:
    await empty(ledger)
    return Desk(ledger)


def job(**changed: Any) -> NewJob:
    return replace(NewJob("fetch", QUEUE, ARGS), **changed)


async def test_the_most_urgent_job_is_taken_first_then_the_oldest(desk: Desk) -> None:
    plain, urgent, older = await desk.ask(job(), job(priority=5), job(run_at=NOW - SECOND))
    assert [held.id for held in await desk.take(3)] == [urgent.id, older.id, plain.id]


async def test_a_job_is_not_taken_before_it_is_due(desk: Desk) -> None:
    (later,) = await desk.ask(job(run_at=NOW + SECOND))
    assert await desk.take() == []
    assert [held.id for held in await desk.take(at=NOW + SECOND)] == [later.id]


async def test_many_hands_at_once_never_take_the_same_job(desk: Desk) -> None:
    asked = await desk.ask(*[job() for _ in range(20)])
    taken = await asyncio.gather(*[desk.take(4, who=f"worker {n}") for n in range(8)])
    ids = [held.id for hands in taken for held in hands]
    assert len(ids) == len(set(ids))
    rest = [held.id for held in await desk.take(20)]
    assert {*ids, *rest} == {receipt.id for receipt in asked}


async def test_nobody_takes_a_job_whose_lease_is_running(desk: Desk) -> None:
    await desk.ask()
    await desk.take()
    assert await desk.take(at=NOW + LEASE) == []


async def test_a_lease_that_ran_out_lets_another_take_the_job(desk: Desk) -> None:
    await desk.ask()
    (first,) = await desk.take(who="a")
    (second,) = await desk.take(at=NOW + LEASE + SECOND, who="b")
    assert (second.id, second.fence, second.attempt) == (first.id, first.fence + 1, 2)
    assert (await desk.row(first.id)).worker == "b"


async def test_a_late_worker_cannot_land_put_off_fail_or_finish(desk: Desk) -> None:
    await desk.ask()
    (late,) = await desk.take()
    (held,) = await desk.take(at=NOW + LEASE + SECOND)
    before = await desk.row(held.id)
    with pytest.raises(LostLeaseError):
        await desk.land(late)
    async with desk.database.begin() as conn:
        assert not await jobs.put_off(conn, late, until=NOW, reason="late")
        assert not await jobs.fail(conn, late, error="late", now=NOW)
        await jobs.finish(conn, [late], now=NOW)
        await jobs.end_of_list(conn, late, now=NOW)
        await jobs.renew(conn, {late.id: late.fence}, now=NOW + timedelta(hours=1), lease=LEASE)
    assert await desk.row(held.id) == before
    assert await desk.count("pages") == 0
    await desk.land(held)
    assert await desk.count("pages") == 1


async def test_a_page_lands_once_however_often_its_worker_says_so(desk: Desk) -> None:
    await desk.ask()
    (held,) = await desk.take()
    await desk.land(held)
    with pytest.raises(LostLeaseError):
        await desk.land(held)
    row = await desk.row(held.id)
    assert (row.landed, row.calls, row.cost, await desk.count("pages")) == (1, 1, 5, 1)


async def test_a_second_answer_to_one_question_is_kept_and_counted_but_never_worked_on(desk: Desk) -> None:
    await desk.ask()
    (late,) = await desk.take()
    (held,) = await desk.take(at=NOW + LEASE + SECOND)
    await desk.land(held)
    async with desk.database.begin() as conn:
        assert await pages.keep_spare(conn, late, answer := replace(PAGE, id=uuid4()))
        assert not await pages.keep_spare(conn, late, answer), "the same answer twice is one page"
        assert await pages.claim(conn, [answer.id], suspects=False, now=NOW, lease=LEASE) == []
    row = await desk.row(held.id)
    assert (row.landed, row.calls, row.cost, await desk.count("pages")) == (1, 2, 10, 2)


async def test_a_sign_of_life_keeps_the_lease(desk: Desk) -> None:
    await desk.ask()
    (held,) = await desk.take()
    async with desk.database.begin() as conn:
        await jobs.renew(conn, {held.id: held.fence}, now=NOW + 0.9 * LEASE, lease=LEASE)
    assert await desk.take(at=NOW + 1.8 * LEASE) == []


async def test_a_job_that_is_locked_keeps_no_other_from_its_sign_of_life(desk: Desk) -> None:
    await desk.ask(job(), job())
    locked, free = await desk.take(2)
    async with desk.database.connect() as other, desk.database.begin() as conn:
        await other.execute(text("SELECT 1 FROM jobs WHERE id = :id FOR UPDATE"), {"id": locked.id})
        await conn.execute(text("SET LOCAL lock_timeout = '50ms'"))
        await jobs.renew(conn, {one.id: one.fence for one in (locked, free)}, now=NOW + SECOND, lease=LEASE)
    assert (await desk.row(free.id)).lease_until == NOW + SECOND + LEASE
    assert (await desk.row(locked.id)).lease_until == NOW + LEASE


async def test_heartbeats_renew_whatever_is_in_hand(shop: Workshop) -> None:
    shop.works.policy = replace(shop.works.policy, lease=timedelta(seconds=0.15))
    job_id = await shop.ask()
    async with shop.database.begin() as conn:
        (held,) = await jobs.claim(
            conn, "fetch.cryptopanic", 1, worker="test", now=shop.clock(), lease=shop.works.policy.lease
        )
    until = shop.clock() + timedelta(hours=1)
    shop.clock.now = until
    with shop.works.hold(held):

        async def renewed() -> bool:
            return bool((await shop.job(job_id)).lease_until > until)

        async with heartbeat(shop.works):
            await eventually(renewed)


async def test_a_worker_that_let_go_of_an_old_claim_still_holds_the_new_one(shop: Workshop) -> None:
    await shop.ask()
    works: Works = shop.works

    async def take() -> Claimed:
        async with shop.database.begin() as conn:
            return (await jobs.claim(conn, "fetch.cryptopanic", 1, worker="t", now=shop.clock(), lease=LEASE))[0]

    first, late = await take(), ExitStack()
    late.enter_context(works.hold(first))
    shop.clock.forward(LEASE + SECOND)
    second = await take()
    with works.hold(second):
        late.close()
        assert works.held == {second.id: second.fence}
    assert works.held == {}


async def test_a_cancelled_job_keeps_the_page_that_was_paid_for_and_asks_for_no_more(shop: Workshop) -> None:
    job_id = await shop.ask()
    async with shop.database.begin() as conn:
        (held,) = await jobs.claim(conn, "fetch.cryptopanic", 1, worker="t", now=shop.clock(), lease=LEASE)
        assert await jobs.cancel(conn, job_id, now=shop.clock())
    body = b'{"next": "?page=2", "results": [{"id": 1, "title": "T", "published_at": "2026-11-20T09:00:00Z"}]}'
    page = NewPage("cryptopanic", "posts", {}, body, fetched_at=shop.clock(), answered_at=shop.clock(), cost=1)
    async with shop.database.begin() as conn:
        await pages.land(conn, held, page, now=shop.clock())
    await shop.dispatcher.tick()
    shop.forward(timedelta(minutes=1))
    await shop.dispatcher.tick()
    await shop.run()
    row = await shop.job(job_id)
    assert (row.state, row.landed, row.want, row.posted, row.new) == ("cancelled", 1, 1, 1, 1)
    assert await shop.keys("cryptopanic") == {"posts:1"}
    assert shop.calls("cryptopanic") == 0


async def test_a_job_cancelled_before_its_call_makes_none(shop: Workshop) -> None:
    job_id = await shop.ask()
    async with shop.database.begin() as conn:
        await jobs.cancel(conn, job_id, now=shop.clock())
    await shop.run()
    assert shop.calls("cryptopanic") == 0
    assert (await shop.job(job_id)).state == "cancelled"


async def test_only_a_job_that_has_not_ended_can_be_cancelled(desk: Desk) -> None:
    (asked,) = await desk.ask()
    async with desk.database.begin() as conn:
        assert await jobs.cancel(conn, asked.id, now=NOW)
        assert not await jobs.cancel(conn, asked.id, now=NOW)


async def test_a_failed_job_can_be_asked_again_and_starts_afresh(desk: Desk) -> None:
    (asked,) = await desk.ask()
    (held,) = await desk.take()
    async with desk.database.begin() as conn:
        await jobs.fail(conn, held, error="no", now=NOW)
    assert await desk.take(at=NOW + timedelta(days=1)) == []
    async with desk.database.begin() as conn:
        assert await jobs.retry(conn, asked.id, now=NOW) == QUEUE
    (again,) = await desk.take()
    assert (again.id, again.attempt, again.fence) == (asked.id, 1, held.fence + 1)


async def test_a_job_that_runs_or_succeeded_cannot_be_asked_again(desk: Desk) -> None:
    (asked,) = await desk.ask()
    async with desk.database.begin() as conn:
        assert await jobs.retry(conn, asked.id, now=NOW) is None
    (held,) = await desk.take()
    async with desk.database.begin() as conn:
        assert await jobs.retry(conn, asked.id, now=NOW) is None
        await jobs.finish(conn, [held], now=NOW)
        assert await jobs.retry(conn, asked.id, now=NOW) is None


async def test_a_dead_letter_is_purged_only_if_nothing_was_paid_for_it(desk: Desk) -> None:
    unpaid, paid = await desk.ask(job(), job())
    first, second = await desk.take(2)
    async with desk.database.begin() as conn:
        await jobs.fail(conn, first, error="no", now=NOW)
        page = await pages.land(conn, second, PAGE, now=NOW)
        await spoiled.bury(conn, page, reason="no", now=NOW)
    async with desk.database.begin() as conn:
        assert await jobs.purge(conn, unpaid.id)
        assert not await jobs.purge(conn, paid.id)
    assert (await desk.count("jobs"), await desk.count("pages")) == (1, 1)


async def test_the_same_key_and_request_is_the_same_job(desk: Desk) -> None:
    first = (await desk.ask(job(idempotency_key="k")))[0]
    again = (await desk.ask(job(idempotency_key="k", args=dict(reversed(ARGS.items())))))[0]
    assert (again.id, again.created) == (first.id, False)
    assert await desk.count("jobs") == 1


async def test_the_same_key_for_another_request_is_refused_and_nothing_is_written(desk: Desk) -> None:
    first = (await desk.ask(job(idempotency_key="k")))[0]
    with pytest.raises(KeyReusedError) as refused:
        await desk.ask(job(), job(idempotency_key="k", kind="backfill"))
    assert refused.value.job == first.id
    assert await desk.count("jobs") == 1


async def test_a_key_belongs_to_its_owner(desk: Desk) -> None:
    first, second = await desk.ask(job(idempotency_key="k"), job(idempotency_key="k", owner="another"))
    assert first.id != second.id


async def test_the_same_key_twice_in_one_batch_is_one_job(desk: Desk) -> None:
    receipts = await desk.ask(*[job(idempotency_key="k")] * 3)
    assert [receipt.created for receipt in receipts] == [True, False, False]
    assert len({receipt.id for receipt in receipts}) == 1


async def test_the_same_key_from_many_callers_at_once_is_one_job(desk: Desk) -> None:
    receipts = await asyncio.gather(*[desk.ask(job(idempotency_key="k")) for _ in range(8)])
    assert len({receipt.id for (receipt,) in receipts}) == 1
    assert sum(receipt.created for (receipt,) in receipts) == 1


async def test_a_job_written_again_because_no_answer_came_is_one_job(desk: Desk) -> None:
    new = [job(id=uuid7()), job(id=uuid7(), idempotency_key="k")]
    first, again = await desk.ask(*new), await desk.ask(*new)
    assert again == first, "whoever heard nothing of the first has still to send the hints"
    assert [receipt.id for receipt in again] == [one.id for one in new]
    assert await desk.count("jobs") == 2


async def test_a_thousand_jobs_are_written_at_once_with_receipts_in_order(desk: Desk) -> None:
    receipts = await desk.ask(*[job(priority=n % 100) for n in range(1000)])
    assert await desk.count("jobs") == 1000
    async with desk.database.connect() as conn:
        found = await conn.execute(text("SELECT priority FROM jobs ORDER BY id"))
        assert [row.priority for row in found] == [n % 100 for n in range(1000)]
    assert [receipt.id for receipt in receipts] == sorted(receipt.id for receipt in receipts)
