"""Figures over a booked history: statistics, windows, states as of a time, sums by period and by algorithm.  Pure.

All amounts are steps of money (10**-18) and quantities steps of quantity (10**-36).  Times are cut as [from, to): what
happens at the end of a window belongs to the next one.  Each function reads its rows once.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple, TypeVar

from ledger.booking import Booking, Disposal, Oversell, Pool, Rules
from ledger.journal import Journal
from ledger.moves import PoolKey
from ledger.numbers import money
from ledger.trades import Kind, Trade

_SWAPS = (Kind.BUY, Kind.SELL)
Group = TypeVar("Group", bound=Hashable)


@dataclass(slots=True)
class Sums:
    """What some rows came to.  A sale that gained is a win, any other a loss; ``loss`` and ``largest_loss`` are <= 0.

    Sales are sell rows (and buys that cover a short) by what they did in their own coin; what a quote coin or a fee
    realised counts in ``realised`` alone.  ``volume`` is the gross of buys and sells, ``fees`` are valued in USDT.
    """

    trades: int = 0
    realised: int = 0
    income: int = 0
    expense: int = 0
    volume: int = 0
    fees: int = 0
    sales: int = 0
    wins: int = 0
    losses: int = 0
    profit: int = 0
    loss: int = 0
    largest_win: int | None = None
    largest_loss: int | None = None

    @property
    def net(self) -> int:
        """Give what was realised, with income and less expense."""
        return self.realised + self.income - self.expense

    def add(self, trade: Trade, done: Iterable[Disposal]) -> None:
        """Count a row and what it disposed of."""
        self.trades += 1
        self.fees += money(trade.fee_worth)
        swap = trade.kind in _SWAPS
        if swap:
            self.volume += money(trade.value)
        for leg in trade.legs:
            self.income += leg.income
            self.expense += leg.expense
        sold, gain = False, 0
        for one in done:
            self.realised += one.gain
            if swap and one.leg == "base":
                sold, gain = True, gain + one.gain
        if sold:
            self._count_sale(gain)

    def _count_sale(self, gain: int) -> None:
        self.sales += 1
        if gain > 0:
            self.wins += 1
            self.profit += gain
            self.largest_win = gain if self.largest_win is None else max(gain, self.largest_win)
        else:
            self.losses += 1
            self.loss += gain
            self.largest_loss = gain if self.largest_loss is None else min(gain, self.largest_loss)


def grouped(
    trades: Iterable[Trade], disposals: Iterable[Disposal], group: Callable[[Trade], Group]
) -> dict[Group, Sums]:
    """Sum rows by anything that a row tells: its user, its coin, its period."""
    made: dict[tuple[str, str], list[Disposal]] = {}
    for one in disposals:
        made.setdefault((one.pool.user, one.trade_id), []).append(one)
    sums: dict[Group, Sums] = {}
    for trade in trades:
        sums.setdefault(group(trade), Sums()).add(trade, made.get(trade.key, ()))
    return sums


def statistics(trades: Iterable[Trade], disposals: Iterable[Disposal]) -> dict[str, Sums]:
    """Sum by user."""
    return grouped(trades, disposals, lambda trade: trade.user)


def by_tag(trades: Iterable[Trade], disposals: Iterable[Disposal]) -> dict[tuple[str, str], Sums]:
    """Sum by user and algorithm: a gain is its who sold, whoever had bought; "" stands for no algorithm."""
    return grouped(trades, disposals, lambda trade: (trade.user, trade.tag))


class Step(StrEnum):
    """How long a period is.  Weeks begin on Monday; all begin at midnight UTC."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class Period(NamedTuple):
    """A stretch of time [start, end), its sums, and all that was realised until its end."""

    start: datetime
    end: datetime
    sums: Sums
    realised_total: int


def period_start(at: datetime, step: Step) -> datetime:
    """Give the beginning of the period that a time is in."""
    at = at.astimezone(UTC)
    hour = at.replace(minute=0, second=0, microsecond=0)
    if step is Step.HOUR:
        return hour
    day = hour.replace(hour=0)
    if step is Step.DAY:
        return day
    return day - timedelta(days=day.weekday()) if step is Step.WEEK else day.replace(day=1)


def period_end(start: datetime, step: Step) -> datetime:
    """Give the beginning of the next period."""
    match step:
        case Step.HOUR:
            return start + timedelta(hours=1)
        case Step.DAY:
            return start + timedelta(days=1)
        case Step.WEEK:
            return start + timedelta(weeks=1)
        case Step.MONTH:
            return (start + timedelta(days=32)).replace(day=1)


def history(trades: Sequence[Trade], disposals: Iterable[Disposal], step: Step) -> list[Period]:
    """Sum one user's rows by period, without a hole from the first to the last that has any."""
    sums = grouped(trades, disposals, lambda trade: period_start(trade.happened_at, step))
    if not sums:
        return []
    told: list[Period] = []
    start, last, total = min(sums), max(sums), 0
    while start <= last:
        end = period_end(start, step)
        here = sums.get(start) or Sums()
        total += here.realised
        told.append(Period(start, end, here, total))
        start = end
    return told


@dataclass(frozen=True, slots=True)
class Window:
    """What was realised in [start, end) by pool, at the cost basis of the whole history before."""

    start: datetime
    end: datetime
    realised: Mapping[PoolKey, int] = field(default_factory=dict)


def windows(disposals: Iterable[Disposal], spans: Iterable[tuple[datetime, datetime]]) -> list[Window]:
    """Sum gains in windows; a pool that disposed of nothing in a window is not in it."""
    ordered = sorted(disposals, key=lambda one: (one.at, one.seq))
    times = [one.at for one in ordered]
    told: list[Window] = []
    for start, end in spans:
        sums: dict[PoolKey, int] = {}
        for one in ordered[bisect_left(times, start) : bisect_left(times, end)]:
            sums[one.pool] = sums.get(one.pool, 0) + one.gain
        told.append(Window(start, end, sums))
    return told


class State(NamedTuple):
    """One pool at one moment."""

    pool: PoolKey
    realised: int
    open_qty: int
    open_cost: int
    missing_qty: int


def states(booking: Booking) -> list[State]:
    """Tell where every pool stands, sorted by user, account and coin."""
    return [
        State(pool.key, pool.realised, pool.open_qty, pool.open_cost, pool.missing_qty)
        for pool in in_order_of_keys(booking)
    ]


def in_order_of_keys(booking: Booking) -> list[Pool]:
    """List pools sorted by user, account and coin."""
    return sorted(booking.pools.values(), key=lambda pool: (pool.key.user, pool.key.account or "", pool.key.coin))


def as_of(trades: Iterable[Trade], rules: Rules, times: Iterable[datetime]) -> Iterator[tuple[datetime, list[State]]]:
    """Tell the state after all rows with a time <= each of the times, which come back sorted.

    ``trades`` are in booking order; they are booked once, however many times are asked for.
    """
    booking = Booking(rules)
    waiting = sorted(times)
    at = 0
    for trade in trades:
        while at < len(waiting) and waiting[at] < trade.happened_at:
            yield waiting[at], states(booking)
            at += 1
        if at == len(waiting):
            return
        booking.book(trade)
    for moment in waiting[at:]:
        yield moment, states(booking)


def after_arrival(trades: Iterable[Trade], rules: Rules) -> Iterator[list[State]]:
    """Tell the state after each row has arrived, in order of arrival; until all is there, what is missing costs 0."""
    meanwhile = Rules(rules.method, rules.pool_by, Oversell.ZERO_BASIS, rules.allow_short)
    journal = Journal(meanwhile)
    for trade in trades:
        journal.arrive(trade)
        yield states(journal.booking)
