"""Stories that were open before their lengths were kept (migration 0007) get them, and are told on."""

from __future__ import annotations

from datetime import UTC, datetime
from math import log

import psycopg
import pytest

from ledger import migrate
from ledger.engine import open_ledger
from ledger.model import Book, Item
from ledger.stories import join
from ledger.telling import Telling
from ledger.tenancy import driver_cursor
from workers.stories import telling

AT = datetime(2026, 3, 1, tzinfo=UTC)
OPEN = 2
TOLD = {"quillhaven": 1, "licenc": 0, "=win": 2, "@norway": 100}
"""Terms by how many open stories tell them; of one nothing is kept, one is as common as can be."""
COUNTS = {1: {"quillhaven": 3, "licenc": 2, "=win": 1, "@norway": 4}, 2: {"=win": 2}}


@pytest.fixture
def old_url(postgres_url: str) -> str:
    """A database from before, with two open stories."""
    migrate.upgrade(postgres_url, "0006")
    with psycopg.connect(postgres_url) as conn:
        conn.execute("INSERT INTO story_memory VALUES (1, %s, 6)", [OPEN])
        for term, stories in TOLD.items():
            if stories:
                conn.execute("INSERT INTO story_terms VALUES (%s, %s, '{1}')", [term, stories])
        for story, told in COUNTS.items():
            conn.execute("INSERT INTO stories (title, created_at) VALUES ('old', %s)", [AT])
            conn.execute(
                "INSERT INTO open_stories VALUES (%s, 4, %s, %s, %s, %s, %s, '[]', '{}')",
                [story, AT.timestamp(), AT.timestamp(), story, list(told), list(told.values())],
            )
    return postgres_url


def weight(term: str) -> float:
    """What a term weighed when the migration was written: a group of words 0.8 of a name, the commonest 0.1."""
    return (0.8 if term[0] == "=" else 1.0) * max(0.1, log(100 + OPEN) - log(1 + TOLD[term]))


async def test_open_stories_get_the_length_of_their_terms_and_are_told_on(old_url: str) -> None:
    assert weight("@norway") == 0.1
    migrate.upgrade(old_url)
    with psycopg.connect(old_url) as conn:
        kept: dict[int, float] = dict(conn.execute("SELECT story_id, square FROM open_stories").fetchall())
        with pytest.raises(psycopg.errors.NotNullViolation):  # what comes from now on brings its own
            conn.execute("INSERT INTO open_stories SELECT 3, 1, 0, 0, 3, '{}', '{}', '[]', '{}'")
    assert kept.keys() == COUNTS.keys()
    for story, told in COUNTS.items():
        assert kept[story] == pytest.approx(sum((count * weight(term)) ** 2 for term, count in told.items()))
    [found] = await tell(old_url, "Quillhaven and its licence in Norway")
    assert found is not None
    assert (found.story, found.by) == (1, "topic")


async def tell(url: str, title: str) -> list[Telling | None]:
    """Tell a story as a posting does."""
    item = telling(Item("p", "1", Book.HUMAN, "news", AT, {}, title=title))
    async with open_ledger(url) as engine, engine.begin() as conn, driver_cursor(conn) as cursor:
        return await join(cursor, [item], now=AT)
