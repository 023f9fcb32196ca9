"""What Nansen is known to do, one rule a test."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from workers.items import (
    Malformed,
    Page,
    Parsed,
    Pull,
    Refused,
    Usage,
)
from workers.providers.nansen import PROVIDER
from workers.providers.nansen_flows import HOUR, windows
from workers.providers.reading import as_instant

FIXTURES = Path(__file__).parent.parent / "fixtures" / "nansen"
NOW = datetime(2026, 8, 18, 0, 16, 40, 500, tzinfo=UTC)
POLL = "2026-08-18T00:16:40Z"
SOL = "So1HarborTokenAddressCaseMatters11111111111"
EVM = "0x00aa11bb22cc33dd44ee55ff66001122334455ab"
FLOW = {"chain": "base", "token_address": EVM.upper().replace("X", "x"), "label": "smart_money"}


def pull(dataset: str, since: datetime | None = None, **params: Any) -> Pull:
    return Pull(dataset, params or {"chains": ["base"]}, "incremental", until=NOW, since=since)


def parse(body: bytes | Mapping[str, Any], asked: Pull, cursor: str | None = None) -> Parsed:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return PROVIDER.parse(Page(raw, asked, cursor, NOW, NOW))


def fixture(name: str) -> bytes:
    return (FIXTURES / name).read_bytes()


def flows(since: datetime | None = datetime(2026, 8, 17, 20, tzinfo=UTC), **params: Any) -> Pull:
    return pull("tgm/flows", since, **FLOW, **params)


def sent(asked: Pull, cursor: str | None = None) -> Mapping[str, Any]:
    request = PROVIDER.request(asked, cursor)
    assert request.json is not None
    return request.json


@pytest.mark.parametrize(
    ("dataset", "cost"),
    [
        ("smart-money/netflow", 5),
        ("smart-money/dex-trades", 5),
        ("smart-money/holdings", 5),
        ("smart-money/historical-holdings", 1),
        ("token-screener", 1),
    ],
)
def test_a_request_is_a_post_with_pages_of_a_thousand_and_its_price_in_credits(dataset: str, cost: int) -> None:
    request = PROVIDER.request(pull(dataset), "0|3")
    assert (request.method, request.path, request.cost) == ("POST", f"/api/v1/{dataset}", cost)
    assert request.json is not None
    assert request.json["pagination"] == {"page": 3, "per_page": 1000}
    assert request.json["chains"] == ["base"]


def test_the_account_is_a_free_get_without_rows_that_tells_what_is_left() -> None:
    asked = Pull("account", {}, "incremental", until=NOW)
    request = PROVIDER.request(asked, None)
    assert (request.method, request.path, request.cost, request.json) == ("GET", "/api/v1/account", 0, None)
    assert parse(fixture("account.json"), asked) == Parsed(usage=Usage(remaining=90, plan="free"))
    with pytest.raises(Malformed, match="not a number of calls or credits"):
        parse(b'{"credits_remaining": 3000000000}', asked)
    with pytest.raises(Malformed):
        parse(b'{"plan": "free"}', asked)


@pytest.mark.parametrize("dataset", ["smart-money/netflow", "smart-money/holdings", "token-screener"])
def test_live_lists_are_asked_in_an_order_in_which_rows_stay_put(dataset: str) -> None:
    assert [by["field"] for by in sent(pull(dataset))["order_by"]] == ["chain", "token_address"]
    assert PROVIDER.datasets[dataset].snapshot


def test_pages_follow_until_is_last_page() -> None:
    assert parse(fixture("netflow.json"), pull("smart-money/netflow")).next == "0|2"
    assert parse(fixture("holdings.json"), pull("smart-money/holdings")).next is None
    assert parse({"data": [], "pagination": {"is_last_page": False}}, pull("token-screener")).next is None


def test_the_keys_of_snapshots_hold_the_time_of_the_poll() -> None:
    first, second = parse(fixture("netflow.json"), pull("smart-money/netflow")).items
    assert first.key == f"smart-money/netflow:base|{EVM}|{POLL}"
    assert second.key == f"smart-money/netflow:arc|{SOL}|{POLL}"
    (held,) = parse(fixture("holdings.json"), pull("smart-money/holdings")).items
    assert held.key == f"smart-money/holdings:solana|{SOL}|{POLL}"
    (screened,) = parse(fixture("screener.json"), pull("token-screener")).items
    assert screened.key == f"token-screener:base|{EVM}|{POLL}"
    assert {item.happened_at for item in (first, second, held, screened)} == {NOW.replace(microsecond=0)}


def test_an_unknown_chain_is_read_like_any_other() -> None:
    assert parse(fixture("netflow.json"), pull("smart-money/netflow")).items[1].body["chain"] == "arc"


def test_evm_addresses_are_lower_case_and_solana_ones_are_kept() -> None:
    first, second = parse(fixture("netflow.json"), pull("smart-money/netflow")).items
    assert first.body["token_address"] == EVM
    assert second.body["token_address"] == SOL


def test_a_symbol_loses_the_mark_that_moves_and_an_emoji_alone_stays() -> None:
    young = parse(fixture("netflow.json"), pull("smart-money/netflow")).items[0]
    assert (young.coins, young.body["token_symbol"]) == (("HARB",), "HARB")
    assert young.observed["token_symbol"] == "🌱 HARB"
    (emoji,) = parse(fixture("holdings.json"), pull("smart-money/holdings")).items
    assert emoji.coins == ("🍩",)
    trade = parse(fixture("dex_trades.json"), pull("smart-money/dex-trades")).items[0]
    assert trade.coins == ("HARB", "USDC")
    assert trade.observed["token_bought_symbol"] == "⚠️ HARB"


def test_numbers_are_exact_down_to_tiny_exponents_and_whole_zero_is_a_number() -> None:
    first = parse(fixture("netflow.json"), pull("smart-money/netflow")).items[0]
    assert first.body["net_flow_24h_usd"] == Decimal("5.699070091526429e-11")
    assert first.body["net_flow_30d_usd"] == Decimal("9681413.537422001")
    assert first.body["net_flow_1h_usd"] == 0


def test_a_number_may_come_as_text() -> None:
    (screened,) = parse(fixture("screener.json"), pull("token-screener")).items
    assert screened.body["nof_buys"] == 17


def test_a_time_without_a_zone_is_utc() -> None:
    (screened,) = parse(fixture("screener.json"), pull("token-screener")).items
    assert screened.body["token_deployment_date"] == "2026-06-16T21:05:48Z"


def test_a_market_cap_of_the_moment_is_observed() -> None:
    row = json.loads(fixture("screener.json"))
    before = parse(row, pull("token-screener")).items[0]
    row["data"][0]["market_cap_usd"] = 117e6
    after = parse(row, pull("token-screener")).items[0]
    assert before.fingerprint == after.fingerprint


def test_the_key_of_a_trade_has_both_amounts_in_nine_digits_and_nothing_for_null() -> None:
    first, second = parse(fixture("dex_trades.json"), pull("smart-money/dex-trades")).items
    assert first.key == f"smart-money/dex-trades:base|0xabcdef01|0xaabb|{EVM}|0xeeee|6079589.25|"
    assert second.key == f"smart-money/dex-trades:base|0xabcdef01|0xaabb|{EVM}|0xeeee|5.6|"
    assert first.happened_at == datetime(2026, 8, 17, 23, 46, 57, tzinfo=UTC)


@pytest.mark.parametrize(
    ("amount", "written"),
    [
        ("1E+20", "100000000000000000000"),
        ("1.5e-12", "0.0000000000015"),
        ("0.0", "0"),
        ("12.3400", "12.34"),
        ("7", "7"),
    ],
)
def test_amounts_in_keys_are_plain_without_trailing_zeros(amount: str, written: str) -> None:
    row = fixture("dex_trades.json").decode().replace("6079589.254947656", amount)
    assert parse(row.encode(), pull("smart-money/dex-trades")).items[0].key.split("|")[-2] == written


def test_an_empty_label_and_a_null_one_are_the_same() -> None:
    empty, labelled = parse(fixture("dex_trades.json"), pull("smart-money/dex-trades")).items
    assert "trader_address_label" not in empty.observed
    assert labelled.observed["trader_address_label"] == "Fund"


def test_historical_holdings_take_plain_dates_only() -> None:
    asked = pull("smart-money/historical-holdings", since=datetime(2026, 8, 16, 5, tzinfo=UTC))
    assert sent(asked)["date_range"] == {"from": "2026-08-16", "to": "2026-08-18"}
    schema = Draft202012Validator(PROVIDER.datasets["smart-money/historical-holdings"].params)
    schema.validate({"chains": ["base"], "date_range": {"from": "2026-08-16", "to": "2026-08-17"}})
    with pytest.raises(ValidationError):
        schema.validate({"chains": ["base"], "date_range": {"from": "2026-08-16T00:00:00Z", "to": "2026-08-17"}})


def test_the_key_of_a_historical_holding_has_the_label_filter_used() -> None:
    asked = pull("smart-money/historical-holdings", chains=["base"])
    everyone = parse(fixture("historical_holdings.json"), asked).items[1]
    assert everyone.key == f"smart-money/historical-holdings:2026-08-17|base|{EVM}|all"
    some = {"include_smart_money_labels": ["Smart Trader", "Fund"]}
    asked = pull("smart-money/historical-holdings", chains=["base"], filters=some)
    assert parse(fixture("historical_holdings.json"), asked).items[1].key.endswith("|Fund,Smart Trader")


def test_todays_holdings_are_provisional_and_a_day_is_its_midnight() -> None:
    today, yesterday = parse(fixture("historical_holdings.json"), pull("smart-money/historical-holdings")).items
    assert (today.provisional, yesterday.provisional) == (True, False)
    assert yesterday.happened_at == datetime(2026, 8, 17, tzinfo=UTC)


def test_the_order_of_labels_is_no_revision() -> None:
    row = json.loads(fixture("historical_holdings.json"))
    before = parse(row, pull("smart-money/historical-holdings")).items[0]
    row["data"][0]["smart_money_labels"].reverse()
    assert parse(row, pull("smart-money/historical-holdings")).items[0].fingerprint == before.fingerprint


def test_flows_are_asked_one_bucket_early_because_the_first_is_always_zero() -> None:
    assert sent(flows())["date"] == {"from": "2026-08-17T18:59:59Z", "to": POLL}
    assert sent(flows())["label"] == "smart_money"


def test_the_first_bucket_of_flows_is_dropped_and_counted() -> None:
    parsed = parse(fixture("flows.json"), flows())
    assert parsed.skipped == 1
    assert [item.key for item in parsed.items] == [
        f"tgm/flows:base|{EVM}|smart_money|2026-08-17T{hour}:00:00Z" for hour in (20, 21, 22)
    ]


def test_the_first_bucket_is_dropped_even_where_the_answer_begins_late() -> None:
    parsed = parse(fixture("flows.json"), flows(since=datetime(2026, 8, 17, 10, tzinfo=UTC)))
    assert (parsed.skipped, len(parsed.items)) == (1, 3)


def test_only_the_first_page_of_a_window_has_a_zero_bucket() -> None:
    late = {"data": json.loads(fixture("flows.json"))["data"][2:], "pagination": {"is_last_page": True}}
    assert parse(late, flows(), "0|2").skipped == 0


def test_an_incomplete_bucket_is_provisional() -> None:
    assert [item.provisional for item in parse(fixture("flows.json"), flows()).items] == [False, False, True]


def test_warnings_ride_along_with_a_200_and_may_be_null() -> None:
    assert parse(fixture("flows.json"), flows()).warnings == ("dex and cex columns are only filled for exchange.",)
    assert parse({"data": [], "warnings": None}, flows()).warnings == ()


def test_a_restated_last_digit_is_no_revision_and_a_restated_balance_is() -> None:
    text = fixture("flows.json").decode()
    before = parse(text.encode(), flows()).items[0]
    noise = parse(text.replace("9607840.027005002", "9607840.027005").encode(), flows()).items[0]
    restated = parse(text.replace("9607840.027005002", "9607841.5").encode(), flows()).items[0]
    assert before.key == noise.key == restated.key
    assert before.fingerprint == noise.fingerprint != restated.fingerprint


def test_a_stream_that_was_away_for_a_month_still_asks_hours_newest_first() -> None:
    asked = flows(since=NOW - timedelta(days=30))
    cut = windows(asked)
    assert cut[0].end == NOW
    assert cut[-1].start == as_instant("2026-07-19T00:00:00Z")
    for window in cut:
        assert as_instant(window.asked["to"]) - as_instant(window.asked["from"]) <= timedelta(days=7)
        assert window.bucket == HOUR
    assert all(new.start - old.end == timedelta(seconds=1) for new, old in pairwise(cut))
    walked, cursor = [], "0|1"
    for _ in cut:
        walked.append(sent(asked, cursor)["date"])
        cursor = parse({"data": [], "pagination": {"is_last_page": True}}, asked, cursor).next or "end"
    assert walked == [window.asked for window in cut]
    assert cursor == "end"


def test_a_jobs_own_range_of_more_than_seven_days_comes_in_days() -> None:
    asked = flows(date={"from": "2026-07-01", "to": "2026-07-20"})
    assert sent(asked)["date"] == {"from": "2026-06-29T23:59:59Z", "to": "2026-07-20T23:59:59Z"}


def test_a_range_with_a_date_that_does_not_exist_is_refused_before_it_costs_a_credit() -> None:
    with pytest.raises(Refused):
        PROVIDER.request(flows(date={"from": "2026-02-31", "to": "2026-03-01"}), None)


def test_a_bad_row_is_refused_alone_with_a_reason() -> None:
    page = json.loads(fixture("netflow.json"))
    page["data"][0]["net_flow_1h_usd"] = "many"
    page["data"].append(None)
    parsed = parse(page, pull("smart-money/netflow"))
    assert len(parsed.items) == 1
    assert [(bad.position, bad.reason) for bad in parsed.rejected] == [
        (0, "net_flow_1h_usd is not a number"),
        (2, "the row is not an object"),
    ]


@pytest.mark.parametrize(
    ("dataset", "params"),
    [
        ("smart-money/netflow", {}),
        ("smart-money/netflow", {"chains": []}),
        ("smart-money/netflow", {"chains": ["base"], "filters": {"unknown": 1}}),
        ("smart-money/netflow", {"chains": ["base"], "pagination": {"page": 1}}),
        ("tgm/flows", {"chain": "base", "token_address": "0x1", "label": "everyone"}),
        ("account", {"x": 1}),
    ],
)
def test_unknown_fields_are_refused_before_they_cost_a_credit(dataset: str, params: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Draft202012Validator(PROVIDER.datasets[dataset].params).validate(params)
