"""Each provider through real HTTP: from a job's row to the ledger, against the sandbox at its best and at its worst."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import zstandard
from sqlalchemy.ext.asyncio import AsyncEngine

from broker.streams import NewStream
from ops.embedded import Stack
from ops.sandbox import Allowance, SandboxConfig
from tests.workshop import START, Workshop, open_workshop
from workers.works import Policy

SECOND = timedelta(seconds=1)
CHAINS = ["ethereum", "solana", "base", "bnb", "arbitrum"]
WEEK = {"from": "2026-11-13T00:00:00Z", "to": "2026-11-27T00:00:00Z"}
ASKED: dict[str, tuple[str, dict[str, Any]]] = {
    "cryptopanic": ("posts", {}),
    "newscatcher": ("search", {"q": "crypto", "page_size": 20, **WEEK}),
    "nansen": ("smart-money/dex-trades", {"chains": CHAINS}),
}
every = pytest.mark.parametrize("name", list(ASKED))


@pytest.fixture
def redis(stack: Stack) -> str:
    """A database of the session's Redis that a test may empty."""
    return stack.redis.start().database_url(6)


def allowing(name: str, allowance: Allowance) -> SandboxConfig:
    """A sandbox in which one provider allows less than everything."""
    free = Allowance()
    return SandboxConfig(
        size=100,
        cryptopanic=allowance if name == "cryptopanic" else free,
        newscatcher=allowance if name == "newscatcher" else free,
        nansen=allowance if name == "nansen" else free,
    )


@pytest.fixture
async def shop(ledger: AsyncEngine, redis: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Workshop]:
    monkeypatch.setattr("workers.providers.nansen.PER_PAGE", 40)  # so that its lists have pages at this size
    async with open_workshop(ledger, redis, config=SandboxConfig(size=100)) as opened:
        opened.works.policy = Policy(attempts_max=12)
        yield opened


async def ask(shop: Workshop, name: str, **args: Any) -> UUID:
    dataset, params = ASKED[name]
    return await shop.ask(name, dataset, params, **args)


async def keys_after_all_streams(shop: Workshop, name: str) -> None:
    """Ask for everything the sandbox has of a provider, and compare."""
    for stream in shop.sandbox.state.world.streams():
        if stream["provider"] == name:
            kind = "backfill" if stream["mode"] == "backfill" else "fetch"
            await shop.ask(name, stream["dataset"], stream["params"], kind=kind)
    await shop.settle(by=timedelta(minutes=2))
    assert {row.state for row in await shop.rows("SELECT state FROM jobs")} == {"succeeded"}
    assert await shop.keys(name) == set(shop.sandbox.state.invented()[name]["keys"])


# -- what all three have in common ------------------------------------------------------------------------------------


@every
async def test_a_full_pull_brings_everything_once(shop: Workshop, name: str) -> None:
    await keys_after_all_streams(shop, name)
    assert await shop.value("SELECT sum(new) FROM jobs") == len(await shop.keys(name))


@every
async def test_a_list_is_read_page_by_page_to_its_end_each_page_once(shop: Workshop, name: str) -> None:
    job = await ask(shop, name)
    await shop.run()
    row = await shop.job(job)
    assert row.landed > 2
    assert row.calls == row.landed == shop.calls(name)
    assert [page.seq for page in await shop.pages(job)] == list(range(1, row.landed + 1))


@every
async def test_a_list_that_grows_while_it_is_read_loses_nothing(shop: Workshop, name: str) -> None:
    await shop.faults("growing=every 2,rows=2")
    job = await ask(shop, name, kind="backfill")
    await shop.run()
    await shop.faults()
    again = await ask(shop, name)  # what came in at the top meanwhile is at the top now
    await shop.run()
    first, second = await shop.job(job), await shop.job(again)
    assert first.found == first.new + first.duplicate + first.amended + first.rejected
    wanted = {key for key in shop.sandbox.state.invented()[name]["keys"] if key.split(":")[0] in await kinds(shop)}
    assert wanted - await shop.keys(name) == set()
    assert second.new >= 0


async def kinds(shop: Workshop) -> set[str]:
    return {row.key.split(":")[0] for row in await shop.rows("SELECT key FROM items")}


@every
async def test_rows_that_repeat_or_change_places_are_counted_as_duplicates(shop: Workshop, name: str) -> None:
    plain = await ask(shop, name, kind="backfill")
    await shop.run()
    await shop.faults("repeated=1.0", "reordered=1.0")
    again = await ask(shop, name, kind="backfill")
    await shop.run()
    first, second = await shop.job(plain), await shop.job(again)
    assert (second.new, second.amended) == (0, 0)
    assert second.found > first.found
    assert second.duplicate == second.found - second.rejected


@every
@pytest.mark.parametrize("fault", ["500", "503", "408", "cut", "truncated", "html"])
async def test_what_goes_wrong_now_and_then_costs_time_only(shop: Workshop, name: str, fault: str) -> None:
    await shop.faults(f"{fault}=every 3")
    job = await ask(shop, name)
    await shop.settle(by=timedelta(minutes=1))
    row = await shop.job(job)
    assert row.state == "succeeded"
    assert shop.calls(name) > row.landed
    wanted = {key for key in shop.sandbox.state.invented()[name]["keys"] if key.split(":")[0] in await kinds(shop)}
    assert await shop.keys(name) == wanted


@every
@pytest.mark.parametrize("fault", ["500", "503"])
async def test_a_provider_that_never_works_is_given_up_with_its_reason(shop: Workshop, name: str, fault: str) -> None:
    shop.works.policy = Policy(attempts_max=3)
    await shop.faults(f"{fault}=1.0")
    job = await ask(shop, name)
    await shop.settle(by=timedelta(minutes=5))
    row = await shop.job(job)
    assert (row.state, row.landed, shop.calls(name)) == ("failed", 0, 3)
    assert row.last_error.startswith("gave up after 3 attempts: ")
    statuses = [call.status for call in await shop.rows("SELECT status FROM calls ORDER BY id")]
    assert len(statuses) == 3
    assert all(status is None or status >= 500 for status in statuses)


@every
@pytest.mark.parametrize("written", ["429=1.0,retry_after=0", "429=1.0,retry_after=40"])
async def test_being_told_to_slow_down_never_kills_a_job(shop: Workshop, name: str, written: str) -> None:
    shop.works.policy = Policy(attempts_max=2)
    await shop.faults(written)
    job = await ask(shop, name, pages_max=1)
    for _ in range(6):
        await shop.run()
        row = await shop.job(job)
        assert row.state == "waiting"
        assert row.reason
        shop.forward(max(row.run_at - shop.clock(), SECOND))
        await shop.dispatcher.tick()
    assert shop.calls(name) >= 4
    await shop.faults()
    await shop.settle(by=timedelta(minutes=20))
    assert (await shop.job(job)).state == "succeeded"


async def test_retry_after_holds_for_the_whole_provider(shop: Workshop) -> None:
    await shop.faults("nansen:429=1.0,retry_after=40")
    first, second = [await ask(shop, "nansen", pages_max=1) for _ in range(2)]
    await shop.run()
    assert shop.calls("nansen") == 1  # the second did not even ask
    rows = [await shop.job(first), await shop.job(second)]
    assert all(row.run_at >= START + timedelta(seconds=40) for row in rows)
    assert any("asked to slow down" in row.reason for row in rows)
    await shop.faults()
    shop.forward(timedelta(seconds=39))
    await shop.dispatcher.tick()
    await shop.run()
    assert shop.calls("nansen") == 1
    await shop.settle(by=timedelta(seconds=10))
    assert {(await shop.job(job)).state for job in (first, second)} == {"succeeded"}


@every
async def test_a_wrong_key_disables_the_provider_with_one_clear_line_and_costs_one_call(
    ledger: AsyncEngine, redis: str, name: str
) -> None:
    config = allowing(name, Allowance(keys=frozenset({"another-key-1234"})))
    async with open_workshop(ledger, redis, config=config) as shop:
        job, other = await ask(shop, name), await ask(shop, name)
        await shop.run()
        stands, row = await shop.standing(name), await shop.job(job)
        assert stands.state == "disabled"
        assert stands.reason
        assert "\n" not in stands.reason
        assert (row.state, row.attempt) == ("waiting", 0)
        assert row.reason.startswith(f"provider {name} is disabled: ")
        assert (await shop.job(other)).state == "waiting"
        assert shop.calls(name) == 1


@every
async def test_a_quota_that_is_used_up_stops_all_calls_until_the_month_turns(
    ledger: AsyncEngine, redis: str, name: str
) -> None:
    config = allowing(name, Allowance(quota=12 if name == "nansen" else 2))
    async with open_workshop(ledger, redis, config=config) as shop:
        unbudgeted = shop.works.providers[name].limits.budget
        assert unbudgeted is None  # so that only the answer tells
        job = await ask(shop, name, kind="backfill") if name != "nansen" else await nansen_many(shop)
        await shop.run()
        asked, row, stands = shop.calls(name), await shop.job(job), await shop.standing(name)
        assert (row.state, stands.state) == ("waiting", "used_up")
        assert stands.reason
        assert row.reason.startswith(f"provider {name} is used up until ")
        assert stands.until is not None
        assert f"{stands.until:%Y-%m-%d %H:%M}Z" in row.reason
        shop.forward(stands.until - shop.clock() - SECOND)
        await shop.dispatcher.tick()
        await shop.run()
        assert shop.calls(name) == asked


async def nansen_many(shop: Workshop) -> UUID:
    """Three calls of five credits each: the third finds the account empty."""
    jobs = [await ask(shop, "nansen", pages_max=1) for _ in range(3)]
    return jobs[-1]


@every
async def test_an_incremental_pull_stops_where_it_knows_everything(shop: Workshop, name: str) -> None:
    dataset, params = ASKED[name]
    params = {key: value for key, value in params.items() if key not in WEEK}
    await shop.stream(NewStream(name, name, dataset, params, interval_s=300, overlap_s=3600))
    await shop.dispatcher.tick()
    await shop.settle(by=SECOND)
    full = shop.calls(name)
    shop.forward(timedelta(minutes=6))
    shop.sandbox.state.world.grow(3, shop.sandbox.state.clock.now())
    await shop.dispatcher.tick()
    await shop.settle(by=SECOND)
    (row,) = await shop.rows("SELECT * FROM jobs ORDER BY id DESC LIMIT 1")
    assert row.state == "succeeded"
    assert row.new >= 3
    assert shop.calls(name) - full < full


# -- CryptoPanic ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plan", ["v1", "growth_weekly/v2", "enterprise/v2"])
async def test_cryptopanics_plans_give_the_same_posts(shop: Workshop, plan: str) -> None:
    job = await shop.ask("cryptopanic", "posts", {"plan": plan})
    await shop.run()
    assert (await shop.job(job)).state == "succeeded"
    assert await shop.keys("cryptopanic") == set(shop.sandbox.state.invented()["cryptopanic"]["keys"])


async def test_cryptopanics_links_repeat_the_token_and_no_kept_page_does(shop: Workshop) -> None:
    job = await ask(shop, "cryptopanic")
    await shop.run()
    bodies = [zstandard.decompress(page.body) for page in await shop.pages(job)]
    assert b"auth_token=REDACTED" in bodies[0]
    assert not any(b"cryptopanic-key" in body for body in bodies)


async def test_cryptopanic_tells_no_retry_after_and_is_waited_for_all_the_same(shop: Workshop) -> None:
    await shop.faults("cryptopanic:429=every 2")
    job = await ask(shop, "cryptopanic")
    await shop.settle(by=SECOND)
    row = await shop.job(job)
    assert (row.state, row.landed * 2 - shop.calls("cryptopanic") <= 1) == ("succeeded", True)


async def test_cryptopanics_votes_move_without_making_revisions(shop: Workshop) -> None:
    await ask(shop, "cryptopanic", kind="backfill")
    await shop.run()
    shop.forward(timedelta(hours=1))
    again = await ask(shop, "cryptopanic", kind="backfill")
    await shop.run()
    row = await shop.job(again)
    assert (row.new, row.amended) == (0, 0)
    assert row.observed > 0


async def test_a_plan_that_is_gone_fails_the_job_and_leaves_the_provider_alone(shop: Workshop) -> None:
    job = await shop.ask("cryptopanic", "posts", {"plan": "pro/v7"})
    await shop.run()
    row = await shop.job(job)
    assert (row.state, row.calls, shop.calls("cryptopanic")) == ("failed", 0, 1)
    assert "404" in row.last_error
    assert (await shop.standing("cryptopanic")).state == "ok"


# -- NewsCatcher ------------------------------------------------------------------------------------------------------


async def test_newscatchers_older_version_gives_the_same_articles_under_ids_of_its_own(shop: Workshop) -> None:
    job = await shop.ask("newscatcher", "search", {"api": "v2", "q": "crypto", "page_size": 20, **WEEK})
    await shop.run()
    row = await shop.job(job)
    assert (row.state, row.landed > 1) == ("succeeded", True)
    assert await shop.keys("newscatcher") == set(shop.sandbox.state.invented()["newscatcher"]["keys_v2"])


async def test_newscatchers_window_is_the_same_for_all_pages_of_a_job(shop: Workshop) -> None:
    job = await shop.ask("newscatcher", "search", {"q": "crypto", "page_size": 20})
    while (await shop.job(job)).state in ("queued", "running"):
        waiting = shop.mailbox.waiting()
        await shop.deliver(next(iter(waiting)))
        shop.forward(timedelta(seconds=20))
    windows = {(page.request["json"]["from_"], page.request["json"]["to_"]) for page in await shop.pages(job)}
    assert len(windows) == 1


async def test_newscatchers_clusters_are_read_as_their_articles(shop: Workshop) -> None:
    await shop.ask("newscatcher", "search", {"q": "crypto", "clustering_enabled": True, **WEEK}, kind="backfill")
    await shop.run()
    assert await shop.keys("newscatcher")
    assert await shop.keys("newscatcher") <= set(shop.sandbox.state.invented()["newscatcher"]["keys"])


async def test_newscatcher_echoes_a_wrong_key_and_nobody_repeats_it(ledger: AsyncEngine, redis: str) -> None:
    config = SandboxConfig(size=60, newscatcher=Allowance(keys=frozenset({"another-key-1234"})))
    async with open_workshop(ledger, redis, config=config) as shop:
        job = await ask(shop, "newscatcher")
        await shop.run()
        told = f"{(await shop.job(job)).last_error} {(await shop.standing('newscatcher')).reason}"
        assert "401" in told
        assert "newscatcher-key" not in told


async def test_newscatchers_refusal_of_a_parameter_fails_the_job_at_once(shop: Workshop) -> None:
    job = await shop.ask("newscatcher", "search", {"q": "(crypto", **WEEK})
    await shop.settle(by=SECOND)
    row = await shop.job(job)
    assert (row.state, row.landed, shop.calls("newscatcher")) == ("failed", 0, 1)
    assert row.last_error


# -- Nansen -----------------------------------------------------------------------------------------------------------


async def test_nansens_snapshots_are_rows_of_their_poll(shop: Workshop) -> None:
    params = {"chains": CHAINS}
    first = await shop.ask("nansen", "smart-money/netflow", params)
    await shop.run()
    shop.forward(timedelta(minutes=15))
    second = await shop.ask("nansen", "smart-money/netflow", params)
    await shop.run()
    one, two = await shop.job(first), await shop.job(second)
    assert one.new == two.new > 0
    assert two.duplicate == 0


async def test_nansens_price_is_what_its_headers_say(shop: Workshop) -> None:
    job = await ask(shop, "nansen")
    await shop.run()
    row = await shop.job(job)
    assert row.cost == 5 * row.calls
    assert await shop.value("SELECT sum(cost) FROM calls") == row.cost


async def test_nansen_tells_what_is_left(ledger: AsyncEngine, redis: str) -> None:
    config = SandboxConfig(size=60, nansen=Allowance(quota=100))
    async with open_workshop(ledger, redis, config=config) as shop:
        await ask(shop, "nansen", pages_max=1)
        await shop.run()
        assert (await shop.standing("nansen")).remaining == 95


async def test_nansens_flows_skip_the_buckets_that_hold_nothing(shop: Workshop) -> None:
    flows = [one for one in shop.sandbox.state.world.streams() if one["dataset"] == "tgm/flows"]
    job = await shop.ask("nansen", "tgm/flows", flows[0]["params"], kind="backfill")
    await shop.run()
    row = await shop.job(job)
    assert row.state == "succeeded"
    assert row.skipped > 0
    assert row.new > 0


async def test_nansens_flows_are_amended_when_they_are_restated(shop: Workshop) -> None:
    flows = [one for one in shop.sandbox.state.world.streams() if one["dataset"] == "tgm/flows"]
    await shop.ask("nansen", "tgm/flows", flows[0]["params"], kind="backfill")
    await shop.run()
    again = await shop.ask("nansen", "tgm/flows", flows[0]["params"], kind="backfill")
    await shop.run()
    row = await shop.job(again)
    assert (row.new, row.found) == (0, row.duplicate + row.amended)


async def test_nansen_refuses_a_bad_body_and_the_job_says_why(shop: Workshop) -> None:
    job = await shop.ask("nansen", "smart-money/dex-trades", {"chains": CHAINS, "filters": {"nonsense": 1}})
    await shop.settle(by=SECOND)
    row = await shop.job(job)
    assert (row.state, row.calls) == ("failed", 0)
    assert row.last_error
