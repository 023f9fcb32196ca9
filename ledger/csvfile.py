"""Trades in a CSV file, in the form of the golden cases; pure: text in, trades out.

Columns, in any order: ``seq, trade_id, user, account, ts, kind, base, qty, quote, price, quote_rate, fee_qty,
fee_coin, fee_value, to_account``, and ``tag`` where there is one.  Rows stand in order of arrival; ``seq`` may be
left empty, then it is the number of the row.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from ledger.trades import (
    CASH,
    InvalidTrade,
    Kind,
    OtherBody,
    Trade,
    kind_of,
    moment,
    number,
    refuse_future,
    same_or_refuse,
    shown,
)

NEEDED = ("trade_id", "user", "account", "ts", "kind", "base", "qty")
OPTIONAL = ("seq", "quote", "price", "quote_rate", "fee_qty", "fee_coin", "fee_value", "to_account", "tag")


class BadFile(ValueError):
    """This is not a file of trades at all; the text says what it lacks."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the file: its number (1 is the first after the header) and the trade, or why it is none."""

    number: int
    trade: Trade | None
    refused: str = ""
    again: bool = False
    """The same trade stood further up already."""
    seq: int = 0
    """The number of this very arrival; the trade has that of its first."""


def read_trades(lines: Iterable[str], *, now: datetime) -> Iterator[Row]:
    """Read every row; bad ones come with their reason, the good ones before and after them all the same.

    Errors: ``BadFile`` when there is no header or it lacks a column.
    """
    known: dict[tuple[str, str], Trade] = {}
    for at, told in records(lines, NEEDED, OPTIONAL):
        try:
            trade = trade_of(told, at, now=now)
            first = known.setdefault(trade.key, trade)
            same_or_refuse(first, trade)
        except (InvalidTrade, OtherBody) as error:
            yield Row(at, None, refused=str(error))
        else:
            yield Row(at, first, again=first is not trade, seq=trade.seq)


def records(
    lines: Iterable[str], needed: Iterable[str], optional: Iterable[str] = ()
) -> Iterator[tuple[int, dict[str, str]]]:
    """Give each row after the header as its number and its fields by column; a row that is cut short gives blanks.

    Errors: ``BadFile`` for a missing or repeated column, or what is not CSV.
    """
    reader = csv.reader(lines, strict=True)
    try:
        header = [name.strip().removeprefix("\ufeff") for name in next(reader, [])]
        lacking = [name for name in needed if name not in header]
        if lacking or len(set(header)) < len(header):
            raise BadFile(f"the header lacks {', '.join(lacking)}" if lacking else "a column stands there twice")
        known = [*needed, *optional]
        at = 0
        for fields in reader:
            if not fields:
                continue
            at += 1
            told = dict(zip(header, fields, strict=False))
            surplus = {"surplus": str(len(fields))} if len(fields) > len(header) else {}
            yield at, {name: told.get(name, "") for name in known} | surplus
    except csv.Error as error:
        raise BadFile(f"line {reader.line_num} is not CSV: {error}") from None


def trade_of(told: Mapping[str, str], at: int, *, now: datetime | None = None) -> Trade:
    """Make a trade of one row's texts; ``at`` is its ``seq`` where the row has none.  Errors: ``InvalidTrade``."""
    if "surplus" in told:
        raise InvalidTrade(f"it has {told['surplus']} fields, more than the header")
    kind = kind_of(told["kind"])
    quote = told["quote"] or CASH
    trade = Trade(
        trade_id=told["trade_id"],
        user=told["user"],
        account=told["account"],
        happened_at=moment(told["ts"]),
        kind=kind,
        base=told["base"],
        qty=number("qty", told["qty"]),
        quote=quote,
        price=_number_or(told, "price", "0" if kind is Kind.TRANSFER else ""),
        rate=_number_or(told, "quote_rate", "1" if quote == CASH else ""),
        fee_qty=_number_or(told, "fee_qty", "0"),
        fee_coin=told["fee_coin"],
        fee_value=number("fee_value", told["fee_value"]) if told["fee_value"] else None,
        to_account=told["to_account"],
        tag=told["tag"],
        seq=_seq(told["seq"], at),
    )
    refuse_future(trade, now or datetime.now(UTC))
    return trade


def _number_or(told: Mapping[str, str], name: str, otherwise: str) -> Decimal:
    return number(name, told[name] or otherwise)


def _seq(told: str, at: int) -> int:
    if not told:
        return at
    if not (told.isascii() and told.isdigit() and len(told) <= 18):
        raise InvalidTrade(f"seq is not a number of arrival: {shown(told)}")
    return int(told)
