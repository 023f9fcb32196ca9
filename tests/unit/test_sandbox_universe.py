"""The invented world: the same seed and moment are the same world, and its list of keys tells what is in it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from ops.sandbox.answers import Answer, Ask
from ops.sandbox.config import SandboxConfig
from ops.sandbox.faults import PROVIDERS
from ops.sandbox.meter import Meter
from ops.sandbox.news import LATE_MIN, story_times, tellings
from ops.sandbox.tokens import invented_tokens
from ops.sandbox.trades import invented_trade
from ops.sandbox.universe import Universe

NOW = datetime(2026, 3, 1, 12, 17, tzinfo=UTC)
CHAINS = ["ethereum", "solana", "base", "bnb", "arbitrum"]


def universe(seed: int = 1, size: int = 300, **more: Any) -> Universe:
    config = SandboxConfig(seed=seed, size=size, now=NOW, **more)
    return Universe(config, NOW, {name: Meter(config.allowance(name)) for name in PROVIDERS})


def asked(
    world: Universe, provider: str, path: str, body: Mapping[str, Any] | None = None, number: int = 1, **query: str
) -> Answer:
    return world.apis()[provider].answer(
        Ask(
            method="GET" if body is None else "POST",
            path=path,
            query={"auth_token": "abc", **query},
            headers={},
            body=b"" if body is None else orjson.dumps(body),
            base=f"http://sandbox/{provider}",
            now=NOW,
            number=number,
        )
    )


def told(answer: Answer) -> Any:
    return orjson.loads(answer.rendered())


def test_the_same_seed_and_moment_are_the_same_world_whatever_was_asked_before() -> None:
    one, other = universe(), universe()
    for page in "321":
        asked(one, "cryptopanic", "/api/growth/v2/posts/", page=page)
    asked(one, "nansen", "/api/v1/smart-money/netflow", {"chains": CHAINS}, number=9)
    for path in ("/api/growth/v2/posts/", "/api/v1/posts/"):
        assert told(asked(one, "cryptopanic", path)) == told(asked(other, "cryptopanic", path))
    assert one.invented() == other.invented()
    assert one.streams() == other.streams()


def test_another_seed_is_another_world() -> None:
    assert universe(1).invented()["newscatcher"]["keys"] != universe(2).invented()["newscatcher"]["keys"]


def test_size_is_roughly_the_number_of_news_items() -> None:
    found = universe(size=1000).invented()
    items = len(found["cryptopanic"]["keys_enterprise"]) + len(found["newscatcher"]["keys"])
    assert 700 < items < 1300


def test_posts_appear_up_to_half_an_hour_late_so_ids_and_times_disagree() -> None:
    times = story_times(200, NOW)
    found = [telling for number, at in enumerate(times) for telling in tellings(3, number, at, NOW)]
    lateness = [telling.listed - telling.published for telling in found]
    assert max(lateness) <= timedelta(minutes=LATE_MIN, seconds=1)
    ids = [row["id"] for row in told(asked(universe(), "cryptopanic", "/api/v1/posts/"))["results"] if "id" in row]
    assert ids != sorted(ids, reverse=True)


def test_one_story_is_told_in_other_words_and_sometimes_in_the_same() -> None:
    stories = [tellings(3, number, NOW - timedelta(days=1), NOW) for number in range(200)]
    titles = [[telling.title for telling in story] for story in stories if len(story) > 2]
    assert any(len(set(told_by)) == len(told_by) for told_by in titles)
    assert any(len(set(told_by)) < len(told_by) for told_by in titles)
    assert all(len({(telling.outlet.domain, telling.link) for telling in story}) == len(story) for story in stories)


def test_the_same_story_reaches_both_providers() -> None:
    groups = universe().stories()
    assert any({key.split("/")[0] for key in group} == {"cryptopanic", "newscatcher"} for group in groups)


def test_growing_puts_a_post_an_article_and_a_trade_at_the_top() -> None:
    world = universe()
    before = world.invented()
    added = world.grow(5, NOW)
    after = world.invented()
    for provider in PROVIDERS:
        fresh = set(after[provider]["keys"]) - set(before[provider]["keys"])
        assert len(fresh) == 5
        assert fresh <= set(added)


def test_a_removed_post_is_gone_from_the_list_and_from_what_is_expected() -> None:
    world = universe(reach=None)
    (gone,) = world.remove(1)
    assert gone not in world.invented()["cryptopanic"]["keys"]
    assert world.invented()["cryptopanic"]["removed"] == [gone]


def test_votes_move_with_the_clock_only() -> None:
    def votes(later: timedelta) -> int:
        api = universe().apis()["cryptopanic"]
        ask = Ask("GET", "/api/growth/v2/posts/", {}, {}, b"", "http://sandbox", NOW + later, 1)
        return sum(sum(row["votes"].values()) for row in told(api.answer(ask))["results"])

    assert votes(timedelta()) == votes(timedelta())
    assert votes(timedelta(hours=12)) > votes(timedelta())


def flows(number: int, earlier_h: int = 0) -> list[dict[str, Any]]:
    world = universe()
    stream = next(one for one in world.streams() if one["dataset"] == "tgm/flows")
    start = datetime.fromisoformat(stream["params"]["date"]["from"]) - timedelta(hours=earlier_h)
    window = {"from": start.isoformat(), "to": (NOW + timedelta(hours=1)).isoformat()}
    body = {**stream["params"], "date": window, "pagination": {"page": 1, "per_page": 1000}}
    rows: list[dict[str, Any]] = told(asked(world, "nansen", "/api/v1/tgm/flows", body, number))["data"]
    return rows


def test_the_first_bucket_of_a_window_is_empty_and_the_last_is_not_complete() -> None:
    rows = flows(1)
    assert rows[0]["total_inflows_count"] == rows[0]["total_outflows_count"] == 0
    assert [row["is_complete"] for row in rows].count(False) == 1
    assert rows[-1]["is_complete"] is False
    same_hour = {row["date"]: row for row in flows(1, earlier_h=5)}
    assert any(same_hour[row["date"]]["total_inflows_count"] for row in rows)


def test_finished_buckets_are_restated_in_the_last_digit_from_call_to_call() -> None:
    once, again = flows(1), flows(2)
    values = [(one["token_amount"], other["token_amount"]) for one, other in zip(once, again, strict=True)]
    assert any(one != other for one, other in values)
    assert all(one == pytest.approx(other, rel=1e-15) for one, other in values)


def test_rows_hold_what_makes_reading_hard() -> None:
    world = universe(size=2000)
    everything = {"pagination": {"page": 1, "per_page": 1000}, "chains": ["solana"]}
    netflow = told(asked(world, "nansen", "/api/v1/smart-money/netflow", everything))["data"]
    trades = told(asked(world, "nansen", "/api/v1/smart-money/dex-trades", {**everything, "chains": ["all"]}))["data"]
    assert {row["chain"] for row in netflow} == {"solana", "arc"}
    assert any(not row["token_symbol"].isascii() for row in netflow)
    assert {"", None} <= {row["trader_address_label"] for row in trades}
    assert any(isinstance(row["trade_value_usd"], str) for row in trades)
    assert any(row["token_bought_amount"] is None for row in trades)
    hashes = [row["transaction_hash"] for row in trades]
    assert len(set(hashes)) < len(hashes)


def test_every_amount_of_a_trade_is_a_number_a_numeric_text_or_nothing() -> None:
    tokens = invented_tokens(1, 40, NOW.date())
    for number in range(41 * 37):
        value = invented_trade(1, number, NOW, tokens).row["trade_value_usd"]
        assert value is None or float(value) >= 0


def test_authors_come_in_three_types() -> None:
    rows = told(asked(universe(), "newscatcher", "/api/search", {"q": "crypto"}))["articles"]
    assert {type(row["authors"]) for row in rows} == {list, str, type(None)}


def test_a_posts_coins_are_absent_null_empty_or_there() -> None:
    rows = [
        row
        for page in range(1, 11)
        for row in told(asked(universe(), "cryptopanic", "/api/growth/v2/posts/", page=str(page)))["results"]
    ]
    assert {type(row.get("instruments", 0)) for row in rows} == {list, type(None), int}
    assert any(row.get("instruments") == [] for row in rows)
