"""What is written into the books: entries of transfers, each naming both of its accounts.  Pure.

    buy 2 ETH at 2300 USDT, fee 4.6 USDT      debit            credit          asset    amount
                                              wallet:main      market          ETH           2
                                              market           wallet:main     USDT       4600
                                              fees             wallet:main     USDT        4.6

A transfer cannot be unbalanced, so neither can an entry: for every asset the sum over all accounts is zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any, Literal
from uuid import UUID

import orjson

from ledger.numbers import plain, product, quantity, quantity_decimal
from ledger.trades import AHEAD_MAX, COIN_CHARS, EARLIEST, ID_CHARS, InvalidTrade, Kind, Trade

EntryKind = Literal["buy", "sell", "income", "spend", "transfer", "reversal", "gains"]
MARKET, FEES, INCOME, EXPENSE = "market", "fees", "income", "expense"
GENESIS = bytes(32)
"""What the first batch of a user is chained to."""
LEAF_BYTES = 32
PRICE_PLACES = 40
AMOUNT_END = Decimal(10) ** 42


@dataclass(frozen=True, slots=True)
class Transfer:
    """An amount of one asset from the credited account to the debited one; raises InvalidTrade for what is none."""

    debit: str
    credit: str
    asset: str
    amount: Decimal

    def __post_init__(self) -> None:
        if not (self.amount.is_finite() and 0 < self.amount < AMOUNT_END):
            raise InvalidTrade(f"{plain(self.amount)} {self.asset} is more than an account can hold")
        if self.debit == self.credit:
            raise InvalidTrade(f"a transfer from {self.debit} to itself")

    def back(self) -> Transfer:
        """The transfer that undoes this one."""
        return Transfer(self.credit, self.debit, self.asset, self.amount)


@dataclass(frozen=True, slots=True)
class Key:
    """What makes it the same thing when it is delivered again: the source's own id, else content and occurrence."""

    source: str
    external_id: str
    occurrence: int = 0

    def __str__(self) -> str:
        repeated = f" (number {self.occurrence + 1} of its kind)" if self.occurrence else ""
        return f"{self.source} {self.external_id}{repeated}"


@dataclass(frozen=True, slots=True)
class NewEntry:
    """Something to be posted.  ``body`` tells its content as text; ``undoes`` is the key of what a reversal reverses.

    ``position`` is its place in the page or file that brought it, from 0.
    """

    user: str
    key: Key
    kind: EntryKind
    happened_at: datetime
    body: Mapping[str, Any]
    transfers: Sequence[Transfer]
    coins: Sequence[str] = ()
    undoes: Key | None = None
    page: UUID | None = None
    position: int = 0
    told: bytes = field(init=False, repr=False)
    """The body as ``body_text`` gives it."""
    body_hash: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "told", body_text(self.body))
        object.__setattr__(self, "body_hash", sha256(self.told).hexdigest())


@dataclass(frozen=True, slots=True)
class Quote:
    """What one coin was worth in USDT at a moment, as ``source`` says; raises InvalidTrade for what is no price."""

    coin: str
    happened_at: datetime
    price: Decimal
    source: str
    page: UUID | None = None
    position: int = 0

    def __post_init__(self) -> None:
        for name, told, chars in (("coin", self.coin, COIN_CHARS), ("source", self.source, ID_CHARS)):
            if not 0 < len(told) <= chars or not told.isprintable() or told != told.strip():
                raise InvalidTrade(f"{name} must have 1 to {chars} printable characters")
        if not self.price.is_finite() or self.price < 0 or self.price >= Decimal(10) ** 20:
            raise InvalidTrade("price is not a number from 0 to 10**20")
        if -int(self.price.as_tuple().exponent) > PRICE_PLACES:
            raise InvalidTrade(f"price has more than {PRICE_PLACES} decimals")
        if self.happened_at.tzinfo is None:
            raise InvalidTrade(f"{self.happened_at.isoformat()} says no time zone")
        if self.happened_at < EARLIEST:
            raise InvalidTrade(f"{self.happened_at.isoformat()} is before 1970")

    def refuse_future(self, now: datetime) -> None:
        """Refuse a price that is told for more than a day from now."""
        if self.happened_at > now + AHEAD_MAX:
            raise InvalidTrade(f"{self.happened_at.isoformat()} lies in the future")


def wallet(account: str) -> str:
    """Name the account for what a user holds at one place of custody."""
    return f"wallet:{account}"


def entry_of(trade: Trade, key: Key, *, page: UUID | None, position: int) -> NewEntry:
    """Say which transfers a trade is."""
    body: dict[str, Any] = trade.body()
    return NewEntry(
        user=trade.user,
        key=key,
        kind=trade.kind.value,
        happened_at=trade.happened_at,
        body=body,
        transfers=transfers_of(trade),
        coins=coins_of(trade),
        page=page,
        position=position,
    )


def coins_of(trade: Trade) -> list[str]:
    """Name the coins that booking the trade reads or writes."""
    swapped = {trade.quote} if trade.kind in {Kind.BUY, Kind.SELL} else set()
    paid = {trade.fee_coin} if trade.fee_qty else set()
    return sorted({trade.base} | swapped | paid)


def transfers_of(trade: Trade) -> list[Transfer]:
    """Lay a trade out as transfers; an amount that rounds to nothing is left out."""
    here = wallet(trade.account)
    moved: list[tuple[str, str, str, Decimal]] = []
    match trade.kind:
        case Kind.BUY:
            moved.append((here, MARKET, trade.base, trade.qty))
            moved.append((MARKET, here, trade.quote, product(trade.qty, trade.price)))
        case Kind.SELL:
            moved.append((MARKET, here, trade.base, trade.qty))
            moved.append((here, MARKET, trade.quote, product(trade.qty, trade.price)))
        case Kind.INCOME:
            moved.append((here, INCOME, trade.base, trade.qty))
        case Kind.SPEND:
            moved.append((EXPENSE, here, trade.base, trade.qty))
        case Kind.TRANSFER:
            moved.append((wallet(trade.to_account), here, trade.base, trade.qty))
    if trade.fee_qty:
        moved.append((FEES, here, trade.fee_coin, trade.fee_qty))
    return [
        Transfer(debit, credit, asset, quantity_decimal(rounded))
        for debit, credit, asset, told in moved
        if (rounded := quantity(told))
    ]


def body_hash(body: Mapping[str, Any]) -> str:
    """Give 64 hex digits that are equal for equal content."""
    return sha256(body_text(body)).hexdigest()


def body_text(body: Mapping[str, Any]) -> bytes:
    """Write a body as JSON; equal content gives equal text."""
    return orjson.dumps(body, option=orjson.OPT_SORT_KEYS)


def leaf(
    head: Sequence[Any], reverses: UUID | None, body: bytes, transfers: Sequence[tuple[str, str, str, str]]
) -> bytes:
    """Hash everything that an entry says: ``head``, its body as ``body_text`` gives it, its transfers in order.

    Each transfer is debit, credit, asset and amount (as ``numbers.plain`` writes it).
    """
    told = [*head, None if reverses is None else str(reverses), orjson.Fragment(body), transfers]
    return sha256(orjson.dumps(told)).digest()


def leaf_head(entry: UUID, user: str, key: Key, kind: str, times: tuple[str, str]) -> list[Any]:
    """Say which entry it is; ``times`` are when it happened and when it was recorded, in UTC as ISO 8601."""
    return [str(entry), user, (key.source, key.external_id, key.occurrence), kind, times]


def chained(previous: bytes, leaves: Sequence[bytes]) -> bytes:
    """Hash a batch: the hash of the batch before it, and the leaf of each entry in order."""
    return sha256(previous + b"".join(leaves)).digest()
