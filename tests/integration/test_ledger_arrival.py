"""The order of arrival is nothing: pages in any order, split in any way, posted at once, end in the same ledger."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from ledger.model import Book, Item
from ledger.queries import list_items
from ledger.store import Posted, Posting, known, post, unseen

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def story(rng: random.Random, provider: str, keys: int, pages: int) -> list[Posting]:
    """Tell a history: items whose texts change, go back and move, each page at its own time."""
    return [
        Posting(
            uuid4(),
            AT + timedelta(minutes=rng.randrange(pages)),
            [sighting(rng, provider, rng.randrange(keys)) for _ in range(rng.randrange(1, 12))],
        )
        for _ in range(pages)
    ]


def sighting(rng: random.Random, provider: str, key: int) -> Item:
    """See one item with one of its texts."""
    version = rng.choice([0, 0, 0, 1, 2])
    return Item(
        provider, str(key), Book.HUMAN, "post", AT + timedelta(hours=version), {"v": version}, title=f"text {version}",
        observed={"votes": rng.randrange(3)}, story_keys=(f"{provider}-{key // 2}",),
    )  # fmt: skip


def groups(rng: random.Random, pages: Sequence[Posting]) -> list[list[Posting]]:
    """Shuffle the pages and split them into calls."""
    mixed = rng.sample(pages, len(pages))
    calls = []
    while mixed:
        size = rng.randrange(1, 5)
        calls.append(mixed[:size])
        mixed = mixed[size:]
    return calls


async def state(ledger: AsyncEngine, provider: str) -> list[tuple[Any, ...]]:
    """Read what must not depend on the order: items with heads and all their texts."""
    query = text(
        """
        SELECT i.key, i.fingerprint, i.seen_at, i.happened_at, i.kind, array_agg(r.title ORDER BY r.fingerprint)
          FROM items i JOIN revisions r ON r.item_id = i.id WHERE i.provider = :p GROUP BY i.id ORDER BY i.key
        """
    )
    async with ledger.connect() as conn:
        return [tuple(row) for row in await conn.execute(query, {"p": provider})]


@pytest.mark.parametrize("seed", range(12))
async def test_any_order_of_arrival_ends_in_the_same_ledger(ledger: AsyncEngine, seed: int) -> None:
    rng = random.Random(seed)
    ends = []
    history = story(rng, "p", keys=8, pages=15)
    for _ in range(3):
        provider = uuid4().hex
        total = [Posted(0, 0, 0, 0)]
        pages = [renamed(page, provider) for page in history]
        for call in groups(rng, pages):
            async with ledger.begin() as conn:
                total += await post(conn, call, now=AT)
        ends.append(end := await state(ledger, provider))
        assert sum(one.new for one in total) == len(end)
        assert sum(one.new + one.amended for one in total) == sum(len(row[-1]) for row in end)
        async with ledger.connect() as conn:
            now = await list_items(conn, provider=provider)
            assert [one.head for one in now] == [
                one.head for one in await list_items(conn, provider=provider, as_of=AT)
            ]
            assert {one.key: one.head.fingerprint for one in now} == {row[0]: row[1] for row in end}
    assert ends[0] == ends[1] == ends[2]


def renamed(page: Posting, provider: str) -> Posting:
    """Tell the same page of another provider, as a page of its own."""
    items = [
        Item(provider, one.key, one.book, one.kind, one.happened_at, one.body, title=one.title, observed=one.observed)
        for one in page.items
    ]
    return Posting(uuid4(), page.seen_at, items)


@pytest.mark.parametrize("seed", range(15))
async def test_posts_at_once_find_each_item_once_and_never_deadlock(ledger: AsyncEngine, seed: int) -> None:
    rng = random.Random(seed)
    provider = uuid4().hex
    pages = story(rng, provider, keys=30, pages=24)

    async def worker(mine: Sequence[Posting]) -> list[Posted]:
        answers = []
        for call in groups(random.Random(seed), mine):
            async with ledger.connect() as conn:
                held = await known(conn, [(one.provider, one.key) for page in call for one in page.items])
            left = [Posting(page.page, page.seen_at, unseen(page.items, held, page.page)) for page in call]
            async with ledger.begin() as conn:
                answers += await post(conn, left, now=AT)
        return answers

    # Four workers; half of the pages are delivered to two of them.
    shares = [pages[:12], pages[12:], pages[6:18], list(reversed(pages[:6] + pages[18:]))]
    await asyncio.gather(*map(worker, shares))
    end = await state(ledger, provider)
    again = []
    for page in pages:
        async with ledger.begin() as conn:
            again += await post(conn, [page], now=AT)
    assert [(row[0], row[-1]) for row in await state(ledger, provider)] == [(row[0], row[-1]) for row in end]
    assert sum(one.new for one in again) == len(end)
    assert sum(one.new + one.amended for one in again) == sum(len(row[-1]) for row in end)
    assert await stories(ledger, provider) == dict.fromkeys({f"{provider}-{int(row[0]) // 2}" for row in end}, 1)


async def stories(ledger: AsyncEngine, provider: str) -> dict[str, int]:
    """Count the stories that the items of each story key tell, and see that none stands empty."""
    query = text(
        """
        SELECT :p || '-' || key::int / 2, count(DISTINCT story_id), bool_and(story_id IS NOT NULL)
          FROM items WHERE provider = :p GROUP BY 1
        """
    )
    empty = text("SELECT count(*) FROM stories s WHERE NOT EXISTS (SELECT FROM items WHERE story_id = s.id)")
    async with ledger.connect() as conn:
        told = (await conn.execute(query, {"p": provider})).all()
        assert (await conn.execute(empty)).scalar_one() == 0
    assert all(row[2] for row in told)
    return {row[0]: row[1] for row in told}


async def test_new_items_posted_at_once_are_new_once_in_total(ledger: AsyncEngine) -> None:
    rng = random.Random(7)
    for _ in range(20):
        provider = uuid4().hex
        items = [Item(provider, str(n), Book.GLASS, "flow", AT, {}, story_keys=(provider,)) for n in range(40)]

        async def deliver(mine: list[Item]) -> Posted:
            async with ledger.begin() as conn:
                return (await post(conn, [Posting(uuid4(), AT, mine)], now=AT))[0]

        answers = await asyncio.gather(*(deliver(rng.sample(items, 30)) for _ in range(3)))
        end = await state(ledger, provider)
        assert sum(one.new for one in answers) == len(end)
        assert all(one.new + one.duplicate == 30 and not one.amended for one in answers)
        assert set((await stories(ledger, provider)).values()) == {1}


async def test_a_page_left_out_leaves_no_sighting_and_the_next_that_shows_the_item_tells_how_it_stands(
    ledger: AsyncEngine,
) -> None:
    def seen(version: int) -> Item:
        return Item(
            "late", "1", Book.HUMAN, "post", AT, {"v": version}, title=f"text {version}", observed={"v": version}
        )

    async def road(second: int, item: Item) -> tuple[bool, str]:
        page = uuid4()
        async with ledger.begin() as conn:
            fresh = unseen([item], await known(conn, [("late", "1")]), page)
            await post(conn, [Posting(page, AT + timedelta(seconds=second), fresh)], now=AT)
            (row,) = await conn.execute(
                text(
                    """SELECT title FROM items i JOIN revisions r ON r.item_id = i.id AND r.fingerprint = i.fingerprint
                    WHERE i.provider = 'late'"""
                )
            )
        return bool(fresh), row.title

    assert [await road(*told) for told in ((0, seen(1)), (20, seen(1)), (10, seen(2)), (30, seen(1)))] == [
        (True, "text 1"),
        (False, "text 1"),
        (True, "text 2"),
        (True, "text 1"),
    ]
