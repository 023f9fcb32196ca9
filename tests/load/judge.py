"""Was every answer right?  Judged by the stamps that Redis's log holds, which are what was admitted and when.

The client's clock and Redis's are one machine's, so the decision about a request lies between its sending and its
answer.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gateway.limit.verdict import HOUR_MS, MINUTE_MS, Limits

LATE_MS = 5000


class Answer(NamedTuple):
    """One request of a quota: epoch milliseconds before it was sent and after it was answered; 0 is no answer."""

    sent: int
    heard: int
    status: int


@dataclass(frozen=True, slots=True)
class Judged:
    """What was wrong in the answers of one quota, or of many: every figure but the first four should be 0."""

    admitted: int = 0
    refused: int = 0
    others: int = 0
    told_late: int = 0
    too_many: int = 0
    too_early: int = 0
    miscounted: int = 0

    def __add__(self, other: Judged) -> Judged:
        return Judged(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))

    @property
    def right(self) -> bool:
        """Whether nothing was wrong."""
        return self.too_many == self.too_early == self.miscounted == 0


def judge(answers: Sequence[Answer], stamps: Sequence[int], limits: Limits, *, slack_ms: int = 2) -> Judged:
    """Judge one quota.  ``stamps`` ascend; ``slack_ms`` is how far a stamp may lie from the decision it stands for.

    Too many: a window holds more stamps than its limit.  Too early: refused although, as long as the decision could
    have been made, both windows had room.  Miscounted: an admission without a stamp of its own, or the reverse.
    Told late is not wrong: Redis took longer than it may, the gateway decided alone and told it afterwards, and so the
    stamp is later than the answer and counts for longer, never for less.
    """
    admitted = [one for one in answers if one.status not in (429, 0) and one.status < 500]
    refused = [one for one in answers if one.status == 429]
    told_late, miscounted = _unmatched(admitted, stamps, slack_ms)
    return Judged(
        admitted=len(admitted),
        told_late=told_late,
        refused=len(refused),
        others=len(answers) - len(admitted) - len(refused),
        too_many=_over(stamps, MINUTE_MS, limits.minute) + _over(stamps, HOUR_MS, limits.hour),
        too_early=sum(not _was_full(one, stamps, limits, slack_ms) for one in refused),
        miscounted=miscounted,
    )


def _over(stamps: Sequence[int], window: int, limit: int) -> int:
    """Count the stamps that came although the window that ends with them was full."""
    return sum(n - bisect_right(stamps, stamp - window) >= limit for n, stamp in enumerate(stamps))


def _was_full(refused: Answer, stamps: Sequence[int], limits: Limits, slack: int) -> bool:
    earliest, latest = refused.sent - slack, refused.heard + slack
    # A window is fullest at the beginning and right after a stamp.
    moments = [earliest, *stamps[bisect_left(stamps, earliest) : bisect_right(stamps, latest)]]
    return any(
        bisect_right(stamps, moment) - bisect_right(stamps, moment - window - slack) >= limit
        for moment in moments
        for window, limit in ((MINUTE_MS, limits.minute), (HOUR_MS, limits.hour))
    )


def _unmatched(admitted: Iterable[Answer], stamps: Sequence[int], slack: int) -> tuple[int, int]:
    """Give each admission, the one answered first first, a stamp of its time, else a later one; count late and none."""
    free, without = list(stamps), []
    for one in sorted(admitted, key=lambda answer: answer.heard):
        at = bisect_left(free, one.sent - slack)
        if at < len(free) and free[at] <= one.heard + slack:
            del free[at]
        else:
            without.append(one)
    late = 0
    for one in without:
        at = bisect_left(free, one.sent - slack)
        if at < len(free) and free[at] <= one.heard + LATE_MS:
            del free[at]
            late += 1
    return late, len(without) - late + len(free)


def read_log(log: bytes) -> list[int]:
    """Give the stamps of the last hour of a packed log (``gateway/limit/ring.lua``), ascending."""
    capacity, written, _, first, _, _, newest, _ = struct.unpack_from("<4I3dI", log)
    block, ring = struct.unpack_from("<8I", log, 44), struct.unpack_from(f"<{capacity}I", log, 76)
    kept = written - written % 8
    lows = [ring[n % capacity] if n < kept else block[n - kept] for n in range(first, written)]
    return [int(newest) - (int(newest) - low) % 2**32 for low in lows]
