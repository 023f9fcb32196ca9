"""A refusal says why and until when, for people; a status says how things stand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from broker.limits import Budget, Limits, Rate, period_at, us_of_time
from broker.verdicts import Because, Told, sentence, status_of

DECEMBER = datetime(2026, 12, 1, tzinfo=UTC)
NOON = datetime(2026, 11, 22, 12, 0, 7, tzinfo=UTC)
LIMITS = Limits((Rate(2, 1.0), Rate(300, 60.0)), concurrency=4, budget=Budget(3000, "month"))


@pytest.mark.parametrize(
    ("because", "cost", "words"),
    [
        (Because("quota", DECEMBER, 3000, 3000), 1, "budget of 3000 calls a month is used up until 2026-12-01T00:00Z"),
        (
            Because("quota", DECEMBER, 2998, 3000),
            5,
            "budget of 3000 calls a month has 2 left for a call of 5: wait until 2026-12-01T00:00Z",
        ),
        (
            Because("quota", DECEMBER, 10, 13),
            5,
            "the account has 3 calls left for a call of 5: wait until 2026-12-01T00:00Z",
        ),
        (
            Because("quota", DECEMBER, 0, 3000),
            3001,
            "a call of 3001 calls never fits a budget of 3000 calls a month; it is asked again at 2026-12-01T00:00Z",
        ),
        (Because("pace", NOON, 120, 3000), 1, "pacing: 120 of 3000 calls spent, next at 2026-11-22T12:00:07Z"),
        (Because("rate", NOON, 2), 1, "rate: 300 calls a minute, next slot at 2026-11-22T12:00:07Z"),
        (
            Because("concurrency", NOON, 4, 4),
            1,
            "concurrency: 4 of 4 calls are under way, ask again at 2026-11-22T12:00:07Z",
        ),
        (
            Because("closed", NOON, text="provider answered 429"),
            1,
            "provider answered 429: wait until 2026-11-22T12:00:07Z",
        ),
        (Because("breaker", NOON, 5, 0), 1, "circuit open after 5 failures until 2026-11-22T12:00:07Z"),
        (
            Because("breaker", NOON, 5, 1),
            1,
            "circuit half open after 5 failures, one call is trying; ask again at 2026-11-22T12:00:07Z",
        ),
    ],
)
def test_a_refusal_says_why_and_until_when(because: Because, cost: int, words: str) -> None:
    assert sentence(because, LIMITS, cost) == words


def test_the_status_of_an_account_with_less_than_the_budget_is_paced_by_the_account() -> None:
    period = period_at("month", NOON)
    told = Told(budget={"spent": "10", "total": "100"}, breaker={}, closed={}, in_flight=1)
    status = status_of("nansen", LIMITS, period.start, period, told)
    assert (status.spent, status.account_left, status.allowed) == (10, 90, 5)
    assert status.next_at == period.start + period.length * 6 / 100


def test_the_status_names_a_closing_only_while_it_lasts() -> None:
    closed = {"until": str(us_of_time(NOON)), "reason": "provider answered 429", "state": "closed"}
    told = Told(budget={}, breaker={"open_until": str(us_of_time(NOON)), "failures": "5"}, closed=closed, in_flight=0)
    before = status_of("x", Limits(), NOON - timedelta(seconds=1), None, told)
    assert (before.closed_until, before.closed_reason, before.breaker) == (NOON, "provider answered 429", "open")
    after = status_of("x", Limits(), NOON, None, told)
    assert (after.closed_until, after.closed_reason, after.breaker) == (None, None, "half_open")
