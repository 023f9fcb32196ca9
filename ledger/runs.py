"""Book trades by all methods at once, and lay the results out as rows.  Pure.

``Books`` is the state after the last booked row of one user: four bookings under one policy.  Lots come out the same
under every method, unless lots move between accounts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson
import zstandard

from ledger.booking import Booking, Disposal, Oversell, Rules, Side
from ledger.lots import Inventory, Lot, Match, Method, Order
from ledger.moves import Act, Move, PoolBy, PoolKey, moves
from ledger.snapshots import restore, snapshot
from ledger.trades import Trade

CHECKPOINT_ROWS = 1000
"""At least so many rows between two checkpoints; more where more lots are open, so that they stay cheap."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How a user's books are kept.  Where shorts are allowed, a sale of more than is there opens one."""

    pool_by: PoolBy = PoolBy.USER_COIN
    allow_short: bool = False
    oversell: Oversell = Oversell.ZERO_BASIS

    def rules(self, method: Method) -> Rules:
        """The same for one method."""
        return Rules(method, self.pool_by, self.oversell, self.allow_short)


class LotRow(NamedTuple):
    """A lot as it came into a pool; without a method it is the same for all."""

    method: Method | None
    coin: str
    account: str
    entry: str
    booked_by: str
    side: str
    acquired: Order
    order: Order
    qty: int
    cost: int

    @property
    def key(self) -> tuple[Any, ...]:
        """What stays when a lot is booked again."""
        return (self.method, self.coin, self.account, self.entry, self.booked_by, self.side)

    @property
    def value(self) -> tuple[Any, ...]:
        """What may come out otherwise."""
        return (self.qty, self.cost)


class DisposalRow(NamedTuple):
    """A disposal by one method; ``side`` is sell, cover or carry."""

    method: Method
    coin: str
    account: str
    entry: str
    leg: str
    side: str
    order: Order
    qty: int
    proceeds: int
    cost: int
    missing: int
    tag: str
    matches: tuple[Match, ...]

    @property
    def key(self) -> tuple[Any, ...]:
        """What stays when a disposal is booked again."""
        return (self.method, self.coin, self.account, self.entry, self.leg, self.side)

    @property
    def value(self) -> tuple[Any, ...]:
        """What may come out otherwise."""
        return (self.qty, self.proceeds, self.cost, self.missing, self.matches)

    @property
    def gain(self) -> int:
        """Proceeds less cost."""
        return self.proceeds - self.cost


@dataclass(slots=True)
class Results:
    """What booking some rows gave, and the checkpoints that were passed."""

    lots: list[LotRow] = field(default_factory=list)
    disposals: list[DisposalRow] = field(default_factory=list)
    checkpoints: list[tuple[Order, int, bytes]] = field(default_factory=list)


@dataclass(slots=True)
class Books:
    """One user's books after ``rows`` rows, the last of them at ``last``; ``run`` is the run that got them there."""

    policy: Policy
    bookings: dict[Method, Booking]
    last: Order | None = None
    rows: int = 0
    kept: int = 0  # rows at the last checkpoint
    due: int = 0  # at how many rows another one is thought of
    run: int | None = None

    def book(self, trades: Iterable[Trade], results: Results) -> None:
        """Book trades that are in order and after ``last``."""
        for trade in trades:
            self.book_one(trade, results)
            self.last = trade.order
            self.rows += 1
            self.keep_if_due(results)

    def book_one(self, trade: Trade, results: Results) -> None:
        """Book one trade, or some of its legs, without counting it."""
        todo = moves(trade, self.policy.pool_by)
        results.disposals += self._carried(trade, todo, results) if _carries(todo) else self._booked(trade)
        results.lots += _lots(trade, todo, results.disposals)

    def keep_if_due(self, results: Results) -> None:
        """Make a checkpoint where it is time for one."""
        if self.rows < max(self.due, self.kept + CHECKPOINT_ROWS) or self.last is None:
            return
        self.due = self.rows + CHECKPOINT_ROWS
        if self.rows - self.kept >= self.open_lots():
            self.kept = self.rows
            results.checkpoints.append((self.last, self.rows, told(self)))

    def open_lots(self) -> int:
        """About as many lots as a checkpoint has to hold."""
        fifo = self.bookings[Method.FIFO]
        return sum(len(pool.lots.open()) for pool in fifo.pools.values())

    def _booked(self, trade: Trade) -> list[DisposalRow]:
        return [_row(method, one) for method, booking in self.bookings.items() for one in booking.book(trade)]

    def _carried(self, trade: Trade, todo: Sequence[Move], results: Results) -> list[DisposalRow]:
        rows: list[DisposalRow] = []
        for method, booking in self.bookings.items():
            for move in todo:
                if move.to is not None:
                    with _noted(booking, move.to) as lots:
                        rows += [_row(method, one) for one in booking.book(trade)]
                    results.lots += _merged(_carried_lot(method, move.to, lot, trade) for lot in lots)
                    rows.append(_carry(method, move, lots, trade))
        return rows


def no_books(policy: Policy) -> Books:
    """Make empty books."""
    return Books(policy, {method: Booking(policy.rules(method)) for method in Method})


def told(books: Books) -> bytes:
    """Write the state of books as a checkpoint holds it."""
    return zstandard.compress(orjson.dumps([snapshot(booking) for booking in books.bookings.values()]))


def read(state: bytes, policy: Policy, last: Order, rows: int) -> Books:
    """Make the books that ``told`` wrote.  Errors: ``snapshots.UnknownForm``."""
    restored = [restore(one) for one in orjson.loads(zstandard.decompress(state))]
    return Books(policy, {one.rules.method: one for one in restored}, last, rows, kept=rows)


class _Noting:
    """An inventory that also tells which lots are put into it."""

    def __init__(self, inner: Inventory, lots: list[Lot]) -> None:
        self._inner, self._lots = inner, lots
        self.qty, self.cost = inner.qty, inner.cost

    def add(self, lot: Lot) -> None:
        self._lots.append(Lot(lot.id, lot.order, lot.qty, lot.cost, lot.left, lot.rest, lot.paid, lot.bought, lot.n))
        self._inner.add(lot)

    def take(self, qty: int) -> Any:
        return self._inner.take(qty)

    def open(self) -> list[Lot]:
        return self._inner.open()


@contextmanager
def _noted(booking: Booking, key: PoolKey) -> Iterator[list[Lot]]:
    pool, lots = booking.pool(key), list[Lot]()
    inner = pool.lots
    pool.lots = _Noting(inner, lots)
    try:
        yield lots
    finally:
        pool.lots = inner


def _carries(todo: Iterable[Move]) -> bool:
    return any(move.to is not None for move in todo)


def _lots(trade: Trade, todo: Iterable[Move], done: Sequence[DisposalRow]) -> Iterator[LotRow]:
    """What of the trade's moves became lots: bought less what closed shorts, sold less what was there to sell."""
    for move in todo:
        side = {Act.ACQUIRE: "cover", Act.DISPOSE: "sell"}.get(move.act)
        if side is None:
            continue
        account = move.pool.account or ""
        qty, paid = move.qty, move.amount
        for one in reversed(done):
            if one.entry != trade.trade_id:
                break
            if (one.method, one.side, one.leg, one.coin, one.account) == (
                Method.FIFO,
                side,
                move.leg,
                move.pool.coin,
                account,
            ):
                qty -= one.qty
                paid -= one.cost if side == "cover" else one.proceeds
        if qty:
            kind = "long" if move.act is Act.ACQUIRE else "short"
            entry = trade.trade_id
            yield LotRow(None, move.pool.coin, account, entry, entry, kind, trade.order, trade.order, qty, paid)


def _carried_lot(method: Method, to: PoolKey, lot: Lot, trade: Trade) -> LotRow:
    entry = trade.trade_id if method is Method.AVERAGE else lot.id
    return LotRow(
        method, to.coin, to.account or "", entry, trade.trade_id, "long", lot.order, trade.order, lot.qty, lot.cost
    )


def _merged(rows: Iterable[LotRow]) -> list[LotRow]:
    """Make one row of pieces of one lot that move together."""
    merged: dict[tuple[Any, ...], LotRow] = {}
    for row in rows:
        there = merged.get(row.key)
        merged[row.key] = row if there is None else there._replace(qty=there.qty + row.qty, cost=there.cost + row.cost)
    return list(merged.values())


def _carry(method: Method, move: Move, lots: Sequence[Lot], trade: Trade) -> DisposalRow:
    moved = [lot for lot in lots if lot.id != trade.trade_id]
    cost = sum(lot.cost for lot in moved)
    used = tuple(Match(lot.id, lot.qty, lot.cost) for lot in moved)
    missing = move.qty - sum(lot.qty for lot in moved)
    account = move.pool.account or ""
    return DisposalRow(
        method, move.pool.coin, account, trade.trade_id, move.leg, "carry", trade.order, move.qty, cost, cost, missing,
        trade.tag, used,
    )  # fmt: skip


def _row(method: Method, one: Disposal) -> DisposalRow:
    side = "cover" if one.side is Side.COVER else "sell"
    return DisposalRow(
        method, one.pool.coin, one.pool.account or "", one.trade_id, one.leg, side, (one.at, one.seq), one.qty,
        one.proceeds, one.cost, one.missing, one.tag, one.matches,
    )  # fmt: skip
