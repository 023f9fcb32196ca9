"""What the sandbox accepts and refuses: queries, times, Nansen's bodies, tokens, windows and quotas; and its keys."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ops.sandbox import keys
from ops.sandbox.boolean import InvalidQuery, compiled
from ops.sandbox.config import Allowance, SandboxConfig
from ops.sandbox.meter import Meter
from ops.sandbox.nansen_rules import Invalid, check
from ops.sandbox.when import moment

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("query", "matches"),
    [
        ("bitcoin", True),
        ("bitcoin halving", False),
        ("bitcoin OR halving", True),
        ("bitcoin AND (halving OR etf)", True),
        ("bitcoin -etf", False),
        ("NOT halving", True),
        ('"spot bitcoin"', True),
        ('"bitcoin spot"', False),
        ("bit*", True),
        ("bit", False),
        ("+etf", True),
    ],
)
def test_a_query_matches_as_its_language_says(query: str, matches: bool) -> None:
    assert compiled(query)("a spot bitcoin etf is filed") is matches


@pytest.mark.parametrize("query", ["", "[x]", "a:b", "(open", "shut)", "*coin", "AND", "NOT"])
def test_a_broken_query_is_refused(query: str) -> None:
    with pytest.raises(InvalidQuery):
        compiled(query)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", NOW),
        ("24h", NOW - timedelta(hours=24)),
        ("7 days ago", NOW - timedelta(days=7)),
        ("2026-02-28", datetime(2026, 2, 28, tzinfo=UTC)),
        ("2026/02/28 06:00:00", datetime(2026, 2, 28, 6, tzinfo=UTC)),
        ("2026-02-28T06:00:00", datetime(2026, 2, 28, 6, tzinfo=UTC)),
    ],
)
def test_times_are_read_in_all_their_forms(text: str, expected: datetime) -> None:
    assert moment(text, NOW) == expected


def problem(endpoint: str, body: dict[str, Any]) -> tuple[str, str]:
    with pytest.raises(Invalid) as refused:
        check(endpoint, body)
    name, _, code = refused.value.problems[0]
    return name, code


def test_nansen_refuses_what_it_does_not_know_and_misses_what_it_needs() -> None:
    assert problem("smart-money/netflow", {}) == ("chains", "missing_field")
    assert problem("smart-money/netflow", {"chains": ["all"], "limit": 5}) == ("limit", "unknown_field")
    filtered = {"chains": ["all"], "filters": {"colour": "red"}}
    assert problem("token-screener", filtered) == ("filters.colour", "unknown_field")
    for per_page in (0, 1001):
        paged = {"chains": ["all"], "pagination": {"page": 1, "per_page": per_page}}
        assert problem("smart-money/holdings", paged) == ("pagination.per_page", "value_out_of_range")


def test_historical_holdings_take_plain_dates_only() -> None:
    body: dict[str, Any] = {"chains": ["base"], "date_range": {"from": "2026-02-01", "to": "2026-02-03"}}
    check("smart-money/historical-holdings", body)
    body["date_range"]["to"] = "2026-02-03T00:00:00Z"
    assert problem("smart-money/historical-holdings", body) == ("date_range", "invalid_date_format")


@pytest.mark.parametrize(
    "odd", [{"pagination": 3}, {"order_by": "date"}, {"order_by": [{"field": 1}]}, {"chains": "all"}]
)
def test_odd_types_are_refused_not_crashed_on(odd: dict[str, Any]) -> None:
    problem("smart-money/netflow", {"chains": ["all"], **odd})


def test_a_window_refuses_what_is_too_much_and_opens_again() -> None:
    elapsed = [0.0]
    meter = Meter(Allowance(per_second=2, per_minute=3), lambda: elapsed[0])

    def call() -> tuple[str, str] | None:
        return meter.refusal("key", NOW, 1, 0)

    assert [call(), call(), call()] == [None, None, ("rate", "second")]
    elapsed[0] = 1.5
    assert [call(), call()] == [None, ("rate", "minute")]
    elapsed[0] = 61.0
    assert call() is None


def test_a_quota_lasts_a_calendar_month() -> None:
    meter = Meter(Allowance(quota=5))
    meter.charge(5, NOW)
    assert meter.refusal("key", NOW, 1, 0) == ("quota", "")
    assert meter.refusal("key", NOW, 0, 0) is None
    assert meter.refusal("key", NOW + timedelta(days=31), 5, 0) is None


def test_tokens_and_concurrency_are_checked() -> None:
    meter = Meter(Allowance(keys=frozenset({"good"}), concurrency=2))
    assert meter.refusal(None, NOW, 1, 0) == ("no_token", "")
    assert meter.refusal("bad", NOW, 1, 0) == ("bad_token", "bad")
    assert meter.refusal("good", NOW, 1, 2) == ("concurrency", "")
    assert meter.refusal("good", NOW, 1, 1) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (0.0, "0"),
        (100.0, "100"),
        (6079589.254947656, "6079589.25"),
        (2414.68934, "2414.68934"),
        (1e-11, "0.00000000001"),
        (123456789012.0, "123456789000"),
        ("5.60", "5.6"),
    ],
)
def test_amounts_in_keys_have_nine_digits_and_no_trailing_zeros(value: float | str | None, text: str) -> None:
    assert keys.amount(value) == text


def test_keys_lower_evm_addresses_and_keep_solanas() -> None:
    assert keys.address("0xABcd") == "0xabcd"
    assert keys.address("So1aNa") == "So1aNa"
    assert keys.flow_key("base", "0xAB", "whale", "2026-03-01T00:00:00Z") == (
        "tgm/flows:base|0xab|whale|2026-03-01T00:00:00Z"
    )


def test_a_naive_moment_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        SandboxConfig(now=datetime(2026, 3, 1))  # noqa: DTZ001
