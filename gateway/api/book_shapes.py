"""The books as clients write and read them.  Every amount, quantity and price is text in plain digits.

What the ledger tells is converted into these, so an answer cannot grow a field that no document names.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from msgspec import Meta, Struct

from gateway.call import Call
from gateway.paging import Listing
from gateway.texts import PRINTABLE, Name, When, moment
from ledger import bookview
from ledger.bookview import FOREVER
from ledger.figures import Step
from ledger.lots import Method
from ledger.positions import Priced

ROWS_MAX = 1000
Amount = Annotated[str, Meta(pattern=r"^-?\d{1,80}(\.\d{1,80})?$", description="Plain digits, such as -12.5")]
Given = Annotated[str, Meta(min_length=1, max_length=100, pattern=PRINTABLE)]
Key = Annotated[str, Meta(min_length=1, max_length=200, pattern=PRINTABLE)]
TradeKind = Literal["buy", "sell", "income", "spend", "transfer", "reversal"]


class TradeRow(Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """One thing done with a coin; without ``trade_id`` its content and occurrence are its key (docs/ledger.md)."""

    kind: TradeKind
    happened_at: Given | None = None
    base: Given | None = None
    qty: Given | None = None
    quote: Given | None = None
    price: Given | None = None
    rate: Given | None = None
    fee_qty: Given | None = None
    fee_coin: Given | None = None
    fee_value: Given | None = None
    account: Given | None = None
    to_account: Given | None = None
    tag: Given | None = None
    trade_id: Key | None = None
    reverses: Key | None = None


class TradesRequest(Struct, forbid_unknown_fields=True, kw_only=True):
    """Rows of one source: the same ``trade_id`` from the same source is the same trade told again."""

    trades: Annotated[list[TradeRow], Meta(min_length=1, max_length=ROWS_MAX)]
    source: Given = "api"


class PriceRow(Struct, forbid_unknown_fields=True, kw_only=True):
    """What a coin was worth in USDT at a moment."""

    coin: Given
    happened_at: Given
    price: Given


class PricesRequest(Struct, forbid_unknown_fields=True, kw_only=True):
    """Rows of one source; the same coin and moment with another price is refused, row by row."""

    prices: Annotated[list[PriceRow], Meta(min_length=1, max_length=ROWS_MAX)]
    source: Given = "api"


class Seen(Struct, forbid_unknown_fields=True, kw_only=True):
    """``as_of`` leaves out what happened later, ``known_at`` what was recorded later."""

    as_of: When | None = None
    known_at: When | None = None


class ByMethod(Seen, forbid_unknown_fields=True, kw_only=True):
    """Which lot a sale takes: the oldest, the newest, the dearest, or a moving average."""

    method: Method = Method.FIFO


class Booked(Seen, forbid_unknown_fields=True, kw_only=True):
    """By one of the methods that Beancount has."""

    method: Literal["FIFO", "LIFO", "HIFO"] = "FIFO"


class Valued(ByMethod, forbid_unknown_fields=True, kw_only=True):
    """``price_age_max``: a price that is older (in seconds) is not used, and its position's worth is unknown."""

    price_age_max: Annotated[int, Meta(ge=1, le=10**9)] | None = None


class PositionsQuery(Valued, forbid_unknown_fields=True, kw_only=True):
    """Positions of all coins or of one."""

    coin: Name | None = None


class WindowQuery(Valued, forbid_unknown_fields=True, kw_only=True):
    """since <= happened_at < until."""

    since: When | None = None
    until: When | None = None


class SummaryQuery(WindowQuery, forbid_unknown_fields=True, kw_only=True):
    """All, or what one coin or one algorithm did."""

    coin: Name | None = None
    algorithm: Name | None = None


class HistoryQuery(ByMethod, forbid_unknown_fields=True, kw_only=True):
    """``step`` is how long a period is; weeks begin on Monday, all at midnight UTC."""

    step: Step = Step.DAY
    since: When | None = None
    until: When | None = None
    coin: Name | None = None
    algorithm: Name | None = None


class TradeListing(Listing, forbid_unknown_fields=True, kw_only=True):
    """Which posted rows; ``coin`` may be base, quote or fee."""

    as_of: When | None = None
    known_at: When | None = None
    since: When | None = None
    until: When | None = None
    coin: Name | None = None
    kind: TradeKind | None = None
    algorithm: Name | None = None
    account: Name | None = None


class PriceListing(Listing, forbid_unknown_fields=True, kw_only=True):
    """Which prices."""

    as_of: When | None = None
    known_at: When | None = None
    since: When | None = None
    until: When | None = None
    coin: Name | None = None


class RealizedListing(Listing, forbid_unknown_fields=True, kw_only=True):
    """Which disposals."""

    as_of: When | None = None
    known_at: When | None = None
    method: Method = Method.FIFO
    since: When | None = None
    until: When | None = None
    coin: Name | None = None
    algorithm: Name | None = None


class LotListing(Listing, forbid_unknown_fields=True, kw_only=True):
    """Which open lots."""

    as_of: When | None = None
    known_at: When | None = None
    method: Method = Method.FIFO
    coin: Name | None = None


class DisposalPath(Struct, forbid_unknown_fields=True):
    """A disposal by its id, by its entry's, or by the source's trade id."""

    disposal: Key


class Explained(Struct, forbid_unknown_fields=True):
    """By which method."""

    method: Method = Method.FIFO


class TradeAnswer(Struct, forbid_unknown_fields=True, kw_only=True):
    """A posted row: which page and position it was read from, and which row took it back."""

    id: UUID
    seq: int
    trade_id: str
    source: str
    kind: str
    happened_at: datetime
    recorded_at: datetime
    account: str | None
    to_account: str | None
    base: str | None
    qty: str | None
    quote: str | None
    price: str | None
    rate: str | None
    fee_qty: str | None
    fee_coin: str | None
    fee_value: str | None
    tag: str | None
    reversed_by: UUID | None
    reverses: UUID | None
    page_id: UUID | None
    position: int | None


class PriceAnswer(Struct, forbid_unknown_fields=True, kw_only=True):
    """What a coin was worth in USDT, and who said so."""

    coin: str
    happened_at: datetime
    price: Amount
    source: str
    recorded_at: datetime


class PositionAnswer(Struct, forbid_unknown_fields=True, kw_only=True):
    """What is held, or owed where below 0; ``why_unknown`` where no price can be used: unknown is never 0."""

    coin: str
    account: str | None
    qty: Amount
    cost: Amount
    unit_cost: Amount | None
    price: Amount | None
    price_at: datetime | None
    market_value: Amount | None
    unrealized_pnl: Amount | None
    why_unknown: str
    missing_qty: Amount


class LotAnswer(Struct, forbid_unknown_fields=True, kw_only=True):
    """An open lot: the trade that brought it, what is left, and what that cost (of a short: what it brought)."""

    coin: str
    account: str | None
    lot: str
    side: Literal["long", "short"]
    acquired: datetime
    qty: Amount
    cost: Amount
    unit_cost: Amount | None


class Figures(Struct, forbid_unknown_fields=True, kw_only=True):
    """What trades came to, in USDT; ``win_rate`` in percent; what is not defined is null."""

    total_pnl: Amount | None
    realized_pnl: Amount
    unrealized_pnl: Amount | None
    income: Amount
    expense: Amount
    total_trades: int
    winning_trades: int
    losing_trades: int
    win_rate: Amount | None
    profit_factor: Amount | None
    average_win: Amount | None
    average_loss: Amount | None
    largest_win: Amount | None
    largest_loss: Amount | None
    max_drawdown: Amount
    sharpe_ratio: float | None
    total_volume: Amount
    total_fees: Amount
    missing_trades: Annotated[int, Meta(description="Sales of what was never bought: look for what is missing")]


class AlgorithmFigures(Figures, forbid_unknown_fields=True, kw_only=True):
    """Figures of one algorithm, empty for none."""

    algorithm: str


class CoinFigures(Figures, forbid_unknown_fields=True, kw_only=True):
    """Figures of one coin."""

    coin: str


class PeriodFigures(Figures, forbid_unknown_fields=True, kw_only=True, rename={"from_": "from"}):
    """Figures of a period [from, to); ``realized_total`` is what was realized from the first period to its end."""

    from_: datetime
    to: datetime
    realized_total: Amount


class UsedLot(Struct, forbid_unknown_fields=True):
    """What a disposal took of one lot."""

    lot: str
    qty: Amount
    cost: Amount


class RealizedAnswer(Struct, forbid_unknown_fields=True, kw_only=True):
    """A disposal: what it brought, what that had cost, and the lots that it used."""

    id: UUID
    trade_id: str
    leg: str
    side: str
    coin: str
    account: str | None
    happened_at: datetime
    qty: Amount
    proceeds: Amount
    cost: Amount
    gain: Amount
    missing_qty: Amount
    tag: str
    lots: list[UsedLot]


class UnrealizedAnswer(Struct, forbid_unknown_fields=True, kw_only=True):
    """What is held and what it is worth; null as soon as one position's worth is unknown."""

    unrealized_pnl: Amount | None
    market_value: Amount | None
    cost: Amount
    warnings: list[str]
    positions: list[PositionAnswer]


class ExplainedLot(Struct, forbid_unknown_fields=True, kw_only=True):
    """A lot that was used, the trade that brought it, and the page or file row that the trade was read from."""

    lot: str
    acquired: datetime | None
    qty: Amount
    cost: Amount
    unit_cost: Amount | None
    price: str | None
    fee: str
    trade: dict[str, Any] | None
    came_from: str


class ExplainedDisposal(Struct, forbid_unknown_fields=True, kw_only=True):
    """Where a gain comes from, down to rows that were kept as they came."""

    id: UUID
    trade_id: str
    leg: str
    side: str
    at: datetime
    coin: str
    qty: Amount
    proceeds: Amount
    cost: Amount
    gain: Amount
    missing_qty: Amount
    formula: str
    trade: dict[str, Any]
    came_from: str
    lots: list[ExplainedLot]


def when(query: Any) -> bookview.When:
    """Read the two moments of a question."""
    return bookview.When(moment("as_of", query.as_of) or FOREVER, moment("known_at", query.known_at) or FOREVER)


def window(query: Any) -> dict[str, datetime | None]:
    """Read [since, until) of a question."""
    return {"since": moment("since", query.since), "until": moment("until", query.until)}


def priced(call: Call, query: Valued) -> Priced:
    """Say which prices may be used, seen from the moment that is asked about."""
    seen = when(query)
    age = query.price_age_max
    return Priced(min(seen.as_of, call.parts.now()), None if age is None else timedelta(seconds=age))
