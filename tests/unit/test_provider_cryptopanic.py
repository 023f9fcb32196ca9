"""What CryptoPanic is known to do, one rule a test."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from workers.items import (
    Malformed,
    Misconfigured,
    NotThere,
    Page,
    Parsed,
    ProviderError,
    Pull,
    QuotaUsedUp,
    Refused,
    RetryLater,
    Usage,
)
from workers.providers.cryptopanic import PROVIDER

FIXTURES = Path(__file__).parent.parent / "fixtures" / "cryptopanic"
NOW = datetime(2026, 5, 5, 9, 0, tzinfo=UTC)
TOKEN = "0123456789abcdef0123456789abcdef01234567"
QUOTA = {"status": "api_error", "info": "API monthly quota exceeded - Upgrade your API plan: /developers/api/plans/"}


def pull(**params: Any) -> Pull:
    return Pull("posts", params, "incremental", until=NOW)


def parse(body: bytes | Mapping[str, Any], cursor: str | None = None) -> Parsed:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return PROVIDER.parse(Page(raw, pull(), cursor, NOW, NOW))


def fixture(name: str) -> bytes:
    return (FIXTURES / name).read_bytes()


def post(**fields: Any) -> dict[str, Any]:
    return {"id": 1, "title": "A title", "published_at": "2026-05-05T08:00:00Z", **fields}


def page_of(*rows: Any, **envelope: Any) -> dict[str, Any]:
    return {"next": None, "previous": None, "results": list(rows), **envelope}


def error(status: int, body: bytes | Mapping[str, Any] = b"", **headers: str) -> ProviderError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return PROVIDER.error(status, {name.replace("_", "-"): value for name, value in headers.items()}, raw)


def test_the_plan_is_part_of_the_path_and_the_trailing_slash_stays() -> None:
    assert PROVIDER.request(pull(), None).path == "/api/growth/v2/posts/"
    assert PROVIDER.request(pull(plan="growth_weekly/v2"), None).path == "/api/growth_weekly/v2/posts/"
    assert PROVIDER.request(pull(plan="v1"), None).path == "/api/v1/posts/"


def test_a_request_carries_filters_and_page_and_never_a_token() -> None:
    request = PROVIDER.request(pull(currencies=["BTC", "ETH"], public=True, following=False, filter="hot"), "3")
    assert request.query == (("currencies", "BTC,ETH"), ("filter", "hot"), ("public", "true"), ("page", "3"))
    assert request.method == "GET"
    assert "auth_token" not in repr(request)


@pytest.mark.parametrize(
    "params", [{"plan": "../../etc"}, {"currencies": "BTC&x=1"}, {"auth_token": "x"}, {"size": 501}]
)
def test_parameters_that_the_api_does_not_know_are_refused(params: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Draft202012Validator(PROVIDER.datasets["posts"].params).validate(params)


def test_only_the_page_number_is_taken_from_next_whatever_host_it_names() -> None:
    assert parse(fixture("v2_page.json"), "2").next == "3"


@pytest.mark.parametrize("link", ["https://x.example/?page=2", "https://x.example/?page=zwei", "https://x.example/", 7])
def test_a_next_that_does_not_lead_on_ends_the_list_with_a_warning(link: Any) -> None:
    parsed = parse(page_of(post(), next=link), "2")
    assert parsed.next is None
    assert len(parsed.warnings) == 1


def test_an_empty_page_ends_the_list_even_with_a_next() -> None:
    assert parse(page_of(next="https://cryptopanic.com/?page=9")).next is None
    assert parse(page_of()).items == ()


def test_a_page_past_the_end_may_be_a_404_and_has_its_own_name() -> None:
    assert isinstance(error(404, {"detail": "Invalid page."}), NotThere)


def test_v1_count_tells_the_number_of_pages_and_v2_does_not() -> None:
    assert parse(fixture("v1_page.json")).pages_total == 10
    assert parse(fixture("v2_page.json")).pages_total is None


def test_v1_currencies_may_be_absent_and_codes_are_upper_case() -> None:
    vault, tweet, miners = parse(fixture("v1_page.json")).items
    assert vault.coins == ("ETH", "LHX")
    assert (tweet.coins, miners.coins) == ((), ())


def test_a_tweet_keeps_its_handle_and_its_title_is_one_line() -> None:
    tweet = parse(fixture("v1_page.json")).items[1]
    assert tweet.title == "Mainnet is up Thank you all"
    assert tweet.body["handle"] == "@HarborChain"
    assert tweet.body["source"]["path"] == "@harborchain"


def test_html_in_old_titles_is_dropped_and_other_angles_stay() -> None:
    old = parse(page_of(post(title='<span class="up">BTC</span> breaks  out, 3 < 5 and b <b and c> d'))).items[0]
    assert old.title == "BTC breaks out, 3 < 5 and b <b and c> d"


def test_microseconds_of_2018_are_read() -> None:
    old = parse(page_of(post(published_at="2018-01-18T09:45:28.965353Z"))).items[0]
    assert old.happened_at == datetime(2018, 1, 18, 9, 45, 28, 965353, tzinfo=UTC)


def test_the_campaign_mark_of_the_api_is_no_part_of_the_address() -> None:
    one = parse(page_of(post(url="https://cryptopanic.com/news/1/A?mtm_campaign=API-OFA"))).items[0]
    two = parse(page_of(post(url="https://cryptopanic.com/news/1/A"))).items[0]
    assert one.url == two.url
    assert one.fingerprint == two.fingerprint


def test_the_article_is_preferred_to_cryptopanics_page_and_keeps_its_query() -> None:
    item = parse(fixture("v2_page.json")).items[0]
    assert item.url == "https://ledgerpost.example/bridge?id=4&utm_source=cp"
    assert item.body["page_url"] == "https://cryptopanic.com/news/7000204/Bridge-pauses"


def test_everything_but_id_title_and_time_may_be_null_or_absent() -> None:
    assert parse(fixture("v2_page.json")).items[1].key == "posts:7000203"
    assert parse(fixture("v2_page.json")).rejected == ()
    assert parse(fixture("developer_page.json")).items[0].body["description"] == "Short."


@pytest.mark.parametrize("missing", ["id", "title", "published_at"])
def test_id_title_and_time_must_be_there_and_the_other_rows_survive(missing: str) -> None:
    broken = {name: value for name, value in post().items() if name != missing}
    parsed = parse(page_of(broken, post(id=2)))
    assert [item.key for item in parsed.items] == ["posts:2"]
    assert [(bad.position, missing in bad.reason) for bad in parsed.rejected] == [(0, True)]


@pytest.mark.parametrize(
    "garbage",
    [
        {"id": 1.5},
        {"id": True},
        {"id": -3},
        {"published_at": "not-a-date"},
        {"title": 7},
        {"votes": []},
        {"source": "x"},
    ],
)
def test_a_reason_for_a_bad_row_never_holds_its_content(garbage: dict[str, Any]) -> None:
    (bad,) = parse(page_of(post(**garbage))).rejected
    assert "not-a-date" not in bad.reason


def test_votes_panic_scores_and_prices_are_observed_and_make_no_revision() -> None:
    before, after = fixture("v2_page.json"), json.loads(fixture("v2_page.json"))
    after["results"][0]["votes"]["liked"] = 90
    after["results"][0]["panic_score"] = 99
    after["results"][0]["instruments"][0]["price_in_usd"] = 1.0
    one, two = parse(before).items[0], parse(after).items[0]
    assert one.fingerprint == two.fingerprint
    assert two.observed["votes"]["liked"] == 90
    assert two.observed["panic_score"] == 99
    assert one.observed["instruments"]["ETH"]["price_in_usd"] == Decimal("2001.25")
    assert "price_in_btc" not in one.observed["instruments"]["ETH"]


def test_v1_and_v2_shapes_with_the_same_facts_are_the_same_thing() -> None:
    source = {"title": "Outlet", "region": "en", "domain": "outlet.example", "type": "feed"}
    facts = {
        "kind": "news",
        "slug": "a",
        "created_at": "2026-05-05T08:00:00Z",
        "url": "https://cryptopanic.com/news/1/a",
    }
    v1 = post(**facts, domain="outlet.example", source={**source, "path": None}, currencies=[{"code": "BTC"}])
    v2 = post(**facts, source=source, instruments=[{"code": "BTC", "price_in_usd": 1.5}], description=None, image=None)
    assert parse(page_of(v1)).items[0].fingerprint == parse(page_of(v2)).items[0].fingerprint


def test_key_order_never_matters() -> None:
    row = json.loads(fixture("v1_page.json"))["results"][0]
    turned = dict(reversed(row.items()))
    assert parse(page_of(row)).items[0].fingerprint == parse(page_of(turned)).items[0].fingerprint


def test_an_edited_title_is_a_revision() -> None:
    assert parse(page_of(post())).items[0].fingerprint != parse(page_of(post(title="Another"))).items[0].fingerprint


def test_the_overlap_covers_posts_that_appear_33_minutes_late() -> None:
    assert PROVIDER.datasets["posts"].overlap >= timedelta(hours=1)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"results": {}}', b"\xff", b'{"results": [NaN]}'])
def test_what_is_no_page_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        parse(body)


@pytest.mark.parametrize("status", [403, 429, 400])
def test_a_used_up_month_is_told_by_its_text_whatever_the_status(status: int) -> None:
    assert isinstance(error(status, QUOTA), QuotaUsedUp)


def test_a_429_without_retry_after_is_a_rate_limit() -> None:
    refusal = error(429, {"status": "api_error", "info": "Slow down"})
    assert isinstance(refusal, RetryLater)
    assert refusal.rate_limited
    assert refusal.after is None


@pytest.mark.parametrize("body", [b"", b"Too many requests"])
def test_crossing_the_rate_limit_may_be_a_403(body: bytes) -> None:
    refusal = error(403, body)
    assert isinstance(refusal, RetryLater)
    assert refusal.rate_limited


def test_no_access_to_an_endpoint_needs_a_person() -> None:
    assert isinstance(error(403, {"status": "api_error", "info": "No access on your plan"}), Misconfigured)


def test_an_unknown_token_is_a_400_and_needs_a_person() -> None:
    assert isinstance(error(400, {"status": "api_error", "info": "Token not found"}), Misconfigured)
    assert isinstance(error(400, {"status": "api_error", "info": "Unknown filter"}), Refused)


def test_a_401_without_a_body_needs_a_person() -> None:
    assert isinstance(error(401), Misconfigured)


@pytest.mark.parametrize(
    "body", [b"error code: 1010", b"<!DOCTYPE html><title>Attention Required! | Cloudflare</title>"]
)
def test_cloudflare_is_named_in_its_own_sentence(body: bytes) -> None:
    refusal = error(403, body)
    assert isinstance(refusal, Misconfigured)
    assert "Cloudflare" in str(refusal)
    assert "User-Agent" in str(refusal)


def test_a_removed_plan_answers_404_with_a_web_page() -> None:
    refusal = error(404, b"<!DOCTYPE html><html>Not found</html>")
    assert isinstance(refusal, Refused)
    assert str(refusal) == "cryptopanic answered 404: an HTML page"


@pytest.mark.parametrize("status", [500, 502, 520])
def test_a_server_error_is_tried_again(status: int) -> None:
    assert isinstance(error(status, b"<html>"), RetryLater)


def test_throttled_with_a_number_of_seconds_waits_that_long() -> None:
    refusal = error(429, {"detail": "Request was throttled. Expected available in 17 seconds."})
    assert isinstance(refusal, RetryLater)
    assert refusal.after == timedelta(seconds=17)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
def test_an_echoed_token_is_never_repeated(status: int) -> None:
    for body in ({"info": f"auth_token={TOKEN} is wrong"}, {"info": f"bad: {TOKEN}"}, {"detail": "api key: short1"}):
        assert TOKEN not in str(error(status, body))
        assert "short1" not in str(error(status, body))


def test_headers_tell_nothing() -> None:
    assert PROVIDER.usage({"Content-Type": "application/json"}) == Usage()
