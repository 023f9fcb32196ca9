"""Jobs that ended while something of theirs was under way: they stay ended, and what was paid for is not paid again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import zstandard
from psycopg.errors import LockNotAvailable
from sqlalchemy import event, text
from sqlalchemy.engine import ExceptionContext

from broker import jobs
from broker.messages import DEDUP, POST, WorkOnJob
from broker.streams import NewStream
from tests.integration.test_pipeline_stops import FETCH, SECOND, Listed
from tests.workshop import START, Workshop, eventually
from workers import pipeline

MINUTE = timedelta(minutes=1)


def during_the_call(shop: Workshop, happens: Callable[[], Awaitable[None]]) -> None:
    """Let this happen when the provider has answered the next call, and its answer has not landed."""
    fetch = shop.works.fetcher.fetch

    async def fetched(*given: Any, **more: Any) -> Any:
        shop.works.fetcher.fetch = fetch  # type: ignore[method-assign]
        answer = await fetch(*given, **more)
        await happens()
        return answer

    shop.works.fetcher.fetch = fetched  # type: ignore[method-assign]


async def cancel(shop: Workshop, job: UUID) -> None:
    async with shop.database.begin() as conn:
        assert await jobs.cancel(conn, job, now=shop.clock())


async def retry(shop: Workshop, job: UUID) -> str | None:
    async with shop.database.begin() as conn:
        queue = await jobs.retry(conn, job, now=shop.clock())
    if queue is not None:
        await shop.mailbox.send([WorkOnJob(queue)])
    return queue


async def failed_with_a_page_on_its_way(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, UUID]:
    """Give a stream's job that failed by its first page, and its second, which has landed."""
    monkeypatch.setattr(pipeline, "READ_AT_ONCE_BYTES", 0)
    Listed(shop).add(60, START)
    await shop.stream(NewStream("news", "cryptopanic", "posts", {}, interval_s=300, overlap_s=3600))
    await shop.dispatcher.tick()
    await shop.deliver(FETCH)
    await shop.deliver(DEDUP)
    shop.mailbox.lose(POST)
    await shop.deliver(FETCH)
    first, second = [row.id for row in await shop.rows("SELECT id FROM pages ORDER BY seq")]
    async with shop.database.begin() as conn:
        await conn.execute(text("UPDATE pages SET sends = 50 WHERE id = :id"), {"id": first})
    await shop.pipeline.dedup(first)
    (row,) = await shop.rows("SELECT * FROM jobs")
    assert row.state == "failed"
    return row, second


async def spoil(shop: Workshop, page: UUID) -> None:
    """Make a landed page one that cannot be read, and let it be read."""
    body = zstandard.compress(b"<html>")
    async with shop.database.begin() as conn:
        await conn.execute(text("UPDATE pages SET body = :body WHERE id = :id"), {"body": body, "id": page})
    await shop.pipeline.dedup(page)


async def test_a_malformed_page_does_not_bring_a_failed_job_back_to_life(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, second = await failed_with_a_page_on_its_way(shop, monkeypatch)
    await spoil(shop, second)
    after = await shop.job(before.id)
    assert (after.state, after.reason, after.last_error) == ("failed", None, before.last_error)
    assert after.finished_at == before.finished_at
    assert (after.want, after.landed) == (2, 1), "it knows which page is missing"


async def test_a_failed_job_with_a_malformed_page_can_be_asked_again_and_comes_to_its_end(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed, second = await failed_with_a_page_on_its_way(shop, monkeypatch)
    await spoil(shop, second)
    shop.mailbox.lose()
    assert await retry(shop, failed.id) == FETCH
    await shop.settle(by=SECOND)
    row = await shop.job(failed.id)
    assert (row.state, row.new, row.posted) == ("succeeded", 60, 3)
    assert await shop.value("SELECT watermark FROM streams") == START


async def test_a_job_that_is_cancelled_and_asked_again_under_its_call_is_paid_for_once(shop: Workshop) -> None:
    listed = Listed(shop)
    listed.add(5, START)
    job = await shop.ask()

    async def second_thoughts() -> None:
        await cancel(shop, job)
        assert await retry(shop, job) == FETCH
        await shop.deliver(FETCH)  # another worker hears of it

    during_the_call(shop, second_thoughts)
    await shop.deliver(FETCH)
    await shop.settle(by=SECOND)
    row = await shop.job(job)
    assert (row.state, row.calls, row.new, listed.asked) == ("succeeded", 1, 5, [1])


async def test_a_job_asked_again_whose_worker_dies_after_all_goes_on_when_the_lease_runs_out(shop: Workshop) -> None:
    Listed(shop).add(5, START)
    job = await shop.ask()
    async with shop.database.begin() as conn:
        await jobs.claim(conn, FETCH, 1, worker="dead", now=shop.clock(), lease=MINUTE)
    await cancel(shop, job)
    assert await retry(shop, job) == FETCH
    await shop.run()
    assert (await shop.job(job)).calls == 0
    shop.forward(MINUTE + SECOND)
    assert await shop.dispatcher.tick() == 1
    await shop.settle(by=SECOND)
    assert (await shop.job(job)).state == "succeeded"


async def test_a_job_that_its_worker_let_go_after_the_cancellation_starts_at_once_when_asked_again(
    shop: Workshop,
) -> None:
    Listed(shop).add(5, START)
    job = await shop.ask()
    for let_go in ("put_off", "fail", "end_of_list"):
        async with shop.database.begin() as conn:
            (held,) = await jobs.claim(conn, FETCH, 1, worker="w", now=shop.clock(), lease=MINUTE)
            await jobs.cancel(conn, job, now=shop.clock())
            match let_go:
                case "put_off":
                    assert not await jobs.put_off(conn, held, until=shop.clock(), reason="no")
                case "fail":
                    assert not await jobs.fail(conn, held, error="no", now=shop.clock())
                case _:
                    await jobs.end_of_list(conn, held, now=shop.clock())
            assert await jobs.retry(conn, job, now=shop.clock()) == FETCH
        assert (await shop.job(job)).state == "queued", let_go
    await shop.run()
    assert (await shop.job(job)).state == "succeeded"


async def test_an_answer_whose_job_is_locked_for_too_long_lands_when_the_lock_is_gone(shop: Workshop) -> None:
    listed = Listed(shop)
    listed.add(5, START)
    job = await shop.ask()
    async with shop.database.connect() as other:

        async def lock() -> None:
            await other.execute(text("SELECT 1 FROM jobs WHERE id = :id FOR UPDATE"), {"id": job})

        during_the_call(shop, lock)
        with locks_time_out(shop) as timed_out:
            landing = asyncio.create_task(shop.deliver(FETCH))
            await eventually(lambda: asyncio.sleep(0, timed_out))
            await other.rollback()
            await landing
    await shop.settle(by=SECOND)
    row = await shop.job(job)
    assert (row.state, row.calls, listed.asked) == ("succeeded", 1, [1])
    assert await shop.value("SELECT count(*) FROM calls") == 1


@contextmanager
def locks_time_out(shop: Workshop) -> Iterator[list[object]]:
    """Let everybody wait for locks for a moment only; give what timed out."""
    engine, timed_out = shop.database.sync_engine, list[object]()

    def hurry(conn: Any) -> None:
        conn.exec_driver_sql("SET LOCAL lock_timeout = '50ms'")

    def note(context: ExceptionContext) -> None:
        if isinstance(context.original_exception, LockNotAvailable):
            timed_out.append(context)

    event.listen(engine, "begin", hurry)
    event.listen(engine, "handle_error", note)
    try:
        yield timed_out
    finally:
        event.remove(engine, "begin", hurry)
        event.remove(engine, "handle_error", note)
