"""The same request twice is one job, whoever died in between."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import uuid4

import pytest
from aiohttp import ClientSession
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from broker.producer import Producer
from tests.integration.gateway.asking import PROBE, ask, enqueue, look
from tests.integration.gateway.conftest import ALICE, Gateway
from tests.workshop import Mailbox
from workers.dispatch import Dispatcher

pytestmark = pytest.mark.usefixtures("nothing_under_way")
COUNT = "SELECT count(*) FROM jobs"


@contextmanager
def producer(gateway: Gateway, other: Producer) -> Iterator[None]:
    """The gateway's broker for a while; Parts is frozen for everybody but a test."""
    usual = gateway.parts.producer
    object.__setattr__(gateway.parts, "producer", other)
    yield
    object.__setattr__(gateway.parts, "producer", usual)


async def test_case_70_the_same_request_is_answered_the_same_and_done_once(
    alice: ClientSession, gateway_engine: AsyncEngine
) -> None:
    key, [(before,)] = str(uuid4()), await look(gateway_engine, COUNT)
    first, again = await enqueue(alice, key=key), await enqueue(alice, key=key)
    assert (again.status, again.body) == (202, first.body)
    assert (first.headers.get("Idempotency-Replayed"), again.headers["Idempotency-Replayed"]) == (None, "true")
    assert again.headers["Location"] == first.headers["Location"]
    assert await look(gateway_engine, COUNT) == [(before + 1,)]


async def test_case_70_the_order_of_a_bodys_fields_does_not_matter(alice: ClientSession) -> None:
    key = str(uuid4())
    first = await enqueue(alice, {"kind": "probe", "args": {"note": "a"}, "priority": -1}, key=key)
    again = await enqueue(alice, {"priority": -1, "args": {"note": "a"}, "kind": "probe"}, key=key)
    assert again.body["id"] == first.body["id"]


async def test_case_70_another_body_or_another_route_with_the_key_is_refused(alice: ClientSession) -> None:
    key = str(uuid4())
    job = (await enqueue(alice, key=key)).body["id"]
    refused = await enqueue(alice, [PROBE], key=key)
    assert (refused.status, refused.code) == (422, "idempotency_key_reused")
    elsewhere = await ask(alice, "POST", f"jobs/{job}/cancel", headers={"Idempotency-Key": key})
    assert elsewhere.code == "idempotency_key_reused"
    assert (await ask(alice, "GET", f"jobs/{job}")).body["state"] == "queued"


async def test_case_70_while_the_first_is_under_way_the_second_is_told_so(
    alice: ClientSession, gateway_engine: AsyncEngine
) -> None:
    key = str(uuid4())
    async with gateway_engine.begin() as first:
        lock = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 0))")
        await first.execute(lock, {"name": f"idempotency {ALICE} {key}"})
        refused = await enqueue(alice, key=key)
    assert (refused.status, refused.code) == (409, "idempotency_key_in_use")
    assert refused.headers["Retry-After"] == "1"
    assert (await enqueue(alice, key=key)).status == 202


async def test_case_70_many_at_once_are_one_job(alice: ClientSession, gateway_engine: AsyncEngine) -> None:
    key, [(before,)] = str(uuid4()), await look(gateway_engine, COUNT)
    told = await asyncio.gather(*(enqueue(alice, key=key) for _ in range(12)))
    assert {one.status for one in told} <= {202, 409}
    assert len({one.body["id"] for one in told if one.status == 202}) == 1
    assert await look(gateway_engine, COUNT) == [(before + 1,)]


async def test_case_70_a_key_is_demanded_where_jobs_are_made(alice: ClientSession) -> None:
    refused = await ask(alice, "POST", "jobs", PROBE)
    assert (refused.status, refused.code) == (400, "idempotency_key_missing")


@pytest.mark.parametrize("key", ["a b", "x" * 201, "ä", "a\tb"])
async def test_case_70_a_key_is_visible_ascii(key: str, alice: ClientSession) -> None:
    assert (await enqueue(alice, key=key)).status == 422


async def test_case_70_another_users_key_is_another_key(alice: ClientSession, bob: ClientSession) -> None:
    key = str(uuid4())
    mine, theirs = await enqueue(alice, key=key), await enqueue(bob, [PROBE], key=key)
    assert (mine.status, theirs.status) == (202, 202)
    assert mine.body["id"] != theirs.body[0]["id"]


async def test_case_70_a_refusal_keeps_nothing_so_the_mended_request_may_use_the_key(alice: ClientSession) -> None:
    key = str(uuid4())
    assert (await enqueue(alice, {"kind": "probe", "args": {"x": 1}}, key=key)).status == 422
    assert (await enqueue(alice, key=key)).status == 202


async def test_case_70_answers_are_kept_for_a_day(
    alice: ClientSession, gateway: Gateway, gateway_engine: AsyncEngine
) -> None:
    old, young = str(uuid4()), str(uuid4())
    first = await enqueue(alice, key=old)
    await enqueue(alice, key=young)
    for key, age in ((old, "24 hours"), (young, "23 hours 59 minutes")):
        sql = "UPDATE idempotency SET created_at = now() - CAST(:age AS interval) WHERE key = :key"
        await look(gateway_engine, sql, age=age, key=key)
    assert (await enqueue(alice, key=young)).headers["Idempotency-Replayed"] == "true"
    again = await enqueue(alice, key=old)
    assert (again.status, again.body["id"] != first.body["id"]) == (202, True)
    later = gateway.parts.now() + timedelta(minutes=2)
    await Dispatcher(gateway_engine, Mailbox(), (), lambda: later).tick()
    assert await look(gateway_engine, "SELECT key FROM idempotency WHERE key IN (:a, :b)", a=old, b=young) == [(old,)]


async def test_case_71_a_gateway_that_dies_before_its_commit_leaves_no_job_and_a_retry_makes_one(
    alice: ClientSession, gateway: Gateway, gateway_engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, [(before,)] = str(uuid4()), await look(gateway_engine, COUNT)
    trigger = "CREATE TRIGGER dies BEFORE INSERT ON idempotency FOR EACH ROW EXECUTE FUNCTION dies()"
    await look(
        gateway_engine,
        """CREATE FUNCTION dies() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$""",
    )
    await look(gateway_engine, trigger)
    lost = await enqueue(alice, key=key)
    await look(gateway_engine, "DROP FUNCTION dies CASCADE")
    assert (lost.status, lost.code, "Retry-After" in lost.headers) == (503, "unavailable", True)
    assert await look(gateway_engine, COUNT) == [(before,)]
    assert (await enqueue(alice, key=key)).status == 202
    assert await look(gateway_engine, COUNT) == [(before + 1,)]


async def test_case_71_a_gateway_that_dies_after_its_commit_has_made_the_one_job_that_a_retry_is_told(
    alice: ClientSession, gateway: Gateway, gateway_engine: AsyncEngine
) -> None:
    class Dies(Mailbox):
        async def send(self, hints: object) -> None:
            raise RuntimeError("the process dies between the commit and the answer")

    key, [(before,)] = str(uuid4()), await look(gateway_engine, COUNT)
    with producer(gateway, Dies()):
        assert (await enqueue(alice, key=key)).status == 500
    told = await enqueue(alice, key=key)
    assert (told.status, told.headers["Idempotency-Replayed"]) == (202, "true")
    assert await look(gateway_engine, COUNT) == [(before + 1,)]


async def test_a_broker_that_is_away_changes_nothing_but_who_gives_the_hint(
    alice: ClientSession, gateway: Gateway, gateway_engine: AsyncEngine
) -> None:
    with producer(gateway, Mailbox(away=True)):
        told = await enqueue(alice)
    assert told.status == 202
    row = await look(gateway_engine, "SELECT state, published_at FROM jobs WHERE id = :id", id=told.body["id"])
    assert row == [("queued", None)]  # which the dispatcher takes for: say it as soon as you can


async def test_a_broker_that_does_not_answer_is_not_waited_for(
    alice: ClientSession, gateway: Gateway, gateway_engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Silent(Mailbox):
        async def send(self, hints: object) -> None:
            await asyncio.Event().wait()

    monkeypatch.setattr("gateway.enqueueing.HINT_S", 0.05)
    with producer(gateway, Silent()):
        assert (await enqueue(alice)).status == 202


async def test_a_worker_is_told_at_once(alice: ClientSession, gateway: Gateway) -> None:
    flows = {"provider": "nansen", "dataset": "smart-money/netflow", "params": {"chains": ["ethereum"]}}
    with producer(gateway, mailbox := Mailbox()):
        await enqueue(alice, [PROBE, {"kind": "fetch", "args": flows}])
    assert mailbox.waiting() == {"probe": 1, "fetch.nansen": 1}
