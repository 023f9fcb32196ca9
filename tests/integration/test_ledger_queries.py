"""Reading: filters, search, pages without gaps, and the past as it was known then."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from ledger.answers import Detailed, Listed, Place
from ledger.model import Book, Item
from ledger.queries import get_item, get_story, holdings, list_items, list_stories
from ledger.store import Posting, post

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def provider() -> str:
    """A provider of the test's own."""
    return uuid4().hex


def item(provider: str, key: str, title: str = "a title", **more: Any) -> Item:
    """Make an item, news unless told otherwise."""
    told: dict[str, Any] = {"book": Book.HUMAN, "kind": "post", "happened_at": AT, "body": {}, **more}
    return Item(provider, key, title=title, **told)


async def write(ledger: AsyncEngine, *items: Item, seen: int = 0, recorded: int | None = None) -> None:
    """Post a page that was fetched and recorded so many minutes after AT."""
    async with ledger.begin() as conn:
        page = Posting(uuid4(), AT + seen * MINUTE, items)
        await post(conn, [page], now=AT + (seen if recorded is None else recorded) * MINUTE)


async def detail(conn: AsyncConnection, provider: str, as_of: datetime | None = None) -> Detailed:
    """Give the provider's only item."""
    (listed,) = await list_items(conn, provider=provider, as_of=as_of)
    found = await get_item(conn, listed.id, as_of=as_of)
    assert found is not None
    assert found.item == listed
    return found


def keys(listed: Sequence[Listed]) -> list[str]:
    """Name what was listed."""
    return [one.key for one in listed]


async def test_each_filter_keeps_only_its_own(ledger: AsyncEngine, provider: str) -> None:
    await write(
        ledger,
        item(provider, "news", coins=("BTC", "ETH"), happened_at=AT),
        item(provider, "flow", book=Book.GLASS, kind="flows", coins=("ETH",), happened_at=AT + MINUTE),
        item(provider, "event", book=Book.CATALYST, kind="media", happened_at=AT + 2 * MINUTE),
    )
    asked: list[tuple[dict[str, Any], list[str]]] = [
        ({}, ["event", "flow", "news"]),
        ({"book": Book.GLASS}, ["flow"]),
        ({"kind": "media"}, ["event"]),
        ({"coin": "ETH"}, ["flow", "news"]),
        ({"coin": "eth"}, []),
        ({"since": AT + MINUTE}, ["event", "flow"]),
        ({"until": AT + MINUTE}, ["news"]),
        ({"since": AT + MINUTE, "until": AT + 2 * MINUTE, "book": Book.GLASS, "coin": "ETH"}, ["flow"]),
        ({"limit": 1}, ["event"]),
        ({"provider": "nobody"}, []),
    ]
    async with ledger.connect() as conn:
        for filters, found in asked:
            assert keys(await list_items(conn, **{"provider": provider, **filters})) == found, filters
        assert {(one.book, one.items, one.newest_at) for one in await holdings(conn) if one.provider == provider} == {
            (Book.HUMAN, 1, AT), (Book.GLASS, 1, AT + MINUTE), (Book.CATALYST, 1, AT + 2 * MINUTE)
        }  # fmt: skip


async def test_search_reads_title_and_text_like_a_web_search(ledger: AsyncEngine, provider: str) -> None:
    await write(
        ledger,
        item(provider, "a", "Whale moves Bitcoin", body={"description": "to an exchange"}, happened_at=AT + 3 * MINUTE),
        item(provider, "b", "Ether rises", body={"content": "while bitcoin sleeps"}, happened_at=AT + 2 * MINUTE),
        item(provider, "c", "Биткоин растёт", body={"text": "сильно", "n": Decimal(1)}, happened_at=AT + MINUTE),
        item(provider, "d", "$PEPE 20% up", body={"summary": ["not", "text"]}),
    )
    asked = {
        "bitcoin": ["a", "b"], "BITCOIN whale": ["a"], '"bitcoin sleeps"': ["b"], "bitcoin -whale": ["b"],
        "whale or pepe": ["a", "d"], "растёт": ["c"], "сильно": ["c"], "exchange": ["a"], "nothing": [], "": [],
    }  # fmt: skip
    async with ledger.connect() as conn:
        for q, found in asked.items():
            assert keys(await list_items(conn, provider=provider, q=q)) == found, q


async def test_pages_have_neither_gaps_nor_repeats(ledger: AsyncEngine, provider: str) -> None:
    # Seven moments for forty items: most places are told apart by the id alone.
    await write(ledger, *(item(provider, str(n), happened_at=AT + (n % 7) * MINUTE) for n in range(40)))
    for as_of in (None, AT + MINUTE):
        read: list[Listed] = []
        after: Place | None = None
        async with ledger.connect() as conn:
            while page := await list_items(conn, provider=provider, after=after, as_of=as_of, limit=6):
                read += page
                after = page[-1].place
                await write(ledger, item(provider, f"late {len(read)}", happened_at=AT + 9 * MINUTE), seen=5)
            old = [one for one in read if not one.key.startswith("late")]
        assert len(read) == len(old) == len(set(keys(old))) == 40
        assert [one.place for one in old] == sorted((one.place for one in old), reverse=True)


async def test_the_past_is_read_as_it_was_known(ledger: AsyncEngine, provider: str) -> None:
    await write(ledger, item(provider, "a", "first", observed={"votes": 1}), seen=0)
    await write(ledger, item(provider, "a", "second", happened_at=AT - MINUTE, observed={"votes": 2}), seen=10)
    async with ledger.connect() as conn:
        then, now = await detail(conn, provider, AT + 9 * MINUTE), await detail(conn, provider)
        assert await list_items(conn, provider=provider, as_of=AT - MINUTE) == []
        assert await get_item(conn, now.item.id, as_of=AT - MINUTE) is None
        assert await list_items(conn, provider=provider, q="second", as_of=AT + 9 * MINUTE) == []
        assert await list_items(conn, provider=provider, q="first") == []
        assert await detail(conn, provider, AT + 10 * MINUTE) == now
    assert (then.item.head.title, then.item.head.happened_at, then.item.observed) == ("first", AT, {"votes": 1})
    assert (now.item.head.title, now.item.head.happened_at) == ("second", AT - MINUTE)
    assert (len(then.revisions), len(then.observations)) == (1, 1)
    assert (len(now.revisions), len(now.observations)) == (2, 2)


async def test_a_text_that_comes_back_is_the_head_again_and_the_past_stays(ledger: AsyncEngine, provider: str) -> None:
    for minute, title in enumerate(["first", "second", "first", "first"]):
        await write(ledger, item(provider, "a", title), seen=minute)
    await write(ledger, item(provider, "a", "late"), seen=-5, recorded=10)
    async with ledger.connect() as conn:
        told = [(await detail(conn, provider, AT + n * MINUTE)).item.head.title for n in (0, 1, 2, 3, 10)]
        now = await detail(conn, provider)
    assert told == ["first", "second", "first", "first", "first"]
    assert now.item.head.title == "first"
    assert [revision.title for revision in now.revisions] == ["late", "first", "second"]


async def test_a_late_text_does_not_become_the_head(ledger: AsyncEngine, provider: str) -> None:
    for seen, recorded, title in ((1, 1, "first"), (3, 3, "first"), (2, 10, "between")):
        await write(ledger, item(provider, "a", title), seen=seen, recorded=recorded)
    async with ledger.connect() as conn:
        for as_of in (None, AT + 3 * MINUTE, AT + 10 * MINUTE):
            assert (await detail(conn, provider, as_of)).item.head.title == "first"


async def test_numbers_are_read_as_the_digits_that_were_given(ledger: AsyncEngine, provider: str) -> None:
    await write(ledger, item(provider, "a", body={"usd": Decimal("1.10"), "raw": 10**30, "rank": 7}))
    async with ledger.connect() as conn:
        body = (await detail(conn, provider)).item.head.body
    assert body == {"usd": "1.10", "raw": "1" + "0" * 30, "rank": 7}


async def test_items_that_share_a_key_tell_one_story(ledger: AsyncEngine, provider: str) -> None:
    def key(name: str) -> str:
        return f"{provider} {name}"

    await write(ledger, item(provider, "1", "How it began", story_keys=(key("a"), key("b"))))
    await write(ledger, item(provider, "2", story_keys=(key("c"), key("b")), happened_at=AT + MINUTE), seen=1)
    await write(ledger, item(provider, "3", story_keys=(key("c"),)), item(provider, "4"), seen=2)
    async with ledger.connect() as conn:
        listed = await list_items(conn, provider=provider)
        (number,) = {one.story_id for one in listed if one.key != "4"}
        assert number is not None
        assert [one.story_id for one in listed if one.key == "4"] == [None]
        assert keys(await list_items(conn, story=number)) == ["2", "3", "1"]
        told = await get_story(conn, number)
        before = await get_story(conn, number, as_of=AT)
        assert await get_story(conn, number, as_of=AT - MINUTE) is None
        assert told in await list_stories(conn)
    assert told is not None
    assert before is not None
    assert (told.title, told.items, told.newest_at) == ("How it began", 3, AT + MINUTE)
    assert before.items == 1


async def test_an_item_joins_late_then_stays_and_brings_its_keys(ledger: AsyncEngine, provider: str) -> None:
    await write(ledger, item(provider, "a"), item(provider, "b", story_keys=(f"{provider} x",)))
    await write(ledger, item(provider, "a", story_keys=(f"{provider} x",)), seen=1)
    await write(ledger, item(provider, "a", "amended", story_keys=(f"{provider} y",)), seen=2)
    await write(ledger, item(provider, "c", story_keys=(f"{provider} y",)), seen=3)
    async with ledger.connect() as conn:
        a, b, c = sorted(await list_items(conn, provider=provider), key=lambda one: one.key)
    assert a.head.title == "amended"
    assert a.story_id == b.story_id == c.story_id is not None


async def test_stories_are_paged_without_gaps(ledger: AsyncEngine, provider: str) -> None:
    for minute in range(7):
        await write(ledger, item(provider, str(minute), story_keys=(f"{provider} {minute}",)), seen=minute // 3)
    read: list[int] = []
    after: Place | None = None
    async with ledger.connect() as conn:
        mine = {one.story_id for one in await list_items(conn, provider=provider)}
        while page := await list_stories(conn, after=after, limit=2):
            read += [one.id for one in page]
            after = page[-1].place
    assert len(read) == len(set(read))
    assert mine <= set(read)
