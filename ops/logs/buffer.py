"""What waits to be shipped: bounded by count and by bytes, and never in anybody's way.

When it is full, the oldest record that is no error makes room; errors go only when nothing else is left.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from ops.logs.batches import BATCH_BYTES, BATCH_RECORDS, EVENT_EXTRA_BYTES

AT_ONCE = 50
Dropped = Callable[[str, int], object]


@dataclass(frozen=True, slots=True)
class Line:
    """One record: milliseconds since 1970, its level, and its text in UTF-8."""

    at_ms: int
    level: int
    text: bytes

    @property
    def size(self) -> int:
        """What it counts for, as AWS counts: bytes."""
        return len(self.text) + EVENT_EXTRA_BYTES


@dataclass
class Buffer:
    """A queue for many writers and one reader.  What the reader has in hand counts until it says ``done``."""

    records_max: int = 20_000
    bytes_max: int = 16 * 1024 * 1024
    dropped: Dropped = lambda _reason, _records: None
    _plain: deque[tuple[int, Line]] = field(default_factory=deque)
    _errors: deque[tuple[int, Line]] = field(default_factory=deque)
    _in_hand: tuple[int, int] = (0, 0)
    _bytes: int = 0
    _number: int = 0
    _hurried: bool = False
    _abandoned: bool = False

    def __post_init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())

    def __len__(self) -> int:
        """Count what is not shipped yet, with what the reader has in hand."""
        return len(self._plain) + len(self._errors) + self._in_hand[0]

    @property
    def bytes(self) -> int:
        """What all of it counts for."""
        return self._bytes + self._in_hand[1]

    def put(self, line: Line) -> None:
        """Add a record; never waits, and makes room by dropping."""
        with self._changed:
            abandoned = self._abandoned
            lost = 1 if abandoned else self._squeeze_in(line)
        if lost:
            self.dropped("closed" if abandoned else "full", lost)

    def _squeeze_in(self, line: Line) -> int:
        """Add it, or nothing where all that waits weighs more; give how many were dropped."""
        lost = 0
        while len(self) >= self.records_max or self.bytes + line.size > self.bytes_max:
            lost += 1
            if not self._drop_one(line.level):
                return lost
        self._add(line)
        return lost

    def _add(self, line: Line) -> None:
        (self._errors if line.level >= logging.ERROR else self._plain).append((self._number, line))
        self._number += 1
        self._bytes += line.size
        waiting = len(self._plain) + len(self._errors)
        if waiting == 1 or self._full:
            self._changed.notify_all()

    def _drop_one(self, level: int) -> bool:
        """Drop the oldest that weighs no more than what comes; give whether there was one."""
        queue = self._plain or (self._errors if level >= logging.ERROR else None)
        if not queue:
            return False
        self._bytes -= queue.popleft()[1].size
        return True

    @property
    def _full(self) -> bool:
        return self._bytes >= BATCH_BYTES or len(self._plain) + len(self._errors) >= BATCH_RECORDS

    def take(self, within_s: float) -> list[Line]:
        """Wait for a record, then ``within_s`` for more to make a batch; give at most a batch's worth, oldest first.

        Empty only when somebody said ``hurry`` and nothing is there.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._hurried or self._plain or self._errors)
            self._changed.wait_for(lambda: self._hurried or self._full, timeout=within_s)
        batch: list[Line] = []
        more = True
        while more:
            with self._changed:  # for a few records at a time: who logs waits for this
                more = self._move(batch)
        return batch

    def _move(self, batch: list[Line]) -> bool:
        """Put some of the oldest into the reader's hand; give whether more would fit."""
        for _ in range(AT_ONCE):
            queue = self._oldest()
            count, size = self._in_hand
            if queue is None or count >= BATCH_RECORDS or size + queue[0][1].size > BATCH_BYTES:
                return False
            _, line = queue.popleft()
            batch.append(line)
            self._bytes -= line.size
            self._in_hand = (count + 1, size + line.size)
        return True

    def _oldest(self) -> deque[tuple[int, Line]] | None:
        if self._plain and self._errors:
            return min(self._plain, self._errors, key=lambda queue: queue[0][0])
        return self._plain or self._errors or None

    def done(self) -> None:
        """The reader has nothing in hand any more."""
        with self._changed:
            self._in_hand = (0, 0)
            self._changed.notify_all()

    def hurry(self) -> None:
        """Wait no longer for more records: the reader is to send what is there."""
        with self._changed:
            self._hurried = True
            self._changed.notify_all()

    def calm(self) -> None:
        """End the hurry."""
        with self._changed:
            self._hurried = False

    def drained(self, within_s: float) -> bool:
        """Wait until nothing is left, but not longer; give whether that came."""
        with self._changed:
            return self._changed.wait_for(lambda: not len(self), timeout=within_s)

    def abandon(self) -> int:
        """Forget all of it and take no more; give how many records that were."""
        with self._changed:
            left, self._abandoned = len(self), True
            self._plain.clear()
            self._errors.clear()
            self._bytes, self._in_hand = 0, (0, 0)
            self._changed.notify_all()
            return left
