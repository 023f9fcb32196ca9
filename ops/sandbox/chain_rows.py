"""Pages of invented on-chain rows: which ones a request asks for, in which order, and the keys they will have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from ops.sandbox import keys, tokens
from ops.sandbox.answers import Ask
from ops.sandbox.clock import stamp
from ops.sandbox.nansen import PageOfRows
from ops.sandbox.nansen_rules import moment, plain_date
from ops.sandbox.tokens import Token
from ops.sandbox.trades import WINDOW, Trade
from ops.sandbox.words import UNKNOWN_CHAIN

FLAWED_NETFLOW = 6
"""The netflow row of this token has no address, on purpose."""
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
HOURLY_UP_TO = timedelta(days=7)
MATCHED = ("token_address", "token_symbol", "transaction_hash", "trader_address", "trader_address_label", "chain",
           "token_bought_address", "token_sold_address", "token_bought_symbol", "token_sold_symbol")  # fmt: skip
FIRST_DAY = timedelta(days=120)
"""How far back daily holdings go."""

Row = dict[str, Any]


class ChainRows:
    """Answers for the six lists of Nansen that a collector reads."""

    def __init__(
        self, seed: int, invented: Sequence[Token], trades: Callable[[], Sequence[Trade]], origin: datetime
    ) -> None:
        self._seed = seed
        self._tokens = invented
        self._by_address = {(token.chain, token.address): token for token in invented}
        self._trades = trades
        self._origin = origin
        self._snapshots: dict[tuple[str, str, str], list[Row]] = {}
        self._tick = -1

    def page(self, endpoint: str, body: Mapping[str, Any], page: int, per_page: int, ask: Ask) -> PageOfRows:
        """Give one page; on the first page of a snapshot its answer promises keys for the whole list."""
        if endpoint == "tgm/flows":
            return self._flows(body, page, per_page, ask)
        rows = self._rows(endpoint, body, ask)
        rows = ordered([row for row in rows if wanted(row, body)], body.get("order_by"))
        promised: tuple[str, ...] = ()
        if endpoint in keys.SNAPSHOTS and page == 1:
            promised = tuple(keys.snapshot_key(endpoint, row, ask.now) for row in rows if row["token_address"])
        elif endpoint == "smart-money/historical-holdings":
            promised = tuple(keys.historical_key(row, used_labels(body)) for row in cut(rows, page, per_page))
        return PageOfRows(cut(rows, page, per_page), last=page * per_page >= len(rows), keys=promised)

    def _rows(self, endpoint: str, body: Mapping[str, Any], ask: Ask) -> list[Row]:
        if endpoint in keys.SNAPSHOTS:
            return self._snapshot(endpoint, body, ask.now)
        if endpoint == "smart-money/dex-trades":
            since = ask.now - WINDOW
            return [trade.row for trade in self._trades() if since <= trade.at <= ask.now]
        return self._historical(body, ask.now, restated=bool(ask.number % 2))

    def _snapshot(self, endpoint: str, body: Mapping[str, Any], now: datetime) -> list[Row]:
        """Work a snapshot out once for as long as its values stand still."""
        if tokens.tick(now) != self._tick:
            self._snapshots.clear()
            self._tick = tokens.tick(now)
        span, trader = body.get("timeframe") or "24h", (body.get("filters") or {}).get("trader_type", "all")
        key = (endpoint, span, trader)
        if key not in self._snapshots:
            match endpoint:
                case "smart-money/netflow":
                    rows = [self._netflow(token, now) for token in self._tokens]
                case "smart-money/holdings":
                    rows = [tokens.holdings_row(token, now) for token in self._tokens if token.number % 4]
                case _:
                    rows = [tokens.screener_row(token, now, span, trader) for token in self._tokens if token.number % 5]
            self._snapshots[key] = rows
        return self._snapshots[key]

    def _netflow(self, token: Token, now: datetime) -> Row:
        row = tokens.netflow_row(token, now)
        return row | {"token_address": None} if token.number == FLAWED_NETFLOW else row

    def daily_keys(self, body: Mapping[str, Any], now: datetime) -> list[str]:
        """Give the keys that one question for daily holdings leads to."""
        rows = self._historical(body, now, restated=False)
        return [keys.historical_key(row, used_labels(body)) for row in rows if wanted(row, body)]

    def _historical(self, body: Mapping[str, Any], now: datetime, *, restated: bool) -> list[Row]:
        asked, labels = body["date_range"], used_labels(body)
        oldest = (self._origin - FIRST_DAY).date()
        first, last = max(plain_date(asked["from"]), oldest), min(plain_date(asked["to"]), now.date())
        held = [token for token in self._tokens if token.number % 3 == 0]
        rows = [
            tokens.historical_row(token, day, labels, restated)
            for day in days(first, last)
            for token in held
            if not labels or any(token.unit("held", label) < 0.6 for label in labels)
        ]
        rows.sort(key=lambda row: (row["token_address"], row["chain"]))
        rows.sort(key=lambda row: (row["date"], row["value_usd"]), reverse=True)
        return rows

    def _flows(self, body: Mapping[str, Any], page: int, per_page: int, ask: Ask) -> PageOfRows:
        token = self._by_address.get((body["chain"], keys.address(body["token_address"])))
        if token is None:
            return PageOfRows([], last=True)
        label = body.get("label") or "smart_money"
        start, end = moment(body["date"]["from"]), min(moment(body["date"]["to"]), ask.now)
        length, starts = buckets(start, end)
        rows = [
            tokens.flow_row(
                token,
                label,
                at,
                length,
                whole=at + length <= ask.now,
                first=at == starts[0],
                restated=bool(ask.number % 2),
            )
            for at in starts
        ]
        rows = ordered(rows, body.get("order_by"))
        promised = tuple(
            keys.flow_key(token.chain, token.address, label, row["date"])
            for row in cut(rows, page, per_page)
            if row["date"] != stamp(starts[0])
        )
        warnings = None if label == "exchange" else [tokens.WARNING]
        return PageOfRows(
            cut(rows, page, per_page), last=page * per_page >= len(rows), warnings=warnings, keys=promised
        )


def buckets(start: datetime, end: datetime) -> tuple[timedelta, list[datetime]]:
    """Give the length and the starts of a window's buckets: they begin after the one that ``start`` falls in, as
    recorded; hours for a window up to seven days, else days."""
    length = HOUR if end - start <= HOURLY_UP_TO else DAY
    at = start.replace(minute=0, second=0, microsecond=0)
    at = (at.replace(hour=0) if length == DAY else at) + length
    starts = []
    while at <= end:
        starts.append(at)
        at += length
    return length, starts


def days(first: date, last: date) -> list[date]:
    """Give the days from the first to the last, both included."""
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def used_labels(body: Mapping[str, Any]) -> tuple[str, ...]:
    """Give the label filter of a request."""
    return tuple(sorted(set((body.get("filters") or {}).get("include_smart_money_labels") or ())))


def cut(rows: list[Row], page: int, per_page: int) -> list[Row]:
    """Give the rows of one page."""
    return rows[(page - 1) * per_page : page * per_page]


def wanted(row: Row, body: Mapping[str, Any]) -> bool:
    """Say whether chains and filters let a row pass; a chain that no list names comes with every question."""
    asked = body.get("chains") or ["all"]
    if "all" not in asked and row["chain"] not in asked and row["chain"] != UNKNOWN_CHAIN:
        return False
    return all(_passes(row, name, rule) for name, rule in (body.get("filters") or {}).items())


def _passes(row: Row, name: str, rule: Any) -> bool:
    if isinstance(rule, Mapping) and name in row:
        value = _comparable(name, row[name])
        low, high = rule.get("min"), rule.get("max")
        return value is not None and (low is None or value >= low) and (high is None or value <= high)
    if name in MATCHED and rule is not None and name in row:
        choices = rule if isinstance(rule, list) else [rule]
        return row[name] in choices or keys.address(str(row[name])) in map(keys.address, map(str, choices))
    return True


def _comparable(name: str, value: Any) -> Any:
    """Numbers sometimes come as texts; they sort and filter as numbers."""
    return float(value) if name.endswith(("_usd", "_amount")) and isinstance(value, str) else value


def ordered(rows: list[Row], order: Any) -> list[Row]:
    """Sort by the fields asked, nothing last; rows keep the list's own order where these are equal."""
    for part in reversed(order or []):
        name, down = part.get("field", ""), part.get("direction", "ASC") == "DESC"
        known = [row for row in rows if row.get(name) is not None]
        rest = [row for row in rows if row.get(name) is None]
        rows = sorted(known, key=lambda row, by=name: _comparable(by, row[by]), reverse=down) + rest  # type: ignore[misc]
    return rows
