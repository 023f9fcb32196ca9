"""What was read and not yet posted: kept for a while, never the only copy."""

from __future__ import annotations

from uuid import UUID

from workers.unposted import KEPT_S_MAX, Unposted

A, B, C = (UUID(int=n) for n in (1, 2, 3))


def test_what_is_taken_is_gone() -> None:
    kept: Unposted[list[int]] = Unposted()
    kept.keep(A, [1, 2])
    assert (kept.take(A), kept.take(A), kept.take(B)) == ([1, 2], None, None)


def test_the_oldest_make_room_for_new_ones() -> None:
    kept: Unposted[list[int]] = Unposted(rows_max=5)
    for page in (A, B, C):
        kept.keep(page, [0, 0])
    assert (kept.take(A), kept.take(B), kept.take(C)) == (None, [0, 0], [0, 0])


def test_a_page_that_is_larger_than_all_room_is_not_kept() -> None:
    kept: Unposted[list[int]] = Unposted(rows_max=1)
    kept.keep(A, [1, 2])
    assert kept.take(A) is None


def test_what_another_process_will_have_posted_is_forgotten() -> None:
    now = [0.0]
    kept: Unposted[list[int]] = Unposted(clock=lambda: now[0])
    kept.keep(A, [1])
    now[0] = KEPT_S_MAX + 1
    kept.keep(B, [2])
    assert (kept.take(A), kept.take(B)) == (None, [2])


def test_a_page_read_again_is_kept_once() -> None:
    kept: Unposted[list[int]] = Unposted(rows_max=3)
    kept.keep(A, [1, 2])
    kept.keep(A, [3, 4])
    kept.keep(B, [5])
    assert (kept.take(A), kept.take(B)) == ([3, 4], [5])
