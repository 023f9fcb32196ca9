"""A page that waits for its turn in a worker that lives is nobody else's, however long it waits."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from broker import pages
from broker.messages import DEDUP
from tests.integration.test_pipeline_stops import FETCH
from tests.workshop import Workshop, eventually
from workers.works import heartbeat

LEASE = timedelta(seconds=0.15)


@pytest.fixture
async def page(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> UUID:
    """A page that has landed, and whose message is on its way."""
    monkeypatch.setattr("workers.pipeline.READ_AT_ONCE_BYTES", 0)
    shop.works.policy = replace(shop.works.policy, lease=LEASE)
    job = await shop.ask(pages_max=1)
    await shop.deliver(FETCH)
    (landed,) = await shop.pages(job)
    found: UUID = landed.id
    return found


async def row(shop: Workshop, page: UUID) -> Any:
    return (await shop.rows("SELECT * FROM pages WHERE id = :id", id=page))[0]


async def test_a_page_that_waits_to_be_read_keeps_its_lease(
    shop: Workshop, page: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    others_are_done, read = asyncio.Event(), shop.pipeline._parsed

    async def read_in_turn(taken: Any) -> Any:
        await others_are_done.wait()
        return await read(taken)

    async def renewed() -> bool:
        return bool((await row(shop, page)).lease_until == shop.clock() + LEASE)

    monkeypatch.setattr(shop.pipeline, "_parsed", read_in_turn)
    async with heartbeat(shop.works):
        reading = asyncio.create_task(shop.deliver(DEDUP))
        await eventually(renewed)
        for _ in range(3):
            shop.forward(0.6 * LEASE)
            await eventually(renewed)
        assert await shop.dispatcher.tick() == 0
        assert (await row(shop, page)).deliveries == 1
        others_are_done.set()
        await reading
    await shop.settle()
    assert ((await row(shop, page)).state, shop.works.reading) == ("posted", {})


async def test_a_page_that_another_worker_took_is_not_renewed_by_the_first(shop: Workshop, page: UUID) -> None:
    async with shop.database.begin() as conn:
        (first,) = await pages.claim(conn, [page], suspects=False, now=shop.clock(), lease=LEASE)
        shop.forward(2 * LEASE)
        (second,) = await pages.claim(conn, [page], suspects=True, now=shop.clock(), lease=LEASE)
        await pages.renew(conn, {page: first.deliveries}, now=shop.clock(), lease=10 * LEASE)
    assert (await row(shop, page)).lease_until == shop.clock() + LEASE
    async with shop.database.begin() as conn:
        await pages.renew(conn, {page: second.deliveries}, now=shop.clock(), lease=10 * LEASE)
    assert (await row(shop, page)).lease_until == shop.clock() + 10 * LEASE
