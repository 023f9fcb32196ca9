"""What a pool holds: lots in the order of a method, or one moving average.

A part of a lot costs its share of the whole lot's cost.  What stays behind is always
``cost x left / qty``, rounded, and what was taken is the difference: the last part takes the rest, nothing is made or
lost by rounding, and no part is further than a step from the exact share.

Adding and taking cost O(1) under FIFO and LIFO, O(log n) under HIFO and for lots carried in from another account.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple, Protocol

from ledger.numbers import EXACT, divided
from ledger.trades import PRICE_PLACES, QTY_PLACES

Order = tuple[datetime, int]
"""When a lot was acquired, and its arrival number: what decides between old and new."""
AVERAGE_LOT = "pool"
_PAID_PLACES = QTY_PLACES + 2 * PRICE_PLACES
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Method(StrEnum):
    """Which lot is sold."""

    FIFO = "FIFO"  # the oldest
    LIFO = "LIFO"  # the newest that exists
    HIFO = "HIFO"  # the dearest by unit cost with fees, the oldest of equals
    AVERAGE = "AVERAGE"  # one moving pool


@dataclass(slots=True)
class Lot:
    """Units bought together.  ``left`` and ``rest`` (cost) shrink; ``paid``/``bought`` is the unrounded unit cost.

    ``n`` counts the lots as they come into an inventory: it orders pieces of one lot that met again in one account.
    """

    id: str
    order: Order
    qty: int
    cost: int
    left: int
    rest: int
    paid: Decimal
    bought: int
    n: int = 0


class Match(NamedTuple):
    """Units of one lot that a disposal used, and their cost (for a short lot: their proceeds)."""

    lot: str
    qty: int
    cost: int


Part = tuple[Lot, int, int]
"""What was taken from a lot, its quantity and its cost: enough to make it a lot in another account."""


class Inventory(Protocol):
    """What a pool holds; ``qty`` and ``cost`` are its sums, in steps."""

    qty: int
    cost: int

    def add(self, lot: Lot) -> None:
        """Take in a lot that has all of its units left, or what was left of it at a checkpoint."""

    def take(self, qty: int) -> list[Part]:
        """Remove this many units, which must be there."""

    def open(self) -> list[Lot]:
        """List what is left, oldest first."""


class Average:
    """One moving pool: cost out = pool cost x quantity / pool quantity."""

    def __init__(self) -> None:
        self.qty = 0
        self.cost = 0
        self._last: Lot | None = None

    def add(self, lot: Lot) -> None:
        """Mix the lot into the pool."""
        self.qty += lot.left
        self.cost += lot.rest
        self._last = lot

    def take(self, qty: int) -> list[Part]:
        """Take out at the average."""
        assert 0 < qty <= self.qty
        assert self._last is not None
        cost = divided(self.cost * qty, self.qty)
        lot = Lot(AVERAGE_LOT, self._last.order, self.qty, self.cost, 0, 0, self._last.paid, self._last.bought)
        self.qty -= qty
        self.cost -= cost
        return [(lot, qty, cost)]

    def open(self) -> list[Lot]:
        """List the pool as one lot, dated by the last that came; nothing when it is empty."""
        if not self.qty or self._last is None:
            return []
        last = self._last
        return [Lot(AVERAGE_LOT, last.order, self.qty, self.cost, self.qty, self.cost, last.paid, last.bought)]


class _Lots:
    """The walk that FIFO, LIFO and HIFO share; they differ in which lot is the first."""

    def __init__(self) -> None:
        self.qty = 0
        self.cost = 0
        self._came = 0

    def add(self, lot: Lot) -> None:
        self.qty += lot.left
        self.cost += lot.rest
        self._came += 1
        lot.n = self._came
        self._put(lot)

    def take(self, qty: int) -> list[Part]:
        assert 0 < qty <= self.qty
        self.qty -= qty
        cost = self.cost
        parts: list[Part] = []
        lot = self._first()
        while (left := lot.left) < qty:
            parts.append((lot, left, lot.rest))
            cost -= lot.rest
            qty -= left
            self._drop()
            lot = self._first()
        rest = divided(lot.cost * (left - qty), lot.qty) if left > qty else 0
        parts.append((lot, qty, lot.rest - rest))
        self.cost = cost - lot.rest + rest
        lot.left, lot.rest = left - qty, rest
        if left == qty:
            self._drop()
        return parts

    def open(self) -> list[Lot]:
        return sorted(self._all(), key=lambda lot: (lot.order, lot.n))

    def _put(self, lot: Lot) -> None:
        raise NotImplementedError

    def _first(self) -> Lot:
        raise NotImplementedError

    def _drop(self) -> None:
        raise NotImplementedError

    def _all(self) -> Iterator[Lot]:
        raise NotImplementedError


class Fifo(_Lots):
    """The oldest first.  A lot carried in out of its time waits in a heap beside the queue."""

    def __init__(self) -> None:
        super().__init__()
        self._queue: deque[Lot] = deque()
        self._late: list[tuple[datetime, int, int, Lot]] = []
        self._from_late = False

    def _put(self, lot: Lot) -> None:
        if self._queue and lot.order < self._queue[-1].order:
            heapq.heappush(self._late, (*lot.order, lot.n, lot))
        else:
            self._queue.append(lot)

    def _first(self) -> Lot:
        late = self._late
        if not late:
            return self._queue[0]
        self._from_late = not self._queue or late[0][:3] < _place(self._queue[0])
        return late[0][3] if self._from_late else self._queue[0]

    def _drop(self) -> None:
        if self._late and self._from_late:
            heapq.heappop(self._late)
        else:
            self._queue.popleft()

    def _all(self) -> Iterator[Lot]:
        yield from self._queue
        yield from (entry[3] for entry in self._late)


class Lifo(_Lots):
    """The newest first.  A lot carried in out of its time waits in a heap beside the stack."""

    def __init__(self) -> None:
        super().__init__()
        self._stack: list[Lot] = []
        self._late: list[tuple[int, int, int, Lot]] = []
        self._from_late = False

    def _put(self, lot: Lot) -> None:
        if self._stack and lot.order < self._stack[-1].order:
            at, seq = lot.order
            heapq.heappush(self._late, (-((at - _FIRST) // _MICROSECOND), -seq, -lot.n, lot))
        else:
            self._stack.append(lot)

    def _first(self) -> Lot:
        late = self._late
        if not late:
            return self._stack[-1]
        self._from_late = not self._stack or _place(late[0][3]) > _place(self._stack[-1])
        return late[0][3] if self._from_late else self._stack[-1]

    def _drop(self) -> None:
        if self._late and self._from_late:
            heapq.heappop(self._late)
        else:
            self._stack.pop()

    def _all(self) -> Iterator[Lot]:
        yield from self._stack
        yield from (entry[3] for entry in self._late)


class Hifo(_Lots):
    """The dearest first by unrounded unit cost, the oldest of equals."""

    def __init__(self) -> None:
        super().__init__()
        self._heap: list[tuple[int, datetime, int, int, Lot]] = []

    def _put(self, lot: Lot) -> None:
        heapq.heappush(self._heap, (-dearness(lot), *lot.order, lot.n, lot))

    def _first(self) -> Lot:
        return self._heap[0][4]

    def _drop(self) -> None:
        heapq.heappop(self._heap)

    def _all(self) -> Iterator[Lot]:
        return (entry[4] for entry in self._heap)


def _place(lot: Lot) -> tuple[datetime, int, int]:
    return (*lot.order, lot.n)


def dearness(lot: Lot) -> int:
    """Give a whole number that orders lots exactly as their unrounded unit costs do.

    Two different fractions with denominators below 10**56 are at least 10**-112 apart, so times 10**112 their whole
    parts differ, in the same direction; equal fractions give equal numbers.
    """
    paid = int(lot.paid.scaleb(_PAID_PLACES, EXACT))
    return paid * _APART // lot.bought


_APART = 10**112  # twice the 36 decimals and 20 digits before the point that a quantity has
_KINDS: dict[Method, type[Fifo] | type[Lifo] | type[Hifo] | type[Average]] = {
    Method.FIFO: Fifo,
    Method.LIFO: Lifo,
    Method.HIFO: Hifo,
    Method.AVERAGE: Average,
}


def inventory(method: Method) -> Inventory:
    """Make an empty inventory."""
    return _KINDS[method]()


def new_lot(lot: str, order: Order, qty: int, cost: int, paid: Decimal) -> Lot:
    """Make a lot as it is acquired; ``paid`` is the cost before rounding."""
    return Lot(lot, order, qty, cost, qty, cost, paid, qty)


def carried(part: Part) -> Lot:
    """Make what was taken from one account a lot in another: same time, order, cost and unit cost."""
    lot, qty, cost = part
    return Lot(lot.id, lot.order, qty, cost, qty, cost, lot.paid, lot.bought)


def matches(parts: list[Part]) -> tuple[Match, ...]:
    """Tell from which lots the units came; pieces of one lot that met again in one account are one match."""
    if len(parts) == 1:
        lot, qty, cost = parts[0]
        return (Match(lot.id, qty, cost),)
    told: list[Match] = []
    last = ""
    for lot, qty, cost in parts:
        if lot.id == last:
            told[-1] = Match(last, told[-1].qty + qty, told[-1].cost + cost)
        else:
            last = lot.id
            told.append(Match(last, qty, cost))
    return tuple(told)
