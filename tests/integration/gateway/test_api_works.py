"""What administrators ask and do; users are let into none of it, and each deed is written down."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from aiohttp import ClientSession
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.api import AREAS
from gateway.routes import Route
from tests.integration.gateway.asking import PROBE, ask, enqueue, every_page, look
from tests.integration.gateway.conftest import ADMIN, ALICE, Gateway
from tests.integration.gateway.test_api_idempotency import producer
from tests.workshop import Mailbox

pytestmark = pytest.mark.usefixtures("nothing_under_way")
EVERY = [route for area in AREAS for route in area]
FOR_ADMINS = [route for route in EVERY if route.needs and route.needs.startswith("admin:")]
NAMED = str.maketrans({"{": "", "}": ""})


def name_of(route: Route) -> str:
    return f"{route.method} {route.path}"


@pytest.fixture
def stream() -> dict[str, Any]:
    """A new stream of the test's own."""
    name, params = f"s-{uuid4().hex[:8]}", {"currencies": "BTC"}
    return {"name": name, "provider": "cryptopanic", "dataset": "posts", "params": params, "interval_s": 300}


async def deeds(engine: AsyncEngine, thing: str) -> list[tuple[str, str, str]]:
    """What the audit record says about a thing, oldest first."""
    return await look(engine, "SELECT actor, action, outcome FROM audit WHERE object = :o ORDER BY id", o=thing)


@pytest.mark.parametrize("route", FOR_ADMINS, ids=name_of)
async def test_case_11_a_user_is_let_into_no_route_of_administrators(route: Route, alice: ClientSession) -> None:
    refused = await ask(alice, route.method, route.path.removeprefix("/").translate(NAMED), {})
    assert (refused.status, refused.code) == (403, "insufficient_scope")
    assert f'scope="{route.needs}"' in refused.headers["WWW-Authenticate"]


def test_case_11_every_route_about_the_works_is_for_administrators() -> None:
    works = ("/streams", "/providers", "/queues", "/quality", "/audit", "/dead-letters", "/admin", "/users")
    assert [name_of(route) for route in EVERY if route.path.startswith(works) and route not in FOR_ADMINS] == []
    reads_that_write = [
        name_of(route) for route in FOR_ADMINS if (route.method == "GET") != (route.needs == "admin:read")
    ]
    assert reads_that_write == []


async def test_a_stream_is_added_paused_scheduled_resumed_and_removed(
    admin: ClientSession, gateway_engine: AsyncEngine, stream: dict[str, Any]
) -> None:
    name = stream["name"]
    added = await ask(admin, "POST", "streams", stream)
    assert (added.status, added.body["params"], added.body["enabled"]) == (201, {"currencies": "BTC"}, True)
    assert (await ask(admin, "POST", "streams", stream)).code == "conflict"
    paused = await ask(admin, "POST", f"streams/{name}/pause", {"reason": "the plan is being changed"})
    assert (paused.body["enabled"], paused.body["pause_reason"]) == (False, "the plan is being changed")
    changed = await ask(admin, "PATCH", f"streams/{name}", {"cron": "0 6 * * 1-5", "priority": 3})
    assert (changed.body["cron"], changed.body["interval_s"], changed.body["priority"]) == ("0 6 * * 1-5", None, 3)
    assert changed.body["next_run_at"].endswith("T06:00:00Z")
    assert (await ask(admin, "PATCH", f"streams/{name}", {"interval_s": 60})).body["cron"] is None
    assert (await ask(admin, "POST", f"streams/{name}/resume")).body["enabled"] is True
    assert name in [one["name"] for one in await every_page(admin, "streams", {"limit": "1"})]
    assert (await ask(admin, "DELETE", f"streams/{name}")).status == 204
    assert (await ask(admin, "GET", f"streams/{name}")).status == 404
    written = await deeds(gateway_engine, name)
    assert {actor for actor, _, _ in written} == {ADMIN}
    told = ["add", "pause", "schedule", "schedule", "resume", "remove"]
    assert [action for _, action, _ in written] == [f"stream.{one}" for one in told]


async def test_a_stream_that_cannot_work_is_refused(admin: ClientSession, stream: dict[str, Any]) -> None:
    for change in (
        {"provider": "nosuch"},
        {"dataset": "nosuch"},
        {"params": {"nosuch": 1}},
        {"cron": "every day"},
        {"cron": "every day", "interval_s": None},
        {"interval_s": None},
        {"interval_s": 1},
        {"name": "../x"},
        {"watermark": "2026-01-01T00:00:00Z"},
    ):
        assert (await ask(admin, "POST", "streams", {**stream, **change})).status == 422, change
    assert (await ask(admin, "PATCH", "streams/nosuch", {"interval_s": 60})).status == 404
    assert (await ask(admin, "POST", "streams/nosuch/pause", {"reason": "x"})).status == 404


async def test_a_stream_runs_now_and_not_twice_at_once(
    admin: ClientSession, gateway: Gateway, stream: dict[str, Any]
) -> None:
    await ask(admin, "POST", "streams", stream)
    with producer(gateway, mailbox := Mailbox()):
        run = await ask(admin, "POST", f"streams/{stream['name']}/run", {"backfill": True})
    assert (run.status, run.body["kind"], run.body["args"]["params"]) == (202, "backfill", {"currencies": "BTC"})
    assert mailbox.waiting() == {"fetch.cryptopanic": 1}
    assert (await ask(admin, "POST", f"streams/{stream['name']}/run", {})).code == "conflict"
    assert (await ask(admin, "GET", f"streams/{stream['name']}")).body["last_job"]["id"] == run.body["id"]


async def test_providers_tell_their_health_their_budget_and_why_they_are_not_called(
    admin: ClientSession, gateway_engine: AsyncEngine
) -> None:
    await look(gateway_engine, _CALLS)
    listed = {one["name"]: one for one in (await ask(admin, "GET", "providers")).body}
    assert listed.keys() == {"cryptopanic", "nansen", "newscatcher"}
    found = listed["newscatcher"]
    assert (found["health"], found["calls_24h"], found["good_share"]) == ("degraded", 10, 0.9)
    budget = next(one["limits"]["budget"] for one in listed.values() if one["limits"]["budget"])
    assert budget["left"] == budget["amount"] - budget["spent"]
    paused = await ask(
        admin, "POST", "providers/newscatcher/pause", {"reason": "bill", "until": "2099-01-01T00:00:00Z"}
    )
    assert (paused.body["state"], paused.body["reason"], paused.body["until"]) == (
        "paused",
        "bill",
        "2099-01-01T00:00:00Z",
    )
    assert (await ask(admin, "POST", "providers/newscatcher/resume")).body["state"] == "ok"
    past = {"reason": "bill", "until": "2001-01-01T00:00:00Z"}
    assert (await ask(admin, "POST", "providers/newscatcher/pause", past)).status == 422
    assert (await ask(admin, "POST", "providers/nosuch/pause", {"reason": "x"})).status == 404
    actions = [action for _, action, _ in await deeds(gateway_engine, "newscatcher")]
    assert actions == ["provider.pause", "provider.resume"]


async def test_queues_tell_what_waits_in_the_broker_and_in_the_rows(
    admin: ClientSession, alice: ClientSession, gateway: Gateway
) -> None:
    with producer(gateway, Mailbox()):
        await enqueue(alice, [PROBE] * 3)
        queue = {one["name"]: one for one in (await ask(admin, "GET", "queues")).body}["probe"]
    assert (queue["ready"], queue["jobs_queued"], queue["unacked"]) == (3, 3, None)
    with producer(gateway, Mailbox(away=True)):
        gone = await ask(admin, "GET", "queues")
    assert (gone.status, {one["ready"] for one in gone.body}) == (200, {None})


async def test_a_queue_that_an_operator_closed_tells_who_why_and_since_when(
    admin: ClientSession, gateway_engine: AsyncEngine
) -> None:
    await look(gateway_engine, "INSERT INTO queue_pauses VALUES ('post', 'olga@ops', 'a look', now())")
    told = {one["name"]: one["paused"] for one in (await ask(admin, "GET", "queues")).body}
    await look(gateway_engine, "DELETE FROM queue_pauses")
    assert (told["post"]["who"], told["post"]["reason"], told["dedup"]) == ("olga@ops", "a look", None)


async def test_queues_tell_what_the_broker_holds_where_it_can_tell(admin: ClientSession, alice: ClientSession) -> None:
    before, after = [await _probes(admin, alice, more) for more in (0, 3)]
    assert after["ready"] == before["ready"] + 3
    assert (after["unacked"], after["delayed"], after["dead"]) == (0, 0, 0)


async def _probes(admin: ClientSession, alice: ClientSession, more: int) -> Any:
    if more:
        await enqueue(alice, [PROBE] * more)
    return {one["name"]: one for one in (await ask(admin, "GET", "queues")).body}["probe"]


async def test_dead_letters_are_grouped_read_replayed_and_purged(
    admin: ClientSession, alice: ClientSession, gateway: Gateway, gateway_engine: AsyncEngine
) -> None:
    jobs = sorted(job["id"] for job in (await enqueue(alice, [PROBE] * 3)).body)
    fail = "UPDATE jobs SET state = 'failed', last_error = :error, finished_at = now() WHERE id = ANY(:jobs)"
    error = f"no such thing {uuid4().hex}"
    await look(gateway_engine, fail, jobs=jobs, error=error)
    groups = (await ask(admin, "GET", "dead-letters/groups")).body
    assert 3 in [one["jobs"] for one in groups]
    query = {"error": error}
    rows = await every_page(admin, "dead-letters", {**query, "limit": "2"})
    assert [one["id"] for one in rows] == jobs[::-1]
    assert {one["owner"] for one in rows} == {ALICE}
    assert (await ask(admin, "GET", f"dead-letters/{jobs[0]}")).body["job"]["last_error"] == error
    with producer(gateway, mailbox := Mailbox()):
        replayed = await ask(admin, "POST", "dead-letters/replay", {"jobs": [jobs[0], str(uuid4())]})
    assert (replayed.status, replayed.body) == (202, {"replayed": 1, "left": 1})
    assert mailbox.waiting() == {"probe": 1}
    assert (await ask(alice, "GET", f"jobs/{jobs[0]}")).body["state"] == "queued"
    assert (await ask(admin, "POST", "dead-letters/purge", query)).body == {"purged": 2, "left": 0}
    assert (await ask(admin, "GET", f"dead-letters/{jobs[0]}")).status == 404
    assert (await ask(admin, "POST", "dead-letters/purge", {"jobs": jobs, **query})).status == 422
    written = "SELECT object FROM audit WHERE action = 'dead_letters.purge' AND object LIKE :start"
    ((told,),) = await look(gateway_engine, written, start=f"error: {error}: %")
    assert all(job in told for job in jobs[1:]), "what was forgotten is named, however it was chosen"


async def test_case_74_an_operator_sees_and_stops_a_users_job_and_that_is_written_down(
    admin: ClientSession, alice: ClientSession, gateway_engine: AsyncEngine
) -> None:
    job = (await enqueue(alice)).body["id"]
    assert (await ask(admin, "GET", f"jobs/{job}")).status == 404  # on everybody's own address there is only their own
    assert (await ask(admin, "GET", f"admin/jobs/{job}")).body["owner"] == ALICE
    stopped = await ask(admin, "POST", f"admin/jobs/{job}/cancel")
    assert (stopped.status, stopped.body["state"]) == (200, "cancelled")
    assert (await ask(admin, "POST", f"admin/jobs/{job}/cancel")).code == "conflict"
    listed = await ask(admin, "GET", "admin/jobs", query={"owner": ALICE, "state": "cancelled", "limit": "1"})
    assert listed.body["data"][0]["id"] == job
    assert await deeds(gateway_engine, job) == [(ADMIN, "jobs.read", "done"), (ADMIN, "job.cancel", "done")]


async def test_the_audit_record_is_read_page_by_page(admin: ClientSession, stream: dict[str, Any]) -> None:
    for reason in ("one", "two", "three"):
        await ask(admin, "POST", "streams", stream)
        await ask(admin, "POST", f"streams/{stream['name']}/pause", {"reason": reason})
    rows = await every_page(admin, "audit", {"action": "stream.pause", "limit": "2"})
    mine = [row for row in rows if row["object"] == stream["name"]]
    assert len(mine) == 3
    assert [row["id"] for row in rows] == sorted((row["id"] for row in rows), reverse=True)
    assert mine[0]["actor"] == ADMIN
    assert mine[0]["address"] == "127.0.0.1"
    assert await every_page(admin, "audit", {"actor": "nobody at all"}) == []


async def test_quality_is_told_with_unknown_for_what_is_unknown(admin: ClientSession, stream: dict[str, Any]) -> None:
    await ask(admin, "POST", "streams", stream)
    (found,) = (await ask(admin, "GET", "quality", query={"stream": stream["name"], "window_s": "3600"})).body
    assert (found["stream"], found["score"], found["level"]) == (stream["name"], None, "unknown")
    assert (await ask(admin, "GET", "quality", query={"stream": "nosuch"})).status == 404
    assert (await ask(admin, "GET", "quality", query={"window_s": "1"})).status == 422


_CALLS = """INSERT INTO calls (provider, dataset, at, outcome, cost, seconds)
    SELECT 'newscatcher', 'search', now() - n * interval '1 minute',
        CASE n WHEN 1 THEN 'RetryLater' ELSE 'landed' END, 1, 0.1
    FROM generate_series(1, 10) n"""
