"""What a client reads of a verdict: the two families of headers, Retry-After and the problem document agree."""

from __future__ import annotations

import re
from random import Random

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.limit.verdict import HOUR_MS, MINUTE_MS, Limits, Verdict, headers, refusal
from gateway.problems import QUOTA_EXCEEDED, problem_response

CLOCK = 1_795_000_000_123
FIELD = re.compile(r'"minute";r=(\d+);t=(\d+),"hour";r=(\d+);t=(\d+)')


@st.composite
def verdicts(draw: st.DrawFn) -> Verdict:
    limits = Limits(draw(st.integers(1, 500)), draw(st.integers(1, 5000)))
    admitted = draw(st.booleans())
    minute = draw(st.integers(0, limits.minute - 1))
    hour = draw(st.integers(0, limits.hour - 1))
    if not admitted:
        minute, hour = draw(st.sampled_from([(0, hour), (minute, 0), (0, 0)]))
    waits = draw(st.integers(1, MINUTE_MS)), draw(st.integers(1, HOUR_MS))
    return Verdict(admitted, limits, CLOCK, minute, waits[0], hour, waits[1])


@given(verdict=verdicts(), seed=st.integers())
def test_all_headers_are_made_from_one_reply_and_agree(verdict: Verdict, seed: int) -> None:
    told = headers(verdict, Random(seed))
    match = FIELD.fullmatch(told["RateLimit"])
    assert match is not None
    minute, minute_t, hour, hour_t = map(int, match.groups())
    assert (minute, hour) == (verdict.minute_left, verdict.hour_left)
    assert minute_t * 1000 - verdict.minute_wait_ms in range(1000)
    assert hour_t * 1000 - verdict.hour_wait_ms in range(1000)
    limits = verdict.limits
    assert told["RateLimit-Policy"] == f'"minute";q={limits.minute};w=60,"hour";q={limits.hour};w=3600'
    windows = [
        (limits.minute, minute, -(-(CLOCK + verdict.minute_wait_ms) // 1000)),
        (limits.hour, hour, -(-(CLOCK + verdict.hour_wait_ms) // 1000)),
    ]
    assert tuple(int(told[f"X-RateLimit-{what}"]) for what in ("Limit", "Remaining", "Reset")) in windows
    assert ("Retry-After" in told) is (not verdict.admitted)


@given(verdict=verdicts().filter(lambda one: not one.admitted), seed=st.integers())
def test_case_42_a_refusal_names_the_windows_and_a_time_that_is_late_enough_for_all(
    verdict: Verdict, seed: int
) -> None:
    problem = refusal(verdict, Random(seed))
    violated = problem.extra["violated-policies"]
    left = {"minute": verdict.minute_left, "hour": verdict.hour_left}
    assert violated == [name for name in left if not left[name]]
    waits = {"minute": verdict.minute_wait_ms, "hour": verdict.hour_wait_ms}
    seconds = int(problem.headers["Retry-After"])
    longest = max(waits[name] for name in violated)
    assert longest == verdict.retry_ms
    assert 1 <= -(-longest // 1000) <= seconds <= -(-longest // 1000) * 1.1
    if longest <= 10_000:
        assert seconds == -(-longest // 1000)
    answer = problem_response(problem)
    assert (answer.status, answer.content_type) == (429, "application/problem+json")
    assert isinstance(answer.body, bytes)
    assert orjson.loads(answer.body)["type"] == QUOTA_EXCEEDED


def test_the_window_that_binds_is_the_one_with_the_smaller_share_left() -> None:
    by_minute = headers(Verdict(True, Limits(), CLOCK, 5, 1000, 900, 1000), Random(1))
    by_hour = headers(Verdict(True, Limits(), CLOCK, 59, 1000, 900, 1000), Random(1))
    assert (by_minute["X-RateLimit-Limit"], by_hour["X-RateLimit-Limit"]) == ("60", "1000")


def test_on_a_refusal_the_window_that_binds_is_the_one_with_the_longest_wait() -> None:
    told = headers(Verdict(False, Limits(), CLOCK, 0, 30_000, 0, 5_000), Random(1))
    assert (told["X-RateLimit-Limit"], told["X-RateLimit-Reset"]) == ("60", str(-(-(CLOCK + 30_000) // 1000)))


def test_long_waits_are_spread_and_short_ones_are_exact() -> None:
    rng = Random(3)
    spread = {headers(Verdict(False, Limits(), CLOCK, 0, 50_000, 9, 9), rng)["Retry-After"] for _ in range(200)}
    exact = {headers(Verdict(False, Limits(), CLOCK, 0, 9_001, 9, 9), rng)["Retry-After"] for _ in range(200)}
    assert exact == {"10"}
    assert {int(one) for one in spread} == set(range(50, 55))


@pytest.mark.parametrize(("minute", "hour"), [(0, 10), (10, 0), (-1, 5), (10, 2_000_000)])
def test_a_limit_that_is_none_is_refused(minute: int, hour: int) -> None:
    with pytest.raises(ValueError, match="limits must lie between"):
        Limits(minute, hour)


def test_administrators_have_a_multiple() -> None:
    assert Limits().times(5) == Limits(300, 5000)
