"""A history that grows out of order: rows arrive late or twice, and the book is always the one of the right order.

Pure, in memory.  A row that comes after all others is booked on top.  A late one is put in its place, and what follows
it is booked again from the checkpoint before it; so is what follows a row that is reversed.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ledger.booking import Booking, Disposal, Rules, no_cycles_sought
from ledger.lots import Order
from ledger.snapshots import restore, snapshot
from ledger.trades import Trade, same_or_refuse

EVERY = 250
"""Rows between two checkpoints, at least; more where more lots are open, so that checkpoints stay cheap."""


class Unknown(KeyError):
    """There is no such trade to reverse."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """What a delivery did: nothing new, or new disposals, of which ``before`` is how late rows were booked so far."""

    new: bool
    rebooked: int = 0
    before: tuple[Disposal, ...] = ()
    after: tuple[Disposal, ...] = ()


@dataclass(frozen=True, slots=True)
class _Checkpoint:
    rows: int
    state: dict[str, Any]


class Journal:
    """Rows in booking order, what each of them disposed of, and the book after the last."""

    def __init__(self, rules: Rules, *, every: int = EVERY) -> None:
        self.booking = Booking(rules)
        self._every = every
        self._rows: list[Trade] = []
        self._orders: list[Order] = []
        self._done: list[list[Disposal]] = []
        self._known: dict[tuple[str, str], Trade] = {}
        self._checkpoints: list[_Checkpoint] = []
        self._next = every

    @property
    def rows(self) -> tuple[Trade, ...]:
        """List what is booked, in booking order."""
        return tuple(self._rows)

    def disposals(self) -> Iterator[Disposal]:
        """Give every disposal, in booking order."""
        for done in self._done:
            yield from done

    def arrive(self, trade: Trade) -> Arrival:
        """Book a delivery, wherever it belongs.

        Errors: ``trades.OtherBody`` for a known id with other content; under ``reject``, ``booking.Oversold`` where
        this row, or because of it a later one, takes too much.  After an error everything is as it was.
        """
        first = self._known.get(trade.key)
        if first is not None:
            same_or_refuse(first, trade)
            return Arrival(new=False)
        order = trade.order
        at = bisect_right(self._orders, order)
        if at == len(self._rows):
            done = self.booking.book(trade)
            self._rows.append(trade)
            self._orders.append(order)
            self._done.append(done)
            self._keep(self.booking, len(self._rows), self._checkpoints)
            arrival = Arrival(new=True, after=tuple(done))
        else:
            arrival = self._rebook(at, [trade, *self._rows[at:]])
        self._known[trade.key] = trade
        return arrival

    def reverse(self, user: str, trade_id: str) -> Arrival:
        """Take a row out, as if it had never been; its id stays known.  Errors: ``Unknown``, and as in ``arrive``."""
        trade = self._known.get((user, trade_id))
        at = bisect_left(self._orders, trade.order) if trade is not None else 0
        while at < len(self._rows) and self._rows[at] is not trade:
            at += 1
        if trade is None or at == len(self._rows):
            raise Unknown(trade_id)
        return self._rebook(at, self._rows[at + 1 :])

    def _rebook(self, at: int, rest: list[Trade]) -> Arrival:
        """Replace everything from row ``at`` on; nothing is kept before all of it is booked."""
        kept = [one for one in self._checkpoints if one.rows <= at]
        start, booking = (kept[-1].rows, restore(kept[-1].state)) if kept else (0, Booking(self.booking.rules))
        for trade in self._rows[start:at]:
            booking.book(trade)
        rows, due = self._rows[:at] + rest, self._next
        self._next = (kept[-1].rows if kept else 0) + self._every
        done: list[list[Disposal]] = []
        try:
            with no_cycles_sought():
                for n, trade in enumerate(rest, at + 1):
                    done.append(booking.book(trade))
                    self._keep(booking, n, kept)
        except ValueError:
            self._next = due
            raise
        before = tuple(one for made in self._done[at:] for one in made)
        self.booking, self._rows, self._checkpoints = booking, rows, kept
        self._orders = self._orders[:at] + [trade.order for trade in rest]
        self._done = self._done[:at] + done
        after = tuple(one for made in done for one in made)
        same = set(before) & set(after)
        return Arrival(
            new=True,
            rebooked=len(rest),
            before=tuple(one for one in before if one not in same),
            after=tuple(one for one in after if one not in same),
        )

    def _keep(self, booking: Booking, rows: int, checkpoints: list[_Checkpoint]) -> None:
        if rows < self._next:
            return
        state = snapshot(booking)
        checkpoints.append(_Checkpoint(rows, state))
        self._next = rows + max(self._every, sum(len(pool["lots"]) for pool in state["pools"]))
