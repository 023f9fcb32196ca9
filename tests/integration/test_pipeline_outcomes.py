"""What can be told from a job's row alone: nothing found, something found, nothing usable found."""

from __future__ import annotations

import re
from typing import Any

import orjson
import structlog
import zstandard

from ops.sandbox.answers import Answer, Ask
from tests.workshop import KEYS, Workshop


def answering(shop: Workshop, *rows: dict[str, Any]) -> None:
    """Let CryptoPanic's list be these rows."""
    api: Any = shop.sandbox.state.apis["cryptopanic"]

    def answer(_: Ask) -> Answer:
        return Answer({"next": None, "results": list(rows)}, endpoint="posts", cost=1)

    api.answer = answer


GOOD = {"id": 1, "title": "A post", "published_at": "2026-11-20T09:00:00Z"}


async def test_a_run_that_found_nothing(shop: Workshop) -> None:
    answering(shop)
    job = await shop.ask()
    await shop.run()
    row = await shop.job(job)
    assert (row.state, row.found, row.new, row.rejected, row.landed) == ("succeeded", 0, 0, 0, 1)


async def test_a_run_that_found_something(shop: Workshop) -> None:
    answering(shop, GOOD, {"id": 2})
    job = await shop.ask()
    await shop.run()
    row = await shop.job(job)
    assert (row.state, row.found, row.new, row.rejected) == ("succeeded", 2, 1, 1)


async def test_a_run_whose_every_row_was_rejected(shop: Workshop) -> None:
    answering(shop, {"id": 2}, {"title": "no id"})
    job = await shop.ask()
    await shop.run()
    row, (page,) = await shop.job(job), await shop.pages(job)
    assert (row.state, row.found, row.new, row.rejected) == ("succeeded", 2, 0, 2)
    assert [reject["position"] for reject in page.rejects] == [0, 1]
    assert all(reject["reason"] for reject in page.rejects)


async def test_a_run_that_found_only_what_is_known(shop: Workshop) -> None:
    answering(shop, GOOD)
    for expected in ((1, 0), (0, 1)):
        job = await shop.ask()
        await shop.run()
        row = await shop.job(job)
        assert (row.new, row.duplicate) == expected


async def test_a_changed_text_is_an_amendment_and_the_first_text_stays(shop: Workshop) -> None:
    answering(shop, GOOD)
    await shop.ask()
    await shop.run()
    answering(shop, GOOD | {"title": "A corrected post"})
    job = await shop.ask()
    await shop.run()
    row = await shop.job(job)
    assert (row.found, row.new, row.amended, row.duplicate) == (1, 0, 1, 0)
    assert await shop.value("SELECT count(*) FROM revisions") == 2


async def test_a_probe_goes_through(shop: Workshop) -> None:
    shop.mailbox.put("jobs", b'{"kind": "probe", "args": {"note": "hello"}}')
    await shop.run()
    (row,) = await shop.rows("SELECT * FROM jobs")
    assert (row.kind, row.state, row.args) == ("probe", "succeeded", {"note": "hello"})


async def test_no_token_is_kept_sent_or_logged(shop: Workshop, capsys: Any) -> None:
    with structlog.testing.capture_logs() as lines:
        for stream in shop.sandbox.state.world.streams():
            await shop.ask(stream["provider"], stream["dataset"], stream["params"])
        await shop.faults("500=every 7", "429=every 9", "truncated=every 11", "html=every 13")
        await shop.settle()
        await shop.faults("cryptopanic:html=1.0,status=403", "newscatcher:500=1.0")
        await shop.ask("newscatcher", "search", {"q": "crypto"})
        await shop.ask()
        await shop.run()
    shown = capsys.readouterr()
    tables = await shop.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    for (table,) in tables:
        for row in await shop.rows(f"SELECT * FROM {table}"):
            assert_no_token(table, *map(everything, row))
    assert_no_token("message", *shop.mailbox.published)
    assert_no_token("log", orjson.dumps(lines, default=str), shown.out.encode(), shown.err.encode())
    assert len(shop.mailbox.published) > 50
    assert lines


def everything(value: object) -> bytes:
    if isinstance(value, bytes | memoryview):
        return zstandard.decompress(bytes(value))
    return str(value).encode()


def assert_no_token(where: str, *texts: bytes) -> None:
    tokens = re.compile("|".join(map(re.escape, KEYS.values())).encode())
    for text in texts:
        assert tokens.search(text) is None, where
