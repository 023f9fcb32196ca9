"""Book lots a second time, by other means than the first: exact fractions over sorted lists, from the tables.  Pure.

What came into a pool and what left it is taken as the tables say; which lots a disposal used, and at what cost, is
worked out again, by every method, with lots that were carried between accounts and with shorts.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from typing import Any, NamedTuple
from uuid import UUID

from ledger.lots import Method

STEP = 10**18
NEAR = Fraction(1, 10**17)
"""Pieces of one lot that met again in an account are one row: each of them may have been rounded by a step."""
Key = tuple[Any, ...]


class In(NamedTuple):
    """Units that came into a pool; ``unit`` is their unrounded cost each, ``born`` and ``number`` order their lots."""

    coin: str
    account: str
    side: str
    lot: UUID
    born: datetime
    number: int
    at: datetime
    seq: int
    qty: Fraction
    cost: Fraction
    unit: Fraction


class Out(NamedTuple):
    """Units that left a pool: what was sold or carried away, or of a short what was bought back."""

    id: UUID
    coin: str
    account: str
    side: str
    at: datetime
    seq: int
    leg: str
    qty: Fraction


@dataclass(slots=True)
class _Piece:
    lot: UUID
    qty: Fraction
    cost: Fraction
    left: Fraction


@dataclass(slots=True)
class _Pool:
    """Lots sorted by which is to go first."""

    method: Method
    pieces: list[tuple[Key, int, _Piece]] = field(default_factory=list)
    came: int = 0

    def put(self, one: In) -> None:
        self.came += 1
        if self.method is Method.AVERAGE and self.pieces:
            (_, _, pool) = self.pieces[0]
            worth = _share(pool)
            self.pieces[0] = ((), 0, _Piece(one.lot, pool.left + one.qty, worth + one.cost, pool.left + one.qty))
            return
        piece = _Piece(one.lot, one.qty, one.cost, one.qty)
        insort(self.pieces, (_key(self.method, one), self.came, piece), key=lambda told: (told[0], self._turn(told[1])))

    def take(self, qty: Fraction) -> dict[UUID | None, tuple[Fraction, Fraction]]:
        """Take units out; give quantity and cost by lot, whatever is there."""
        used: dict[UUID | None, tuple[Fraction, Fraction]] = {}
        while qty > 0 and self.pieces:
            _, _, piece = self.pieces[0]
            part = min(qty, piece.left)
            before = _share(piece)
            piece.left -= part
            qty -= part
            name = None if self.method is Method.AVERAGE else piece.lot
            had, paid = used.get(name, (Fraction(0), Fraction(0)))
            used[name] = had + part, paid + before - _share(piece)
            if self.method is Method.AVERAGE:
                piece.qty, piece.cost = piece.left, before - used[name][1]
            if not piece.left:
                self.pieces.pop(0)
        return used

    def _turn(self, came: int) -> int:
        return -came if self.method is Method.LIFO else came


def _share(piece: _Piece) -> Fraction:
    """What the rest of a lot costs, in whole steps, half to even."""
    return Fraction(round(piece.cost * piece.left / piece.qty * STEP), STEP) if piece.left else Fraction(0)


def _key(method: Method, one: In) -> Key:
    match method:
        case Method.LIFO:
            return (-one.born.timestamp(), -one.number)
        case Method.HIFO:
            return (-one.unit, one.born, one.number)
        case _:
            return (one.born, one.number)


Matches = Mapping[UUID, Mapping[UUID | None, tuple[Fraction, Fraction]]]


def booked_again(method: Method, came: Iterable[In], left: Iterable[Out]) -> Matches:
    """Tell which lots each disposal used: quantity and cost by lot; under AVERAGE the lot is None."""
    pools: dict[tuple[str, str, str], _Pool] = {}
    told: dict[UUID, Mapping[UUID | None, tuple[Fraction, Fraction]]] = {}
    # Of one row, what leaves a pool leaves before what comes into another; no row does both to one pool.
    events: list[tuple[datetime, int, int, str, In | Out]] = [(one.at, one.seq, 1, "", one) for one in came]
    events += [(one.at, one.seq, 0, one.leg, one) for one in left]
    for *_, one in sorted(events, key=lambda event: event[:4]):
        short = one.side in ("short", "cover")
        which = Method.FIFO if short and method is not Method.AVERAGE else method
        pool = pools.setdefault((one.coin, one.account, "short" if short else "long"), _Pool(which))
        if isinstance(one, In):
            pool.put(one)
        else:
            told[one.id] = pool.take(one.qty)
    return told


def differs(
    kept: Mapping[UUID | None, tuple[Fraction, Fraction]], again: Mapping[UUID | None, tuple[Fraction, Fraction]]
) -> bool:
    """Whether quantities are not the same, or costs not within a rounding."""
    if kept.keys() != again.keys():
        return True
    return any(kept[lot][0] != qty or abs(kept[lot][1] - cost) > NEAR for lot, (qty, cost) in again.items())
