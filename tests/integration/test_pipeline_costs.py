"""What a call costs: counted once and exactly, whatever the answer says and wherever its worker is cut short."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, cast

import pytest
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from broker.limiter import Ask, Budget, Granted, Limits, Rate
from tests.workshop import Workshop, open_workshop

FETCH = "fetch.cryptopanic"


class Unheard:
    """A database that commits, and whose word of it is lost for the first commits."""

    def __init__(self, engine: AsyncEngine, times: int) -> None:
        self._engine, self._left = engine, times

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        async with self._engine.begin() as conn:
            yield conn
        if self._left:
            self._left -= 1
            raise OperationalError("COMMIT", None, OSError("the connection was closed"), connection_invalidated=True)


@pytest.mark.parametrize(
    "header",
    [
        {"x-nansen-credits-used": "3000000000"},
        {"x-nansen-credits-remaining": "1e40"},
        {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1e18"},
    ],
)
async def test_an_answer_is_kept_whatever_its_headers_claim(shop: Workshop, header: dict[str, str]) -> None:
    fetch, cost = shop.works.fetcher.fetch, 5

    async def claiming(*asked: Any, **how: Any) -> Any:
        answer = await fetch(*asked, **how)
        told = {name: value for name, value in answer.headers.items() if "credits" not in name}
        return dataclasses.replace(answer, headers=told | header)

    shop.works.fetcher.fetch = claiming  # type: ignore[method-assign]
    job = await shop.ask("nansen", "smart-money/netflow", {"chains": ["ethereum"]}, pages_max=1)
    await shop.run()
    row, (page,) = await shop.job(job), await shop.pages(job)
    assert (row.state, page.state, page.cost, shop.calls("nansen")) == ("succeeded", "posted", cost, 1)


@pytest.mark.parametrize("times", [1, 2, 3])
async def test_a_failed_call_whose_commit_was_not_heard_is_counted_once(shop: Workshop, times: int) -> None:
    await shop.faults("cryptopanic:503=1.0")
    fetch, real = shop.works.fetcher.fetch, shop.database

    async def loses_word(*asked: Any, **how: Any) -> Any:
        shop.works.database = cast("AsyncEngine", Unheard(real, times))
        return await fetch(*asked, **how)

    shop.works.fetcher.fetch = loses_word  # type: ignore[method-assign]
    job = await shop.ask()
    await shop.deliver(FETCH)
    shop.works.database = real
    row = await shop.job(job)
    assert (row.state, row.attempt) == ("waiting", 1)
    assert [(call.job_id, call.status) for call in await shop.rows("SELECT * FROM calls")] == [(job, 503)]


async def test_a_question_that_fails_leaves_those_asked_with_it_booked_once(
    ledger: AsyncEngine, limiter_url: str
) -> None:
    month = Limits(rates=(Rate(1000, 1.0),), budget=Budget(1000, "month"))
    async with open_workshop(ledger, limiter_url, limits={"cryptopanic": month, "nansen": month}) as shop:
        limiter, count = shop.works.limiter, shop.works.limiter.spent_since

        async def fails_for_one(provider: str, since: datetime) -> int:
            if provider == "nansen":
                raise ConnectionError("the rows are away")
            return await count(provider, since)

        limiter.spent_since = fails_for_one
        asked = [Ask("cryptopanic"), Ask("nansen"), Ask("cryptopanic")]
        told = await asyncio.gather(*map(shop.pipeline.commits.acquire, asked), return_exceptions=True)
        assert [type(one) for one in told] == [Granted, ConnectionError, Granted]
        status = await limiter.status("cryptopanic")
        assert (status.spent, status.in_flight) == (2, 2)


async def test_a_call_under_way_while_redis_is_flushed_counts_against_the_budget(
    ledger: AsyncEngine, limiter_url: str
) -> None:
    month = Limits(rates=(Rate(1000, 1.0),), budget=Budget(1000, "month"))
    async with open_workshop(ledger, limiter_url, limits={"cryptopanic": month}) as shop:
        fetch = shop.works.fetcher.fetch

        async def flushed_meanwhile(*asked: Any, **how: Any) -> Any:
            shop.works.fetcher.fetch = fetch  # type: ignore[method-assign]
            await shop.redis.flushdb()
            await shop.deliver(FETCH)  # another call, which restores the count
            return await fetch(*asked, **how)

        shop.works.fetcher.fetch = flushed_meanwhile  # type: ignore[method-assign]
        for _ in range(2):
            await shop.ask(pages_max=1)
        await shop.deliver(FETCH)
        assert (await shop.works.limiter.status("cryptopanic")).spent == 2
        assert await shop.value("SELECT sum(cost) FROM calls") == 2
