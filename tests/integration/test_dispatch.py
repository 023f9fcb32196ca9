"""The dispatcher: one leads, what is due is said, what was lost is said again, and streams become jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from broker import jobs, streams
from broker.jobs import NewJob
from broker.messages import JOBS, PROBE, AcceptJob, DedupPage, WorkOnJob
from broker.streams import NewStream
from ledger.engine import open_ledger
from tests.workshop import START, Workshop, eventually
from workers.dispatch import LEADER, Dispatcher

FETCH = "fetch.cryptopanic"
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
NEWS = NewStream("news", "cryptopanic", "posts", {}, interval_s=300, overlap_s=3600)


async def ticks(shop: Workshop, after: timedelta = timedelta()) -> dict[str, int]:
    """Let the dispatcher look once; give what it said."""
    shop.forward(after)
    shop.mailbox.lose()
    await shop.dispatcher.tick()
    return shop.mailbox.waiting()


async def silent(shop: Workshop, *new: NewJob) -> list[Any]:
    """Write jobs whose hints never go out."""
    async with shop.database.begin() as conn:
        return [receipt.id for receipt in await jobs.enqueue(conn, new, now=shop.clock())]


def job(**changed: Any) -> NewJob:
    return replace(NewJob("fetch", FETCH, {"provider": "cryptopanic", "dataset": "posts"}), **changed)


async def test_nothing_due_says_nothing(shop: Workshop) -> None:
    assert await ticks(shop) == {}


async def test_a_job_for_later_is_said_when_its_time_comes(shop: Workshop) -> None:
    await silent(shop, job(run_at=START + MINUTE))
    assert await ticks(shop) == {}
    assert await ticks(shop, MINUTE) == {FETCH: 1}
    assert await ticks(shop) == {}


async def test_a_hint_is_taken_for_lost_only_after_a_while_and_when_its_queue_is_empty(shop: Workshop) -> None:
    await silent(shop, job())
    assert await ticks(shop, 29 * SECOND) == {}
    shop.forward(5 * SECOND)
    await shop.mailbox.send([WorkOnJob(FETCH)])  # a message waits: the worker is only slow
    assert await shop.dispatcher.tick() == 0
    shop.mailbox.lose()
    assert await shop.dispatcher.tick() == 1
    assert await ticks(shop) == {}
    assert await ticks(shop, 31 * SECOND) == {FETCH: 1}


async def test_a_hint_is_said_again_in_the_end_though_its_queue_is_never_empty(shop: Workshop) -> None:
    await silent(shop, job())
    shop.forward(31 * MINUTE)
    await shop.mailbox.send([WorkOnJob(FETCH)])
    assert await shop.dispatcher.tick() == 1


async def test_a_wiped_broker_costs_no_job(shop: Workshop) -> None:
    asked = [await shop.ask(pages_max=1) for _ in range(3)]
    assert shop.mailbox.lose() == 3
    await shop.settle()
    assert {(await shop.job(one)).state for one in asked} == {"succeeded"}


async def test_a_job_whose_worker_died_is_hinted_at_when_its_lease_runs_out(shop: Workshop) -> None:
    (asked,) = await silent(shop, job())
    async with shop.database.begin() as conn:
        await jobs.claim(conn, FETCH, 1, worker="dead", now=shop.clock(), lease=MINUTE)
    assert await ticks(shop, MINUTE) == {}
    assert await ticks(shop, SECOND) == {FETCH: 1}
    await shop.run()
    assert (await shop.job(asked)).state == "succeeded"


async def test_a_landed_page_that_nobody_reads_is_said_again(shop: Workshop) -> None:
    await shop.ask(pages_max=1)
    await shop.deliver(FETCH)
    assert await ticks(shop, 29 * SECOND) == {}
    assert await ticks(shop, 2 * SECOND) == {"dedup": 1}


async def test_what_the_broker_would_not_take_is_said_when_it_is_back(shop: Workshop) -> None:
    await silent(shop, job(run_at=START + MINUTE))
    shop.forward(MINUTE)
    shop.mailbox.away = True
    with pytest.raises(Exception, match="took the broker away"):
        await shop.dispatcher.tick()
    shop.mailbox.away = False
    assert await shop.dispatcher.tick() == 1


async def test_one_hint_goes_out_for_each_due_job(shop: Workshop) -> None:
    await silent(shop, *[job(run_at=START + MINUTE)] * 5, NewJob("probe", "probe", run_at=START + MINUTE))
    assert await ticks(shop, MINUTE) == {FETCH: 5, "probe": 1}


# -- streams ----------------------------------------------------------------------------------------------------------


async def test_a_due_stream_becomes_one_job_and_never_two_at_a_time(shop: Workshop) -> None:
    await shop.stream(NEWS)
    for _ in range(4):
        await ticks(shop, timedelta(seconds=301))
    assert await shop.value("SELECT count(*) FROM jobs") == 1
    await shop.settle(by=SECOND)
    await ticks(shop, timedelta(seconds=301))
    assert await shop.value("SELECT count(*) FROM jobs") == 2


async def test_many_dispatchers_at_once_make_one_job_of_a_stream(shop: Workshop) -> None:
    for n in range(5):
        await shop.stream(replace(NEWS, name=f"news {n}"))
    await asyncio.gather(*[shop.dispatcher.tick() for _ in range(4)])
    assert await shop.value("SELECT count(*) FROM jobs") == 5


async def test_runs_that_were_missed_are_not_made_up_for(shop: Workshop) -> None:
    await shop.stream(NEWS)
    await shop.dispatcher.tick()
    await shop.settle(by=SECOND)
    before = await shop.value("SELECT count(*) FROM jobs")
    shop.forward(timedelta(days=2))
    for _ in range(3):
        await shop.dispatcher.tick()
        await shop.run()
    assert await shop.value("SELECT count(*) FROM jobs") == before + 1


async def test_a_stream_by_cron_runs_at_its_times(shop: Workshop) -> None:
    await shop.stream(replace(NEWS, interval_s=None, cron="0 * * * *"))
    await shop.dispatcher.tick()
    await shop.settle(by=SECOND)
    (stream,) = await shop.rows("SELECT * FROM streams")
    assert stream.next_run_at == START.replace(hour=10, minute=0)


async def test_a_paused_stream_rests_until_it_is_resumed(shop: Workshop) -> None:
    await shop.stream(NEWS)
    async with shop.database.begin() as conn:
        assert await streams.pause(conn, "news", reason="the bill")
    await ticks(shop, timedelta(days=1))
    assert await shop.value("SELECT count(*) FROM jobs") == 0
    async with shop.database.begin() as conn:
        assert await streams.resume(conn, "news", now=shop.clock())
    await ticks(shop)
    assert await shop.value("SELECT count(*) FROM jobs") == 1


async def test_a_second_pull_begins_behind_the_watermark_of_the_first(shop: Workshop) -> None:
    await shop.stream(NEWS)
    await shop.dispatcher.tick()
    await shop.settle(by=SECOND)
    (stream,) = await shop.rows("SELECT * FROM streams")
    newest = await shop.value("SELECT max(happened_at) FROM items")
    assert stream.watermark == newest
    await ticks(shop, timedelta(seconds=301))
    since = await shop.value("SELECT args ->> 'since' FROM jobs ORDER BY id DESC LIMIT 1")
    assert datetime.fromisoformat(since) == newest - timedelta(hours=1)


# -- dead letters -----------------------------------------------------------------------------------------------------


def dead(shop: Workshop, queue: str, hint: Any) -> None:
    body = orjson.dumps(hint.message().asdict())
    shop.mailbox.dead.setdefault(queue, []).append(body)


async def test_a_job_that_died_as_a_message_becomes_a_failed_job(shop: Workshop) -> None:
    dead(shop, JOBS, AcceptJob("probe", {"note": "x"}, idempotency_key="k", priority=7))
    await shop.dispatcher.tick()
    (row,) = await shop.rows("SELECT * FROM jobs")
    assert (row.state, row.kind, row.args, row.queue) == ("failed", "probe", {"note": "x"}, PROBE)
    assert (row.owner, row.idempotency_key, row.priority) == ("amqp", "k", 7)
    assert "gave up" in row.last_error
    assert shop.mailbox.dead == {JOBS: []}
    async with shop.database.begin() as conn:
        assert await jobs.retry(conn, row.id, now=shop.clock()) == PROBE
    await shop.pipeline.probe(PROBE)
    assert (await shop.job(row.id)).state == "succeeded"


async def test_a_message_that_died_after_it_had_become_a_job_changes_nothing(shop: Workshop) -> None:
    message = AcceptJob("probe", {}, idempotency_key="k")
    await shop.mailbox.send([message])
    await shop.run()
    dead(shop, JOBS, message)
    await shop.dispatcher.tick()
    (row,) = await shop.rows("SELECT * FROM jobs")
    assert (row.state, row.last_error) == ("succeeded", None)


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (AcceptJob("probe", {"nothing": 1}, "k", 7), "nothing"),
        (AcceptJob("fetch", {"provider": "nobody", "dataset": "posts"}, "k", 7), "no queue 'fetch.nobody'"),
    ],
)
async def test_a_dead_message_that_is_no_job_keeps_all_that_it_said(
    shop: Workshop, message: AcceptJob, why: str
) -> None:
    dead(shop, JOBS, message)
    await shop.dispatcher.tick()
    (row,) = await shop.rows("SELECT * FROM jobs")
    assert (row.state, row.kind) == ("failed", "unreadable")
    assert row.args == {"kind": message.kind, "args": dict(message.args), "idempotency_key": "k", "priority": 7}
    assert why in row.last_error


async def test_a_hint_that_died_is_no_loss(shop: Workshop) -> None:
    job_id = await shop.ask(pages_max=1)
    await shop.deliver(FETCH)
    dead(shop, "dedup", DedupPage((await shop.pages(job_id))[0].id))
    shop.mailbox.lose()
    await shop.settle()
    assert (await shop.job(job_id)).state == "succeeded"
    assert await shop.value("SELECT count(*) FROM jobs") == 1


async def test_a_dead_letter_that_nobody_can_read_is_kept_and_holds_up_nobody(shop: Workshop) -> None:
    shop.mailbox.dead[JOBS] = [
        b"\x00",
        orjson.dumps({"kind": "\x00", "args": {"\x00": 1}}),
        ('{"kind": "fetch", "args": ' + '{"a":' * 400 + "1" + "}" * 401).encode(),
        orjson.dumps(AcceptJob("probe", {}).message().asdict()),
    ]
    await silent(shop, job(run_at=START + SECOND))
    shop.forward(SECOND)
    assert await shop.dispatcher.tick() == 1
    assert await shop.value("SELECT count(*) FROM jobs WHERE state = 'failed'") == 4
    assert shop.mailbox.dead == {JOBS: []}


# -- leadership -------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def running(dispatcher: Dispatcher) -> Any:
    stop = asyncio.Event()
    task = asyncio.create_task(dispatcher.run(stop))
    try:
        yield task
    finally:
        stop.set()
        await task


def counting(shop: Workshop, database: AsyncEngine) -> tuple[Dispatcher, list[datetime]]:
    """A dispatcher that notes each of its looks."""
    looks: list[datetime] = []

    def clock() -> datetime:
        looks.append(shop.clock())
        return shop.clock()

    return Dispatcher(database, shop.mailbox, shop.dispatcher.queues, clock, every_s=0.01), looks


def more_than(looks: list[datetime], count: int) -> Callable[[], Any]:
    async def check() -> bool:
        return len(looks) > count

    return check


async def test_two_run_and_one_leads_and_the_other_takes_over(shop: Workshop, ledger_url: str) -> None:
    async with open_ledger(ledger_url) as first, open_ledger(ledger_url) as second:
        leader, led = counting(shop, first)
        follower, followed = counting(shop, second)
        async with running(leader):
            await eventually(more_than(led, 3))
            async with running(follower):
                await eventually(more_than(led, len(led) + 10))
                assert followed == []
                backend = await shop.value(
                    """SELECT pid FROM pg_locks WHERE locktype = 'advisory'
                    AND (CAST(classid AS bigint) << 32 | CAST(objid AS bigint)) = :n""",
                    n=LEADER,
                )
                assert await shop.value("SELECT pg_terminate_backend(:pid)", pid=backend)
                seen = len(led) + len(followed)

                async def somebody_leads() -> bool:
                    return len(led) + len(followed) > seen + 3

                await eventually(somebody_leads)


async def test_a_leader_that_leaves_hands_over_at_once(shop: Workshop, ledger_url: str) -> None:
    async with open_ledger(ledger_url) as first, open_ledger(ledger_url) as second:
        leader, led = counting(shop, first)
        follower, followed = counting(shop, second)
        async with running(leader):
            await eventually(more_than(led, 3))
            following = running(follower)
            await following.__aenter__()
        seen = len(led)
        await eventually(more_than(followed, 3))
        assert len(led) == seen
        await following.__aexit__(None, None, None)


async def test_a_dispatcher_lives_while_the_broker_is_away(shop: Workshop) -> None:
    dispatcher, looks = counting(shop, shop.database)
    shop.mailbox.away = True
    async with running(dispatcher) as task:
        await eventually(more_than(looks, 3))
        assert not task.done()
        shop.mailbox.away = False
        await silent(shop, job(run_at=START - SECOND))

        async def said() -> bool:
            return bool(shop.mailbox.waiting())

        shop.clock.forward(MINUTE)
        await eventually(said)
