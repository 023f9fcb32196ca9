"""Pages: landed once, read as often as it takes, counted once, never paid for twice, never lost."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from broker import jobs, pages, spoiled
from broker.jobs import Claimed
from broker.messages import DEDUP, POST
from broker.pages import NewPage
from ledger import store
from tests.workshop import START, Workshop
from workers.items import Malformed, Page, Parsed, Provider
from workers.providers.cryptopanic import CryptoPanic
from workers.works import Policy

FETCH = "fetch.cryptopanic"
MINUTE = timedelta(minutes=1)
COUNTS = ("found", "new", "duplicate", "amended", "rejected")


class Flawed(CryptoPanic):
    """A provider whose parser a test can break and mend."""

    error_at_parse: Exception | None = None

    def parse(self, page: Page) -> Parsed:
        if self.error_at_parse is not None:
            raise self.error_at_parse
        return super().parse(page)


def flawed(shop: Workshop, error: Exception) -> Flawed:
    provider, usual = Flawed(), shop.works.providers["cryptopanic"]
    provider.limits, provider.error_at_parse = usual.limits, error
    every: dict[str, Provider] = {**shop.works.providers, "cryptopanic": provider}
    shop.works.providers = every
    return provider


def counted(row: Any) -> dict[str, int]:
    return {name: getattr(row, name) for name in COUNTS}


async def dispatch(shop: Workshop, after: timedelta = 2 * MINUTE) -> None:
    """Let leases run out and the dispatcher look."""
    shop.forward(after)
    await shop.dispatcher.tick()


async def taken(shop: Workshop, page: Any, *, suspects: bool) -> bool:
    """Start dedup of a page in a worker that is killed right away."""
    async with shop.database.begin() as conn:
        lease = shop.works.policy.lease
        return bool(await pages.claim(conn, [page.id], suspects=suspects, now=shop.clock(), lease=lease))


async def test_a_full_run_counts_up_for_job_and_pages(shop: Workshop) -> None:
    job = await shop.ask()
    await shop.run()
    row, kept = await shop.job(job), await shop.pages(job)
    for one in (row, *kept):
        assert one.found == one.new + one.duplicate + one.amended + one.rejected
    for name in (*COUNTS, "skipped", "observed", "cost"):
        assert getattr(row, name) == sum(getattr(page, name) for page in kept)
    assert row.landed == row.posted == row.want == row.calls == len(kept) == shop.calls("cryptopanic")
    assert {page.state for page in kept} == {"posted"}
    assert row.rejected == sum(len(page.rejects) for page in kept) > 0
    invented = shop.sandbox.state.invented()["cryptopanic"]
    assert await shop.keys("cryptopanic") == set(invented["keys"])


async def test_every_message_delivered_twice_changes_nothing(shop: Workshop) -> None:
    job = await shop.ask()
    await shop.run(times=2)
    twice = await shop.job(job)
    assert (twice.calls, twice.posted) == (shop.calls("cryptopanic"), twice.landed)
    invented = shop.sandbox.state.invented()["cryptopanic"]
    assert (twice.new, twice.rejected) == (len(invented["keys"]), len(invented["rejects"]))
    assert twice.found == twice.new + twice.rejected
    assert (await shop.value("SELECT count(*) FROM pages")) == twice.landed


async def test_the_same_list_again_is_all_duplicates(shop: Workshop) -> None:
    first = await shop.ask(kind="backfill")
    await shop.run()
    again = await shop.ask(kind="backfill")
    await shop.run()
    one, two = await shop.job(first), await shop.job(again)
    assert (two.found, two.new, two.amended) == (one.found, 0, 0)
    assert two.duplicate == one.new


async def test_a_page_and_the_progress_of_its_job_are_one_commit(shop: Workshop, monkeypatch: Any) -> None:
    job = await shop.ask()

    async def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("the commit never comes")

    monkeypatch.setattr("workers.commits.providers.heard_all", fails)
    with pytest.raises(RuntimeError):
        await shop.run()
    row = await shop.job(job)
    assert (row.landed, row.calls, await shop.pages(job)) == (0, 0, [])
    assert await shop.value("SELECT count(*) FROM calls") == 0


async def test_items_page_and_counts_are_one_commit(shop: Workshop, monkeypatch: Any) -> None:
    job = await shop.ask(pages_max=1)
    await shop.deliver(FETCH)
    await shop.deliver(DEDUP)

    async def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("the commit never comes")

    with monkeypatch.context() as broken:
        broken.setattr("workers.pipeline.pages.posted", fails)
        with pytest.raises(RuntimeError):
            await shop.deliver(POST)
    assert await shop.keys("cryptopanic") == set()
    assert (await shop.pages(job))[0].state == "landed"
    await dispatch(shop)
    await shop.run()
    assert (await shop.job(job)).state == "succeeded"
    assert (await shop.job(job)).new == len(await shop.keys("cryptopanic")) > 0


async def test_dedup_run_again_decides_once(shop: Workshop) -> None:
    job = await shop.ask()
    await shop.deliver(FETCH)
    (body,) = shop.mailbox.boxes[DEDUP]
    await shop.deliver(DEDUP)
    first = await shop.job(job)
    assert (first.want, first.cursor) == (2, "2")
    await shop.work(DEDUP, body)
    assert (await shop.job(job)).want == 2
    await shop.run()
    await shop.work(DEDUP, body)  # long after its page is posted
    row = await shop.job(job)
    assert (row.state, row.want, shop.calls("cryptopanic")) == ("succeeded", row.landed, row.landed)


async def test_a_post_that_comes_twice_counts_once(shop: Workshop) -> None:
    job = await shop.ask(pages_max=1)
    await shop.deliver(FETCH)
    await shop.deliver(DEDUP)
    await shop.deliver(POST, times=3)
    row = await shop.job(job)
    assert (row.posted, row.found) == (1, (await shop.pages(job))[0].found)


async def test_posts_that_come_in_any_order_end_the_same(shop: Workshop) -> None:
    job = await shop.ask()
    while shop.mailbox.waiting().keys() & {FETCH, DEDUP}:
        await shop.deliver(DEDUP if shop.mailbox.waiting().get(DEDUP) else FETCH)
    assert (await shop.job(job)).exhausted
    shop.mailbox.boxes[POST].reverse()
    await shop.run()
    row = await shop.job(job)
    invented = shop.sandbox.state.invented()["cryptopanic"]
    assert (row.state, row.new) == ("succeeded", len(invented["keys"]))


@pytest.mark.parametrize("queue", [FETCH, DEDUP, POST])
async def test_a_message_lost_on_any_queue_costs_time_and_no_money(shop: Workshop, queue: str) -> None:
    job, lost = await shop.ask(), 0
    for _ in range(100):
        if not lost and shop.mailbox.waiting().get(queue):
            lost = shop.mailbox.lose(queue)
        elif waiting := shop.mailbox.waiting():
            await shop.deliver(next(iter(waiting)))
        elif (await shop.job(job)).state == "succeeded":
            break
        else:
            await dispatch(shop)
    row = await shop.job(job)
    assert (lost, row.state, row.calls) == (1, "succeeded", row.landed)
    assert await shop.keys("cryptopanic") == set(shop.sandbox.state.invented()["cryptopanic"]["keys"])


async def test_a_malformed_page_is_kept_and_the_same_one_is_asked_again(shop: Workshop) -> None:
    await shop.faults("truncated=every 2")
    job = await shop.ask()
    await shop.settle(by=timedelta(seconds=6))
    row, kept = await shop.job(job), await shop.pages(job)
    bad = [page for page in kept if page.state == "malformed"]
    assert row.state == "succeeded"
    assert len(bad) == row.calls - row.landed > 0
    assert all(page.reason and page.body_bytes for page in bad)
    assert sorted({page.seq for page in kept if page.state == "posted"}) == list(range(1, row.landed + 1))
    assert row.cost == sum(page.cost for page in kept)  # the spoiled ones were paid for as well
    assert await shop.keys("cryptopanic") == set(shop.sandbox.state.invented()["cryptopanic"]["keys"])


async def test_a_page_that_stays_malformed_is_given_up_with_the_reason(shop: Workshop) -> None:
    shop.works.policy = Policy(attempts_max=3)
    await shop.faults("truncated=1.0")
    job = await shop.ask()
    await shop.settle(by=timedelta(seconds=6))
    row = await shop.job(job)
    assert (row.state, row.calls, row.landed) == ("failed", 3, 0)
    assert row.last_error
    assert row.finished_at is not None
    assert [page.state for page in await shop.pages(job)] == ["malformed"] * 3


async def test_a_malformed_page_of_a_cancelled_job_is_not_asked_again(shop: Workshop) -> None:
    await shop.faults("truncated=1.0")
    job = await shop.ask()
    await shop.deliver(FETCH)
    async with shop.database.begin() as conn:
        await jobs.cancel(conn, job, now=shop.clock())
    await shop.run()
    await dispatch(shop)
    await shop.run()
    row = await shop.job(job)
    assert (row.state, row.reason, row.calls, row.finished_at) == ("cancelled", None, 1, START)


async def test_a_page_whose_parser_fails_is_dead_with_the_reason_and_comes_back_without_paying(shop: Workshop) -> None:
    provider = flawed(shop, ZeroDivisionError("secret of a row"))
    job = await shop.ask(pages_max=1)
    await shop.run()
    row, (page,) = await shop.job(job), await shop.pages(job)
    assert (row.state, page.state) == ("failed", "dead")
    assert row.last_error == page.reason == "the parser failed: ZeroDivisionError"
    await dispatch(shop)
    assert shop.mailbox.waiting() == {}
    provider.error_at_parse = None
    async with shop.database.begin() as conn:
        assert await jobs.retry(conn, job, now=shop.clock()) == FETCH
    await dispatch(shop)
    await shop.run()
    row = await shop.job(job)
    assert (row.state, row.calls, shop.calls("cryptopanic")) == ("succeeded", 1, 1)
    assert row.new == len(await shop.keys("cryptopanic")) > 0


async def test_a_dead_page_in_the_middle_comes_back_and_the_pull_goes_on_to_its_end(shop: Workshop) -> None:
    job = await shop.ask()
    await shop.deliver(FETCH)
    await shop.deliver(DEDUP)
    provider = flawed(shop, TypeError())
    await shop.run()
    assert (await shop.job(job)).state == "failed"
    provider.error_at_parse = None
    async with shop.database.begin() as conn:
        await jobs.retry(conn, job, now=shop.clock())
    await shop.settle()
    row = await shop.job(job)
    assert (row.state, row.calls) == ("succeeded", row.landed)
    assert await shop.keys("cryptopanic") == set(shop.sandbox.state.invented()["cryptopanic"]["keys"])


async def test_a_page_that_kills_its_workers_is_buried_after_so_many_deaths(shop: Workshop) -> None:
    shop.works.policy = Policy(deliveries_max=3)
    job = await shop.ask(pages_max=1)
    await shop.deliver(FETCH)
    (page,) = await shop.pages(job)
    for death in range(3):
        shop.mailbox.lose(DEDUP)
        assert await taken(shop, page, suspects=death > 0)
        await dispatch(shop)
        assert shop.mailbox.waiting() == {DEDUP: 1}
    await shop.run()
    row, (page,) = await shop.job(job), await shop.pages(job)
    assert (row.state, page.state, page.deliveries) == ("failed", "dead", 4)
    assert row.last_error == "its worker died on this page 3 times"


async def test_a_page_that_was_started_before_is_only_taken_alone(shop: Workshop) -> None:
    job = await shop.ask(pages_max=1)
    await shop.deliver(FETCH)
    (page,) = await shop.pages(job)
    assert await taken(shop, page, suspects=False)
    shop.forward(2 * MINUTE)
    assert not await taken(shop, page, suspects=False)
    assert await taken(shop, page, suspects=True)
    assert not await taken(shop, page, suspects=True)  # its lease runs


async def test_an_innocent_page_beside_a_poison_page_survives(shop: Workshop) -> None:
    shop.works.policy = Policy(deliveries_max=3)
    await shop.ask(pages_max=1)
    await shop.ask("newscatcher", "search", {"q": "crypto"}, pages_max=1)
    await shop.deliver(FETCH)
    await shop.deliver("fetch.newscatcher")
    poison, innocent = await shop.rows("SELECT id FROM pages ORDER BY provider")
    for death in range(3):
        shop.mailbox.lose(DEDUP)
        async with shop.database.begin() as conn:  # both started together once; from then on each is alone
            wanted = [poison.id, innocent.id] if death == 0 else [poison.id]
            lease = shop.works.policy.lease
            assert await pages.claim(conn, wanted, suspects=death > 0, now=shop.clock(), lease=lease)
        await dispatch(shop)
    await shop.settle()
    states = {row.provider: row.state for row in await shop.rows("SELECT provider, state FROM pages")}
    assert states == {"cryptopanic": "dead", "newscatcher": "posted"}


async def test_a_page_that_never_gets_posted_is_buried_in_the_end(shop: Workshop, monkeypatch: Any) -> None:
    shop.works.policy = Policy(sends_max=4)
    job = await shop.ask(pages_max=1)
    await shop.deliver(FETCH)
    for _ in range(6):
        if shop.mailbox.waiting().get(DEDUP):
            await shop.deliver(DEDUP)
        shop.mailbox.lose(POST)
        await dispatch(shop)
    row = await shop.job(job)
    assert (row.state, row.last_error) == ("failed", "post did not come to its end in 4 attempts")


async def test_what_was_paid_for_is_kept_though_another_page_of_its_job_died_meanwhile(shop: Workshop) -> None:
    job = await shop.ask()
    await shop.deliver(FETCH)
    await shop.deliver(DEDUP)
    async with shop.database.begin() as conn:
        held: Claimed = (await jobs.claim(conn, FETCH, 1, worker="t", now=shop.clock(), lease=MINUTE))[0]
        (first,) = await shop.pages(job)
        await spoiled.bury(conn, first.id, reason="post did not come to its end", now=shop.clock())
    body = b'{"next": null, "results": [{"id": 1, "title": "T", "published_at": "2026-11-20T09:00:00Z"}]}'
    page = NewPage("cryptopanic", "posts", {}, body, fetched_at=shop.clock(), answered_at=shop.clock(), cost=1)
    async with shop.database.begin() as conn:
        await pages.land(conn, held, page, now=shop.clock())
        await jobs.retry(conn, job, now=shop.clock())
    await shop.settle()
    row = await shop.job(job)
    assert (row.state, row.landed, row.posted) == ("succeeded", 2, 2)
    assert "posts:1" in await shop.keys("cryptopanic")


async def test_a_page_malformed_twice_in_one_delivery_is_asked_for_once(shop: Workshop) -> None:
    flawed(shop, Malformed("no"))
    job = await shop.ask(pages_max=1)
    await shop.deliver(FETCH)
    await shop.deliver(DEDUP, times=2)
    row = await shop.job(job)
    assert (row.landed, row.want, row.state) == (0, 1, "waiting")


async def test_the_keys_of_one_provider_say_nothing_about_anothers(shop: Workshop, monkeypatch: Any) -> None:
    async def known(conn: AsyncConnection, keys: Any) -> Any:
        return {("newscatcher", key): None for _, key in keys}

    monkeypatch.setattr(store, "known", known)
    monkeypatch.setattr(store, "unseen", lambda items, *_: list(items))
    job = await shop.ask(since=(START + MINUTE).isoformat())
    await shop.deliver(FETCH)
    await shop.deliver(DEDUP)
    assert (await shop.job(job)).want == 2


async def test_post_reads_a_page_again_that_another_process_has_read(shop: Workshop) -> None:
    job = await shop.ask(pages_max=1)
    await shop.deliver(FETCH)
    await shop.deliver(DEDUP)
    (page,) = await shop.pages(job)
    assert shop.pipeline.unposted.take(page.id) is not None
    await shop.run()
    row = await shop.job(job)
    assert (row.state, row.found) == ("succeeded", row.new + row.duplicate + row.amended + row.rejected)
    assert len(await shop.keys("cryptopanic")) == row.new > 0


async def test_a_page_whose_parser_was_mended_between_dedup_and_post_is_decided_anew(shop: Workshop) -> None:
    job = await shop.ask(pages_max=1)
    await shop.deliver(FETCH)
    await shop.deliver(DEDUP)
    (page,) = await shop.pages(job)
    shop.pipeline.unposted.take(page.id)
    async with shop.database.begin() as conn:
        await conn.execute(text("UPDATE pages SET found = found - 1"))  # what an older parser would have found
    await shop.deliver(POST)
    assert (shop.mailbox.waiting(), await shop.keys("cryptopanic")) == ({DEDUP: 1}, set())
    await shop.run()
    row = await shop.job(job)
    assert (row.state, row.found) == ("succeeded", page.found)


async def test_a_stray_post_of_a_page_that_nobody_has_read_does_nothing(shop: Workshop) -> None:
    job = await shop.ask(pages_max=1)
    await shop.deliver(FETCH)
    (page,) = await shop.pages(job)
    await shop.pipeline.post(page.id)
    assert (await shop.pages(job))[0].state == "landed"
    await shop.run()
    assert (await shop.job(job)).state == "succeeded"
