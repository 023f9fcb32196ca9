"""Providers as a whole: one that may not be called is not called, says why and until when, and holds up nobody."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from broker import jobs, providers
from broker.limits import Budget, Limits, Rate
from ops.bootstrap import stand_by_keys
from ops.sandbox import Allowance, SandboxConfig
from ops.sandbox.answers import Answer
from tests.terminal import bare
from tests.workshop import KEYS, START, Workshop, open_workshop
from workers.http import Fetcher
from workers.items import Pull, Request
from workers.providers.cryptopanic import CryptoPanic
from workers.works import Policy

FETCH = "fetch.cryptopanic"
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
DECEMBER = datetime(2026, 12, 1, tzinfo=UTC)
TEN_CALLS = Limits(rates=(Rate(100_000, 1.0),), budget=Budget(10, "month"), timeout_s=10.0)


@pytest.fixture
async def poor(ledger: AsyncEngine, limiter_url: str) -> AsyncIterator[Workshop]:
    """A worker whose CryptoPanic has ten calls a month."""
    async with open_workshop(ledger, limiter_url, limits={"cryptopanic": TEN_CALLS}) as opened:
        opened.clock.now = datetime(2026, 11, 30, 23, 50, tzinfo=UTC)
        yield opened


async def test_a_budget_that_is_spent_stops_calls_until_the_month_turns(poor: Workshop) -> None:
    asked = [await poor.ask(pages_max=1) for _ in range(12)]
    await poor.run()
    assert poor.calls("cryptopanic") == 10
    waiting = [row for row in [await poor.job(job) for job in asked] if row.state == "waiting"]
    assert len(waiting) == 2
    for row in waiting:
        assert row.reason == "budget of 10 calls a month is used up until 2026-12-01T00:00Z"
        assert (row.run_at, row.attempt) == (DECEMBER, 0)
    poor.forward(DECEMBER - poor.clock() - SECOND)
    await poor.dispatcher.tick()
    await poor.run()
    assert poor.calls("cryptopanic") == 10
    poor.forward(timedelta(days=8))  # in a new month the same money lasts that long
    await poor.dispatcher.tick()
    await poor.run()
    assert {(await poor.job(job)).state for job in asked} == {"succeeded"}


async def test_a_budget_survives_a_flush_of_redis(poor: Workshop) -> None:
    for _ in range(10):
        await poor.ask(pages_max=1)
    await poor.run()
    await poor.redis.flushdb()
    job = await poor.ask(pages_max=1)
    await poor.run()
    assert (poor.calls("cryptopanic"), (await poor.job(job)).state) == (10, "waiting")


async def test_what_the_provider_calls_used_up_is_asked_again_when_the_month_turns(
    ledger: AsyncEngine, limiter_url: str
) -> None:
    config = SandboxConfig(size=60, cryptopanic=Allowance(quota=1))
    limits = {"cryptopanic": Limits(rates=(Rate(100_000, 1.0),), budget=Budget(3000, "month"), timeout_s=10.0)}
    async with open_workshop(ledger, limiter_url, config=config, limits=limits) as shop:
        job, other = await shop.ask(), await shop.ask("newscatcher", "search", {"q": "crypto"})
        await shop.run()
        row, stands = await shop.job(job), await shop.standing("cryptopanic")
        assert (row.state, row.run_at, row.attempt) == ("waiting", DECEMBER, 0)
        assert row.reason.startswith("provider cryptopanic is used up until 2026-12-01 00:00Z: ")
        assert (stands.state, stands.until) == ("used_up", DECEMBER)
        assert (await shop.job(other)).state == "succeeded"
        shop.forward(DECEMBER - shop.clock() - SECOND)
        await shop.dispatcher.tick()
        await shop.run()
        assert shop.calls("cryptopanic") == 2
        shop.forward(5 * SECOND)
        await shop.dispatcher.tick()
        await shop.run()
        assert shop.calls("cryptopanic") > 2
        assert (await shop.job(job)).landed > row.landed or (await shop.job(job)).run_at > DECEMBER


async def test_a_provider_whose_time_is_over_stands_well_again(shop: Workshop) -> None:
    async with shop.database.begin() as conn:
        until = shop.clock() + MINUTE
        await providers.stand(conn, "cryptopanic", "used_up", reason="no more", until=until, now=shop.clock())
    await shop.ask(pages_max=1)
    await shop.run()
    assert shop.calls("cryptopanic") == 0
    await shop.settle(by=MINUTE)
    stands = await shop.standing("cryptopanic")
    assert (stands.state, stands.reason, stands.until) == ("ok", None, None)


@pytest.mark.parametrize(
    ("answer", "ends", "held_until"),
    [
        (Answer({"info": "Token is not valid"}, 401), None, None),
        (Answer({"info": "API monthly quota exceeded"}, 403), None, None),
        (Answer({"info": "API monthly quota exceeded"}, 403), START + MINUTE, DECEMBER),
        (Answer({"info": "API monthly quota exceeded"}, 403), DECEMBER + MINUTE, DECEMBER + MINUTE),
        (Answer({"info": "Token is not valid"}, 401), START + MINUTE, START + MINUTE),
    ],
)
async def test_a_pause_outlives_what_a_call_under_way_finds_out(
    ledger: AsyncEngine, limiter_url: str, answer: Answer, ends: datetime | None, held_until: datetime | None
) -> None:
    limits = {"cryptopanic": Limits(rates=(Rate(100_000, 1.0),), budget=Budget(3000, "month"), timeout_s=10.0)}
    async with open_workshop(ledger, limiter_url, limits=limits) as shop:
        api: Any = shop.sandbox.state.apis["cryptopanic"]
        api.answer = lambda _: answer
        fetch = shop.works.fetcher.fetch

        async def paused_meanwhile(*asked: Any, **how: Any) -> Any:
            async with shop.database.begin() as conn:
                await providers.stand(conn, "cryptopanic", "paused", reason="stop", until=ends, now=shop.clock())
            return await fetch(*asked, **how)

        shop.works.fetcher.fetch = paused_meanwhile  # type: ignore[method-assign]
        await shop.ask()
        await shop.run()
        stands = await shop.standing("cryptopanic")
        assert (stands.state, stands.reason, stands.until) == ("paused", "stop", held_until)


async def test_a_pause_that_is_over_gives_way_to_what_a_call_finds_out(shop: Workshop) -> None:
    async with shop.database.begin() as conn:
        over, now = shop.clock(), shop.clock() + SECOND
        await providers.stand(conn, "cryptopanic", "paused", reason="stop", until=over, now=over)
        await providers.found(conn, "cryptopanic", "used_up", reason="no more", until=DECEMBER, now=now)
        assert (await providers.standing(conn, "cryptopanic")).state == "used_up"


async def test_a_provider_that_is_paused_as_its_time_ends_is_not_called(shop: Workshop) -> None:
    async with shop.database.begin() as conn:
        await providers.stand(conn, "cryptopanic", "used_up", reason="no more", until=START, now=shop.clock())
    job, claim = await shop.ask(), shop.pipeline.commits.job

    async def paused_meanwhile(queue: str) -> Any:
        claimed = await claim(queue)
        async with shop.database.begin() as conn:
            await providers.stand(conn, "cryptopanic", "paused", reason="stop", now=shop.clock())
        return claimed

    shop.pipeline.commits.job = paused_meanwhile  # type: ignore[method-assign]
    await shop.run()
    row = await shop.job(job)
    assert (row.state, row.reason, shop.calls("cryptopanic")) == ("waiting", "provider cryptopanic is paused: stop", 0)
    assert (await shop.standing("cryptopanic")).state == "paused"


@pytest.mark.parametrize(
    ("stood", "without_key", "with_key"),
    [
        ("ok", "disabled", "ok"),
        ("disabled", "disabled", "ok"),
        ("paused", "paused", "paused"),
        ("used_up", "used_up", "used_up"),
    ],
)
async def test_what_starts_with_or_without_a_key_leaves_pauses_and_quotas_alone(
    shop: Workshop, stood: providers.State, without_key: str, with_key: str
) -> None:
    known = {"nansen": shop.works.providers["nansen"]}
    async with shop.database.begin() as conn:
        await providers.stand(conn, "nansen", stood, reason="stop", now=shop.clock())
    for keys, expected in (({}, without_key), (KEYS, with_key)):
        await stand_by_keys(shop.database, Fetcher(keys), known)
        stands = await shop.standing("nansen")
        assert stands.state == expected
        assert (stands.reason == "stop") == (stood in {"paused", "used_up"})


async def test_only_a_provider_that_lacks_its_key_cannot_be_enabled_without_it(
    shop: Workshop, ledger_url: str, limiter_url: str, tmp_path: Path
) -> None:
    urls = {"SLUICE_DATABASE_URL": ledger_url, "SLUICE_REDIS_URL": limiter_url, "SLUICE_BROKER_URL": limiter_url}
    shell = bare(tmp_path).given(**urls)
    await stand_by_keys(shop.database, Fetcher({}), {"nansen": shop.works.providers["nansen"]})
    assert "nansen has no key: set NANSEN_API_KEY" in shell.fails("providers", "enable", "nansen")
    async with shop.database.begin() as conn:
        await providers.found(conn, "nansen", "disabled", reason="nansen answered 401", now=shop.clock())
    shell.run("providers", "enable", "nansen")
    assert (await shop.standing("nansen")).state == "ok"


async def test_a_missing_key_is_said_and_nothing_is_called(ledger: AsyncEngine, limiter_url: str) -> None:
    keys = {name: key for name, key in KEYS.items() if name != "cryptopanic"}
    async with open_workshop(ledger, limiter_url, keys=keys) as shop:
        job, other = await shop.ask(), await shop.ask("nansen", "account")
        await shop.run()
        row = await shop.job(job)
        assert (row.state, shop.calls("cryptopanic")) == ("waiting", 0)
        assert "set CRYPTOPANIC_API_KEY" in row.reason
        assert (await shop.job(other)).state == "succeeded"


async def test_a_disabled_provider_wakes_its_jobs_at_once_when_it_is_enabled(shop: Workshop) -> None:
    async with shop.database.begin() as conn:
        await providers.stand(conn, "cryptopanic", "disabled", reason="the key is wrong", now=shop.clock())
    job, other = await shop.ask(pages_max=1), await shop.ask("nansen", "account")
    await shop.run()
    row = await shop.job(job)
    assert (row.state, row.reason) == ("waiting", "provider cryptopanic is disabled: the key is wrong")
    assert (await shop.job(other)).state == "succeeded"
    async with shop.database.begin() as conn:
        await providers.stand(conn, "cryptopanic", "ok", reason=None, now=shop.clock())
    assert await shop.dispatcher.tick() == 1
    await shop.run()
    assert (await shop.job(job)).state == "succeeded"


async def test_a_provider_that_fails_again_and_again_is_left_in_peace(shop: Workshop) -> None:
    await shop.faults("cryptopanic:503=1.0")
    for _ in range(12):
        await shop.ask(pages_max=1)
    other = await shop.ask("nansen", "account")
    await shop.run()
    assert shop.calls("cryptopanic") == 5
    reasons = {row.reason for row in await shop.rows("SELECT reason FROM jobs WHERE queue = :q", q=FETCH)}
    assert any(reason.startswith("circuit open after 5 failures until ") for reason in reasons)
    assert (await shop.job(other)).state == "succeeded"
    await shop.faults()
    await shop.settle()
    assert {row.state for row in await shop.rows("SELECT state FROM jobs")} == {"succeeded"}


async def test_without_the_limiter_a_job_waits_and_nothing_is_called(shop: Workshop) -> None:
    job = await shop.ask(pages_max=1)
    usual, nobody = shop.works.limiter.redis, Redis.from_url("redis://127.0.0.1:9")
    shop.works.limiter = type(shop.works.limiter)(
        nobody, shop.works.limiter.limits, shop.works.limiter.spent_since, clock=shop.clock, rng=Random(1)
    )
    await shop.run()
    row = await shop.job(job)
    assert (row.state, row.attempt, shop.calls("cryptopanic")) == ("waiting", 0, 0)
    assert row.reason.startswith("limits cannot be checked: ")
    await nobody.aclose()
    shop.works.limiter = type(shop.works.limiter)(
        usual, shop.works.limiter.limits, shop.works.limiter.spent_since, clock=shop.clock, rng=Random(1)
    )
    await shop.settle(by=6 * SECOND)
    assert (await shop.job(job)).state == "succeeded"


async def test_a_provider_that_never_answers_holds_a_job_no_longer_than_its_time_limit(
    ledger: AsyncEngine, limiter_url: str
) -> None:
    short = Limits(rates=(Rate(100_000, 1.0),), timeout_s=0.3)
    async with open_workshop(ledger, limiter_url, limits={"cryptopanic": short}) as shop:
        await shop.faults("hang=1.0,limit_s=30")
        job = await shop.ask(pages_max=1)
        await shop.run()
        row = await shop.job(job)
        assert (row.state, row.last_error) == ("waiting", "cryptopanic: no whole answer within 0.3 s")
        await shop.faults()
        await shop.settle()
        assert (await shop.job(job)).state == "succeeded"


async def test_a_request_that_cannot_be_made_fails_its_job_once(shop: Workshop) -> None:
    class Broken(CryptoPanic):
        def request(self, pull: Pull, cursor: str | None) -> Request:
            raise OverflowError("some date")

    shop.works.providers = {**shop.works.providers, "cryptopanic": Broken()}
    job = await shop.ask()
    await shop.run()
    row = await shop.job(job)
    assert (row.state, row.last_error) == ("failed", "the request could not be made: OverflowError")


async def test_a_fetch_that_kills_its_workers_is_given_up_before_it_costs_more(shop: Workshop) -> None:
    shop.works.policy = Policy(attempts_max=3)
    job = await shop.ask()
    shop.mailbox.lose()
    for _ in range(3):
        async with shop.database.begin() as conn:
            assert await jobs.claim(conn, FETCH, 1, worker="dies", now=shop.clock(), lease=MINUTE)
        shop.forward(MINUTE + SECOND)
    await shop.dispatcher.tick()
    await shop.run()
    row = await shop.job(job)
    assert (row.state, shop.calls("cryptopanic")) == ("failed", 0)
    assert row.last_error == "3 attempts came to no end: their workers died or gave up"


async def test_a_job_that_waited_for_its_provider_starts_with_its_first_call(shop: Workshop) -> None:
    since = (shop.clock() - MINUTE).isoformat()
    async with shop.database.begin() as conn:
        await providers.stand(conn, "newscatcher", "paused", reason="stop", now=shop.clock())
    job = await shop.ask("newscatcher", "latest_headlines", since=since, pages_max=1)
    await shop.run()
    row = await shop.job(job)
    assert (row.state, row.started_at) == ("waiting", None)
    shop.forward(timedelta(hours=10))
    async with shop.database.begin() as conn:
        await providers.stand(conn, "newscatcher", "ok", reason=None, now=shop.clock())
    await shop.settle()
    row, (page,) = await shop.job(job), await shop.pages(job)
    assert (row.state, row.started_at) == ("succeeded", page.fetched_at)
    assert page.request["json"]["when"] == "24h"


async def test_a_job_that_waits_between_its_pages_has_started_with_the_first_and_reaches_back_from_each(
    shop: Workshop,
) -> None:
    since = (shop.clock() - MINUTE).isoformat()
    job = await shop.ask("newscatcher", "latest_headlines", {"page_size": 1}, since=since, pages_max=2)
    await shop.deliver("fetch.newscatcher")
    async with shop.database.begin() as conn:
        until = shop.clock() + timedelta(hours=10)
        await providers.stand(conn, "newscatcher", "paused", reason="stop", until=until, now=shop.clock())
    await shop.settle(by=timedelta(hours=5))
    row, asked = await shop.job(job), await shop.pages(job)
    assert (row.state, row.started_at) == ("succeeded", START)
    assert [page.request["json"]["when"] for page in asked] == ["1h", "24h"]
