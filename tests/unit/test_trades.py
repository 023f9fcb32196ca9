"""What may be a trade, what may not, and what makes two deliveries the same one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal, getcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.csvfile import BadFile, Row, read_trades
from ledger.numbers import (
    divided,
    money,
    money_decimal,
    money_text,
    plain,
    quantity,
    quantity_decimal,
    quantity_text,
    ratio_text,
)
from ledger.trades import InvalidTrade, Kind, OtherBody, Trade, from_body, in_order, refuse_future, unique

AT = datetime(2025, 3, 1, 12, tzinfo=UTC)
HEADER = "trade_id,user,account,ts,kind,base,qty,quote,price,quote_rate,fee_qty,fee_coin,fee_value,to_account"


def trade(**changes: Any) -> Trade:
    """A purchase, changed as told."""
    told: dict[str, Any] = {
        "trade_id": "t1",
        "user": "ann",
        "account": "desk",
        "happened_at": AT,
        "kind": Kind.BUY,
        "base": "BTC",
        "qty": Decimal("0.5"),
        "price": Decimal(90000),
    }
    return Trade(**(told | changes))


def rows(*lines: str) -> list[Row]:
    """Rows of a file."""
    return list(read_trades([HEADER, *lines], now=AT))


BAD: list[tuple[dict[str, Any], str]] = [
    ({"qty": Decimal("NaN")}, "not a finite"),
    ({"qty": Decimal("Infinity")}, "not a finite"),
    ({"price": Decimal("-Infinity")}, "not a finite"),
    ({"price": Decimal("sNaN")}, "not a finite"),
    ({"qty": 0.5}, "a float"),
    ({"qty": Decimal(0)}, "above 0"),
    ({"qty": Decimal("-0.1")}, "above 0"),
    ({"price": Decimal(-1)}, "negative"),
    ({"fee_qty": Decimal(-1), "fee_coin": "USDT"}, "negative"),
    ({"qty": Decimal(10) ** 20}, "21 digits before the point"),
    ({"qty": Decimal("1E+999999")}, "hundreds of digits"),
    ({"qty": Decimal("1E-25")}, "25 decimals"),
    ({"qty": Decimal("12345678901234567890.1234567890123456789")}, "more than 38 digits"),
    ({"price": Decimal("1E-41")}, "41 decimals"),
    ({"qty": Decimal(10) ** 15, "price": Decimal(10) ** 6}, "does not fit"),
    ({"kind": "gift"}, "unknown kind 'gift'"),
    ({"happened_at": AT.replace(tzinfo=None)}, "no time zone"),
    ({"happened_at": datetime(1969, 12, 31, tzinfo=UTC)}, "before 1970"),
    ({"happened_at": datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))}, "outside the calendar"),
    ({"trade_id": ""}, "trade_id is empty"),
    ({"trade_id": "x" * 10_000}, "10000 characters"),
    ({"user": "a\x00b"}, "control character"),
    ({"account": " desk"}, "space"),
    ({"base": "\ud800"}, "control character"),
    ({"rate": Decimal(0), "quote": "ETH"}, "above 0"),
    ({"rate": Decimal(2)}, "1 for USDT"),
    ({"quote": "BTC"}, "both BTC"),
    ({"to_account": "cold"}, "for transfers"),
    ({"kind": Kind.TRANSFER}, "every transfer needs one"),
    ({"kind": Kind.TRANSFER, "to_account": "desk"}, "to itself"),
    ({"fee_qty": Decimal(1)}, "needs the coin"),
    ({"fee_qty": Decimal(1), "fee_coin": "BNB"}, "needs its fee_value"),
    ({"fee_qty": Decimal("0.5"), "fee_coin": "BTC"}, "leaves nothing"),
    (
        {"kind": Kind.SELL, "quote": "ETH", "price": Decimal(1), "fee_qty": Decimal(1), "fee_coin": "ETH"},
        "more than the 0.5 received",
    ),
    ({"seq": -1}, "seq"),
]


@pytest.mark.parametrize(("changes", "reason"), BAD, ids=[reason for _, reason in BAD])
def test_what_must_not_exist_is_refused_with_its_reason(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidTrade, match=reason):
        trade(**changes)


@pytest.mark.parametrize("qty", ["0.000000000000000001", "99999999999999999999", "0.07421703087816932544", "1E+3"])
def test_quantities_at_the_ends_of_what_is_held_are_taken_exactly(qty: str) -> None:
    (leg,) = trade(qty=Decimal(qty), price=Decimal(0)).legs
    assert quantity_decimal(leg.qty) == Decimal(qty)


def test_a_trade_of_tomorrow_is_believed_and_one_of_next_week_is_not() -> None:
    refuse_future(trade(happened_at=AT + timedelta(hours=23)), AT)
    with pytest.raises(InvalidTrade, match="lies in the future"):
        refuse_future(trade(happened_at=AT + timedelta(days=7)), AT)


def test_times_are_kept_in_utc_whatever_zone_they_were_told_in() -> None:
    told = trade(happened_at=AT.astimezone(timezone(timedelta(hours=9))))
    assert told == trade()
    assert told.body()["happened_at"] == "2025-03-01T12:00:00.000000+00:00"


def test_equal_numbers_make_one_body_and_what_a_body_tells_can_be_read() -> None:
    told = trade(qty=Decimal("0.500"), price=Decimal("9E+4"), fee_qty=Decimal("1.0"), fee_coin="USDT", seq=7)
    assert told.body() == replace(told, qty=Decimal("0.5"), fee_qty=Decimal(1), seq=9).body()
    assert from_body(told.body(), seq=7) == told


def test_the_same_id_again_counts_once_with_its_first_arrival() -> None:
    first, again = trade(seq=1), trade(seq=5, qty=Decimal("0.50"))
    assert [(one.seq, one.trade_id) for one in unique([first, again])] == [(1, "t1")]


def test_the_same_id_with_another_body_is_refused_and_both_are_named() -> None:
    with pytest.raises(OtherBody, match=r"t1 is known as qty '0\.5', and now told as qty '0\.6'"):
        unique([trade(), trade(qty=Decimal("0.6"))])


def test_equal_ids_of_two_users_are_two_trades() -> None:
    assert len(unique([trade(), trade(user="bob", qty=Decimal(1))])) == 2


def test_arrival_decides_between_equal_times() -> None:
    late, early = trade(trade_id="a", seq=2), trade(trade_id="b", seq=1)
    assert [one.trade_id for one in in_order([late, early])] == ["b", "a"]


def test_a_bad_row_of_a_file_is_told_with_its_number_and_the_good_ones_are_read() -> None:
    good = "t1,ann,desk,2025-03-01T10:00:00Z,buy,BTC,1,USDT,5,1,,,,"
    found = rows(good, good.replace("t1", "t2").replace(",1,USDT", ",-1,USDT"), good.replace("t1", "t3"), good)
    assert [(row.number, row.refused, row.again) for row in found] == [
        (1, "", False),
        (2, "qty -1 must be above 0", False),
        (3, "", False),
        (4, "", True),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("t1,ann,desk,2025-03-01T10:00:00,buy,BTC,1,USDT,5,1,,,,", "no time zone"),
        ("t1,ann,desk,2999-03-01T10:00:00Z,buy,BTC,1,USDT,5,1,,,,", "in the future"),
        ("t1,ann,desk,yesterday,buy,BTC,1,USDT,5,1,,,,", "is not a time"),
        ("t1,ann,desk,2025-03-01T10:00:00Z,buy,BTC,NaN,USDT,5,1,,,,", "qty is not a number"),
        ("t1,ann,desk,2025-03-01T10:00:00Z,buy,BTC,inf,USDT,5,1,,,,", "qty is not a number"),
        ("t1,ann,desk,2025-03-01T10:00:00Z,buy,BTC,1_000,USDT,5,1,,,,", "qty is not a number"),
        ("t1,ann,desk,2025-03-01T10:00:00Z,buy,BTC,١,USDT,5,1,,,,", "qty is not a number"),
        ("t1,ann,desk,2025-03-01T10:00:00Z,buy,BTC,1,USDT,,1,,,,", "price is missing"),
        ("t1,ann,desk,2025-03-01T10:00:00Z,buy,BTC,1,ETH,5,,,,,", "quote_rate is missing"),
        ("t1,ann,desk,2025-03-01T10:00:00Z,hodl,BTC,1,USDT,5,1,,,,", "unknown kind"),
        ("t1,ann,desk", "unknown kind ''"),
        ("t1,ann,desk,2025-03-01T10:00:00Z,buy,BTC,1,USDT,5,1,,,,,,", "16 fields"),
    ],
)
def test_a_row_that_is_no_trade_says_why(line: str, reason: str) -> None:
    (row,) = rows(line)
    assert row.trade is None
    assert reason in row.refused


@pytest.mark.parametrize("lines", [[], ["a,b,c"], [HEADER + ",qty"], [HEADER, '"open']])
def test_what_is_no_file_of_trades_is_refused_as_a_whole(lines: list[str]) -> None:
    with pytest.raises(BadFile):
        list(read_trades(lines, now=AT))


@given(st.integers(-(10**60), 10**60), st.integers(1, 10**40))
def test_division_rounds_to_the_nearest_and_ties_to_even(numerator: int, denominator: int) -> None:
    done = divided(numerator, denominator)
    off = abs(numerator - done * denominator) * 2
    assert off < denominator or (off == denominator and done % 2 == 0)


@given(st.decimals(-(10**19), 10**19, places=18))
def test_money_and_quantities_come_back_exactly(value: Decimal) -> None:
    assert money_decimal(money(value)) == value
    assert quantity_decimal(quantity(value)) == value
    assert money_text(money(value)) == plain(value) == quantity_text(quantity(value))


@pytest.mark.parametrize(("told", "steps"), [("0.5", 0), ("1.5", 2), ("2.5", 2), ("-0.5", 0), ("-1.5", -2)])
def test_money_rounds_half_to_even_at_eighteen_places(told: str, steps: int) -> None:
    assert money(Decimal(told).scaleb(-18)) == steps


def test_a_ratio_has_thirty_places() -> None:
    assert ratio_text(2, 3) == "0." + "6" * 29 + "7"
    assert ratio_text(1, 2) == "0.5"


def test_nothing_here_reads_or_changes_the_process_wide_context() -> None:
    before = getcontext().copy()
    getcontext().prec = 5
    try:
        (leg,) = trade(qty=Decimal("1.123456789"), price=Decimal("98765.4321")).legs
        assert money_decimal(leg.amount) == Decimal("110958.6952112635269")
        assert getcontext().prec == 5
    finally:
        getcontext().prec = before.prec
