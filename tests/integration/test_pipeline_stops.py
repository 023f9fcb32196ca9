"""Where a pull stops: late enough that nothing is missed, early enough that nothing known is paid for again."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest

from broker import jobs
from broker.streams import NewStream
from ops.sandbox.answers import Answer, Ask
from tests.workshop import START, Workshop
from workers.works import Policy

FETCH = "fetch.cryptopanic"
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
NEWS = NewStream("news", "cryptopanic", "posts", {}, interval_s=300, overlap_s=3600)


@pytest.fixture
def by_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each stage have a message, so that a test can stop between them."""
    monkeypatch.setattr("workers.pipeline.READ_AT_ONCE_BYTES", 0)


class Listed:
    """CryptoPanic's list in the test's hands: ids by their time, newest first, twenty to a page."""

    def __init__(self, shop: Workshop) -> None:
        self.posts: dict[int, datetime] = {}
        self.asked: list[int] = []
        self.missing_from: int | None = None  # from this page on there is nothing, and the answer is a 404
        real: Any = shop.sandbox.state.apis["cryptopanic"]
        real.answer, self._real = self.answer, real

    def add(self, count: int, newest: datetime, apart: timedelta = MINUTE) -> set[str]:
        """Put posts on the list; give their keys."""
        first = max(self.posts, default=0) + 1
        for n in range(count):
            self.posts[first + n] = newest - apart * (count - 1 - n)
        return {f"posts:{first + n}" for n in range(count)}

    def answer(self, ask: Ask) -> Answer:
        page = int(ask.query["page"])
        self.asked.append(page)
        if self.missing_from is not None and page >= self.missing_from:
            return Answer({"status": "api_error", "info": "no such page"}, 404)
        order = sorted(self.posts, key=lambda post: (self.posts[post], post), reverse=True)
        rows = [
            {"id": post, "title": f"Post number {post}", "published_at": self.posts[post].isoformat()}
            for post in order[(page - 1) * 20 : page * 20]
        ]
        more = len(order) > page * 20 or self.missing_from is not None
        payload = {"next": f"https://x/?page={page + 1}" if more else None, "results": rows}
        return Answer(orjson.loads(orjson.dumps(payload)), endpoint="posts", page=page, cost=1)


async def pull(shop: Workshop, listed: Listed) -> Any:
    """Let the stream's next pull run to its end; give its job, with the pages that it asked for."""
    listed.asked.clear()
    (stream,) = await shop.rows("SELECT next_run_at FROM streams")
    shop.forward(max(stream.next_run_at - shop.clock(), timedelta()))
    await shop.dispatcher.tick()
    await shop.settle(by=SECOND)
    return (await shop.rows("SELECT * FROM jobs ORDER BY id DESC LIMIT 1"))[0]


async def watermark(shop: Workshop) -> Any:
    return await shop.value("SELECT watermark FROM streams")


async def test_the_first_pull_reads_the_whole_list(shop: Workshop) -> None:
    listed = Listed(shop)
    keys = listed.add(90, START)
    await shop.stream(NEWS)
    row = await pull(shop, listed)
    assert (row.state, listed.asked, row.new) == ("succeeded", [1, 2, 3, 4, 5], 90)
    assert await shop.keys("cryptopanic") == keys
    assert await watermark(shop) == START


async def test_a_later_pull_stops_at_a_known_page_behind_the_last_pull(shop: Workshop) -> None:
    listed = Listed(shop)
    listed.add(200, START)
    await shop.stream(NEWS)
    await pull(shop, listed)
    listed.add(5, START + 4 * MINUTE)
    row = await pull(shop, listed)
    # An hour of overlap is sixty posts: page 4 is the first that reaches behind it, and it is wholly known.
    assert (row.new, listed.asked) == (5, [1, 2, 3, 4])
    assert await watermark(shop) == START + 4 * MINUTE


async def test_a_page_that_is_known_but_does_not_reach_back_is_no_end(shop: Workshop) -> None:
    listed = Listed(shop)
    listed.add(200, START)
    await shop.stream(NEWS)
    await pull(shop, listed)
    row = await pull(shop, listed)  # nothing new at all
    assert (row.new, listed.asked) == (0, [1, 2, 3, 4])


async def test_a_new_post_on_a_page_that_reaches_back_leads_on(shop: Workshop) -> None:
    listed = Listed(shop)
    listed.add(200, START)
    await shop.stream(NEWS)
    await pull(shop, listed)
    late = listed.add(1, START - 62 * MINUTE)
    row = await pull(shop, listed)
    assert (row.new, listed.asked) == (1, [1, 2, 3, 4, 5])
    assert late <= await shop.keys("cryptopanic")


async def test_posts_that_appear_half_an_hour_late_are_found(shop: Workshop) -> None:
    listed = Listed(shop)
    listed.add(200, START)
    await shop.stream(NEWS)
    await pull(shop, listed)
    for minutes in (5, 12, 33):
        shop.forward(5 * MINUTE)
        listed.add(1, shop.clock())
        late = listed.add(1, shop.clock() - minutes * MINUTE)
        await pull(shop, listed)
        assert late <= await shop.keys("cryptopanic")


@pytest.mark.usefixtures("by_messages")
async def test_a_pull_that_died_half_way_leaves_no_gap(shop: Workshop) -> None:
    shop.works.policy = Policy(attempts_max=1)
    listed = Listed(shop)
    old = listed.add(100, START)
    await shop.stream(NEWS)
    await pull(shop, listed)
    shop.forward(timedelta(days=1))
    new = listed.add(90, shop.clock())
    await shop.dispatcher.tick()
    while len(listed.asked) < 7:  # two pages of the new ones are in the ledger, then it all stops
        waiting = shop.mailbox.waiting()
        await shop.deliver(next(queue for queue in ("post", "dedup", FETCH) if queue in waiting))
    await shop.deliver("dedup")
    await shop.deliver("post")
    await shop.faults("503=1.0")
    await shop.run()
    (died,) = await shop.rows("SELECT * FROM jobs ORDER BY id DESC LIMIT 1")
    assert died.state == "failed"
    assert await watermark(shop) == START
    assert not new <= await shop.keys("cryptopanic")
    await shop.faults()
    await pull(shop, listed)
    assert await shop.keys("cryptopanic") == old | new


@pytest.mark.usefixtures("by_messages")
async def test_a_watermark_moves_only_when_a_pull_has_succeeded(shop: Workshop) -> None:
    listed = Listed(shop)
    listed.add(50, START)
    await shop.stream(NEWS)
    assert await shop.dispatcher.tick() == 1
    await shop.deliver(FETCH)
    await shop.deliver("dedup")
    await shop.deliver("post")
    assert await watermark(shop) is None
    async with shop.database.begin() as conn:
        await jobs.cancel(conn, await shop.value("SELECT id FROM jobs"), now=shop.clock())
    await shop.run()
    assert await watermark(shop) is None
    await pull(shop, listed)
    assert await watermark(shop) == START


async def test_a_post_from_the_future_does_not_carry_the_watermark_away(shop: Workshop) -> None:
    listed = Listed(shop)
    listed.add(30, START)
    listed.add(1, START + timedelta(days=400))
    await shop.stream(NEWS)
    row = await pull(shop, listed)
    assert row.new == 31
    assert await watermark(shop) == START
    keys = listed.add(3, START + 3 * MINUTE)
    await pull(shop, listed)
    assert keys <= await shop.keys("cryptopanic")


async def test_a_missing_page_is_the_end_of_the_list_and_the_watermark_moves(shop: Workshop) -> None:
    listed = Listed(shop)
    listed.add(40, START)
    listed.missing_from = 3
    await shop.stream(NEWS)
    row = await pull(shop, listed)
    assert (row.state, row.landed, row.want, row.new) == ("succeeded", 2, 2, 40)
    assert await watermark(shop) == START


async def test_a_missing_page_ends_the_list_though_a_post_is_still_on_its_way(shop: Workshop) -> None:
    listed = Listed(shop)
    listed.add(40, START)
    listed.missing_from = 3
    await shop.stream(NEWS)
    await shop.dispatcher.tick()
    while shop.mailbox.waiting().keys() & {FETCH, "dedup"}:
        await shop.deliver("dedup" if shop.mailbox.waiting().get("dedup") else FETCH)
    (row,) = await shop.rows("SELECT * FROM jobs")
    assert (row.state, row.exhausted) == ("running", True)
    await shop.run()
    (row,) = await shop.rows("SELECT * FROM jobs")
    assert (row.state, row.new) == ("succeeded", 40)
    assert await watermark(shop) == START


async def test_a_first_page_that_is_missing_is_a_failure(shop: Workshop) -> None:
    listed = Listed(shop)
    listed.missing_from = 1
    job = await shop.ask()
    await shop.run()
    assert (await shop.job(job)).state == "failed"


async def test_a_backfill_goes_to_the_end_though_everything_is_known(shop: Workshop) -> None:
    listed = Listed(shop)
    listed.add(90, START)
    await shop.ask(kind="backfill")
    await shop.run()
    listed.asked.clear()
    job = await shop.ask(kind="backfill", since=START.isoformat())
    await shop.run()
    assert ((await shop.job(job)).state, listed.asked) == ("succeeded", [1, 2, 3, 4, 5])


async def test_no_more_pages_are_paid_for_than_were_allowed(shop: Workshop) -> None:
    listed = Listed(shop)
    listed.add(90, START)
    job = await shop.ask(pages_max=2)
    await shop.run()
    row = await shop.job(job)
    assert (row.state, row.landed, listed.asked) == ("succeeded", 2, [1, 2])


async def test_an_empty_list_is_a_pull_that_found_nothing(shop: Workshop) -> None:
    listed = Listed(shop)
    await shop.stream(NEWS)
    row = await pull(shop, listed)
    assert (row.state, row.found, row.landed, await watermark(shop)) == ("succeeded", 0, 1, None)


async def test_a_snapshot_is_read_to_its_end_each_time(shop: Workshop, monkeypatch: Any) -> None:
    monkeypatch.setattr("workers.providers.nansen.PER_PAGE", 10)
    params = {"chains": ["ethereum", "solana", "base", "bnb", "arbitrum"]}
    since = (START - timedelta(days=1)).isoformat()
    first = await shop.ask("nansen", "smart-money/netflow", params)
    await shop.run()
    again = await shop.ask("nansen", "smart-money/netflow", params, since=since)
    await shop.run()
    one, two = await shop.job(first), await shop.job(again)
    assert one.landed == two.landed > 1
    assert (two.state, two.new) == ("succeeded", 0)  # the provider's clock stands still: the same poll
