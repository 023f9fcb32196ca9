"""Following a job: what is told, when it ends, how a client comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest
from aiohttp import ClientResponse, ClientSession
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.api.job_events import FOLLOWING_MAX
from tests.integration.gateway.asking import ask, enqueue, look
from tests.integration.gateway.conftest import ALICE, Gateway
from tests.workshop import eventually

pytestmark = pytest.mark.usefixtures("nothing_under_way", "quick")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks often: the rules are the same."""
    monkeypatch.setattr("gateway.api.job_events.LOOK_EVERY_S", 0.02)


async def told(answer: ClientResponse) -> AsyncIterator[dict[str, str]]:
    """Read events as a client of server-sent events does; comments are left out."""
    fields: dict[str, str] = {}
    async for line in answer.content:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name:
            fields[name] = value
        elif "event" in fields:
            yield fields
            fields = {}
        else:
            fields = {}


async def test_a_job_is_followed_to_its_end(alice: ClientSession, gateway_engine: AsyncEngine) -> None:
    job = (await enqueue(alice)).body
    async with alice.get(f"jobs/{job['id']}/events") as answer:
        assert (answer.status, answer.content_type) == (200, "text/event-stream")
        assert {"X-RateLimit-Remaining", "X-Request-Id", "Cache-Control"} <= answer.headers.keys()
        events = told(answer)
        first = await anext(events)
        assert (first["event"], orjson.loads(first["data"])) == ("state", job)
        await look(gateway_engine, "UPDATE jobs SET state = 'running', landed = 1 WHERE id = :id", id=job["id"])
        assert (await anext(events))["event"] == "state"
        await look(gateway_engine, "UPDATE jobs SET posted = 1 WHERE id = :id", id=job["id"])
        progress = await anext(events)
        assert (progress["event"], orjson.loads(progress["data"])["progress"]["posted"]) == ("progress", 1)
        await ask(alice, "POST", f"jobs/{job['id']}/cancel")
        last = await anext(events)
        assert (last["event"], orjson.loads(last["data"])["state"]) == ("end", "cancelled")
        assert [one async for one in events] == []
    assert len({first["id"], progress["id"], last["id"]}) == 3


async def test_a_client_that_comes_back_is_told_what_it_has_not_seen(alice: ClientSession) -> None:
    job = (await enqueue(alice)).body["id"]
    async with alice.get(f"jobs/{job}/events") as answer:
        seen = (await anext(told(answer)))["id"]
    await ask(alice, "POST", f"jobs/{job}/cancel")
    async with alice.get(f"jobs/{job}/events", headers={"Last-Event-ID": seen}) as answer:
        events = [one async for one in told(answer)]
    assert [one["event"] for one in events] == ["end"]
    finished = {"Last-Event-ID": events[0]["id"]}
    assert (await ask(alice, "GET", f"jobs/{job}/events", headers=finished)).status == 204


async def test_what_a_client_has_seen_is_not_told_again(alice: ClientSession, gateway_engine: AsyncEngine) -> None:
    job = (await enqueue(alice)).body["id"]
    async with alice.get(f"jobs/{job}/events") as answer:
        seen = (await anext(told(answer)))["id"]
    async with alice.get(f"jobs/{job}/events", headers={"Last-Event-ID": seen}) as answer:
        events = told(answer)
        await look(gateway_engine, "UPDATE jobs SET landed = 1 WHERE id = :id", id=job)
        assert orjson.loads((await anext(events))["data"])["progress"]["landed"] == 1


async def test_a_quiet_stream_is_kept_open_by_comments(alice: ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.api.job_events.HEARTBEAT_S", 0.0)
    job = (await enqueue(alice)).body["id"]
    async with alice.get(f"jobs/{job}/events") as answer:
        async for line in answer.content:
            if line == b": still here\n":
                return
    pytest.fail("the stream ended")


async def test_a_stream_ends_by_itself_after_a_while(alice: ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.api.job_events.LASTS_S", 0.05)
    job = (await enqueue(alice)).body["id"]
    async with alice.get(f"jobs/{job}/events") as answer:
        assert len([one async for one in told(answer)]) == 1


async def test_a_user_follows_only_so_many_jobs_at_once(
    alice: ClientSession, bob: ClientSession, gateway: Gateway
) -> None:
    job = (await enqueue(alice)).body["id"]
    open_ones = [await alice.get(f"jobs/{job}/events") for _ in range(FOLLOWING_MAX)]
    refused = await ask(alice, "GET", f"jobs/{job}/events")
    assert (refused.status, refused.code) == (429, "too_many_streams")
    assert "Retry-After" in refused.headers
    theirs = (await enqueue(bob)).body["id"]
    async with bob.get(f"jobs/{theirs}/events") as answer:
        assert answer.status == 200
    for one in open_ones:
        one.close()

    async def nobody_follows() -> bool:
        return not gateway.parts.following[ALICE]

    await eventually(nobody_follows)
    async with alice.get(f"jobs/{job}/events") as answer:
        assert answer.status == 200


async def test_many_streams_are_one_look_at_a_time(
    alice: ClientSession, bob: ClientSession, gateway: Gateway, gateway_engine: AsyncEngine
) -> None:
    watch = gateway.parts.watch
    jobs = {name: (await enqueue(client)).body["id"] for name, client in (("alice", alice), ("bob", bob))}
    lines = [await alice.get(f"jobs/{jobs['alice']}/events") for _ in range(FOLLOWING_MAX)]
    lines.append(await bob.get(f"jobs/{jobs['bob']}/events"))
    events = [told(line) for line in lines]
    for one in events:
        await anext(one)
    seen = watch.looks
    await look(gateway_engine, "UPDATE jobs SET landed = 1 WHERE id = ANY(:ids)", ids=list(jobs.values()))
    landed = [orjson.loads((await anext(one))["data"]) for one in events]
    assert [one["progress"]["landed"] for one in landed] == [1] * len(lines)
    assert [one["id"] for one in landed] == [jobs["alice"]] * FOLLOWING_MAX + [jobs["bob"]], "each is told of their own"
    most = watch.looks - seen

    async def looked_again() -> bool:
        return watch.looks > seen + most

    await eventually(looked_again)
    for line in lines:
        line.close()

    async def rests() -> bool:
        return watch.idle

    await eventually(rests)


async def test_a_database_that_goes_and_comes_back_does_not_end_a_stream(
    alice: ClientSession, gateway_engine: AsyncEngine
) -> None:
    job = (await enqueue(alice)).body["id"]
    async with alice.get(f"jobs/{job}/events") as answer:
        events = told(answer)
        await anext(events)
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'gateway tests'"
        await look(gateway_engine, f"{others} AND pid <> pg_backend_pid()")
        await asyncio.wait_for(_landed(alice, gateway_engine, job), 10)
        assert orjson.loads((await anext(events))["data"])["progress"]["landed"] == 1


async def _landed(_: ClientSession, engine: AsyncEngine, job: str) -> None:
    await look(engine, "UPDATE jobs SET landed = 1 WHERE id = :id", id=job)
