"""Fills as Hyperliquid's users export them (CSV), made trades.  Pure.

Columns: Account, Coin, Execution Price, Size Tokens, Size USD, Side, Timestamp IST (``DD-MM-YYYY H:MM``, UTC+5:30),
Start Position, Direction, Closed PnL, Transaction Hash, Order ID, Crossed, Fee, Trade ID, Timestamp.  The last two are
often damaged by a spreadsheet (``8.95E+14``), so a fill is known by its content and its occurrence in the delivery.

A coin that begins with ``@`` or holds a ``/`` is spot, anything else a perpetual.  Prices, fees and gains are in USDC,
which is taken as USDT.  The fee of a spot buy is taken in the bought coin.  File order is the order of arrival.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from hashlib import sha256

from ledger.csvfile import records
from ledger.numbers import EXACT, plain
from ledger.trades import CASH, InvalidTrade, Kind, Trade, number, refuse_future, shown

NEEDED = (
    "Account",
    "Coin",
    "Execution Price",
    "Size Tokens",
    "Side",
    "Timestamp IST",
    "Start Position",
    "Direction",
    "Closed PnL",
    "Fee",
)
IDENTITY = (*NEEDED, "Transaction Hash", "Order ID", "Crossed")
_INDIA = timezone(timedelta(hours=5, minutes=30))
_SIDES = {"BUY": Kind.BUY, "SELL": Kind.SELL}


@dataclass(frozen=True, slots=True)
class Fill:
    """One row: a trade, and what the exchange says: the position before it, the gain (perpetuals: before fee)."""

    row: int
    trade: Trade
    start_position: Decimal
    direction: str
    closed_pnl: Decimal

    @property
    def spot(self) -> bool:
        """Whether coins changed hands, not a contract on them."""
        return is_spot(self.trade.base)

    @property
    def end_position(self) -> Decimal:
        """Give the position after the fill."""
        signed = self.trade.qty if self.trade.kind is Kind.BUY else EXACT.minus(self.trade.qty)
        return EXACT.add(self.start_position, signed)


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that is no fill, and why."""

    row: int
    reason: str


@dataclass(frozen=True, slots=True)
class Gap:
    """Fills are missing between two rows: the position does not go on where it was."""

    account: str
    coin: str
    before: int
    after: int
    missing: Decimal


def read_fills(lines: Iterable[str], *, user: str, now: datetime) -> Iterator[Fill | Refused]:
    """Read every row; bad ones come with their reason.  Errors: ``csvfile.BadFile``."""
    seen: Counter[str] = Counter()
    for row, told in records(lines, NEEDED, ("Transaction Hash", "Order ID", "Crossed")):
        content = sha256("\x1f".join(told[name] for name in IDENTITY).encode("utf-8", "replace")).hexdigest()[:32]
        seen[content] += 1
        try:
            yield _fill(told, row, f"{content}-{seen[content]}", user, now)
        except InvalidTrade as error:
            yield Refused(row, str(error))


def gaps(fills: Sequence[Fill]) -> list[Gap]:
    """Find where perpetual positions do not go on from one fill to the next, in file order, from 0 on."""
    ends: dict[tuple[str, str], tuple[int, Decimal]] = {}
    found: list[Gap] = []
    for fill in fills:
        if fill.spot:
            continue
        key = (fill.trade.account, fill.trade.base)
        row, end = ends.get(key, (0, Decimal(0)))
        if end != fill.start_position:
            found.append(Gap(*key, row, fill.row, EXACT.subtract(fill.start_position, end)))
        ends[key] = (fill.row, fill.end_position)
    return found


def is_spot(coin: str) -> bool:
    """Tell spot pairs (``@107``, ``PURR/USDC``) from perpetuals."""
    return coin.startswith("@") or "/" in coin


def _fill(told: Mapping[str, str], row: int, trade_id: str, user: str, now: datetime) -> Fill:
    if "surplus" in told:
        raise InvalidTrade(f"it has {told['surplus']} fields, more than the header")
    if told["Side"] not in _SIDES:
        raise InvalidTrade(f"Side is neither BUY nor SELL: {shown(told['Side'])}")
    kind, coin = _SIDES[told["Side"]], told["Coin"]
    fee = number("Fee", told["Fee"])
    trade = Trade(
        trade_id=trade_id,
        user=user,
        account=told["Account"],
        happened_at=_time(told["Timestamp IST"]),
        kind=kind,
        base=coin,
        qty=number("Size Tokens", told["Size Tokens"]),
        quote=CASH,
        price=number("Execution Price", told["Execution Price"]),
        fee_qty=fee,
        fee_coin=(coin if is_spot(coin) and kind is Kind.BUY else CASH) if fee else "",
        seq=row,
    )
    refuse_future(trade, now)
    start, closed = (number(name, told[name]) for name in ("Start Position", "Closed PnL"))
    return Fill(row, trade, start, told["Direction"], closed)


def _time(told: str) -> datetime:
    try:
        return datetime.strptime(told, "%d-%m-%Y %H:%M").replace(tzinfo=_INDIA).astimezone(UTC)
    except ValueError:
        raise InvalidTrade(f"Timestamp IST is not DD-MM-YYYY H:MM: {shown(told)}") from None


def position_told(gap: Gap) -> str:
    """Say in one line what is missing where."""
    return (
        f"{gap.coin} of {gap.account}: rows {gap.before} and {gap.after} do not join, {plain(gap.missing)} is missing"
        " (fills were lost between them)"
    )
