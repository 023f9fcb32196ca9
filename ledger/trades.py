"""What a person did with coins, as values that cannot be wrong: trades, income, spends, transfers of their own.

Every number is a ``Decimal`` (a float never gets this far), every time is UTC.  The constructor refuses what must not
exist, so nobody downstream checks again.  What money is worth fits into NUMERIC(38,18); a quantity has up to 20
digits before the point and 24 after it, 38 in all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from ledger.legs import CASH, Kind, Leg, legs_of
from ledger.numbers import DIGITS, END, EXACT, plain, product

__all__ = ["CASH", "Kind", "Leg"]  # defined where the arithmetic is, and part of this module's face
ID_CHARS = 200
COIN_CHARS = 100
PRICE_PLACES = 40
QTY_PLACES = 24
"""Decimals of a told quantity: the most that a chain counts in (yoctoNEAR); most count in 18."""
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
AHEAD_MAX = timedelta(days=1)
"""How far a clock elsewhere may be ahead of ours before its times are not believed."""
_ZERO = Decimal(0)
_UNSTORABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


class InvalidTrade(ValueError):
    """This row cannot become a trade; the text says why."""


class OtherBody(ValueError):
    """The same user's id was delivered with other content; the text shows both bodies.  Nothing was changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """One row: ``qty`` of ``base`` at ``price`` in ``quote``, which was worth ``rate`` USDT.

    ``trade_id`` is the source's own id, unique for its user; the same id with the same body is the same trade, told
    again.  A fee is in any coin; ``fee_value`` (USDT) is needed only where its coin is neither base, quote nor USDT.
    ``tag`` names the algorithm that traded.  ``seq`` is the number of its first arrival; it decides between equal
    times and is no part of the content.
    """

    trade_id: str
    user: str
    account: str
    happened_at: datetime
    kind: Kind
    base: str
    qty: Decimal
    quote: str = CASH
    price: Decimal = _ZERO
    rate: Decimal = Decimal(1)
    fee_qty: Decimal = _ZERO
    fee_coin: str = ""
    fee_value: Decimal | None = None
    to_account: str = ""
    tag: str = ""
    seq: int = field(default=0, compare=False)
    legs: tuple[Leg, ...] = field(default=(), init=False, repr=False, compare=False)
    """What it does, worked out and rounded once."""

    def __post_init__(self) -> None:
        for name, chars in _NAMES.items():
            _refuse_text(name, getattr(self, name), chars)
        object.__setattr__(self, "kind", kind_of(self.kind))
        object.__setattr__(self, "happened_at", _utc(self.happened_at))
        _refuse_quantity("qty", self.qty)
        _refuse_price("price", self.price)
        _refuse_price("rate", self.rate)
        _refuse_quantity("fee_qty", self.fee_qty, least=_ZERO)
        if self.fee_value is not None:
            _refuse_price("fee_value", self.fee_value)
        self._refuse_combinations()
        object.__setattr__(self, "legs", legs_of(self))

    def _refuse_combinations(self) -> None:
        if self.rate == 0 or (self.quote == CASH and self.rate != 1):
            raise InvalidTrade(f"rate {self.rate} of {self.quote}: it must be above 0, and 1 for {CASH}")
        if self.kind in _SWAPS and self.base == self.quote:
            raise InvalidTrade(f"base and quote are both {self.base}")
        if (self.kind is Kind.TRANSFER) != bool(self.to_account):
            raise InvalidTrade("to_account is for transfers, and every transfer needs one")
        if self.to_account == self.account:
            raise InvalidTrade(f"a transfer from {self.account} to itself")
        if self.fee_qty and not self.fee_coin:
            raise InvalidTrade("a fee needs the coin it is paid in")
        if not 0 <= self.seq < 2**63:
            raise InvalidTrade("seq must be a number from 0 to 2**63 - 1")
        if self.value >= END or self.fee_worth >= END:
            raise InvalidTrade("its value does not fit into NUMERIC(38,18)")
        self._refuse_fee()

    def _refuse_fee(self) -> None:
        if not self.fee_qty:
            return
        if self.kind in {Kind.BUY, Kind.INCOME} and self.fee_coin == self.base and self.fee_qty >= self.qty:
            raise InvalidTrade(f"the fee of {self.fee_qty} {self.base} leaves nothing of {self.qty}")
        gross = product(self.qty, self.price)
        if self.kind is Kind.SELL and self.fee_coin == self.quote != CASH and self.fee_qty > gross:
            raise InvalidTrade(f"the fee of {self.fee_qty} {self.quote} is more than the {plain(gross)} received")

    @property
    def value(self) -> Decimal:
        """Give qty x price x rate: what it was worth in USDT before fees, exactly."""
        value = EXACT.multiply(self.qty, self.price)
        return value if self.quote == CASH else EXACT.multiply(value, self.rate)

    @property
    def fee_worth(self) -> Decimal:
        """Give the fee in USDT, exactly.  Errors: a fee in a third coin without a value is refused as invalid."""
        if not self.fee_qty:
            return _ZERO
        if self.fee_coin == CASH:
            return self.fee_qty
        if self.fee_coin == self.base:
            return product(self.fee_qty, self.price, self.rate)
        if self.fee_coin == self.quote:
            return product(self.fee_qty, self.rate)
        if self.fee_value is None:
            raise InvalidTrade(f"a fee in {self.fee_coin} needs its fee_value in {CASH}")
        return self.fee_value

    @property
    def order(self) -> tuple[datetime, int]:
        """Give what the books are sorted by: time, then first arrival."""
        return (self.happened_at, self.seq)

    @property
    def key(self) -> tuple[str, str]:
        """Give what makes it the same trade when it is delivered again."""
        return (self.user, self.trade_id)

    def body(self) -> dict[str, str]:
        """Tell the content as text, the same text for equal numbers and times, without ``seq``: for hashes and rows."""
        told: dict[str, str] = {}
        for part in fields(self):
            if not part.compare:
                continue
            value = getattr(self, part.name)
            match value:
                case Decimal():
                    told[part.name] = plain(value)
                case datetime():
                    told[part.name] = value.isoformat(timespec="microseconds")
                case None:
                    told[part.name] = ""
                case _:
                    told[part.name] = str(value)
        return told


_NAMES = {
    "trade_id": ID_CHARS,
    "user": ID_CHARS,
    "account": ID_CHARS,
    "base": COIN_CHARS,
    "quote": COIN_CHARS,
    "fee_coin": COIN_CHARS,
    "to_account": ID_CHARS,
    "tag": ID_CHARS,
}
_MAY_BE_EMPTY = {"fee_coin", "to_account", "tag"}
_SWAPS = {Kind.BUY, Kind.SELL}


def from_body(body: dict[str, str], *, seq: int = 0) -> Trade:
    """Read what ``Trade.body`` told.  Errors: ``InvalidTrade``."""
    return Trade(
        trade_id=body["trade_id"],
        user=body["user"],
        account=body["account"],
        kind=kind_of(body["kind"]),
        base=body["base"],
        qty=number("qty", body["qty"]),
        quote=body["quote"],
        price=number("price", body["price"]),
        rate=number("rate", body["rate"]),
        fee_qty=number("fee_qty", body["fee_qty"]),
        fee_coin=body["fee_coin"],
        to_account=body["to_account"],
        tag=body["tag"],
        happened_at=moment(body["happened_at"]),
        fee_value=number("fee_value", body["fee_value"]) if body["fee_value"] else None,
        seq=seq,
    )


def number(name: str, told: str) -> Decimal:
    """Read a number written in ASCII digits, with a point or an exponent; nothing else is one."""
    if not told:
        raise InvalidTrade(f"{name} is missing")
    if not _NUMBER.fullmatch(told):
        raise InvalidTrade(f"{name} is not a number: {shown(told)}")
    return Decimal(told)


def moment(told: str) -> datetime:
    """Read an ISO 8601 time that says its zone."""
    try:
        return _utc(datetime.fromisoformat(told))
    except ValueError as error:
        if isinstance(error, InvalidTrade):
            raise
        raise InvalidTrade(f"{shown(told)} is not a time") from None


def kind_of(told: str) -> Kind:
    """Read the kind of a row."""
    try:
        return Kind(told)
    except ValueError:
        raise InvalidTrade(f"unknown kind {shown(str(told))}: {', '.join(Kind)} are known") from None


def refuse_future(trade: Trade, now: datetime) -> None:
    """Refuse a trade that is told to happen more than a day from now."""
    if trade.happened_at > now + AHEAD_MAX:
        raise InvalidTrade(f"{trade.happened_at.isoformat()} lies in the future")


def unique(trades: Iterable[Trade]) -> list[Trade]:
    """Keep the first delivery of each trade, with its ``seq``; another body under a known id raises ``OtherBody``."""
    known: dict[tuple[str, str], Trade] = {}
    for trade in trades:
        first = known.setdefault(trade.key, trade)
        if first is not trade:
            same_or_refuse(first, trade)
    return list(known.values())


def same_or_refuse(first: Trade, again: Trade) -> None:
    """Accept a second delivery of the same content, refuse any other."""
    if first != again:
        raise OtherBody(f"trade {again.trade_id} is known as {_difference(first, again)}")


def in_order(trades: Iterable[Trade]) -> list[Trade]:
    """Sort into booking order: time, then first arrival."""
    return sorted(trades, key=lambda trade: trade.order)


def numbered(trades: Iterable[Trade]) -> list[Trade]:
    """Give each trade the number of its arrival, from 1."""
    return [replace(trade, seq=n) for n, trade in enumerate(trades, 1)]


_NUMBER = re.compile(r"[+-]?(\d{1,80}(\.\d{0,80})?|\.\d{1,80})([eE][+-]?\d{1,3})?", re.ASCII)


def shown(told: str) -> str:
    """Quote a foreign text so that it fits into one line of complaint."""
    return repr(told if len(told) <= 60 else told[:57] + "...")


def _difference(first: Trade, again: Trade) -> str:
    one, two = first.body(), again.body()
    names = [name for name in one if one[name] != two[name]]
    tell = [", ".join(f"{name} {shown(body[name])}" for name in names) for body in (one, two)]
    return f"{tell[0]}, and now told as {tell[1]}"


def _refuse_text(name: str, told: str, chars: int) -> None:
    if not told:
        if name in _MAY_BE_EMPTY:
            return
        raise InvalidTrade(f"{name} is empty")
    if len(told) > chars:
        raise InvalidTrade(f"{name} has {len(told)} characters, more than {chars}")
    if _UNSTORABLE.search(told) or told != told.strip():
        raise InvalidTrade(f"{name} {shown(told)} begins or ends with a space, or holds a control character")


def _utc(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise InvalidTrade(f"{at.isoformat()} says no time zone")
    try:
        at = at.astimezone(UTC)
    except OverflowError:
        raise InvalidTrade("the time is outside the calendar") from None
    if at < EARLIEST:
        raise InvalidTrade(f"{at.isoformat()} is before 1970")
    return at


def _refuse_quantity(name: str, value: Decimal, *, least: Decimal | None = None) -> None:
    _refuse_infinite(name, value)
    if value < 0 or (least is None and value == 0):
        raise InvalidTrade(f"{name} {plain(value)} must be above 0" if least is None else f"{name} is negative")
    _refuse_long(name, value, QTY_PLACES)


def _refuse_price(name: str, value: Decimal) -> None:
    _refuse_infinite(name, value)
    if value < 0:
        raise InvalidTrade(f"{name} {plain(value)} is negative")
    _refuse_long(name, value, PRICE_PLACES)


def _refuse_infinite(name: str, value: Decimal) -> None:
    if not isinstance(value, Decimal):
        raise InvalidTrade(f"{name} is a {type(value).__name__}, not a Decimal")
    if not value.is_finite():
        raise InvalidTrade(f"{name} is not a finite number")
    if abs(value.adjusted()) > 400:
        raise InvalidTrade(f"{name} has hundreds of digits")


def _refuse_long(name: str, value: Decimal, places: int) -> None:
    """Refuse what would be rounded or would not fit; zeros at the end do not count."""
    whole, _, part = plain(value).partition(".")
    if len(part) > places:
        raise InvalidTrade(f"{name} has {len(part)} decimals, more than {places}")
    if value >= END:
        raise InvalidTrade(f"{name} has {len(whole)} digits before the point, more than NUMERIC({DIGITS},18) holds")
    if len((whole + part).lstrip("0")) > max(DIGITS, places):
        raise InvalidTrade(f"{name} has more than {max(DIGITS, places)} digits")
