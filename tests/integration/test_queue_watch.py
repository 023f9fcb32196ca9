"""What is told of queues under load, on both brokers, and of rows, streams and limits."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

from dramatiq import MessageProxy
from dramatiq.broker import Consumer

from broker import backlog, jobs, providers, streams
from broker.connect import from_url
from broker.jobs import NewJob
from broker.messages import WorkOnJob
from broker.producer import open_producer
from broker.streams import NewStream
from ops.metrics.watch import Watch
from tests.watching import told, watching
from tests.workshop import START, Workshop, eventually

WITHIN_S = 5.0


async def test_ready_consumers_and_what_is_in_hand_are_told_within_five_seconds(
    shop: Workshop, broker_url: str, redis_url: str
) -> None:
    queue, on_redis = f"w{uuid.uuid4().hex[:12]}", broker_url.startswith("redis")
    broker = from_url(broker_url, middleware=())
    broker.declare_queue(queue, **({} if on_redis else {"ensure": True}))
    async with (
        open_producer(broker_url, [queue]) as producer,
        watching(shop.database, broker_url, redis_url, [queue]) as watch,
    ):
        await producer.send([WorkOnJob(queue)] * 50)
        # Nobody takes messages, and who only sends is not taken for somebody who does.
        await tells(watch, queue, ready=50, consumers=0)
        consumer = broker.consume(queue, prefetch=8, timeout=50)
        taken = await asyncio.to_thread(_take, consumer, 8)
        held = {"unacked": 8} if on_redis else {}
        await tells(watch, queue, ready=42, consumers=1, **held)
        assert (("sluice_queue_unacked", queue) in told(watch)) == on_redis  # AMQP does not tell
        await asyncio.to_thread(_give_back, consumer, taken)
        await tells(watch, queue, dead=2)
        await asyncio.to_thread(consumer.close)
        await asyncio.to_thread(broker.close)


async def tells(watch: Watch, queue: str, **right: int) -> None:
    async def check() -> bool:
        now = told(watch)
        return all(now.get((f"sluice_queue_{name}", queue)) == value for name, value in right.items())

    await eventually(check, within_s=WITHIN_S)


def _take(consumer: Consumer, count: int) -> list[MessageProxy]:
    taken: list[MessageProxy] = []
    while len(taken) < count:
        if (message := next(consumer)) is not None:
            taken.append(message)
    return taken


def _give_back(consumer: Consumer, taken: list[MessageProxy]) -> None:
    for message in taken[:2]:
        consumer.nack(message)
    for message in taken[2:]:
        consumer.ack(message)
    next(consumer)  # pika sends acknowledgements while it looks for messages


async def test_the_rows_tell_what_is_due_since_when_and_what_nobody_was_told_of(shop: Workshop) -> None:
    minute = timedelta(minutes=1)
    async with shop.database.begin() as conn:
        new = [
            NewJob("fetch", "fetch.nansen", {}, run_at=START - 3 * minute),
            NewJob("fetch", "fetch.nansen", {}, run_at=START + minute),
        ]
        await jobs.enqueue(conn, new, now=START, hinted=False)
        await jobs.enqueue(conn, [NewJob("probe", "probe", {}, run_at=START - minute)], now=START)
        found = await backlog.backlog(conn, now=START)
    assert found.since == {"fetch.nansen": START - 3 * minute, "probe": START - minute}
    assert (found.undispatched, found.undispatched_since) == (1, START - 3 * minute)
    assert (found.live, found.dead) == ({"queued": 3, "running": 0, "waiting": 0}, 0)


async def test_a_page_waits_from_its_fetch_on_for_dedup_and_then_for_post(shop: Workshop) -> None:
    await shop.ask(pages_max=1)
    await shop.deliver("fetch.cryptopanic")
    assert await _waits(shop) == {"dedup": START}
    await shop.deliver("dedup")
    assert await _waits(shop) == {"post": START}
    await shop.deliver("post")
    assert await _waits(shop) == {}


async def _waits(shop: Workshop) -> dict[str, datetime]:
    async with shop.database.connect() as conn:
        return dict((await backlog.backlog(conn, now=shop.clock())).since)


async def test_a_stream_grows_old_from_its_last_complete_pull_on_and_a_paused_one_is_left_out(shop: Workshop) -> None:
    await shop.stream(NewStream("news", "cryptopanic", "posts", {}, interval_s=300, overlap_s=3600))
    await shop.dispatcher.tick()
    await shop.settle()
    ended = shop.clock()
    shop.forward(timedelta(minutes=4))
    async with shop.database.begin() as conn:
        (fresh,) = await backlog.freshness(conn)
        assert (fresh.stream, fresh.interval_s) == ("news", 300)
        assert START <= fresh.since <= ended
        await streams.pause(conn, "news", reason="tests")
        assert await backlog.freshness(conn) == []


async def test_standings_and_limits_are_told_and_limits_left_out_while_redis_is_away(
    shop: Workshop, rabbitmq_url: str
) -> None:
    async with shop.database.begin() as conn:
        await providers.stand(conn, "nansen", "paused", reason="tests", now=datetime.now(UTC))
    async with watching(shop.database, rabbitmq_url, "redis://127.0.0.1:9/0", []) as watch:

        async def tells_standing_and_no_limits() -> bool:
            now = told(watch)
            return now.get(("sluice_provider_usable", "nansen")) == 0 and now.get(("sluice_watch_up", "limits")) == 0

        await eventually(tells_standing_and_no_limits, within_s=WITHIN_S)
        assert not [name for name, _ in told(watch) if name == "sluice_provider_breaker_state"]


async def test_a_dispatcher_that_stands_by_tells_nothing_of_queues(shop: Workshop, rabbitmq_url: str) -> None:
    async with watching(shop.database, rabbitmq_url, "redis://127.0.0.1:9/0", [], leads=False) as watch:
        assert told(watch) == {("sluice_dispatcher_leads", ""): 0}
