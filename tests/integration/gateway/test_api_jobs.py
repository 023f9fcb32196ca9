"""Jobs over HTTP: asked for, seen by their owner alone, listed, stopped, asked for again."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import msgspec
import pytest
from aiohttp import ClientSession
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.api.job_shapes import BATCH_MAX, JobAnswer
from tests.integration.gateway.asking import PROBE, ask, enqueue, every_page, look
from tests.integration.gateway.conftest import ALICE, BOB

pytestmark = pytest.mark.usefixtures("nothing_under_way")
FETCH: dict[str, Any] = {"kind": "fetch", "args": {"provider": "cryptopanic", "dataset": "posts"}}


async def test_a_job_is_answered_with_where_to_follow_it(alice: ClientSession) -> None:
    told = await enqueue(alice)
    assert (told.status, told.body["state"], told.body["kind"]) == (202, "queued", "probe")
    found = await ask(alice, "GET", f"jobs/{told.body['id']}")
    assert told.headers["Location"].endswith(f"/api/v1/jobs/{told.body['id']}")
    assert (found.status, found.body) == (200, told.body)


async def test_a_batch_is_all_or_nothing(alice: ClientSession, gateway_engine: AsyncEngine) -> None:
    told = await enqueue(alice, [PROBE, FETCH])
    assert told.status == 202
    assert [job["kind"] for job in told.body] == ["probe", "fetch"]
    before = await look(gateway_engine, "SELECT count(*) FROM jobs")
    refused = await enqueue(alice, [PROBE, {"kind": "probe", "args": {"nope": 1}}])
    assert (refused.status, refused.code, refused.body["job"]) == (422, "invalid", 1)
    assert "nope" in refused.body["detail"]
    assert await look(gateway_engine, "SELECT count(*) FROM jobs") == before


async def test_case_01_another_users_job_is_answered_like_one_that_does_not_exist(
    alice: ClientSession, bob: ClientSession
) -> None:
    job = (await enqueue(bob)).body["id"]
    for way in ("", "/events", "/pages"):
        theirs, nobodys = [await ask(alice, "GET", f"jobs/{one}{way}") for one in (job, uuid4())]
        assert (theirs.status, nobodys.status) == (404, 404)
        assert _without_request_id(theirs.body) == _without_request_id(nobodys.body)


@pytest.mark.parametrize("deed", ["cancel", "retry"])
async def test_case_02_what_is_done_to_another_users_job_changes_nothing_and_is_written_down(
    deed: str, alice: ClientSession, bob: ClientSession, gateway_engine: AsyncEngine
) -> None:
    job = (await enqueue(bob)).body
    refused = await ask(alice, "POST", f"jobs/{job['id']}/{deed}")
    assert refused.status == 404
    assert (await ask(alice, "DELETE", f"jobs/{job['id']}")).status == 405
    assert (await ask(bob, "GET", f"jobs/{job['id']}")).body == job
    written = await look(
        gateway_engine,
        "SELECT actor, action, outcome, request_id FROM audit WHERE object = :job",
        job=job["id"],
    )
    assert written == [(ALICE, f"job.{deed}", "refused", refused.headers["X-Request-Id"])]


async def test_case_03_trades_are_posted_to_nobody_elses_books(
    alice: ClientSession, gateway_engine: AsyncEngine
) -> None:
    rows = [{"kind": "buy", "base": "BTC", "qty": "1", "price": "1", "happened_at": "2026-01-01T00:00:00Z"}]
    refused = await enqueue(alice, {"kind": "ledger.trades", "args": {"user": BOB, "rows": rows}})
    assert (refused.status, refused.code, refused.body["field"]) == (403, "forbidden", "args.user")
    told = await enqueue(alice, {"kind": "ledger.trades", "args": {"rows": rows}})
    assert told.body["args"]["user"] == ALICE
    prices = {"kind": "ledger.prices", "args": {"rows": [{"coin": "BTC", "happened_at": "x", "price": "1"}]}}
    assert (await enqueue(alice, prices)).code == "insufficient_scope"


@pytest.mark.parametrize("many", [0, BATCH_MAX + 1])
async def test_a_batch_has_one_to_a_hundred_jobs(many: int, alice: ClientSession) -> None:
    refused = await enqueue(alice, [PROBE] * many)
    assert (refused.status, refused.code) == (422, "invalid")
    assert "length" in refused.body["detail"]


async def test_the_rows_that_a_job_brings_are_not_told_back(alice: ClientSession) -> None:
    rows = [{"kind": "buy", "base": "BTC", "qty": "1", "price": "1", "happened_at": "2026-01-01T00:00:00Z"}] * 500
    key = {"Idempotency-Key": str(uuid4())}
    told = await ask(alice, "POST", "trades", {"trades": rows}, headers=key)
    assert told.body["args"] == {"source": "api", "user": ALICE}
    again = await ask(alice, "POST", "trades", {"trades": rows}, headers=key)
    assert (again.body, again.headers["Idempotency-Replayed"]) == (told.body, "true")
    job = told.body["id"]
    listed = await ask(alice, "GET", "jobs", query={"kind": "ledger.trades", "limit": "100"})
    assert [one["args"] for one in listed.body["data"] if one["id"] == job] == [told.body["args"]]
    assert (await ask(alice, "GET", f"jobs/{job}")).body["args"] == told.body["args"]


async def test_case_05_no_page_of_a_list_holds_another_users_job(alice: ClientSession, bob: ClientSession) -> None:
    mine = {(await enqueue(alice)).body["id"] for _ in range(3)}
    theirs = {job["id"] for job in (await enqueue(bob, [PROBE] * 5)).body}
    listed = {job["id"] for job in await every_page(alice, "jobs", {"limit": "2"})}
    assert mine <= listed
    assert not theirs & listed


async def test_case_06_a_cursor_is_its_users_and_its_questions_alone(alice: ClientSession, bob: ClientSession) -> None:
    await enqueue(alice, [PROBE] * 3)
    await enqueue(bob, [PROBE] * 3)
    cursor = (await ask(alice, "GET", "jobs", query={"limit": "1"})).body["next_cursor"]
    assert (await ask(alice, "GET", "jobs", query={"cursor": cursor, "limit": "2"})).status == 200
    changed = ("B" if cursor[0] != "B" else "C") + cursor[1:]
    for client, query in (
        (bob, {"cursor": cursor}),
        (alice, {"cursor": cursor, "state": "queued"}),
        (alice, {"cursor": changed}),
        (alice, {"cursor": "not a cursor"}),
        (alice, {"cursor": ""}),
    ):
        refused = await ask(client, "GET", "jobs", query=query)
        assert (refused.status, refused.code) == (400, "invalid_cursor"), query
    assert (await ask(alice, "GET", "items", query={"cursor": cursor})).code == "invalid_cursor"


@pytest.mark.parametrize("ident", ["1", "0", "-1", "x" * 7000, "%00", "..%2f..%2fadmin"])
async def test_case_07_an_id_that_is_none_is_not_found(ident: str, alice: ClientSession) -> None:
    assert (await ask(alice, "GET", f"jobs/{ident}")).status in (404, 422)


@pytest.mark.parametrize("field", ["owner_id", "owner", "id", "status", "attempts", "role", "queue"])
async def test_case_08_a_field_that_is_not_a_clients_is_named_and_nothing_is_kept(
    field: str, alice: ClientSession, gateway_engine: AsyncEngine
) -> None:
    before = await look(gateway_engine, "SELECT count(*) FROM jobs")
    for body in ({**PROBE, field: "1"}, [{**PROBE, field: "1"}], {"kind": "probe", "args": {field: "1"}}):
        refused = await enqueue(alice, body)
        assert (refused.status, refused.code) == (422, "invalid")
        assert field in refused.body["detail"]
    assert await look(gateway_engine, "SELECT count(*) FROM jobs") == before


async def test_case_10_a_job_is_told_in_the_documented_fields_and_no_others(alice: ClientSession) -> None:
    job = (await enqueue(alice)).body
    assert tuple(job) == JobAnswer.__struct_fields__
    msgspec.convert(job, JobAnswer)  # which knows no other fields, at any depth
    assert not {"queue", "worker", "owner", "fence", "lease_until"} & job.keys()


async def test_jobs_are_chosen_by_state_kind_provider_and_time(alice: ClientSession) -> None:
    fetch, probe = [(await enqueue(alice, body)).body for body in (FETCH, PROBE)]
    await ask(alice, "POST", f"jobs/{probe['id']}/cancel")
    for query, there, absent in (
        ({"state": "cancelled"}, probe, fetch),
        ({"kind": "fetch", "state": "queued"}, fetch, probe),
        ({"provider": "cryptopanic"}, fetch, probe),
        ({"since": probe["created_at"]}, probe, fetch),
    ):
        found = [job["id"] for job in (await ask(alice, "GET", "jobs", query=query)).body["data"]]
        assert there["id"] in found, query
        assert absent["id"] not in found, query
    assert (await ask(alice, "GET", "jobs", query={"since": "yesterday"})).status == 422
    assert (await ask(alice, "GET", "jobs", query={"state": "lost"})).status == 422


@pytest.mark.parametrize("limit", ["0", "-1", "101", "1e9", "abc", "", "9" * 30])
async def test_case_53_a_page_has_1_to_100_rows(limit: str, alice: ClientSession) -> None:
    for path in ("jobs", "items", "stories", "flows"):
        assert (await ask(alice, "GET", path, query={"limit": limit})).status == 422


async def test_case_53_a_page_has_50_rows_unless_asked_otherwise(alice: ClientSession) -> None:
    await enqueue(alice, [PROBE] * 60)
    assert len((await ask(alice, "GET", "jobs")).body["data"]) == 50
    rows = await every_page(alice, "jobs", {"limit": "17", "state": "queued"})
    assert len({job["id"] for job in rows}) == len(rows) == 60
    assert [job["id"] for job in rows] == sorted((job["id"] for job in rows), reverse=True)


async def test_case_56_no_user_can_fill_the_queue(alice: ClientSession, bob: ClientSession) -> None:
    assert (await enqueue(alice, [PROBE] * 100)).status == 202
    refused = await enqueue(alice)
    assert (refused.status, refused.code) == (429, "queue_quota")
    assert int(refused.headers["Retry-After"]) >= 1
    assert (refused.body["under_way"], refused.body["limit"]) == (100, 100)
    assert (await enqueue(bob)).status == 202


async def test_case_56_args_have_a_size(alice: ClientSession) -> None:
    huge = {"kind": "fetch", "args": {**FETCH["args"], "params": {"q": "x" * 65_536}}}
    refused = await enqueue(alice, huge)
    assert (refused.status, refused.code) == (413, "too_large")


@pytest.mark.parametrize("text", ["a\x00b", "a\r\nSet-Cookie: x", "\x1b[31m"])
async def test_case_62_control_characters_are_refused(text: str, alice: ClientSession) -> None:
    assert (await ask(alice, "GET", "items", query={"q": text})).status == 422
    assert (await ask(alice, "GET", "jobs", query={"provider": text})).status == 422
    if "\x00" in text or "\x1b" in text:
        assert (await enqueue(alice, {"kind": "probe", "args": {"note": text}})).status == 422


async def test_case_62_what_sql_means_something_by_is_only_text(alice: ClientSession) -> None:
    note = "'; DROP TABLE jobs; -- %s :name \\ \u2028 \U0001f9c2"
    job = (await enqueue(alice, {"kind": "probe", "args": {"note": note}})).body
    assert (await ask(alice, "GET", f"jobs/{job['id']}")).body["args"] == {"note": note}
    assert (await ask(alice, "GET", "jobs", query={"provider": "' OR true --"})).body["data"] == []
    assert (await ask(alice, "GET", "items", query={"q": "' OR \" & | ! <-> :*"})).status == 200


async def test_a_job_is_stopped_once_and_asked_for_again(alice: ClientSession) -> None:
    job = (await enqueue(alice)).body["id"]
    stopped = await ask(alice, "POST", f"jobs/{job}/cancel")
    assert (stopped.status, stopped.body["state"], stopped.body["outcome"]) == (200, "cancelled", "cancelled")
    assert (await ask(alice, "POST", f"jobs/{job}/cancel")).code == "conflict"
    again = await ask(alice, "POST", f"jobs/{job}/retry")
    assert (again.status, again.body["state"], again.body["finished_at"]) == (202, "queued", None)
    assert (await ask(alice, "POST", f"jobs/{job}/retry")).code == "conflict"


async def test_rows_that_were_refused_are_told_by_place_and_reason(
    alice: ClientSession, bob: ClientSession, gateway_engine: AsyncEngine
) -> None:
    job = (await enqueue(alice, FETCH)).body["id"]
    for number in (1, 2, 3):
        await look(gateway_engine, _PAGE, id=str(uuid4()), job=job, number=number)
    pages = await every_page(alice, f"jobs/{job}/pages", {"limit": "2"})
    assert [page["number"] for page in pages] == [1, 2, 3]
    assert pages[0]["rejects"] == [{"position": 3, "reason": "no id"}]
    assert "body" not in pages[0]
    assert (await ask(bob, "GET", f"jobs/{job}/pages")).status == 404


async def test_nobody_puts_a_job_before_those_of_others(alice: ClientSession, admin: ClientSession) -> None:
    assert (await enqueue(alice, {**PROBE, "priority": 1})).code == "forbidden"
    assert (await enqueue(alice, {**PROBE, "priority": -5})).body["priority"] == -5
    assert (await enqueue(admin, {**PROBE, "priority": 5})).body["priority"] == 5


async def test_what_no_provider_could_do_is_refused_before_it_is_kept(alice: ClientSession) -> None:
    refused = await enqueue(alice, {"kind": "fetch", "args": {"provider": "nosuch", "dataset": "posts"}})
    assert (refused.status, refused.code) == (422, "invalid")
    assert "nosuch" in refused.body["detail"]
    assert (await enqueue(alice, {"kind": "reparse", "args": {}})).status == 422
    assert (await enqueue(alice, {"kind": "nosuch", "args": {}})).status == 422


def _without_request_id(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "request_id"}


_PAGE = """INSERT INTO pages (id, job_id, seq, provider, dataset, request, body, body_bytes, fetched_at, answered_at,
    polled_at, cost, state, rejects)
    VALUES (:id, :job, :number, 'cryptopanic', 'posts', '{}', '', 0, now(), now(), now(), 1, 'posted',
        '[{"position": 3, "reason": "no id"}]')"""
