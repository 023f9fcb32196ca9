"""Rules of booking that no case of known answers shows: what is refused, what stays exact, what a transfer carries."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from ledger.booking import Booking, OutOfOrder, Oversell, Oversold, Rules, book, todos
from ledger.figures import statistics
from ledger.lots import Lot, Method, dearness
from ledger.moves import Act, PoolBy, PoolKey, moves, pools_of
from ledger.numbers import EXACT, divided, money, money_text, quantity_text
from ledger.snapshots import UnknownForm, pool_snapshot, put_pool, restore, snapshot
from ledger.trades import PRICE_PLACES, QTY_PLACES, Kind, Trade

AT = datetime(2025, 3, 1, tzinfo=UTC)
PAID_PLACES = QTY_PLACES + 2 * PRICE_PLACES
"""Decimals of what can be paid: a quantity, a price and a rate."""
PER_ACCOUNT = PoolBy.USER_ACCOUNT_COIN


def row(n: int, kind: str, qty: str, price: str = "0", **more: Any) -> Trade:
    """The n-th row, an hour after the one before."""
    told = {"user": "ann", "account": "desk", "base": "BTC"} | more
    return Trade(
        trade_id=f"t{n}",
        happened_at=AT + timedelta(hours=n),
        kind=Kind(kind),
        qty=Decimal(qty),
        price=Decimal(price),
        seq=n,
        **told,
    )


def lots(booking: Booking, account: str | None = None) -> list[tuple[str, str, str]]:
    """Open lots of ann's BTC."""
    held = booking.pools[PoolKey("ann", account, "BTC")].lots.open()
    return [(lot.id, quantity_text(lot.left), money_text(lot.rest)) for lot in held]


def test_the_last_part_of_a_lot_takes_the_rest_of_its_cost() -> None:
    rows = [row(1, "buy", "3", "0.333333333333333333"), *(row(n, "sell", "1", "1") for n in (2, 3, 4))]
    _, disposals = book(rows, Rules())
    assert sum(one.cost for one in disposals) == 999_999_999_999_999_999
    assert [one.cost for one in disposals] == [333_333_333_333_333_333] * 3


def test_no_part_of_a_lot_ever_costs_less_than_nothing() -> None:
    """Four wei of cost over six of quantity: rounded one by one, five parts would cost five."""
    rows = [
        row(1, "buy", "0.000000000000000006", "0.666666666666666667"),
        *(row(n, "sell", "0.000000000000000001") for n in range(2, 8)),
    ]
    _, disposals = book(rows, Rules())
    assert sum(one.cost for one in disposals) == 4
    assert min(one.cost for one in disposals) >= 0


def test_a_row_before_what_is_booked_is_refused_and_changes_nothing() -> None:
    booking, _ = book([row(2, "buy", "1", "10")], Rules())
    before = snapshot(booking)
    with pytest.raises(OutOfOrder, match="before what is booked for BTC"):
        booking.book(row(1, "buy", "1", "10"))
    assert snapshot(booking) == before


def test_one_leg_that_takes_too_much_leaves_every_pool_as_it_was() -> None:
    booking, _ = book([row(1, "buy", "1", "10")], Rules())
    before = snapshot(booking)
    swap = row(
        2, "sell", "1", "2", quote="ETH", rate=Decimal(9), fee_qty=Decimal(1), fee_coin="BNB", fee_value=Decimal(3)
    )
    with pytest.raises(Oversold, match="takes out 1 BNB more"):
        booking.book(swap)
    assert snapshot(booking) == before


def test_what_no_lot_covered_is_a_todo_and_later_purchases_do_not_fill_it() -> None:
    rows = [row(1, "buy", "1", "10"), row(2, "sell", "3", "20"), row(3, "buy", "5", "30")]
    booking, disposals = book(rows, Rules(oversell=Oversell.ZERO_BASIS))
    (todo,) = todos(disposals)
    assert (todo.trade_id, quantity_text(todo.missing)) == ("t2", "2")
    assert lots(booking) == [("t3", "5", "150")]


@pytest.mark.parametrize("method", Method)
def test_a_carried_lot_keeps_its_place_among_those_of_the_receiver(method: Method) -> None:
    rows = [
        row(1, "buy", "1", "30", account="cold"),
        row(2, "buy", "1", "50"),
        row(3, "buy", "1", "20", account="cold"),
        row(4, "buy", "1", "40"),
        row(5, "transfer", "2", account="cold", to_account="desk"),
        row(6, "sell", "4", "60"),
    ]
    booking, (sale,) = book(rows, Rules(method, PER_ACCOUNT))
    order = {
        Method.FIFO: ["t1", "t2", "t3", "t4"],
        Method.LIFO: ["t4", "t3", "t2", "t1"],
        Method.HIFO: ["t2", "t4", "t1", "t3"],
        Method.AVERAGE: ["pool"],
    }
    assert [match.lot for match in sale.matches] == order[method]
    assert money_text(sale.cost) == "140"
    assert booking.pools[PoolKey("ann", "cold", "BTC")].open_cost == 0


@pytest.mark.parametrize("method", Method)
def test_pieces_of_one_lot_that_meet_again_are_told_as_one(method: Method) -> None:
    rows = [
        row(1, "buy", "1", "30"),
        *(row(n, "transfer", "0.2", to_account="cold") for n in (2, 3)),
        row(4, "transfer", "0.3", account="cold", to_account="desk"),
        row(5, "sell", "0.9", "60"),
    ]
    booking, (sale,) = book(rows, Rules(method, PER_ACCOUNT))
    assert [quantity_text(match.qty) for match in sale.matches] == ["0.9"]
    assert restore(snapshot(booking)).pools.keys() == booking.pools.keys()


def test_a_transfer_of_more_than_there_is_moves_the_rest_at_no_cost_and_says_so() -> None:
    rows = [row(1, "buy", "1", "30"), row(2, "transfer", "1.5", to_account="cold")]
    with pytest.raises(Oversold, match=r"takes out 0\.5 BTC more than ann has in desk"):
        book(rows, Rules(pool_by=PER_ACCOUNT))
    booking, _ = book(rows, Rules(pool_by=PER_ACCOUNT, oversell=Oversell.ZERO_BASIS))
    assert lots(booking, "cold") == [("t1", "1", "30"), ("t2", "0.5", "0")]
    assert quantity_text(booking.pools[PoolKey("ann", "desk", "BTC")].missing_qty) == "0.5"


def test_where_shorts_are_allowed_a_transfer_still_cannot_move_what_is_not_there() -> None:
    rows = [row(1, "buy", "1", "30"), row(2, "transfer", "1.5", to_account="cold")]
    with pytest.raises(Oversold, match=r"takes out 0\.5 BTC more"):
        book(rows, Rules(pool_by=PER_ACCOUNT, allow_short=True))


def test_what_is_left_of_a_purchase_that_covered_a_short_is_as_dear_as_all_of_it() -> None:
    """Three bought at 10, one of them given back: the other two are not at 15, and go after those at 12."""
    rows = [row(1, "sell", "1", "20"), row(2, "buy", "3", "10"), row(3, "buy", "1", "12"), row(4, "sell", "1", "20")]
    _, (cover, sold) = book(rows, Rules(Method.HIFO, allow_short=True))
    assert cover.side == "cover"
    assert [match.lot for match in sold.matches] == ["t3"]


def test_a_transfers_fee_is_spent_and_counts_toward_what_must_be_there() -> None:
    fee = {"fee_qty": Decimal("0.1"), "fee_coin": "BTC", "to_account": "cold"}
    rows = [row(1, "buy", "1", "30"), row(2, "transfer", "0.95", "40", **fee)]
    with pytest.raises(Oversold, match=r"takes out 0\.05 BTC"):
        book(rows, Rules(pool_by=PER_ACCOUNT))
    booking, (paid,) = book([rows[0], row(2, "transfer", "0.9", "40", **fee)], Rules(pool_by=PER_ACCOUNT))
    assert (paid.leg, money_text(paid.gain)) == ("fee", "1")
    assert money_text(booking.pools[PoolKey("ann", "desk", "BTC")].expense) == "4"
    assert lots(booking, "cold") == [("t1", "0.9", "27")]


def test_dollars_have_no_lots_whichever_side_they_stand_on() -> None:
    bought = row(
        1,
        "sell",
        "100",
        "0.00001",
        base="USDT",
        quote="BTC",
        rate=Decimal(100_000),
        fee_qty=Decimal(1),
        fee_coin="USDT",
    )
    sold = row(2, "buy", "60", "0.00001", base="USDT", quote="BTC", rate=Decimal(100_000))
    earned = row(3, "income", "5", "1", base="USDT")
    booking, (sale,) = book([bought, sold, earned], Rules())
    assert (money_text(sale.proceeds), money_text(sale.cost)) == ("60", "60.6")
    assert lots(booking) == [("t1", "0.0004", "40.4")]
    cash = booking.pools[PoolKey("ann", None, "USDT")]
    assert (money_text(cash.income), cash.open_qty) == ("5", 0)


def test_pools_that_a_row_touches_are_named_sorted() -> None:
    moved = row(1, "transfer", "1", to_account="cold", fee_qty=Decimal(1), fee_coin="BNB", fee_value=Decimal(2))
    assert pools_of(moved, PER_ACCOUNT) == [("ann", "cold", "BTC"), ("ann", "desk", "BNB"), ("ann", "desk", "BTC")]
    assert [move.act for move in moves(moved, PoolBy.USER_COIN)] == [Act.DISPOSE]


def test_a_pool_alone_goes_on_from_its_snapshot() -> None:
    rows = [row(1, "buy", "1", "30"), row(2, "buy", "2", "50")]
    booking, _ = book(rows, Rules(Method.HIFO))
    alone = Booking(Rules(Method.HIFO))
    put_pool(alone, pool_snapshot(booking.pools[PoolKey("ann", None, "BTC")]))
    sale = row(3, "sell", "2.5", "60")
    assert alone.book(sale) == booking.book(sale)


def test_a_snapshot_of_another_form_is_refused() -> None:
    with pytest.raises(UnknownForm):
        restore({"form": 0})


def test_rows_of_one_moment_and_number_are_booked_in_the_order_in_which_they_are_given() -> None:
    rows = [replace(row(1, "buy", "1", "5"), trade_id=name) for name in ("a", "b")]
    booking, _ = book(rows, Rules())
    assert [lot for lot, _, _ in lots(booking)] == ["a", "b"]
    for method, first in ((Method.FIFO, "a"), (Method.LIFO, "b"), (Method.HIFO, "a")):
        _, (sold,) = book([*rows, row(2, "sell", "1", "6")], Rules(method))
        assert [match.lot for match in sold.matches] == [first]


def test_of_lots_of_one_moment_and_number_that_were_carried_in_late_the_last_to_come_goes_first_under_lifo() -> None:
    together = [replace(row(1, "buy", "1", "5"), trade_id=name) for name in ("a", "b")]
    rows = [*together, row(3, "buy", "1", "9", account="cold"), row(4, "transfer", "2", to_account="cold")]
    rows += [row(n, "sell", "1", "10", account="cold") for n in (5, 6, 7)]
    _, sold = book(rows, Rules(Method.LIFO, pool_by=PER_ACCOUNT))
    assert [match.lot for one in sold for match in one.matches] == ["t3", "a", "b"]  # "b" was the first to leave


def test_a_row_before_lots_that_were_carried_in_is_too_late_for_that_account() -> None:
    booking = Booking(Rules(pool_by=PER_ACCOUNT))
    booking.book(row(1, "buy", "2", "5"))
    booking.book(row(5, "transfer", "1", to_account="cold"))
    with pytest.raises(OutOfOrder):
        booking.book(row(3, "buy", "1", "5", account="cold"))


def test_a_transfer_to_an_account_that_has_booked_later_rows_is_too_late_and_moves_nothing() -> None:
    booking = Booking(Rules(pool_by=PER_ACCOUNT))
    booking.book(row(1, "buy", "2", "5"))
    booking.book(row(5, "buy", "1", "5", account="cold"))
    before = snapshot(booking)
    with pytest.raises(OutOfOrder, match="before what is booked for BTC"):
        booking.book(row(3, "transfer", "1", to_account="cold"))
    assert snapshot(booking) == before


def test_the_average_is_rounded_half_to_even() -> None:
    """Of two coins that cost three steps one costs 1.5, told as 2; of five steps it is 2.5, told as 2 as well."""
    for cost in ("3", "5"):
        rows = [row(1, "buy", "2", f"{int(cost) / 2}e-18"), row(2, "sell", "1", "1")]
        _, (sold,) = book(rows, Rules(Method.AVERAGE))
        assert sold.cost == 2


def test_the_dearest_lot_is_found_where_unit_costs_differ_in_the_seventieth_digit() -> None:
    """N / (N - 1) is less than (N - 1) / (N - 2); with a fee in the bought coin both are exact."""
    step = {"fee_qty": Decimal("1e-18"), "fee_coin": "BTC"}
    rows = [row(1, "buy", "1e19", "1", **step), row(2, "buy", "9999999999999999999.999999999999999999", "1", **step)]
    _, (sold,) = book([*rows, row(3, "sell", "1", "1")], Rules(Method.HIFO))
    assert [match.lot for match in sold.matches] == ["t2"]


def test_unit_costs_that_differ_as_little_as_they_can_are_told_apart_and_equal_ones_are_not() -> None:
    """N / (N + 1) is more than (N - 1) / N, of the smallest amounts that can be paid and the largest quantities."""
    most = 10**56 - 2
    told = [(most, most + 1), (most - 1, most), (2, 4), (1, 2)]
    lots = [
        Lot("a", (AT, 1), bought, 0, bought, 0, EXACT.scaleb(Decimal(paid), -PAID_PLACES), bought)
        for paid, bought in told
    ]
    dearer, cheaper, half, same = map(dearness, lots)
    assert dearer > cheaper > half == same


def test_the_dearest_lot_is_the_one_that_was_paid_most_for_before_rounding() -> None:
    """Both cost one step a unit when rounded: 1.4 and 0.6 of it were paid."""
    tiny = "0.000000000000000001"
    rows = [row(1, "buy", tiny, "0.6"), row(2, "buy", tiny, "1.4"), row(3, "sell", tiny, "1")]
    _, (sold,) = book(rows, Rules(Method.HIFO))
    assert [match.lot for match in sold.matches] == ["t2"]


def test_of_lots_of_one_moment_that_were_carried_in_late_the_newest_number_goes_first_under_lifo() -> None:
    together = [replace(row(n, "buy", "1", str(n)), happened_at=AT) for n in (1, 2)]
    rows = [*together, row(3, "buy", "1", "9", account="cold"), row(4, "transfer", "2", to_account="cold")]
    rows += [row(n, "sell", "1", "10", account="cold") for n in (5, 6, 7)]
    _, sold = book(rows, Rules(Method.LIFO, pool_by=PER_ACCOUNT))
    assert [match.lot for one in sold for match in one.matches] == ["t3", "t2", "t1"]


def test_a_fee_on_income_raises_its_cost_unless_it_is_kept_back_from_the_income() -> None:
    told, _ = book([row(1, "income", "2", "10", fee_qty=Decimal(3), fee_coin="USDT")], Rules())
    kept, _ = book([row(1, "income", "2", "10", fee_qty=Decimal("0.5"), fee_coin="BTC")], Rules())
    assert lots(told) == [("t1", "2", "23")]
    assert lots(kept) == [("t1", "1.5", "20")]


def test_a_fee_on_a_spend_lowers_what_it_brings_or_leaves_with_it() -> None:
    bought = row(1, "buy", "9", "1")
    _, (cash,) = book([bought, row(2, "spend", "2", "10", fee_qty=Decimal(3), fee_coin="USDT")], Rules())
    _, (coin,) = book([bought, row(2, "spend", "2", "10", fee_qty=Decimal("0.5"), fee_coin="BTC")], Rules())
    assert (money_text(cash.proceeds), quantity_text(cash.qty)) == ("17", "2")
    assert (money_text(coin.proceeds), quantity_text(coin.qty)) == ("20", "2.5")


def test_a_fee_on_income_in_the_coin_of_its_price_is_a_disposal_of_that_coin() -> None:
    """Income is no swap: nothing of the quote coin moves with the row itself."""
    paid = {"quote": "ETH", "rate": Decimal(2), "fee_qty": Decimal("0.5"), "fee_coin": "ETH"}
    _, (fee,) = book([row(1, "buy", "1", "2", base="ETH"), row(2, "income", "2", "10", **paid)], Rules())
    assert (fee.leg, fee.pool.coin, quantity_text(fee.qty), money_text(fee.proceeds)) == ("fee", "ETH", "0.5", "1")


def test_division_rounds_half_to_even_on_both_sides_of_zero() -> None:
    assert [divided(n, 2) for n in (-5, -3, -1, 1, 3, 5)] == [-2, -2, 0, 0, 2, 2]
    assert [divided(n, 3) for n in (-2, -1, 1, 2, 4, 5)] == [-1, 0, 0, 1, 1, 2]


def test_a_transfers_fee_in_cash_is_an_expense_and_a_sale_that_gained_nothing_is_a_loss() -> None:
    rows = [
        row(1, "buy", "1", "10"),
        row(2, "transfer", "1", to_account="cold", fee_qty=Decimal("0.5"), fee_coin="USDT"),
        row(3, "sell", "1", "10"),
    ]
    booking, disposals = book(rows, Rules())
    assert sum(pool.expense for pool in booking.pools.values()) == money(Decimal("0.5"))
    (sums,) = statistics(rows, disposals).values()
    assert (sums.sales, sums.wins, sums.losses, sums.net) == (1, 0, 1, -money(Decimal("0.5")))


def test_a_quote_that_comes_to_less_than_the_smallest_step_moves_nothing() -> None:
    dust = row(1, "sell", "1e-24", "1e-18", quote="ETH", rate=Decimal(1))
    booking, (sold,) = book([dust, row(2, "buy", "1", "10")], Rules(Method.HIFO, oversell=Oversell.ZERO_BASIS))
    assert (sold.leg, sold.proceeds) == ("base", 0)
    assert {coin for _, _, coin in booking.pools} == {"BTC"}
