"""What NewsCatcher is known to do, one rule a test."""

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
    COUNT_MAX,
    InHeader,
    Malformed,
    Misconfigured,
    Mode,
    Page,
    Parsed,
    ProviderError,
    Pull,
    QuotaUsedUp,
    Refused,
    RetryLater,
)
from workers.providers.newscatcher import PROVIDER
from workers.providers.newscatcher_window import REACHABLE, Cursor, window_of

FIXTURES = Path(__file__).parent.parent / "fixtures" / "newscatcher"
NOW = datetime(2026, 5, 5, 14, 0, tzinfo=UTC)
SINCE = NOW - timedelta(hours=2)


def pull(dataset: str = "search", mode: Mode = "incremental", since: datetime | None = SINCE, **params: Any) -> Pull:
    return Pull(dataset, {"q": "harbor", **params}, mode, until=NOW, since=since)


def parse(body: bytes | Mapping[str, Any], asked: Pull | None = None, cursor: str | None = None) -> Parsed:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return PROVIDER.parse(Page(raw, asked or pull(), cursor, NOW, NOW))


def fixture(name: str) -> bytes:
    return (FIXTURES / name).read_bytes()


def article(**fields: Any) -> dict[str, Any]:
    return {"id": "a1", "title": "T", "link": "https://h.example/1", "published_date": "2026-05-05 12:00:00", **fields}


def page_of(*rows: Any, **envelope: Any) -> dict[str, Any]:
    return {"status": "ok", "total_hits": len(rows), "page": 1, "total_pages": 1, "articles": list(rows), **envelope}


def error(status: int, body: bytes | Mapping[str, Any] = b"") -> ProviderError:
    return PROVIDER.error(status, {}, body if isinstance(body, bytes) else json.dumps(body).encode())


def sent(asked: Pull, cursor: str | None = None) -> Mapping[str, Any]:
    request = PROVIDER.request(asked, cursor)
    assert request.json is not None
    return request.json


def test_v3_is_post_and_v2_is_get_each_with_its_own_header() -> None:
    three, two = PROVIDER.request(pull(), None), PROVIDER.request(pull(api="v2"), None)
    assert (three.method, three.path, PROVIDER.apis["v3"].token) == ("POST", "/api/search", InHeader("x-api-token"))
    assert (two.method, two.path, PROVIDER.apis["v2"].token) == ("GET", "/v2/search", InHeader("x-api-key"))


def test_an_incremental_pull_filters_on_the_parse_date_between_watermark_and_fixed_end() -> None:
    body = sent(pull())
    assert body["by_parse_date"] is True
    assert (body["from_"], body["to_"]) == ("2026-05-05T12:00:00", "2026-05-05T14:00:00")
    assert (body["sort_by"], body["page"], body["page_size"]) == ("date", 1, 100)
    assert sent(pull(), "2")["to_"] == body["to_"]


def test_a_backfill_filters_on_the_published_date() -> None:
    assert "by_parse_date" not in sent(pull(mode="backfill"))


def test_a_fixed_window_wins_and_a_plain_end_date_includes_its_day() -> None:
    window: dict[str, Any] = {"from": "2026-01-01", "to": "2026-01-31"}
    body = sent(pull(**window))
    assert (body["from_"], body["to_"]) == ("2026-01-01T00:00:00", "2026-01-31T23:59:59")
    assert "by_parse_date" not in body
    assert not {"from", "to", "api"} & set(body)


def test_a_window_with_a_date_that_does_not_exist_is_refused_before_it_is_asked() -> None:
    window: dict[str, Any] = {"from": "2026-02-31"}
    with pytest.raises(Refused):
        PROVIDER.request(pull(**window), None)


def test_a_pull_without_a_beginning_asks_the_seven_days_the_provider_defaults_to() -> None:
    assert sent(pull(since=None))["from_"] == "2026-04-28T14:00:00"


def test_v2_names_have_no_underscore_lists_are_comma_strings_and_booleans_are_words() -> None:
    query = dict(PROVIDER.request(pull(api="v2", lang=["en", "de"], ranked_only=False), "2").query)
    assert query["lang"] == "en,de"
    assert query["ranked_only"] == "False"
    assert (query["from"], query["to"]) == ("2026/05/05 12:00:00", "2026/05/05 14:00:00")
    assert query["page"] == "2"
    assert not {"from_", "to_", "by_parse_date", "api"} & set(query)


@pytest.mark.parametrize(("age", "when"), [(0.5, "1h"), (2, "24h"), (30, "7d"), (200, "30d"), (9000, "30d")])
def test_headlines_take_the_shortest_when_that_reaches_the_watermark(age: float, when: str) -> None:
    asked = Pull("latest_headlines", {}, "incremental", until=NOW, since=NOW - timedelta(hours=age))
    body = sent(asked)
    assert body["when"] == when
    assert not {"from_", "to_", "q"} & set(body)


@pytest.mark.parametrize(("waited", "when"), [(0, "1h"), (10, "24h"), (48, "7d")])
def test_headlines_reach_the_watermark_however_long_the_call_has_waited(waited: float, when: str) -> None:
    since, until = NOW - timedelta(minutes=16), NOW
    asked = Pull("latest_headlines", {}, "incremental", until, since, asked_at=until + timedelta(hours=waited))
    assert sent(asked)["when"] == when


@pytest.mark.parametrize(
    "params",
    [{}, {"q": ""}, {"q": "x", "page": 2}, {"q": "x", "api": "v2", "page_size": 101}, {"q": "x", "page_size": 1001}],
)
def test_parameters_outside_the_api_are_refused(params: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Draft202012Validator(PROVIDER.datasets["search"].params).validate(params)


def test_v3_allows_a_thousand_a_page() -> None:
    Draft202012Validator(PROVIDER.datasets["search"].params).validate({"q": "x", "page_size": 1000})


def test_pages_follow_until_the_last_one() -> None:
    first = parse(fixture("v3_page.json"))
    assert (first.next, first.pages_total) == ("2", 3)
    assert parse(fixture("v3_page.json"), cursor="3").next is None


def test_a_naive_published_date_is_utc() -> None:
    assert parse(fixture("v3_page.json")).items[0].happened_at == datetime(2026, 5, 5, 12, 56, 15, tzinfo=UTC)


def test_date_precision_means_midnight_and_is_told() -> None:
    item = parse(fixture("v3_page.json")).items[2]
    assert item.happened_at == datetime(2026, 5, 5, tzinfo=UTC)
    assert item.body["published_date_precision"] == "date"


def test_a_published_date_after_now_is_kept() -> None:
    assert parse(page_of(article(published_date="2026-05-09 00:00:00"))).items[0].happened_at > NOW


def test_without_a_published_date_the_parse_date_counts_and_without_both_the_row_is_refused() -> None:
    rows = (article(published_date=None, parse_date="2026-05-05 13:00:00"), article(published_date=None))
    parsed = parse(page_of(*rows))
    assert [item.happened_at.hour for item in parsed.items] == [13]
    assert [bad.position for bad in parsed.rejected] == [1]


def test_authors_come_as_list_text_or_null() -> None:
    one, two, three = parse(fixture("v3_page.json")).items
    assert one.body["authors"] == ["Ana Wells", "Bo Finn"]
    assert two.body["authors"] == ["Cy Rhodes", "Di Hall"]
    assert "authors" not in three.body


def test_a_sentiment_outside_one_is_nulled_and_the_row_kept() -> None:
    assert parse(fixture("v3_page.json")).items[0].observed["nlp"]["sentiment"] == {"title": Decimal("0.5")}


def test_nlp_may_be_absent_empty_or_have_null_lists_and_embeddings_are_left_in_the_page() -> None:
    one, two, three = parse(fixture("v3_page.json")).items
    assert set(one.observed["nlp"]) == {"theme", "summary", "sentiment", "ner_ORG"}
    assert "nlp" not in two.observed
    assert "nlp" not in three.observed


def test_the_link_is_kept_as_it_came_with_its_fragment() -> None:
    assert parse(fixture("v3_page.json")).items[0].url == "https://harbor.example/a/1#pfrom=home"


def test_the_group_of_duplicates_can_change_and_is_no_revision() -> None:
    before = article(duplicate_articles_group_id="g1", duplicate_count=2)
    after = article(duplicate_articles_group_id="g2", duplicate_count=3)
    one, two = parse(page_of(before, after)).items
    assert one.key == two.key == "articles:a1"
    assert one.fingerprint == two.fingerprint
    assert two.observed["duplicate_articles_group_id"] == "g2"


def test_what_depends_on_the_query_is_no_revision() -> None:
    plain = article(score=1.5, rank=10)
    rich = article(
        score=9.25, rank=12, parse_date="2026-05-05 12:01:00", nlp={"theme": "Tech"}, title_translated_en="T"
    )
    one, two = parse(page_of(plain, rich)).items
    assert one.fingerprint == two.fingerprint


def test_a_changed_text_is_a_revision() -> None:
    one, two = parse(page_of(article(content="a"), article(content="b"))).items
    assert one.fingerprint != two.fingerprint


def test_clusters_are_flattened_to_articles() -> None:
    parsed = parse(fixture("v3_clusters.json"))
    assert len(parsed.items) == 3
    assert [item.observed["cluster_id"] for item in parsed.items][1:] == ["7222464423361803386", "99"]


def test_a_cluster_without_articles_is_refused_alone() -> None:
    parsed = parse({"status": "ok", "clusters": [None, {"cluster_id": 3, "articles": [article()]}]})
    assert (len(parsed.items), len(parsed.rejected)) == (1, 1)


def test_v2_fields_are_read_under_their_v3_names() -> None:
    one, two = parse(fixture("v2_page.json"), pull(api="v2")).items
    assert one.key == f"articles:{11:032x}"
    assert one.body["domain_url"] == "harbor.example"
    assert one.body["description"] == "One line."
    assert one.body["content"] == "The full text of the story."
    assert one.body["topic"] == "finance"
    assert "description" not in two.body


def test_a_count_of_pages_beyond_all_measure_is_no_larger_than_rows_hold() -> None:
    assert parse(page_of(article(), total_pages=10**11)).pages_total == COUNT_MAX


@pytest.mark.parametrize("total_pages", [0, 1])
def test_no_match_is_an_empty_page_and_no_error(total_pages: int) -> None:
    assert parse(page_of(total_pages=total_pages)) == Parsed(pages_total=total_pages or None)
    assert parse(fixture("v2_no_match.json"), pull(api="v2")).items == ()
    assert parse(fixture("v2_no_match.json"), pull(api="v2")).next is None


def test_title_and_link_must_be_there_and_the_other_rows_survive() -> None:
    parsed = parse(page_of(article(title=""), article(link=None), article(id=None), article(), "x"))
    assert len(parsed.items) == 1
    assert [bad.position for bad in parsed.rejected] == [0, 1, 2, 4]


@pytest.mark.parametrize("body", [b"Internal Server Error", b"[]", b'{"status": "ok"}', b'{"clusters": 3}'])
def test_what_is_no_page_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        parse(body)


def hits(count: int, asked: Pull, cursor: str | None, rows: int = 100) -> Parsed:
    pages = -(-min(count, REACHABLE) // 100)
    body = page_of(*(article(id=f"a{n}") for n in range(rows)), total_hits=min(count, REACHABLE), total_pages=pages)
    return parse(body, asked, cursor)


def test_a_window_over_the_cap_gives_no_rows_only_the_way_into_its_newest_part() -> None:
    asked = pull(mode="backfill", since=NOW - timedelta(days=90))
    parsed = hits(25_000, asked, None)
    assert (parsed.items, parsed.skipped, len(parsed.warnings)) == ((), 100, 1)
    body = sent(asked, parsed.next)
    assert (body["from_"], body["to_"], body["page"]) == ("2026-04-05T14:00:00", "2026-05-05T14:00:00", 1)


def test_the_parts_of_a_cut_window_leave_no_gap_and_end_at_the_beginning() -> None:
    asked = pull(mode="backfill", since=NOW - timedelta(days=70))
    cursor, walked = hits(25_000, asked, None).next, []
    while cursor is not None:
        walked.append(Cursor.read(cursor, window_of(asked)).window)
        cursor = hits(50, asked, cursor, rows=50).next
    assert walked[0][1] == NOW
    assert walked[-1][0] == asked.since
    assert all(later[0] == earlier[1] for later, earlier in pairwise(walked))
    assert [end - start for start, end in walked] == [timedelta(days=30), timedelta(days=30), timedelta(days=10)]


def test_a_part_still_over_the_cap_is_cut_again_down_to_an_hour() -> None:
    asked = pull(mode="backfill", since=NOW - timedelta(days=90))
    cursor, lengths = hits(REACHABLE, asked, None).next, []
    for _ in range(6):
        start, end = Cursor.read(cursor, window_of(asked)).window
        lengths.append(int((end - start).total_seconds() // 3600))
        cursor = hits(REACHABLE, asked, cursor).next
    assert lengths == [720, 168, 72, 24, 6, 1]
    assert Cursor.read(cursor, window_of(asked)).page == 2


def test_an_hour_over_the_cap_is_read_as_far_as_it_goes_with_a_warning() -> None:
    asked = pull(since=NOW - timedelta(hours=1))
    parsed = hits(REACHABLE, asked, "100")
    assert (parsed.next, len(parsed.warnings), len(parsed.items)) == (None, 1, 100)


def test_headlines_cannot_be_cut_and_say_so_at_the_cap() -> None:
    asked = Pull("latest_headlines", {}, "incremental", until=NOW, since=SINCE)
    assert hits(REACHABLE, asked, None).next == "2"
    assert hits(REACHABLE, asked, "100").warnings


@pytest.mark.parametrize("status", [400, 406, 422, 499])
def test_a_wrong_request_is_not_tried_again(status: int) -> None:
    assert isinstance(error(status, {"message": "Invalid date format", "status": "Validation error"}), Refused)


def test_a_401_never_repeats_the_key_it_echoes() -> None:
    refusal = error(401, {"message": "Invalid api key: s3cret", "status_code": 401, "status": "Unauthorized"})
    assert isinstance(refusal, Misconfigured)
    assert "s3cret" not in str(refusal)


def test_a_v2_400_without_a_key_needs_a_person() -> None:
    assert isinstance(error(400, {"status": "error", "message": "You did not specify your API key"}), Misconfigured)


def test_a_query_about_keywords_or_quotas_is_only_a_wrong_query() -> None:
    assert isinstance(error(400, {"message": "Invalid keyword in q"}), Refused)
    assert isinstance(error(422, {"message": "Invalid q: steel AND quota["}), Refused)


def test_a_range_beyond_400_days_is_the_requests_fault_and_other_403s_the_plans() -> None:
    refusal = error(403, {"message": "Your plan request date range cannot be greater than 400 days"})
    assert isinstance(refusal, Refused)
    assert "400 days" in str(refusal)
    assert isinstance(error(403, {"message": "Forbidden"}), Misconfigured)


def test_a_timeout_of_theirs_is_tried_again() -> None:
    assert isinstance(error(408, {"message": "Request timed out after 30 seconds"}), RetryLater)


def test_concurrency_is_a_rate_limit_without_retry_after() -> None:
    refusal = error(429, {"message": "Max API requests concurrency reached", "status": "Too many requests"})
    assert isinstance(refusal, RetryLater)
    assert (refusal.rate_limited, refusal.after) == (True, None)


@pytest.mark.parametrize("status", [403, 429])
def test_a_used_up_month_is_told_by_its_text(status: int) -> None:
    assert isinstance(error(status, {"message": "Monthly API calls limit reached"}), QuotaUsedUp)


def test_a_500_is_plain_text_and_tried_again() -> None:
    assert isinstance(error(500, b"Internal Server Error"), RetryLater)


def test_the_headers_the_sdk_honours_are_read() -> None:
    usage = PROVIDER.usage({"X-RateLimit-Reset": "1777989610", "Date": "Tue, 05 May 2026 14:00:00 GMT"})
    assert usage.rate_reset_s == 10
    assert PROVIDER.usage({"Retry-After": "3", "x-ratelimit-reset": "7"}).rate_reset_s == 7
