"""Whether to try again, and when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.items import Malformed, Misconfigured, NotThere, QuotaUsedUp, Refused, RetryLater
from workers.retry import BASE, CAP, backoff

NOW = datetime(2026, 5, 5, tzinfo=UTC)


@given(attempt=st.integers(min_value=-3, max_value=10**9), seed=st.integers())
def test_a_fault_waits_a_random_part_of_an_exponential_with_a_cap(attempt: int, seed: int) -> None:
    wait = backoff(RetryLater("x"), attempt, Random(seed), NOW)
    assert wait is not None
    assert timedelta(0) <= wait <= min(CAP, BASE * 2 ** max(0, min(attempt - 1, 16)))


def test_jitter_is_full_so_that_waits_reach_from_nothing_to_the_ceiling() -> None:
    rng = Random(7)
    waits = [backoff(RetryLater("x"), 3, rng, NOW) or timedelta(0) for _ in range(500)]
    assert min(waits) < BASE * 4 * 0.05
    assert max(waits) > BASE * 4 * 0.95


@given(asked=st.floats(min_value=0, max_value=86400 * 40), attempt=st.integers(1, 50), seed=st.integers())
def test_what_the_provider_asks_for_is_never_cut_short(asked: float, attempt: int, seed: int) -> None:
    after = timedelta(seconds=asked)
    wait = backoff(RetryLater("x", after=after), attempt, Random(seed), NOW)
    assert wait is not None
    assert after <= wait <= after + timedelta(seconds=30)


def test_a_wait_in_the_past_is_no_negative_wait() -> None:
    wait = backoff(RetryLater("x", after=timedelta(seconds=-5)), 1, Random(1), NOW)
    assert wait is not None
    assert timedelta(0) <= wait <= timedelta(seconds=1)


def test_a_quota_waits_until_its_period_turns() -> None:
    wait = backoff(QuotaUsedUp("x", until=NOW + timedelta(days=3)), 1, Random(1), NOW)
    assert wait is not None
    assert timedelta(days=3) <= wait <= timedelta(days=3, seconds=30)


def test_a_malformed_page_is_asked_again() -> None:
    assert backoff(Malformed("x"), 1, Random(1), NOW) is not None


@pytest.mark.parametrize(
    "error", [Misconfigured("x"), Refused("x"), NotThere("x"), QuotaUsedUp("x"), ValueError("x"), TimeoutError()]
)
def test_what_cannot_work_is_not_tried_again(error: Exception) -> None:
    assert backoff(error, 1, Random(1), NOW) is None
