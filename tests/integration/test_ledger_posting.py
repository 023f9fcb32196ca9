"""Counting is exact: what is new, repeated, amended and observed, on the first delivery and on every other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine

from ledger.model import Book, Item
from ledger.queries import get_item, list_items
from ledger.store import Posted, Posting, known, post, unseen

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def provider() -> str:
    """A provider of the test's own."""
    return uuid4().hex


def item(provider: str, key: str, title: str = "first", **more: Any) -> Item:
    """Make a post whose text is its title."""
    return Item(provider, key, Book.HUMAN, "post", AT, {"description": title}, title=title, **more)


def page(*items: Item, minute: int = 0, id_: UUID | None = None) -> Posting:
    """Put items on a page fetched that many minutes after AT."""
    return Posting(id_ or uuid4(), AT + timedelta(minutes=minute), items)


async def write(ledger: AsyncEngine, *pages: Posting) -> list[Posted]:
    """Post the pages in a transaction of their own."""
    async with ledger.begin() as conn:
        return await post(conn, pages, now=AT)


async def rows(ledger: AsyncEngine, provider: str) -> dict[str, int]:
    """Count the provider's rows in each table."""
    async with ledger.connect() as conn:
        counted = {}
        for table in ("items", "revisions"):
            query = text(f"SELECT count(*) FROM {table} WHERE provider = :p")
            counted[table] = (await conn.execute(query, {"p": provider})).scalar_one()
        query = text("SELECT count(*) FROM observations o JOIN items i ON i.id = o.item_id WHERE provider = :p")
        counted["observations"] = (await conn.execute(query, {"p": provider})).scalar_one()
        return counted


async def test_nothing_posted_is_nothing_counted(ledger: AsyncEngine) -> None:
    assert await write(ledger) == []
    assert await write(ledger, page()) == [Posted(0, 0, 0, 0)]


async def test_posting_a_page_again_writes_nothing_and_counts_the_same(ledger: AsyncEngine, provider: str) -> None:
    one = page(*(item(provider, str(n), observed={"votes": n}) for n in range(30)))
    first = await write(ledger, one)
    assert first == [Posted(new=30, duplicate=0, amended=0, observed=30)]
    before = await rows(ledger, provider)
    assert await write(ledger, one) == first
    assert await rows(ledger, provider) == before == {"items": 30, "revisions": 30, "observations": 30}


async def test_another_page_with_the_same_items_brings_only_duplicates(ledger: AsyncEngine, provider: str) -> None:
    items = [item(provider, str(n)) for n in range(5)]
    await write(ledger, page(*items))
    assert await write(ledger, page(*items, minute=1)) == [Posted(0, 5, 0, 0)]


async def test_repeats_on_one_page_are_duplicates_or_amendments(ledger: AsyncEngine, provider: str) -> None:
    one = page(item(provider, "a"), item(provider, "a"), item(provider, "a", "second"), item(provider, "a"))
    for _ in range(2):
        assert await write(ledger, one) == [Posted(new=1, duplicate=2, amended=1, observed=0)]
    assert (await rows(ledger, provider))["revisions"] == 2


async def test_one_key_on_several_pages_of_one_call_is_new_once(ledger: AsyncEngine, provider: str) -> None:
    pages = [page(item(provider, "a"), minute=n) for n in range(3)] + [page(item(provider, "a", "second"), minute=3)]
    for _ in range(2):
        assert await write(ledger, *pages) == [
            Posted(1, 0, 0, 0),
            Posted(0, 1, 0, 0),
            Posted(0, 1, 0, 0),
            Posted(0, 0, 1, 0),
        ]


async def test_chunks_of_one_page_count_each_item_once(ledger: AsyncEngine, provider: str) -> None:
    id_ = uuid4()
    chunks = [page(*(item(provider, str(n)) for n in numbers), id_=id_) for numbers in ([1, 2], [3, 4], [4, 5])]
    assert await write(ledger, *chunks) == [Posted(2, 0, 0, 0), Posted(2, 0, 0, 0), Posted(1, 1, 0, 0)]


async def test_an_amended_item_keeps_both_texts_and_shows_the_later(ledger: AsyncEngine, provider: str) -> None:
    await write(ledger, page(item(provider, "a")))
    amending = page(item(provider, "a", "second"), minute=1)
    for _ in range(2):
        assert await write(ledger, amending) == [Posted(0, 0, 1, 0)]
    async with ledger.connect() as conn:
        (listed,) = await list_items(conn, provider=provider)
        detail = await get_item(conn, listed.id)
    assert detail is not None
    assert listed.head.title == "second"
    assert listed.head.page_id == amending.page
    assert [revision.title for revision in detail.revisions] == ["first", "second"]


async def test_observations_are_kept_where_they_move(ledger: AsyncEngine, provider: str) -> None:
    told = [page(item(provider, "a", observed={"votes": v}), minute=n) for n, v in enumerate([1, 1, 2, 2, 1])]
    answers = [(await write(ledger, one))[0].observed for one in told]
    assert answers == [1, 0, 1, 0, 1]
    assert [(await write(ledger, one))[0].observed for one in told] == answers
    async with ledger.connect() as conn:
        (listed,) = await list_items(conn, provider=provider)
        detail = await get_item(conn, listed.id)
    assert detail is not None
    assert [(seen.observed_at.minute, seen.values) for seen in detail.observations] == [
        (0, {"votes": 1}),
        (2, {"votes": 2}),
        (4, {"votes": 1}),
    ]
    assert listed.observed == {"votes": 1}


async def test_observations_of_one_call_are_compared_in_time(ledger: AsyncEngine, provider: str) -> None:
    told = [page(item(provider, "a", observed={"votes": v}), minute=n) for n, v in enumerate([1, 1, 2, 2, 1])]
    answers = await write(ledger, *reversed(told))
    assert [answer.observed for answer in reversed(answers)] == [1, 0, 1, 0, 1]
    assert (await rows(ledger, provider))["observations"] == sum(answer.observed for answer in answers)


async def test_what_is_rolled_back_was_never_there(ledger: AsyncEngine, provider: str) -> None:
    one = page(item(provider, "a", story_keys=(provider,)))
    async with ledger.connect() as conn:
        async with conn.begin() as attempt:
            await post(conn, [one], now=AT)
            await attempt.rollback()
        async with conn.begin():
            assert await post(conn, [one], now=AT) == [Posted(1, 0, 0, 0)]
            assert await post(conn, [one], now=AT) == [Posted(1, 0, 0, 0)]
    assert (await rows(ledger, provider))["items"] == 1


async def test_unseen_keeps_new_changed_and_moved_items_once(ledger: AsyncEngine, provider: str) -> None:
    one = page(item(provider, "a", observed={"votes": 1}), item(provider, "b"))
    await write(ledger, one)
    async with ledger.connect() as conn:
        held = await known(conn, [(provider, key) for key in "abc"])
    assert set(held) == {(provider, "a"), (provider, "b")}
    assert held[provider, "a"].fingerprints == {one.items[0].fingerprint: one.page}
    fresh = [item(provider, "c"), item(provider, "b", "second"), item(provider, "a", observed={"votes": 2})]
    again = [item(provider, "a", observed={"votes": 1}), item(provider, "a"), item(provider, "b"), fresh[0]]
    assert unseen(fresh + again, held) == fresh
    assert unseen(one.items, held, page=one.page) == list(one.items)


async def test_the_drivers_errors_are_sqlalchemys(ledger: AsyncEngine, provider: str) -> None:
    async with ledger.connect() as conn:
        await conn.execute(text("SET TRANSACTION READ ONLY"))
        with pytest.raises(DBAPIError, match="read-only"):
            await post(conn, [page(item(provider, "a"))], now=AT)


HOSTILE = (
    "\x00", "a\x00b", "\ud800", "x\udfffy", "\\", "\\.", "\\N", "\t\r\n", "'; DROP TABLE items; --",
    '{"a"}', "\u202e", "😀" * 50,
    "\uffff", "%s %(now)s", "x" * 10_000, "y " * 200_000, "&|!<->():*", "é" * 5000, "NULL", "",
)  # fmt: skip


async def test_no_text_can_break_a_batch(ledger: AsyncEngine, provider: str) -> None:
    items = [
        Item(
            provider, f"{n}", Book.GLASS, "flow", AT, {"description": bad, bad: [bad], "n": 10**40},
            title=bad, url=bad, coins=(bad, "BTC"), observed={bad: bad}, story_keys=(f"{provider}{n}{bad}",),
        )
        for n, bad in enumerate(HOSTILE)
    ]  # fmt: skip
    assert await write(ledger, page(*items)) == [Posted(len(HOSTILE), 0, 0, len(HOSTILE))]
    async with ledger.connect() as conn:
        listed = await list_items(conn, provider=provider, coin="BTC")
        held = await known(conn, [(provider, str(n)) for n in range(len(HOSTILE))])
        assert {one.key: one.head.title for one in listed} == {one.key: one.title for one in items}
        assert {one.key: one.head.coins for one in listed} == {one.key: one.coins for one in items}
        for bad in HOSTILE:
            await list_items(conn, provider=provider, q=bad, coin=bad)
    assert unseen(items, held) == []
    assert {one.head.body["n"] for one in listed} == {"1" + "0" * 40}


async def test_a_title_of_ten_thousand_characters_is_kept_whole(ledger: AsyncEngine, provider: str) -> None:
    title = "Bitcoin " * 1250
    await write(ledger, page(item(provider, "a", title)))
    async with ledger.connect() as conn:
        (listed,) = await list_items(conn, provider=provider, q="bitcoin")
    assert listed.head.title == title


async def test_a_lost_connection_is_told_as_such_and_the_next_post_works(ledger: AsyncEngine, provider: str) -> None:
    one = page(item(provider, "a"))
    async with ledger.connect() as conn, ledger.connect() as other:
        pid = (await conn.execute(text("SELECT pg_backend_pid()"))).scalar_one()
        await other.execute(text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": pid})
        with pytest.raises(OperationalError):
            await post(conn, [one], now=AT)
    assert await write(ledger, one) == [Posted(1, 0, 0, 0)]
