"""What Nansen accepts in a request body, and its error envelope: unknown fields, missing ones, limits, dates.  Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

DOCS = "https://docs.nansen.ai/getting-started/error-handling"
PER_PAGE_MAX = 1000
ERRORS = {
    "missing_field": (422, "Missing field"),
    "unknown_field": (422, "Unknown field"),
    "invalid_field_value": (422, "Invalid parameter"),
    "invalid_date_format": (422, "Invalid parameter"),
    "invalid_date_range": (422, "Invalid parameter"),
    "value_out_of_range": (422, "Invalid parameter"),
    "unauthenticated": (401, "Unauthorized"),
    "insufficient_credits": (403, "Forbidden"),
    "rate_limit_exceeded": (429, "Too Many Requests"),
    "query_timeout": (500, "Request timeout"),
    "upstream_unavailable": (503, "Service Unavailable"),
    "malformed": (400, "Bad Request"),
}
_LABELS = {"include_smart_money_labels", "exclude_smart_money_labels"}
_TOKEN = {"token_address", "include_stablecoins", "include_native_tokens", "token_age_days", "market_cap_usd"}
_HELD = {"value_usd", "balance_24h_percent_change", "holders_count", "share_of_holdings_percent", "token_symbol"}
_SIDES = ("amount", "symbol", "age_days", "market_cap", "fdv", "address")
_TRADE = {f"token_{side}_{name}" for side in ("bought", "sold") for name in _SIDES}
_SCREEN = {"only_smart_money", "trader_type", "sectors", "exclude_sectors", "liquidity", "price_usd", "price_change",
           "fdv", "fdv_mc_ratio", "nof_buyers", "nof_traders", "nof_sellers", "nof_buys", "nof_sells", "buy_volume",
           "sell_volume", "volume", "netflow", "inflow_fdv_ratio", "outflow_fdv_ratio", "token_symbol"}  # fmt: skip
_FLOW_COLUMNS = {"price_usd", "token_amount", "value_usd", "holders_count", "total_inflows_count",
                 "total_outflows_count"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One path: its price in credits and the fields it knows."""

    cost: int
    required: tuple[str, ...]
    optional: frozenset[str] = frozenset()
    filters: frozenset[str] = frozenset()

    @property
    def fields(self) -> frozenset[str]:
        """Give every field that a body may hold."""
        return self.optional | set(self.required) | {"filters", "pagination", "order_by"}


ENDPOINTS = {
    "smart-money/netflow": Endpoint(
        5, ("chains",), filters=frozenset(_LABELS | _TOKEN | {"token_sector", "trader_count"})
    ),
    "smart-money/dex-trades": Endpoint(
        5,
        ("chains",),
        filters=frozenset(
            _LABELS
            | _TRADE
            | {"chain", "transaction_hash", "trader_address", "trader_address_label", "trade_value_usd"}
        ),
    ),
    "smart-money/holdings": Endpoint(5, ("chains",), filters=frozenset(_LABELS | _TOKEN | _HELD | {"token_sectors"})),
    "smart-money/historical-holdings": Endpoint(
        1, ("date_range", "chains"), filters=frozenset(_LABELS | _TOKEN | _HELD | {"balance"})
    ),
    "tgm/flows": Endpoint(
        1, ("chain", "token_address", "date"), frozenset({"label"}), frozenset(_FLOW_COLUMNS)
    ),
    "token-screener": Endpoint(
        1, ("chains",), frozenset({"timeframe", "date"}), frozenset(_LABELS | _TOKEN | _SCREEN)
    ),
}  # fmt: skip
TIMEFRAMES = ("5m", "10m", "1h", "6h", "24h", "7d", "30d")
FLOW_LABELS = ("whale", "public_figure", "smart_money", "top_100_holders", "exchange")


@dataclass(slots=True)
class Invalid(Exception):
    """A request breaks a rule; ``problems`` are (field, message, code), the first one names the whole."""

    problems: list[tuple[str, str, str]] = field(default_factory=list)


def envelope(code: str, message: str, request_id: str, **more: Any) -> dict[str, Any]:
    """Write the error body."""
    status, error = ERRORS[code]
    return {
        "error": error,
        "message": message,
        "code": code,
        "status": more.pop("status", status),
        "request_id": request_id,
        "doc_url": f"{DOCS}#{code}",
        **more,
    }


def invalid_body(wrong: Invalid, request_id: str) -> dict[str, Any]:
    """Write the error body of a broken rule, with every problem found."""
    name, message, code = wrong.problems[0]
    said = f"{message}: {name}" if code in {"missing_field", "unknown_field"} else message
    errors = [{"field": f"body.{at}", "message": text, "code": kind} for at, text, kind in wrong.problems]
    return envelope(code, said, request_id, param=name, errors=errors)


def check(endpoint: str, body: Mapping[str, Any]) -> None:
    """Raise Invalid with everything that is wrong with the body."""
    if problems := list(_problems(ENDPOINTS[endpoint], endpoint, body)):
        raise Invalid(problems)


def _problems(rules: Endpoint, endpoint: str, body: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for name in rules.required:
        if body.get(name) is None:
            yield name, "Field required", "missing_field"
    for name in body.keys() - rules.fields:
        yield name, "Extra inputs are not permitted", "unknown_field"
    filters = body.get("filters") or {}
    if not isinstance(filters, Mapping):
        yield "filters", "Input should be a valid dictionary", "invalid_field_value"
    else:
        for name in filters.keys() - rules.filters:
            yield f"filters.{name}", "Extra inputs are not permitted", "unknown_field"
    for name in ("chain", "token_address"):
        if not isinstance(body.get(name, ""), str):
            yield name, "Input should be a valid string", "invalid_field_value"
    if not isinstance(body.get("chains", []), list):
        yield "chains", "Input should be a valid list", "invalid_field_value"
    if not all(map(_is_order, _listed(body.get("order_by")))):
        yield "order_by", "Input should be a list of {field, direction ASC or DESC}", "invalid_field_value"
    yield from _paging_problems(body.get("pagination") or {})
    yield from _own_problems(endpoint, body)


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _is_order(part: object) -> bool:
    return (
        isinstance(part, Mapping)
        and isinstance(part.get("field"), str)
        and part.get("direction", "ASC") in {"ASC", "DESC"}
    )


def _paging_problems(paging: object) -> Iterator[tuple[str, str, str]]:
    if not isinstance(paging, Mapping):
        yield "pagination", "Input should be a valid dictionary", "invalid_field_value"
        return
    for name in paging.keys() - {"page", "per_page"}:
        yield f"pagination.{name}", "Extra inputs are not permitted", "unknown_field"
    for name in ("page", "per_page"):
        value = paging.get(name, 1)
        if not isinstance(value, int) or isinstance(value, bool):
            yield f"pagination.{name}", "Input should be a valid integer", "invalid_field_value"
        elif value < 1:
            yield f"pagination.{name}", "Input should be greater than or equal to 1", "value_out_of_range"
        elif name == "per_page" and value > PER_PAGE_MAX:
            at = f"pagination.{name}"
            yield at, f"Input should be less than or equal to {PER_PAGE_MAX}", "value_out_of_range"


def _own_problems(endpoint: str, body: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    if endpoint == "tgm/flows":
        yield from _range_problems("date", body.get("date"), moment)
        if body.get("label", "smart_money") not in FLOW_LABELS:
            yield "label", f"Input should be one of {', '.join(FLOW_LABELS)}", "invalid_field_value"
    elif endpoint == "smart-money/historical-holdings":
        yield from _range_problems("date_range", body.get("date_range"), plain_date)
    elif endpoint == "token-screener" and body.get("timeframe", "24h") not in TIMEFRAMES:
        yield "timeframe", f"Input should be one of {', '.join(TIMEFRAMES)}", "invalid_field_value"


def _range_problems(name: str, value: object, read: Any) -> Iterator[tuple[str, str, str]]:
    if value is None:
        return
    if not isinstance(value, Mapping):
        yield name, "Input should be a valid dictionary", "invalid_field_value"
        return
    for part in value.keys() - {"from", "to"}:
        yield f"{name}.{part}", "Extra inputs are not permitted", "unknown_field"
    try:
        start, end = read(value.get("from")), read(value.get("to"))
    except (TypeError, ValueError):
        yield name, "Invalid date format", "invalid_date_format"
        return
    if start > end:
        yield name, "'from' must not be after 'to'", "invalid_date_range"


def plain_date(text: object) -> date:
    """Read a date without a time: historical-holdings refuses any other."""
    if not isinstance(text, str) or len(text) != 10:
        raise ValueError("no plain date")
    return date.fromisoformat(text)


def moment(text: object) -> datetime:
    """Read a time; a date alone is its midnight, no zone means UTC."""
    if not isinstance(text, str):
        raise TypeError("no time")
    read = datetime.fromisoformat(text)
    return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
