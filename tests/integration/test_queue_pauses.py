"""A queue that an operator closes: no process takes from it, what is in hand ends, nothing is lost or said in vain."""

from __future__ import annotations

import json
from asyncio import to_thread
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta

from broker import pauses
from broker.jobs import NewJob
from broker.messages import DEDUP, POST, PROBE, fetch_queue, queues
from broker.producer import open_producer
from ops.embedded import Stack
from tests.integration import test_worker_process as processes
from tests.integration.test_worker_process import NAMES, Plant
from tests.terminal import Shell
from tests.workshop import Workshop, eventually

plant = processes.plant
FETCH = fetch_queue("cryptopanic")
STOCK = ("-m", "dramatiq", "ops.stock:broker", "--processes", "1", "--threads", "8")
FOLLOWERS = """SELECT DISTINCT application_name FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND objsubid = 2 AND application_name LIKE 'sluice worker%'"""
HALF_HOURS = timedelta(minutes=31)


def shell(plant: Plant) -> Shell:
    return Shell({**plant.environment, "COLUMNS": "240"})


def doctor(typed: Shell) -> dict[str, dict[str, str]]:
    """What it finds, by name; no worker runs, so all is not well."""
    return {one["what"]: one for one in json.loads(typed.run("doctor", "--json", exits=1))["findings"]}


def counted(plant: Plant, question: str, wanted: int) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return len(await plant.rows(question)) == wanted

    return check


@asynccontextmanager
async def on_redis(plant: Plant, stack: Stack) -> AsyncIterator[Plant]:
    """The same plant with Redis as its broker."""
    url = stack.redis.start().database_url(9)
    async with open_producer(url, queues(NAMES)) as producer:
        yield replace(plant, producer=producer, environment={**plant.environment, "SLUICE_BROKER_URL": url})


async def closes_and_opens(plant: Plant, *later: Sequence[str]) -> None:
    """A process that runs already and those that start later leave the queue alone; the others are worked on."""
    typed, landed = shell(plant), "SELECT FROM pages WHERE state = 'landed' AND deliveries + sends = 0"
    async with AsyncExitStack() as running:
        await running.enter_async_context(plant.process())
        await plant.enqueue([NewJob(PROBE, PROBE)])
        await eventually(counted(plant, "SELECT FROM jobs WHERE state = 'succeeded'", 1), within_s=40)
        told = await to_thread(typed.one, "queues", "drain", DEDUP, "--within", "40s", "--reason", "a look")
        assert (told["drained"], told["in_hand_at"]) == (True, {})
        for words in later:
            await running.enter_async_context(plant.process(*words))
        await plant.ask(2, pages_max=1)
        await plant.enqueue([NewJob(PROBE, PROBE)] * 20)
        await eventually(counted(plant, landed, 2), within_s=40)
        await eventually(counted(plant, "SELECT FROM jobs WHERE state = 'succeeded'", 21), within_s=40)
        await eventually(counted(plant, FOLLOWERS, 1 + len(later)), within_s=40)
        assert await counted(plant, landed, 2)()
        assert await to_thread(typed.run, "queues", "resume", DEDUP) == "resumed: dedup\n"
        await eventually(plant.all_are("succeeded"), within_s=40)


async def test_every_process_leaves_a_paused_queue_alone_dramatiqs_own_too_until_it_is_resumed(plant: Plant) -> None:
    await closes_and_opens(plant, STOCK)


async def test_the_same_holds_on_redis(plant: Plant, stack: Stack) -> None:
    async with on_redis(plant, stack) as moved:
        await closes_and_opens(moved)


async def test_draining_waits_for_what_is_in_hand_and_names_who_has_it(plant: Plant) -> None:
    typed = shell(plant)
    await plant.ask(pages_max=1)
    async with plant.database.connect() as held, plant.process():
        await held.exec_driver_sql("LOCK TABLE calls IN SHARE MODE")  # no answer can be written down
        await eventually(counted(plant, "SELECT FROM jobs WHERE lease_until IS NOT NULL", 1), within_s=40)
        (job,) = await plant.rows("SELECT worker FROM jobs")
        # In threads: the sandbox answers on this loop.
        said = await to_thread(typed.run, "queues", "drain", FETCH, "--within", "1s", exits=1)
        assert f"{FETCH}: after" in said
        assert f"still in hand at sluice worker {job.worker}"[:60] in said
        (listed,) = [one for one in await to_thread(typed.lines, "queues") if one["queue"] == FETCH]
        assert (listed["stands"], len(listed["in_hand_at"])) == ("paused", 1)
        await held.rollback()
        assert "nothing is in hand" in await to_thread(typed.run, "queues", "drain", FETCH, "--within", "40s")
        assert await plant.rows("SELECT FROM jobs WHERE lease_until IS NOT NULL AND landed = 0") == []


async def test_who_closed_a_queue_is_told_wherever_people_look(plant: Plant) -> None:
    typed = shell(plant)
    typed.run("queues", "pause", DEDUP, POST, "--reason", "a bad parser")
    _, said = typed.both("queues", "pause", POST, "--reason", "another")
    assert "queue post is paused by" in said
    assert "a bad parser, and stays so" in said
    await plant.ask()
    _, said = typed.both("jobs", "list")
    assert [line.partition(" since ")[0].partition(" by ")[0] for line in said.splitlines()] == [
        "sluice: queue dedup is paused",
        "sluice: queue post is paused",
    ]
    found = doctor(typed)["queue post"]
    assert (found["state"], found["remedy"].rpartition(": ")[2]) == ("note", "sluice queues resume post")
    async with plant.database.begin() as conn:
        await conn.exec_driver_sql("UPDATE queue_pauses SET since = since - interval '25 hours'")
    assert doctor(typed)["queue post"]["state"] == "wrong"
    rows = {one["queue"]: one for one in typed.lines("queues", "list")}
    assert (rows[POST]["stands"], rows[POST]["reason"], rows[PROBE]["stands"]) == ("paused", "a bad parser", "open")
    assert rows[FETCH]["messages"] == 1
    deeds = await plant.rows("SELECT action, object FROM audit WHERE action LIKE 'queue.%' ORDER BY id DESC LIMIT 2")
    assert [(one.action, one.object) for one in deeds] == [("queue.pause", POST), ("queue.pause", DEDUP)]
    assert typed.run("queues", "resume", POST, DEDUP) == "resumed: dedup, post\n"
    assert "none of them was paused" in typed.run("queues", "resume", POST)
    assert "there is no queue 'nasdaq'" in typed.fails("queues", "pause", "nasdaq")


async def test_a_hint_in_a_closed_queue_is_not_taken_for_lost_however_old(shop: Workshop) -> None:
    async def close(*names: str) -> None:
        async with shop.database.begin() as conn:
            await pauses.resume(conn, [FETCH, DEDUP, POST])
            await pauses.pause(conn, names, who="tester", reason="a test", now=shop.clock())

    await close(FETCH)
    await shop.ask()
    for _ in range(3):
        shop.forward(HALF_HOURS)
        await shop.dispatcher.tick()
    assert shop.mailbox.waiting() == {FETCH: 1}
    shop.mailbox.lose()  # an empty queue has lost what was in it, closed or not
    shop.forward(HALF_HOURS)
    await shop.dispatcher.tick()
    assert shop.mailbox.waiting() == {FETCH: 1}

    await close(POST)
    await shop.deliver(FETCH)
    await shop.deliver(DEDUP)
    waiting = shop.mailbox.waiting()
    assert waiting[POST] == 1
    for _ in range(3):
        shop.forward(HALF_HOURS)
        await shop.dispatcher.tick()
    assert shop.mailbox.waiting()[POST] == 1
    assert DEDUP not in shop.mailbox.waiting()
