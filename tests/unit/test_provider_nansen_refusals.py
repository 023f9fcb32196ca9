"""How Nansen refuses, and what its headers tell, one rule a test."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from workers.items import COUNT_MAX, Misconfigured, NotThere, ProviderError, QuotaUsedUp, Refused, RetryLater, Usage
from workers.providers.nansen import PROVIDER


def error(
    status: int, body: bytes | Mapping[str, Any] = b"", headers: Mapping[str, str] | None = None
) -> ProviderError:
    return PROVIDER.error(status, headers or {}, body if isinstance(body, bytes) else json.dumps(body).encode())


def refusal(code: str, status: int, **more: Any) -> dict[str, Any]:
    return {"error": "E", "message": "Something.", "code": code, "status": status, "request_id": None, **more}


def test_used_up_credits_are_a_403_and_a_quota() -> None:
    assert isinstance(error(403, refusal("insufficient_credits", 403)), QuotaUsedUp)
    assert isinstance(error(403, {"message": "Insufficient credits remaining to call this endpoint."}), QuotaUsedUp)


@pytest.mark.parametrize(
    ("status", "code"), [(401, "unauthenticated"), (403, "plan_upgrade_required"), (403, "geo_blocked"), (402, "")]
)
def test_key_and_plan_need_a_person(status: int, code: str) -> None:
    assert isinstance(error(status, refusal(code, status)), Misconfigured)


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "missing_field"), (405, "method_not_allowed"), (409, "conflict"), (413, "payload_too_large")],
)
def test_a_wrong_request_is_not_tried_again(status: int, code: str) -> None:
    assert isinstance(error(status, refusal(code, status)), Refused)


def test_a_blocked_token_is_a_422() -> None:
    spoken = error(422, refusal("invalid_field_value", 422, message="This token is not supported on this chain"))
    assert isinstance(spoken, Refused)
    assert "not supported" in str(spoken)


def test_the_gateways_404_is_not_there() -> None:
    assert isinstance(error(404, {"message": "no Route matched with those values", "request_id": "1"}), NotThere)


def test_a_429_waits_as_long_as_the_header_or_the_body_says() -> None:
    by_header = error(429, refusal("rate_limit_exceeded", 429, retry_after=9), {"retry-after": "1"})
    by_body = error(429, refusal("rate_limit_exceeded", 429, retry_after=9))
    assert isinstance(by_header, RetryLater)
    assert isinstance(by_body, RetryLater)
    assert (by_header.rate_limited, by_header.after, by_body.after) == (
        True,
        timedelta(seconds=1),
        timedelta(seconds=9),
    )


def test_a_query_timeout_is_a_500_to_try_again_and_the_deadline_outlasts_it() -> None:
    assert isinstance(error(500, refusal("query_timeout", 500)), RetryLater)
    assert PROVIDER.limits.timeout_s > 35


@pytest.mark.parametrize(("status", "wait"), [(502, 10), (503, 30), (504, 30)])
def test_upstream_faults_wait_as_told(status: int, wait: int) -> None:
    told = error(status, refusal("upstream_unavailable", status, retry_after=wait))
    assert isinstance(told, RetryLater)
    assert (told.after, told.rate_limited) == (timedelta(seconds=wait), False)


def test_a_retry_after_may_be_a_date() -> None:
    headers = {"Retry-After": "Tue, 18 Aug 2026 00:17:00 GMT", "Date": "Tue, 18 Aug 2026 00:16:40 GMT"}
    told = error(503, b"", headers)
    assert isinstance(told, RetryLater)
    assert told.after == timedelta(seconds=20)


def test_headers_tell_credits_and_rates_and_resets_are_seconds() -> None:
    headers = {
        "X-Nansen-Credits-Cost": "5",
        "x-nansen-credits-used": "5",
        "X-Nansen-Credits-Remaining": "9995",
        "RateLimit-Remaining": "14",
        "X-RateLimit-Remaining": "13",
        "X-RateLimit-Reset": "1",
        "Retry-After": "2",
    }
    assert PROVIDER.usage(headers) == Usage(cost=5, remaining=9995, retry_after_s=2, rate_remaining=13, rate_reset_s=1)


@pytest.mark.parametrize("told", ["2147483648", "3000000000", "1e300", "-1", "inf", "nan", ""])
def test_a_price_or_an_account_beyond_all_measure_tells_nothing(told: str) -> None:
    headers = {"X-Nansen-Credits-Used": told, "X-Nansen-Credits-Remaining": told}
    assert PROVIDER.usage(headers) == Usage()
    assert PROVIDER.usage(headers | {"X-Nansen-Credits-Cost": "5"}).cost == 5


def test_the_largest_count_that_rows_hold_is_told() -> None:
    assert PROVIDER.usage({"X-Nansen-Credits-Used": "2147483647"}).cost == COUNT_MAX
    with pytest.raises(ValueError, match="not a number of calls or credits"):
        Usage(cost=COUNT_MAX + 1)


def test_a_failed_answer_may_tell_its_price_only() -> None:
    assert PROVIDER.usage({"X-Nansen-Credits-Cost": "1"}).cost == 1
    assert PROVIDER.usage({"X-Nansen-Credits-Cost": "1", "X-Nansen-Credits-Used": "0"}).cost == 0
    assert PROVIDER.usage({"X-Nansen-Credits-Remaining": "nan", "X-RateLimit-Reset": "soon"}) == Usage()
