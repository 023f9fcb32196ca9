"""What was collected, over HTTP: chosen, searched, as of a past moment, and where each of it came from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiohttp import ClientSession
from sqlalchemy import ColumnElement, Text, cast, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncEngine

from ledger.model import Book, Item
from ledger.store import Posting, post
from ledger.tables import ADDRESSES, SEARCH, revisions
from tests.integration.gateway.asking import ask, enqueue, every_page, look
from tests.integration.gateway.conftest import BOB

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
TOKEN = "0x" + 4 * "AbCdEf0123"


@pytest.fixture
def provider() -> str:
    """A provider of the test's own."""
    return uuid4().hex


def item(provider: str, key: str, title: str = "a title", **more: Any) -> Item:
    told: dict[str, Any] = {"book": Book.HUMAN, "kind": "post", "happened_at": AT, "body": {}, **more}
    return Item(provider, key, title=title, **told)


async def write(engine: AsyncEngine, *items: Item, minute: int = 0, page: UUID | None = None) -> None:
    """Post a page that was fetched and recorded so many minutes after AT."""
    async with engine.begin() as conn:
        posting = Posting(page or uuid4(), AT + minute * MINUTE, items)
        await post(conn, [posting], now=AT + minute * MINUTE)


async def keys(client: ClientSession, path: str, **query: str) -> list[str]:
    told = await ask(client, "GET", path, query=query)
    assert told.status == 200, told.body
    return [one["key"] for one in told.body["data"]]


async def test_items_are_chosen_and_searched(alice: ClientSession, gateway_engine: AsyncEngine, provider: str) -> None:
    await write(
        gateway_engine,
        item(provider, "news", "Bitcoin rallies on spot funds", coins=("BTC",), body={"description": "inflows grow"}),
        item(provider, "flow", book=Book.GLASS, kind="flow", coins=("ETH",), happened_at=AT + MINUTE),
    )
    mine = {"provider": provider}
    assert await keys(alice, "items", **mine) == ["flow", "news"]
    for query, expected in (
        ({"book": "human"}, ["news"]),
        ({"coin": "eth"}, ["flow"]),
        ({"kind": "flow"}, ["flow"]),
        ({"since": "2026-03-01T12:00:30Z"}, ["flow"]),
        ({"until": "2026-03-01T12:00:30Z"}, ["news"]),
        ({"q": '"spot funds"'}, ["news"]),
        ({"q": "bitcoin -rallies"}, []),
        ({"q": "inflows or nothing"}, ["news"]),
    ):
        assert await keys(alice, "items", **mine, **query) == expected, query
    assert (await ask(alice, "GET", "items", query={"book": "cooked"})).status == 422
    assert (await ask(alice, "GET", "items", query={"q": "x" * 201})).status == 422


@pytest.mark.parametrize(
    ("index", "asked"),
    [
        ("revisions_search_idx", SEARCH.op("@@")(func.websearch_to_tsquery(text("'simple'"), "bitcoin"))),
        ("revisions_addresses_idx", ADDRESSES.op("@>")(cast(["0x1"], ARRAY(Text)))),
    ],
)
async def test_words_and_addresses_are_found_by_an_index(
    index: str, asked: ColumnElement[bool], gateway_engine: AsyncEngine
) -> None:
    query = select(revisions.c.item_id).where(asked, revisions.c.book == text("'glass'"))
    explained = str(query.compile(dialect=gateway_engine.dialect, compile_kwargs={"literal_binds": True}))
    async with gateway_engine.connect() as conn:
        await conn.exec_driver_sql("SET LOCAL enable_seqscan = off")
        # A table of ten rows can be read along any index; rolled back, they are all there again.
        for other in ("happened_at", "book_happened_at", "provider_kind_happened_at"):
            await conn.exec_driver_sql(f"DROP INDEX revisions_{other}_item_id_idx")
        plan = "\n".join(row[0] for row in await conn.exec_driver_sql(f"EXPLAIN {explained}"))
        await conn.rollback()
    assert index in plan


async def test_case_04_collected_items_belong_to_nobody_so_nobody_can_be_asked_for(
    alice: ClientSession, bob: ClientSession, gateway_engine: AsyncEngine, provider: str
) -> None:
    await write(gateway_engine, item(provider, "news"))
    refused = await ask(alice, "GET", "items", query={"owner": BOB})
    assert (refused.status, "owner" in refused.body["detail"]) == (422, True)
    assert await keys(alice, "items", provider=provider) == await keys(bob, "items", provider=provider)


async def test_a_list_of_items_has_no_gaps_and_no_repeats(
    alice: ClientSession, gateway_engine: AsyncEngine, provider: str
) -> None:
    await write(gateway_engine, *(item(provider, f"n{n}", happened_at=AT + n // 3 * MINUTE) for n in range(20)))
    rows = await every_page(alice, "items", {"provider": provider, "limit": "7"})
    assert len({row["id"] for row in rows}) == len(rows) == 20
    moments = [row["happened_at"] for row in rows]
    assert moments == sorted(moments, reverse=True)


async def test_an_item_is_told_as_it_was_known_then(
    alice: ClientSession, gateway_engine: AsyncEngine, provider: str
) -> None:
    await write(gateway_engine, item(provider, "n", "first", observed={"votes": 1}))
    await write(gateway_engine, item(provider, "n", "second", observed={"votes": 9}), minute=10)
    (now,) = (await ask(alice, "GET", "items", query={"provider": provider})).body["data"]
    then = {"provider": provider, "as_of": "2026-03-01T12:05:00Z"}
    (before,) = (await ask(alice, "GET", "items", query=then)).body["data"]
    assert (now["title"], now["observed"]) == ("second", {"votes": 9})
    assert (before["title"], before["observed"]) == ("first", {"votes": 1})
    detail = (await ask(alice, "GET", f"items/{now['id']}")).body
    assert [one["title"] for one in detail["revisions"]] == ["first", "second"]
    assert [one["values"]["votes"] for one in detail["observations"]] == [1, 9]
    early = await ask(alice, "GET", f"items/{now['id']}", query={"as_of": "2026-03-01T11:00:00Z"})
    assert early.status == 404


async def test_every_item_says_where_it_came_from_whoever_asked_for_it(
    alice: ClientSession, bob: ClientSession, gateway_engine: AsyncEngine, provider: str
) -> None:
    page, job = uuid4(), (await enqueue(bob)).body["id"]
    await look(gateway_engine, _PAGE, page=page, job=job, provider=provider, at=AT)
    await write(gateway_engine, item(provider, "n"), page=page)
    (told,) = (await ask(alice, "GET", "items", query={"provider": provider})).body["data"]
    came_from = told["came_from"]
    assert came_from == {
        "provider": provider,
        "dataset": "posts",
        "page": str(page),
        "request": {"path": "/posts/", "params": {"currencies": "BTC"}},
        "fetched_at": "2026-03-01T12:00:00Z",
        "revision": came_from["revision"],
    }
    assert (await ask(alice, "GET", f"jobs/{job}")).status == 404


async def test_flows_are_found_by_address_and_coin_and_their_amounts_are_text(
    alice: ClientSession, gateway_engine: AsyncEngine, provider: str
) -> None:
    flow = {"book": Book.GLASS, "kind": "flow"}
    await write(
        gateway_engine,
        item(provider, "flow", **flow, body={"token_address": TOKEN.lower(), "value_usd": 12, "holders_count": 3}),
        item(provider, "swap", **flow, coins=("WETH",), body={"trader_address": "So1anaTrader", "sold": ["1", 2]}),
        item(provider, "news", body={"token_address": TOKEN.lower()}),
    )
    mine = {"provider": provider}
    assert await keys(alice, "flows", **mine) == ["swap", "flow"]
    assert await keys(alice, "flows", **mine, address=TOKEN) == ["flow"]
    assert await keys(alice, "flows", **mine, address="So1anaTrader") == ["swap"]
    assert await keys(alice, "flows", **mine, address="so1anatrader") == []
    assert await keys(alice, "flows", **mine, coin="weth") == ["swap"]
    assert await keys(alice, "flows", **mine, as_of="2026-03-01T11:59:00Z") == []
    swap, told = (await ask(alice, "GET", "flows", query=mine)).body["data"]
    assert (told["body"]["value_usd"], told["body"]["holders_count"], swap["body"]["sold"]) == ("12", "3", ["1", "2"])


async def test_a_story_has_its_items(alice: ClientSession, gateway_engine: AsyncEngine, provider: str) -> None:
    key = f"url:{uuid4().hex}"
    await write(gateway_engine, *(item(provider, f"n{n}", f"title {key}", story_keys=(key,)) for n in range(3)))
    listed = (await ask(alice, "GET", "items", query={"provider": provider})).body["data"]
    (story,) = {one["story"] for one in listed}
    found = (await ask(alice, "GET", f"stories/{story}")).body
    assert (found["story"]["items"], len(found["newest"])) == (3, 3)
    assert len(await keys(alice, "items", story=str(story))) == 3
    stories: Sequence[Any] = await every_page(alice, "stories", {"limit": "1"})
    assert story in [one["id"] for one in stories]
    assert (await ask(alice, "GET", f"stories/{2**62}")).status == 404
    assert (await ask(alice, "GET", f"stories/{2**63}")).status == 404


async def test_case_61_what_a_provider_wrote_is_told_as_it_is_and_taken_for_no_page(
    alice: ClientSession, gateway_engine: AsyncEngine, provider: str
) -> None:
    title = "<script>alert(1)</script>\u2028\"'&"
    await write(gateway_engine, item(provider, "n", title, url="javascript:alert(1)"))
    told = await ask(alice, "GET", "items", query={"provider": provider})
    assert told.body["data"][0]["title"] == title
    assert told.headers["Content-Type"].startswith("application/json")
    assert told.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in told.headers["Content-Security-Policy"]


_PAGE = """INSERT INTO pages (id, job_id, seq, provider, dataset, request, body, body_bytes, fetched_at, answered_at,
    polled_at, cost, state)
    VALUES (:page, :job, 1, :provider, 'posts', '{"path": "/posts/", "params": {"currencies": "BTC"}}', '', 0, :at, :at,
        :at, 1, 'posted')"""
