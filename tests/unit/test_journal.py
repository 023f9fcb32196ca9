"""Rows that arrive late, twice or wrong: what is booked again, from where, and what it changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from ledger.booking import Booking, Oversell, Oversold, Rules, book
from ledger.journal import Journal
from ledger.numbers import money_text
from ledger.snapshots import snapshot
from ledger.trades import Kind, Trade

AT = datetime(2025, 3, 1, tzinfo=UTC)


def row(n: int, kind: str, qty: str, price: str, hour: int) -> Trade:
    """The n-th to arrive."""
    at = AT + timedelta(hours=hour)
    return Trade(
        trade_id=f"t{n}",
        user="ann",
        account="desk",
        happened_at=at,
        kind=Kind(kind),
        base="BTC",
        qty=Decimal(qty),
        price=Decimal(price),
        seq=n,
    )


def test_a_late_row_tells_what_was_believed_before_and_what_is_now() -> None:
    journal = Journal(Rules())
    journal.arrive(row(1, "buy", "2", "100", 1))
    journal.arrive(row(2, "sell", "1", "150", 3))
    journal.arrive(row(3, "sell", "1", "160", 4))
    told = journal.arrive(row(4, "buy", "1", "90", 0))
    assert told.rebooked == 4
    assert [money_text(one.gain) for one in told.before] == ["50"]
    assert [money_text(one.gain) for one in told.after] == ["60"]


def test_a_late_row_is_booked_again_from_the_checkpoint_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [row(n, "buy" if n % 2 else "sell", "1", "100", n * 2) for n in range(1, 101)]
    journal = Journal(Rules(oversell=Oversell.ZERO_BASIS), every=10)
    for one in rows:
        journal.arrive(one)
    booked: list[str] = []
    honest = Booking.book

    def counted(self: Booking, trade: Trade) -> list[object]:
        booked.append(trade.trade_id)
        return list(honest(self, trade))

    monkeypatch.setattr(Booking, "book", counted)
    told = journal.arrive(row(101, "buy", "1", "99", 2 * 95 - 1))
    assert told.rebooked == 7
    assert len(booked) <= 7 + 10


def test_rows_that_follow_a_late_one_that_takes_too_much_are_named_and_nothing_changes() -> None:
    journal = Journal(Rules())
    journal.arrive(row(1, "buy", "1", "100", 1))
    journal.arrive(row(2, "sell", "1", "150", 3))
    before = snapshot(journal.booking)
    with pytest.raises(Oversold, match="trade t2 takes out 1 BTC more"):
        journal.arrive(row(3, "sell", "1", "140", 2))
    assert snapshot(journal.booking) == before
    assert [one.trade_id for one in journal.rows] == ["t1", "t2"]
    assert journal.arrive(row(3, "buy", "1", "140", 2)).new


def test_checkpoints_do_not_come_closer_than_what_they_hold_is_large() -> None:
    rows = [row(n, "buy", "1", "100", n) for n in range(1, 200)]
    journal = Journal(Rules(), every=4)
    for one in rows:
        journal.arrive(one)
    late = journal.arrive(row(500, "buy", "1", "100", 150))
    assert late.rebooked == 200 - 150
    assert snapshot(journal.booking) == snapshot(book(journal.rows, Rules())[0])
