"""From a row that somebody gave to an entry of the books, or to a price.  Pure.

A row is a JSON object of text; numbers are text too (or whole), since a float has already lost its digits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from broker.pages import LandedPage
from ledger.entries import Key, NewEntry, Quote, body_hash, entry_of
from ledger.trades import CASH, ID_CHARS, InvalidTrade, Kind, Trade, kind_of, moment, number, refuse_future
from ledger.trades import shown as quoted
from workers.items import Rejected

GIVEN_BY_USERS = "user"
"""Stands where the pages of a provider have its name."""
SOURCE, ACCOUNT = "api", "main"
_TEXTS = {
    "trade_id": "", "account": ACCOUNT, "happened_at": "", "kind": "", "base": "", "qty": "", "quote": CASH,
    "price": "", "rate": "", "fee_qty": "", "fee_coin": "", "fee_value": "", "to_account": "", "tag": "",
}  # fmt: skip
_REVERSAL = {"trade_id": "", "kind": "", "reverses": "", "happened_at": ""}
_PRICE = {"coin": "", "happened_at": "", "price": ""}
_COUNTED = ("line", "occurrence")
_UNTOLD = "untold"


@dataclass(frozen=True, slots=True)
class Given:
    """What a page of rows says: entries of one user, or prices; and the rows that are none, with the reason."""

    user: str
    entries: Sequence[NewEntry] = ()
    quotes: Sequence[Quote] = ()
    rejected: Sequence[Rejected] = ()


def read_given(page: LandedPage, rows: Sequence[Any]) -> Given:
    """Read every row of a kept page; its user and source are what its job said."""
    source, user = page.args.get("source", SOURCE), page.args.get("user", "")
    if page.dataset == "prices":
        return _read_prices(page, rows, source)
    read = _Trades(user, source, page.id, page.fetched_at)
    entries: list[NewEntry] = []
    rejected: list[Rejected] = []
    for position, row in enumerate(rows):
        try:
            entries.append(read.entry(row, position))
        except InvalidTrade as error:
            rejected.append(Rejected(position, str(error)))
    return Given(user, entries=entries, rejected=rejected)


def _read_prices(page: LandedPage, rows: Sequence[Any], source: str) -> Given:
    quotes: list[Quote] = []
    rejected: list[Rejected] = []
    for position, row in enumerate(rows):
        try:
            told = _texts(row, _PRICE)
            price = number("price", told["price"])
            quote = Quote(told["coin"], moment(told["happened_at"]), price, source, page.id, position)
            quote.refuse_future(page.fetched_at)
            quotes.append(quote)
        except InvalidTrade as error:
            rejected.append(Rejected(position, str(error)))
    return Given("", quotes=quotes, rejected=rejected)


@dataclass(slots=True)
class _Trades:
    """Reads the rows of one page; without an id of the source, equal rows are told apart by counting them."""

    user: str
    source: str
    page: UUID
    now: datetime
    seen: Counter[str] | None = None

    def entry(self, row: Any, position: int) -> NewEntry:
        if isinstance(row, Mapping) and row.get("kind") == "reversal":
            return self._reversal(row, position)
        told = _texts(row, _TEXTS)
        trade = trade_of(told, self.user)
        refuse_future(trade, self.now)
        trade, key = self._keyed(trade, row)
        return entry_of(trade, key, page=self.page, position=position)

    def _keyed(self, trade: Trade, row: Mapping[str, Any]) -> tuple[Trade, Key]:
        if trade.trade_id != _UNTOLD:
            return trade, Key(self.source, trade.trade_id)
        content = content_id(trade)
        self.seen = self.seen or Counter()
        occurrence = row.get("occurrence", self.seen[content])
        self.seen[content] += 1
        told = f"{content}-{occurrence + 1}" if occurrence else content
        return replace(trade, trade_id=told), Key(self.source, content, occurrence)

    def _reversal(self, row: Mapping[str, Any], position: int) -> NewEntry:
        told = _texts(row, _REVERSAL)
        for name in ("trade_id", "reverses"):
            if not 0 < len(told[name]) <= ID_CHARS or not told[name].isprintable():
                raise InvalidTrade(f"a reversal needs {name}: text of 1 to {ID_CHARS} characters")
        at = moment(told["happened_at"]) if told["happened_at"] else self.now
        key = Key(self.source, told["trade_id"])
        body = {"user": self.user, **told}
        undoes = reversed_key(self.source, told["reverses"])
        return NewEntry(self.user, key, "reversal", at, body, (), (), undoes, self.page, position)


def trade_of(told: Mapping[str, str], user: str) -> Trade:
    """Make a trade of a row's texts; raise InvalidTrade with the reason."""
    kind = kind_of(told["kind"])
    price = told["price"] or ("0" if kind is Kind.TRANSFER else "")
    return Trade(
        trade_id=told["trade_id"] or _UNTOLD,
        user=user,
        account=told["account"],
        happened_at=moment(told["happened_at"]),
        kind=kind,
        base=told["base"],
        qty=number("qty", told["qty"]),
        quote=told["quote"],
        price=number("price", price),
        rate=number("rate", told["rate"] or ("1" if told["quote"] == CASH else "")),
        fee_qty=number("fee_qty", told["fee_qty"] or "0"),
        fee_coin=told["fee_coin"],
        fee_value=number("fee_value", told["fee_value"]) if told["fee_value"] else None,
        to_account=told["to_account"],
        tag=told["tag"],
    )


def content_id(trade: Trade) -> str:
    """Name a trade that its source gave no id by what it says."""
    body: dict[str, Any] = trade.body()
    return "content-" + body_hash({name: value for name, value in body.items() if name != "trade_id"})[:32]


def reversed_key(source: str, told: str) -> Key:
    """Read the id of what is to be reversed, as it was given or, for a row without one, as the books name it."""
    content, dash, number_told = told.rpartition("-")
    if told.startswith("content-") and content.count("-") == 1 and dash and number_told.isdecimal():
        return Key(source, content, int(number_told) - 1)
    return Key(source, told)


def _texts(row: Any, known: Mapping[str, str]) -> dict[str, str]:
    """Take a row apart into texts; whole numbers are as good as text."""
    if not isinstance(row, Mapping):
        raise InvalidTrade("a row is a JSON object")
    if unknown := sorted(set(row) - set(known) - set(_COUNTED)):
        raise InvalidTrade(f"unknown fields: {', '.join(map(quoted, unknown))[:200]}")
    for name in _COUNTED:
        if not _is_count(row.get(name, 0)):
            raise InvalidTrade(f"{name} is a whole number, not {quoted(str(row[name]))}")
    return {name: _told(name, row.get(name), otherwise) for name, otherwise in known.items()}


def _told(name: str, value: Any, otherwise: str) -> str:
    match value:
        case None | "":
            return otherwise
        case str():
            return value
        case bool() | float():
            raise InvalidTrade(f"{name} is to be text, so that no digit is lost, not {quoted(str(value))}")
        case int():
            return str(value)
    raise InvalidTrade(f"{name} is to be text")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31
