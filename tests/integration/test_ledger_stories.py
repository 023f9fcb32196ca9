"""Stories in the ledger: decided when an item is posted, the same whoever posts; a person's word holds."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from ledger import memory as remembered
from ledger import regroup
from ledger.memory import Memory
from ledger.model import Book, Item
from ledger.queries import get_story, list_items
from ledger.shelf import Shelf
from ledger.store import Posting, post
from ledger.telling import Teller, group, name_of
from workers.stories import telling

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
ETF = ("SEC approves first spot Solana ETF in landmark vote", "Landmark Solana ETF wins SEC approval after long wait")
BREACH = (
    "Bridge exploit drains $40 million from Wormhole users",
    "Wormhole users lose 40 million dollars in bridge hack",
)


@pytest.fixture
async def empty(ledger: AsyncEngine) -> AsyncEngine:
    """The ledger without what earlier tests have told."""
    tables = "items, revisions, observations, returns, stories, story_keys, story_changes, open_stories, story_terms"
    async with ledger.begin() as conn:
        await conn.execute(text(f"TRUNCATE {tables}, story_memory CASCADE"))
    return ledger


def news(title: str, number: int | str = 0, *, provider: str = "p", minute: int = 0, url: str = "") -> Item:
    """Make a news item as the pipeline hands it to the ledger."""
    at = AT + timedelta(minutes=minute)
    return telling(Item(provider, f"posts:{number}", Book.HUMAN, "news", at, {}, title=title, url=url))


async def tell(ledger: AsyncEngine, *items: Item) -> None:
    """Post the items as one page."""
    async with ledger.begin() as conn:
        await post(conn, [Posting(uuid4(), AT, items)], now=AT)


async def told(ledger: AsyncEngine) -> dict[str, int]:
    """Give each item's story."""
    async with ledger.connect() as conn:
        rows = await conn.execute(text("SELECT provider || ' ' || key, story_id FROM items"))
        return {row[0]: row[1] for row in rows}


async def why(ledger: AsyncEngine, item: Item) -> Mapping[str, Any]:
    """Give the reason that was kept."""
    async with ledger.connect() as conn:
        query = text("SELECT story_why FROM items WHERE provider = :p AND key = :k")
        reason: Mapping[str, Any] = (await conn.execute(query, {"p": item.provider, "k": item.key})).scalar_one()
        return reason


def parts(stories: Mapping[str, int | None]) -> set[frozenset[str]]:
    """Forget the ids: what stands together?"""
    return {frozenset(name for name, at in stories.items() if at == story) for story in stories.values()}


def stream(seed: int, many: int) -> list[Item]:
    """Invent news of few words, so that stories grow, resemble one another and merge."""
    rng = random.Random(seed)
    names = [a + b for a in ("sol", "arb", "lun", "vex", "mir", "dor") for b in ("ana", "itrum", "aris", "oid", "ope")]
    verbs = ["rises", "falls", "lists", "hacked", "sues", "wins", "burns", "2000", "listing", "dropped"]
    return [
        news(" ".join([*rng.sample(names, rng.choice([1, 2, 3])), *rng.sample(verbs, 2)]), n, minute=n % 50)
        for n in range(many)
    ]


@pytest.mark.parametrize("seed", range(3))
async def test_the_database_groups_as_the_memory_does(empty: AsyncEngine, monkeypatch: Any, seed: int) -> None:
    # Small bounds, so that stories close, terms are forgotten and lists are cut in a few hundred titles.
    for name, value in {"WINDOW_TITLES": 120, "STORY_TERMS": 6, "RECENT": 4, "RARE": 5}.items():
        monkeypatch.setattr(remembered, name, value)
    monkeypatch.setattr("ledger.shelf.WINDOW_TITLES", 120)
    items = stream(seed, 300)
    rng, start = random.Random(seed), 0
    while start < len(items):
        size = rng.choice([1, 2, 7, 40])
        await tell(empty, *items[start : start + size])
        start += size
    teller = Teller(count(1).__next__)
    inside = dict(zip(map(name_of, items), group(teller, items), strict=True))
    assert parts(await told(empty)) == parts(inside)
    assert len(teller.merged) > 2
    assert 10 < len(parts(inside)) < 250
    await _holds_the_same(empty, teller.memory)


async def _holds_the_same(ledger: AsyncEngine, memory: Memory) -> None:
    async with ledger.connect() as conn:
        rows = (await conn.execute(text("SELECT term, stories, cardinality(recent) FROM story_terms"))).all()
        kept = (await conn.execute(text("SELECT open, turn FROM story_memory"))).one()
        stories = (await conn.execute(text("SELECT turn, titles, terms, counts FROM open_stories ORDER BY turn"))).all()
    assert {row[0]: (row[1], row[2]) for row in rows} == {
        term: (known.stories, len(known.recent)) for term, known in memory.terms.items() if known.stories
    }
    assert tuple(kept) == (memory.open, memory.turn) == (len(memory.stories), memory.turn)
    assert [(row[0], row[1], dict(zip(row[2], row[3], strict=True))) for row in stories] == [
        (story.turn, story.titles, story.terms) for story in sorted(memory.stories.values(), key=lambda s: s.turn)
    ]


async def at_once(ledger: AsyncEngine, *items: Item) -> None:
    """Post each item in a transaction of its own, all open before the first commits."""
    turn = asyncio.Barrier(len(items))

    async def worker(item: Item) -> None:
        async with ledger.connect() as conn, conn.begin():
            await conn.execute(text("SELECT 1"))
            await turn.wait()
            await post(conn, [Posting(uuid4(), AT, [item])], now=AT)

    await asyncio.gather(*map(worker, items))


@pytest.mark.parametrize("repeat", range(5))
async def test_two_workers_that_post_one_story_at_once_end_with_one(empty: AsyncEngine, repeat: int) -> None:
    await at_once(empty, *(news(title, n) for n, title in enumerate(ETF)))
    assert len(set((await told(empty)).values())) == 1


async def test_without_the_turn_two_workers_end_with_two_stories(empty: AsyncEngine, monkeypatch: Any) -> None:
    both = asyncio.Barrier(2)

    async def nobody_waits(cursor: Any) -> Shelf:
        return Shelf(cursor, Memory())

    async def after_both_have_looked(shelf: Shelf) -> None:
        await both.wait()

    monkeypatch.setattr(Shelf, "take_turn", nobody_waits)
    monkeypatch.setattr(Shelf, "keep", after_both_have_looked)
    await at_once(empty, *(news(title, n) for n, title in enumerate(ETF)))
    assert len(set((await told(empty)).values())) == 2


async def test_the_reason_is_kept(empty: AsyncEngine) -> None:
    first = news(ETF[0], 1, url="https://example.com/a")
    address = news("Something else entirely was written here", 2, url="http://www.example.com/a/?utm_source=x")
    title = news(ETF[0], 3, provider="q", url="https://example.org/b")
    alike = news(ETF[1], 4)
    await tell(empty, first, address, title, alike)
    assert len(set((await told(empty)).values())) == 1
    assert await why(empty, first) == {"by": "first"}
    assert await why(empty, address) == {"by": "address", "neighbour": "p posts:1"}
    assert await why(empty, title) == {"by": "title", "neighbour": "p posts:1"}
    kept = await why(empty, alike)
    assert kept["by"] in {"topic", "retold"}
    assert kept["neighbour"] in {"p posts:1", "q posts:3"}
    assert kept["score"] > 0.1


async def test_grouping_drops_nothing_and_revises_nothing(empty: AsyncEngine) -> None:
    items = [news(title, f"{n} {title}") for title in (*ETF, *BREACH) for n in range(3)]
    await tell(empty, *items)
    await tell(empty, *items)
    async with empty.connect() as conn:
        assert (await conn.execute(text("SELECT count(*) FROM items"))).scalar_one() == len(items)
        assert (await conn.execute(text("SELECT count(*) FROM revisions"))).scalar_one() == len(items)
        assert (await conn.execute(text("SELECT turn FROM story_memory"))).scalar_one() == len(items)


async def test_what_is_there_already_is_answered_without_the_turn(empty: AsyncEngine) -> None:
    item = news(ETF[0], 1)
    await tell(empty, item)
    async with empty.connect() as holder, holder.begin():
        await holder.execute(text("SELECT * FROM story_memory FOR UPDATE"))
        async with asyncio.timeout(10):
            await tell(empty, item)


async def test_old_news_does_not_join_what_is_told_now(empty: AsyncEngine) -> None:
    now, then = news(ETF[0], 1), replace(news(ETF[1], 2), happened_at=AT - timedelta(days=10))
    await tell(empty, now, then)
    assert len(set((await told(empty)).values())) == 2


async def two_stories(ledger: AsyncEngine) -> tuple[int, int]:
    """Tell two stories of two titles each, the ETF first."""
    await tell(ledger, *(news(title, n) for n, title in enumerate([*ETF, *BREACH])))
    stories = await told(ledger)
    assert parts(stories) == {frozenset({"p posts:0", "p posts:1"}), frozenset({"p posts:2", "p posts:3"})}
    return stories["p posts:0"], stories["p posts:2"]


async def test_a_person_merges_and_both_ids_answer(empty: AsyncEngine) -> None:
    etf, hack = await two_stories(empty)
    async with empty.begin() as conn:
        assert await regroup.merge(conn, hack, etf, by="ann", now=AT) == etf
        assert await regroup.merge(conn, etf, hack, by="ann", now=AT) == etf
    async with empty.connect() as conn:
        assert await get_story(conn, hack) == await get_story(conn, etf)
        assert len(await list_items(conn, story=hack)) == len(await list_items(conn, story=etf)) == 4
        changes = (await conn.execute(text("SELECT change, story_id, other_id, changed_by FROM story_changes"))).all()
    assert [tuple(row) for row in changes] == [("merged", etf, hack, "ann")]
    await tell(empty, news("Wormhole bridge exploit: users count their lost millions", 9))
    assert (await told(empty))["p posts:9"] == etf


async def test_a_person_splits_and_it_holds(empty: AsyncEngine) -> None:
    first, second = (news(title, n, url=f"https://example.com/{n}") for n, title in enumerate(ETF))
    await tell(empty, first, second)
    async with empty.begin() as conn:
        (found,) = [one for one in await list_items(conn) if one.key == second.key]
        new = await regroup.split(conn, found.id, tell=telling, by="ann", now=AT)
    await tell(empty, replace(second, title=ETF[0], fingerprint=""))  # amended, and told again
    more = [news(f"{title} {word}", word) for title in ETF for word in ("today", "tonight", "friday")]
    again = news("Nothing of it can be told from here", "again", url="https://www.example.com/1")
    await tell(empty, *more, again)
    stories = await told(empty)
    assert stories["p posts:1"] == new != stories["p posts:0"]
    assert stories["p posts:again"] == new
    assert await why(empty, second) == {"by": "person", "name": "ann"}


@pytest.mark.parametrize("parted", [True, False])
async def test_a_split_holds_when_both_stories_were_closed(empty: AsyncEngine, monkeypatch: Any, parted: bool) -> None:
    for module in ("ledger.memory", "ledger.shelf"):
        monkeypatch.setattr(f"{module}.WINDOW_TITLES", 4)
    if not parted:  # what would happen if nobody remembered
        monkeypatch.setattr("ledger.shelf._PARTED", "SELECT 1, '{}'::bigint[] WHERE %s::bigint[] = %s::bigint[]")
    urls = ("https://example.com/0", "https://example.com/1")
    first, second = (news(title, n, url=url) for n, (title, url) in enumerate(zip(ETF, urls, strict=True)))
    await tell(empty, first, second)
    async with empty.begin() as conn:
        (found,) = [one for one in await list_items(conn) if one.key == second.key]
        new = await regroup.split(conn, found.id, tell=telling, by="ann", now=AT)
    await tell(empty, *(news(f"Otherland{n} unrelatedly{n} wanders{n} about{n}", f"o{n}") for n in range(8)))
    async with empty.connect() as conn:
        query = text("SELECT count(*) FROM open_stories WHERE story_id <= :new")
        assert (await conn.execute(query, {"new": new})).scalar_one() == 0
    again = [news(f"{ETF[0]} {word}", word, url=urls[n]) for n in (0, 1) for word in (f"friday{n}", f"monday{n}")]
    await tell(empty, *again)  # addresses open both stories again, and their titles are alike now
    stories = await told(empty)
    assert (stories["p posts:friday1"] == stories["p posts:1"] == new != stories["p posts:friday0"]) is parted


async def test_nobody_can_merge_or_split_what_is_not_there(empty: AsyncEngine) -> None:
    async with empty.connect() as conn:
        with pytest.raises(regroup.UnknownStoryError, match="no story 999"):
            await regroup.merge(conn, 999, 998, by="ann", now=AT)
        with pytest.raises(regroup.UnknownStoryError, match="no item 999"):
            await regroup.split(conn, 999, tell=telling, by="ann", now=AT)
