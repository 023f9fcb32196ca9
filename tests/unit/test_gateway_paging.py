"""Cursors: what was sealed opens for the same question alone; moments are read in one way."""

from __future__ import annotations

import string
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.paging import CURSOR_CHARS_MAX, opened, sealed
from gateway.problems import Problem
from gateway.texts import moment

KEY, SCOPE = b"k" * 32, b'["alice","/jobs",{}]'
JOB = UUID(int=7)
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.text(max_size=20), max_size=4))
def test_case_06_a_cursor_gives_back_the_place_it_was_made_of(place: list[int | str]) -> None:
    assert opened(sealed(place, KEY, SCOPE), KEY, SCOPE) == place


def test_case_06_moments_and_ids_are_told_exactly() -> None:
    at = datetime(2026, 11, 22, 14, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    assert opened(sealed([at, JOB], KEY, SCOPE), KEY, SCOPE) == ["2026-11-22T12:00:00.123456+00:00", str(JOB)]


@given(st.data())
def test_case_06_a_cursor_with_one_letter_changed_is_refused(data: st.DataObject) -> None:
    cursor = sealed([NOON, 12345], KEY, SCOPE)
    at = data.draw(st.integers(0, len(cursor) - 2))  # the last letter may hold bits that mean nothing
    other = data.draw(
        st.sampled_from(string.ascii_letters + string.digits + "-_").filter(lambda one: one != cursor[at])
    )
    with pytest.raises(Problem) as refusal:
        opened(cursor[:at] + other + cursor[at + 1 :], KEY, SCOPE)
    assert refusal.value.code == "invalid_cursor"


@pytest.mark.parametrize(
    ("key", "scope"),
    [(b"j" * 32, SCOPE), (KEY, b'["bob","/jobs",{}]'), (KEY, b'["alice","/items",{}]'), (KEY, SCOPE + b" ")],
)
def test_case_06_a_cursor_opens_for_no_other_system_user_or_list(key: bytes, scope: bytes) -> None:
    with pytest.raises(Problem):
        opened(sealed([1], KEY, SCOPE), key, scope)


def test_a_cursor_of_the_longest_names_can_be_sent_back() -> None:
    """A lot stands at a moment, a trade's id of 200 letters, and a coin and an account of 100 each."""
    longest = [NOON, "\U0001f680" * 200, "\U0001f680" * 100, "\U0001f680" * 100, "short"]
    assert len(sealed(longest, KEY, SCOPE)) <= CURSOR_CHARS_MAX


@given(st.text(max_size=CURSOR_CHARS_MAX))
def test_case_06_whatever_a_client_makes_up_is_refused(cursor: str) -> None:
    with pytest.raises(Problem):
        opened(cursor, KEY, SCOPE)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22T12:00:00Z",
        "2026-11-22t12:00:00z",
        "2026-11-22 12:00Z",
        "2026-11-22T13:00:00.000+01:00",
        "2026-11-22T13:00:00 01:00",  # a plus in a query that nobody quoted
        "2026-11-22T12:00:00.000000000Z",
    ],
)
def test_a_moment_is_read_however_it_is_written(text: str) -> None:
    assert moment("since", text) == NOON


@pytest.mark.parametrize(
    "text",
    [
        *("", "now", "1795000000", "2026-11-22", "2026-11-22T12:00:00", "2026-13-01T00:00:00Z", "2026-11-22T25:00:00Z"),
        *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-11-22T12:00:00Z\n", "٢٠٢٦-11-22T12:00:00Z"),
    ],
)
def test_what_is_no_moment_names_its_field(text: str) -> None:
    with pytest.raises(Problem) as refusal:
        moment("since", text)
    assert (refusal.value.code, refusal.value.extra) == ("invalid", {"field": "since"})
