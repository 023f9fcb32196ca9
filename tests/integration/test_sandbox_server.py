"""The sandbox over real HTTP: refusals, paging, limits, faults and control routes as a client meets them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
import orjson
import pytest

from ops.sandbox import Allowance, SandboxConfig, SandboxServer, parse_fault, running_sandbox

NOW = datetime(2026, 3, 1, 12, 17, tzinfo=UTC)
POSTS = "/cryptopanic/api/growth/v2/posts/"
SEARCH = "/newscatcher/api/search"
NETFLOW = "/nansen/api/v1/smart-money/netflow"
CHAINS = {"chains": ["ethereum", "solana"]}


class Client:
    """Speaks to one sandbox with a good token."""

    def __init__(self, server: SandboxServer, session: aiohttp.ClientSession) -> None:
        self.url = server.url
        self.state = server.state
        self._session = session

    async def get(self, path: str, **query: str) -> tuple[int, Any, dict[str, str]]:
        return await self.call("GET", path, params=query)

    async def post(self, path: str, body: Any) -> tuple[int, Any, dict[str, str]]:
        return await self.call("POST", path, json=body)

    async def call(self, method: str, path: str, **more: Any) -> tuple[int, Any, dict[str, str]]:
        headers = {"apikey": "good", "x-api-token": "good", "x-api-key": "good"} | more.pop("headers", {})
        async with self._session.request(method, self.url + path, headers=headers, **more) as response:
            text = await response.read()
            read = orjson.loads(text) if response.content_type == "application/json" else text.decode()
            return response.status, read, {name.lower(): value for name, value in response.headers.items()}

    async def control(self, name: str) -> Any:
        return (await self.get(f"/_sandbox/{name}"))[1]


@asynccontextmanager
async def client(*faults: str, **config: Any) -> AsyncIterator[Client]:
    chosen = SandboxConfig(**{"size": 200, "now": NOW, "faults": tuple(map(parse_fault, faults)), **config})
    async with running_sandbox(chosen) as server, aiohttp.ClientSession() as session:
        yield Client(server, session)


async def test_every_page_of_posts_leads_to_the_next_with_the_token_inside() -> None:
    async with client() as sandbox:
        _, page, headers = await sandbox.get(POSTS, auth_token="secret")
        assert headers["date"] == "Sun, 01 Mar 2026 12:17:00 GMT"
        ids = [row.get("id") for row in page["results"]]
        while page["next"]:
            assert "auth_token=secret" in page["next"]
            _, page, _ = await sandbox.get(page["next"].removeprefix(sandbox.url))
            ids += [row.get("id") for row in page["results"]]
        told = (await sandbox.control("invented"))["cryptopanic"]
        rejected = {reject["key"] for reject in told["rejects"]}
        assert {f"posts:{number}" for number in ids if number} - rejected == set(told["keys"])


async def test_cryptopanic_refuses_in_its_own_words() -> None:
    only = Allowance(keys=frozenset({"good"}), quota=1)
    async with client(cryptopanic=only) as sandbox:
        assert (await sandbox.get(POSTS))[0] == 401
        assert (await sandbox.get(POSTS, auth_token="bad"))[:2] == (
            400,
            {"status": "api_error", "info": "Token not found"},
        )
        status, page, _ = await sandbox.get("/cryptopanic/api/pro/v9/posts/", auth_token="good")
        assert status == 404
        assert page.startswith("<!DOCTYPE html>")
        assert (await sandbox.get(POSTS, auth_token="good"))[0] == 200
        status, body, headers = await sandbox.get(POSTS, auth_token="good")
        assert status == 429
        assert body["info"].startswith("API monthly quota exceeded")
        assert "retry-after" not in headers


async def test_plans_see_what_they_pay_for() -> None:
    async with client(size=600) as sandbox:
        _, free, _ = await sandbox.get("/cryptopanic/api/developer/v2/posts/", auth_token="good")
        assert {name for row in free["results"] for name in row} == {
            *("id", "slug", "title", "description", "published_at", "created_at", "kind")
        }
        assert (
            max(row["published_at"] for row in free["results"] if row["published_at"][0] == "2") < "2026-02-28T12:17:01"
        )
        enterprise = "/cryptopanic/api/enterprise/v2/posts/"
        _, rich, _ = await sandbox.get(enterprise, auth_token="good", size="500", panic_period="1h")
        assert len(rich["results"]) > 200
        assert all("panic_score" in row and "content" in row for row in rich["results"])
        _, found, _ = await sandbox.get(enterprise, auth_token="good", search="bitcoin")
        assert found["results"]
        assert all("bitcoin" in row.get("title", "bitcoin").lower() for row in found["results"])
        _, old, _ = await sandbox.get("/cryptopanic/api/v1/posts/", auth_token="good")
        assert old["count"] == 200
        _, past, _ = await sandbox.get("/cryptopanic/api/v1/posts/", auth_token="good", page="11")
        assert (past["next"], past["results"]) == (None, [])


async def test_newscatcher_refuses_in_its_own_words() -> None:
    async with client(newscatcher=Allowance(keys=frozenset({"good"}))) as sandbox:
        _, body, headers = await sandbox.call("POST", SEARCH, json={"q": "x"}, headers={"x-api-token": "bad"})
        assert body == {"message": "Invalid api key: bad", "status_code": 401, "status": "Unauthorized"}
        assert {"correlation-id", "x-process-time", "cf-ray", "cf-cache-status"} <= headers.keys()
        assert (await sandbox.call("POST", SEARCH, data=b"{"))[0] == 400
        assert (await sandbox.post(SEARCH, {"q": "crypto", "page_size": 1001}))[0] == 422
        assert (await sandbox.post(SEARCH, {"q": "crypto", "from_": "long ago"}))[1]["message"] == "Invalid date format"
        assert (await sandbox.post(SEARCH, {"q": "crypto", "from_": "2024-01-01"}))[0] == 403
        status, body, _ = await sandbox.get("/newscatcher/v2/search", q="crypto", page_size="101")
        assert (status, body["status"]) == (406, "error")


async def test_get_and_post_and_both_versions_find_the_same_articles() -> None:
    async with client() as sandbox:
        asked = {"q": "crypto", "page_size": "50", "lang": "en", "sort_by": "date"}
        _, by_post, _ = await sandbox.post(SEARCH, {**asked, "lang": ["en"], "page_size": 50})
        _, by_get, _ = await sandbox.get(SEARCH, **asked)
        _, old, _ = await sandbox.get("/newscatcher/v2/search", **asked)
        assert by_post["articles"] == by_get["articles"]
        assert by_post["total_hits"] == old["total_hits"]
        assert [row["link"].split("#")[0].split("?")[0] for row in by_post["articles"]] == [
            row["link"] for row in old["articles"]
        ]
        nothing = (await sandbox.get("/newscatcher/v2/search", q="zzzz"))[1]
        assert (nothing["status"], nothing["articles"]) == ("No matches for your search.", [])


async def test_clusters_hold_the_articles_of_one_page_and_duplicates_are_left_out_on_request() -> None:
    async with client() as sandbox:
        plain = (await sandbox.post(SEARCH, {"q": "crypto"}))[1]
        grouped = (await sandbox.post(SEARCH, {"q": "crypto", "clustering_enabled": True}))[1]
        assert "articles" not in grouped
        assert sum(cluster["cluster_size"] for cluster in grouped["clusters"]) == len(plain["articles"])
        single = (await sandbox.post(SEARCH, {"q": "crypto", "exclude_duplicates": True}))[1]
        assert single["total_hits"] < plain["total_hits"]
        assert any(row["duplicate_count"] for row in single["articles"])


async def test_nansen_tells_credits_and_refuses_when_they_are_spent() -> None:
    async with client(nansen=Allowance(quota=9, per_second=100)) as sandbox:
        status, _, headers = await sandbox.post(NETFLOW, CHAINS)
        assert status == 200
        assert [headers[f"x-nansen-credits-{name}"] for name in ("cost", "used", "remaining")] == ["5", "5", "4"]
        assert headers["x-ratelimit-limit-second"] == "100"
        status, body, headers = await sandbox.post(NETFLOW, CHAINS)
        assert (status, body["code"]) == (403, "insufficient_credits")
        assert headers["x-nansen-credits-used"] == "0"
        assert (await sandbox.get("/nansen/api/v1/account"))[1] == {"plan": "free", "credits_remaining": 4}


async def test_nansen_refuses_in_its_own_words() -> None:
    async with client(nansen=Allowance(per_minute=1)) as sandbox:
        status, body, _ = await sandbox.post("/nansen/api/v1/smart-money/nothing", {})
        assert (status, body["message"]) == (404, "no Route matched with those values")
        status, body, _ = await sandbox.post(NETFLOW, {**CHAINS, "limit": 3})
        assert (status, body["code"], body["errors"][0]["field"]) == (422, "unknown_field", "body.limit")
        status, body, headers = await sandbox.post(NETFLOW, CHAINS)
        assert (status, body["code"], body["retry_after"]) == (429, "rate_limit_exceeded", 60)
        assert (headers["retry-after"], headers["x-nansen-ratelimit-scope"]) == ("60", "minute")
        async with aiohttp.ClientSession() as session, session.post(sandbox.url + NETFLOW, json=CHAINS) as response:
            assert (response.status, (await response.json())["code"]) == (401, "unauthenticated")


async def test_a_snapshot_promises_keys_with_the_time_of_its_poll() -> None:
    async with client() as sandbox:
        before = set((await sandbox.control("invented"))["nansen"]["keys"])
        rows = (await sandbox.post(NETFLOW, {"chains": ["solana"], "pagination": {"page": 1, "per_page": 1000}}))[1][
            "data"
        ]
        told = (await sandbox.control("invented"))["nansen"]
        expected = {
            f"smart-money/netflow:{row['chain']}|{row['token_address']}|2026-03-01T12:17:00Z"
            for row in rows
            if row["token_address"]
        }
        assert set(told["keys"]) - before == expected
        assert [poll["rows"] for poll in told["polls"]] == [len(expected)]


@pytest.mark.parametrize(
    ("kind", "statuses"),
    [
        ("408", {408, 504}),
        ("429", {429}),
        ("500", {500}),
        ("502", {502}),
        ("503", {503}),
        ("504", {504}),
        ("html", {503}),
    ],
)
async def test_a_refusing_fault_speaks_for_each_provider_and_costs_nothing(kind: str, statuses: set[int]) -> None:
    async with client(f"{kind}=every 1") as sandbox:
        answers = [
            await sandbox.get(POSTS, auth_token="good"),
            await sandbox.post(SEARCH, {"q": "crypto"}),
            await sandbox.post(NETFLOW, CHAINS),
        ]
        assert {status for status, _, _ in answers} == statuses
        retry = [headers.get("retry-after") for _, _, headers in answers]
        assert retry[:2] == [None, None]
        assert (retry[2] is None) == (kind in {"500", "html"})
        calls = await sandbox.control("calls")
        assert sum(row["cost"] for row in calls["endpoints"]) == 0
        assert all(counted == {kind: 1} for counted in calls["faults"].values())


async def test_a_429_may_leave_out_when_to_come_back() -> None:
    async with client("429=every 1,retry_after=0") as sandbox:
        status, body, headers = await sandbox.post(NETFLOW, CHAINS)
        assert status == 429
        assert "retry-after" not in headers
        assert "retry_after" not in body


async def test_half_a_body_is_charged_and_counted_as_spoiled() -> None:
    async with client("truncated=every 2") as sandbox:
        assert (await sandbox.get(POSTS, auth_token="good"))[0] == 200
        with pytest.raises(orjson.JSONDecodeError):
            await sandbox.get(POSTS, auth_token="good")
        await sandbox.get(POSTS, auth_token="good")
        calls = await sandbox.control("calls")
        assert [(row["calls"], row["cost"]) for row in calls["endpoints"]] == [(3, 3)]
        assert [(row["ok"], row["spoiled"]) for row in calls["requests"]] == [(2, 1)]


async def test_a_cut_connection_fails_in_the_middle_of_the_body() -> None:
    async with client("cryptopanic:cut=every 1") as sandbox:
        with pytest.raises(aiohttp.ClientPayloadError):
            await sandbox.get(POSTS, auth_token="good")
        assert (await sandbox.post(NETFLOW, CHAINS))[0] == 200


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - the server has no event for this
            await asyncio.sleep(0.001)


async def test_a_hanging_call_keeps_its_place_until_the_client_leaves() -> None:
    async with client("hang=every 1", newscatcher=Allowance(concurrency=1)) as sandbox:
        meter = sandbox.state.meters["newscatcher"]
        hanging = asyncio.ensure_future(sandbox.post(SEARCH, {"q": "crypto"}))
        await until(lambda: meter.in_flight == 1)
        await sandbox.call("PUT", "/_sandbox/faults", json=[])
        status, body, headers = await sandbox.post(SEARCH, {"q": "crypto"})
        assert (status, body["message"]) == (429, "Max API requests concurrency reached")
        assert "retry-after" not in headers
        hanging.cancel()
        await until(lambda: meter.in_flight == 0)
        assert (await sandbox.post(SEARCH, {"q": "crypto"}))[0] == 200


async def test_a_slow_answer_comes_all_the_same() -> None:
    async with client("slow=every 1,ms=5") as sandbox:
        assert (await sandbox.post(NETFLOW, CHAINS))[0] == 200
        assert (await sandbox.control("calls"))["faults"] == {"nansen": {"slow": 1}}


async def test_rows_are_reordered_repeated_or_grow_while_they_are_paged() -> None:
    async with client() as sandbox:
        plain = (await sandbox.get(POSTS, auth_token="good"))[1]["results"]
        await sandbox.call("PUT", "/_sandbox/faults", json={"faults": ["reordered=every 1"]})
        mixed = (await sandbox.get(POSTS, auth_token="good"))[1]["results"]
        assert mixed != plain
        assert sorted(map(str, mixed)) == sorted(map(str, plain))
        await sandbox.call("PUT", "/_sandbox/faults", json=["repeated=every 1"])
        doubled = (await sandbox.get(POSTS, auth_token="good"))[1]["results"]
        assert len(doubled) > len(plain)
        await sandbox.call("PUT", "/_sandbox/faults", json=["growing=every 1,rows=4"])
        grown = (await sandbox.get(POSTS, auth_token="good"))[1]["results"]
        assert len([row for row in grown if row not in plain]) == 4
        assert (await sandbox.control("calls"))["faults"]["cryptopanic"] == {
            "reordered": 1,
            "repeated": 1,
            "growing": 1,
        }


async def test_a_fault_that_makes_no_sense_changes_nothing() -> None:
    async with client("slow=0.5") as sandbox:
        assert (await sandbox.call("PUT", "/_sandbox/faults", json=["teapot=1"]))[0] == 422
        assert [fault["kind"] for fault in await sandbox.control("faults")] == ["slow"]


async def test_the_list_grows_by_calls_only_when_told_to() -> None:
    async with client(grow_every=2) as sandbox:
        pages = [(await sandbox.get(POSTS, auth_token="good"))[1]["results"] for _ in range(4)]
        assert pages[0] != pages[1] == pages[2] != pages[3]
    async with client() as sandbox:
        pages = [(await sandbox.get(POSTS, auth_token="good"))[1]["results"] for _ in range(4)]
        assert all(page == pages[0] for page in pages)


async def test_the_clock_stands_until_it_is_put_forward() -> None:
    async with client() as sandbox:
        _, told, _ = await sandbox.call("POST", "/_sandbox/clock", json={"advance_s": 3600})
        assert told == {"now": "2026-03-01T13:17:00Z"}
        assert (await sandbox.post(NETFLOW, CHAINS))[2]["date"] == "Sun, 01 Mar 2026 13:17:00 GMT"
        assert (await sandbox.call("POST", "/_sandbox/clock", json={"advance_s": -1}))[0] == 422


async def test_growing_and_removing_by_hand() -> None:
    async with client() as sandbox:
        grown = (await sandbox.call("POST", "/_sandbox/grow", json={"n": 2}))[1]["keys"]
        assert len(grown) == 6
        first = (await sandbox.get(POSTS, auth_token="good"))[1]["results"]
        assert {f"posts:{row.get('id')}" for row in first} & set(grown)
        gone = (await sandbox.call("POST", "/_sandbox/remove", json={"n": 1}))[1]["keys"]
        assert (await sandbox.control("invented"))["cryptopanic"]["removed"] == gone
        assert (await sandbox.call("POST", "/_sandbox/grow", json={"n": "many"}))[0] == 422
