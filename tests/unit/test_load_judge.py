"""The judge of load finds what it is there to find."""

from __future__ import annotations

import struct

from gateway.limit import Limits
from tests.load.judge import Answer, judge, read_log

LIMITS = Limits(3, 5)
AT = 1_795_000_000_000


def answers(*told: tuple[int, int]) -> list[Answer]:
    """An answer each: when (ms) and its status, heard 10 ms after it was sent."""
    return [Answer(AT + when, AT + when + 10, status) for when, status in told]


def stamps(*at: int) -> list[int]:
    return [AT + one for one in at]


def test_right_answers_are_right() -> None:
    told = answers((0, 200), (100, 404), (200, 200), (300, 429), (59_000, 429), (60_005, 200))
    judged = judge(told, stamps(5, 105, 205, 60_010), LIMITS)
    assert judged.right
    assert (judged.admitted, judged.refused, judged.others) == (4, 2, 0)


def test_one_too_many_in_a_window_is_found() -> None:
    told = answers((0, 200), (100, 200), (200, 200), (59_000, 200))
    assert judge(told, stamps(5, 105, 205, 59_005), LIMITS).too_many == 1
    hourly = [n * 61_000 for n in range(6)]
    assert judge(answers(*((at, 200) for at in hourly)), stamps(*(at + 5 for at in hourly)), LIMITS).too_many == 1


def test_a_refusal_while_there_was_room_is_found() -> None:
    told = answers((0, 200), (100, 200), (200, 429))
    assert judge(told, stamps(5, 105), LIMITS).too_early == 1
    late = answers((0, 200), (100, 200), (200, 200), (60_100, 429))
    assert judge(late, stamps(5, 105, 205), LIMITS).too_early == 1


def test_a_refusal_that_a_call_under_way_explains_is_right() -> None:
    told = answers((0, 200), (100, 200), (200, 429), (200, 200))
    assert judge(told, stamps(5, 105, 207), LIMITS).right


def test_what_is_charged_twice_or_not_at_all_is_found() -> None:
    assert judge(answers((0, 200)), stamps(5, 6), LIMITS).miscounted == 1
    assert judge(answers((0, 200), (100, 200)), stamps(5), LIMITS).miscounted == 1
    assert judge(answers((0, 200)), stamps(-500), LIMITS).miscounted == 2


def test_what_redis_was_told_of_later_is_right_and_said() -> None:
    judged = judge(answers((0, 200), (100, 200)), stamps(105, 600), LIMITS)
    assert (judged.told_late, judged.right) == (1, True)
    assert judge(answers((0, 200)), stamps(9000), LIMITS).miscounted == 2


def test_errors_and_silence_are_counted_apart() -> None:
    assert judge(answers((0, 503), (10, 0), (20, 200)), stamps(25), LIMITS).others == 2


def test_a_packed_log_is_read_as_it_is_written() -> None:
    ring = [AT + n for n in (16, 17, 18, 19, 20, 21, 22, 23, 8, 9, 10, 11, 12, 13, 14, 15)]
    block = [AT + 24, AT + 25, 0, 0, 0, 0, 0, 0]
    log = struct.pack("<4I3dI", 16, 26, 24, 11, AT + 24, AT + 11, AT + 25, 0)
    log += b"".join(struct.pack("<I", stamp % 2**32) for stamp in [*block, *ring])
    assert read_log(log) == [AT + n for n in range(11, 26)]
