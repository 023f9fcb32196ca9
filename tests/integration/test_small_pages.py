"""Pages that nobody is told of: small ones are read by whoever landed them, what is known is posted when decided."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from broker.messages import DEDUP, POST
from tests.workshop import Workshop

FETCH = "fetch.cryptopanic"


async def test_a_small_page_is_read_by_whoever_landed_it_without_a_message(shop: Workshop, monkeypatch: Any) -> None:
    monkeypatch.setattr("workers.pipeline.READ_AT_ONCE_BYTES", 10**6)
    job = await shop.ask()
    await shop.deliver(FETCH)
    assert shop.mailbox.waiting() == {FETCH: 1, POST: 1}
    await shop.run(times=2)
    row, kept = await shop.job(job), await shop.pages(job)
    assert (row.state, row.calls, {page.deliveries for page in kept}) == ("succeeded", row.landed, {0})
    assert await shop.keys("cryptopanic") == set(shop.sandbox.state.invented()["cryptopanic"]["keys"])


async def test_a_worker_that_dies_before_it_has_read_its_small_page_costs_time_and_no_money(
    shop: Workshop, monkeypatch: Any
) -> None:
    async def dies(_: Any) -> None:
        raise RuntimeError("the worker is gone")

    job = await shop.ask(pages_max=1)
    with monkeypatch.context() as dying:
        dying.setattr("workers.pipeline.READ_AT_ONCE_BYTES", 10**6)
        dying.setattr(shop.pipeline, "_read", dies)
        with pytest.raises(RuntimeError):
            await shop.deliver(FETCH)
    (page,) = await shop.pages(job)
    assert (page.state, page.deliveries, shop.mailbox.waiting()) == ("landed", 1, {})
    shop.forward(timedelta(seconds=1))
    await shop.dispatcher.tick()
    assert shop.mailbox.waiting() == {}, "its lease runs"
    shop.forward(timedelta(minutes=2))
    await shop.dispatcher.tick()
    assert shop.mailbox.waiting() == {DEDUP: 1}
    await shop.run()
    row = await shop.job(job)
    assert (row.state, row.calls, shop.calls("cryptopanic")) == ("succeeded", 1, 1)


async def test_a_page_with_nothing_new_is_posted_by_the_commit_that_decides(shop: Workshop) -> None:
    await shop.ask(kind="backfill", pages_max=1)
    await shop.run()
    again = await shop.ask(kind="backfill", pages_max=1)
    await shop.deliver(FETCH)
    await shop.deliver(DEDUP)
    (page,), row = await shop.pages(again), await shop.job(again)
    assert (page.state, page.found, page.duplicate + page.rejected) == ("posted", row.found, page.found)
    assert (row.state, row.posted, row.new, shop.mailbox.waiting()) == ("succeeded", 1, 0, {})
