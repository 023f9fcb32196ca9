"""What a job may ask Nansen: each endpoint's request payload, less ``pagination`` and ``order_by``.

Chains are an open set (new ones appear every month), so they are checked for their form only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from workers.providers import reading

_TEXT: dict[str, Any] = {"type": "string", "minLength": 1}
_TEXTS: dict[str, Any] = {"type": "array", "items": _TEXT}
_ONE_OR_MORE: dict[str, Any] = {"anyOf": [_TEXT, {**_TEXTS, "minItems": 1}]}
_FLAG: dict[str, Any] = {"type": "boolean"}
_CHAIN: dict[str, Any] = {"type": "string", "pattern": r"^[a-z0-9_-]{1,40}$"}
_CHAINS: dict[str, Any] = {"type": "array", "items": _CHAIN, "minItems": 1, "uniqueItems": True}
_NUMBER: dict[str, Any] = {"type": "number"}
_RANGE = reading.params({"min": _NUMBER, "max": _NUMBER})
_DAY: dict[str, Any] = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"}
_TIME: dict[str, Any] = {
    "type": "string",
    "pattern": r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2})?)?$",
}
_DAYS = reading.params({"from": _DAY, "to": _DAY}, "from", "to")  # plain dates: a time part is a 422
_TIMES = reading.params({"from": _TIME, "to": _TIME}, "from", "to")

FLOW_LABELS = ("whale", "public_figure", "smart_money", "top_100_holders", "exchange")
_TIMEFRAMES = ("5m", "10m", "1h", "6h", "24h", "7d", "30d")
_TRADERS = (
    "all",
    "sm",
    "whale",
    "public_figure",
    "trending",
    "consistent_perps_winner",
    "high_winrate_hl_perps_trader",
    "predicted_winner",
)
_LABELS: dict[str, Any] = dict.fromkeys(("include_smart_money_labels", "exclude_smart_money_labels"), _TEXTS)
_KINDS: dict[str, Any] = dict.fromkeys(("include_stablecoins", "include_native_tokens"), _FLAG)


def _ranges(names: str) -> dict[str, Any]:
    return dict.fromkeys(names.split(), _RANGE)


def _words(names: str) -> dict[str, Any]:
    return dict.fromkeys(names.split(), _ONE_OR_MORE)


def _payload(filters: dict[str, Any], required: Iterable[str] = ("chains",), **others: Any) -> dict[str, Any]:
    return reading.params({**others, "filters": reading.params(filters)}, *required)


ACCOUNT = reading.params({})
NETFLOW = _payload(
    {**_LABELS, **_KINDS, **_words("token_address"), "token_sector": _TEXTS}
    | _ranges("trader_count token_age_days market_cap_usd"),
    chains=_CHAINS,
)
DEX_TRADES = _payload(
    _LABELS
    | _words("chain transaction_hash trader_address trader_address_label token_bought_address token_sold_address")
    | _words("token_bought_symbol token_sold_symbol")
    | _ranges("token_bought_amount token_sold_amount token_bought_age_days token_sold_age_days")
    | _ranges("token_bought_market_cap token_sold_market_cap token_bought_fdv token_sold_fdv trade_value_usd"),
    chains=_CHAINS,
)
_HOLDING_RANGES = _ranges(
    "value_usd balance_24h_percent_change holders_count share_of_holdings_percent token_age_days market_cap_usd"
)
HOLDINGS = _payload(
    {**_LABELS, **_KINDS, **_HOLDING_RANGES, **_words("token_address token_symbol"), "token_sectors": _TEXTS},
    chains=_CHAINS,
)
HISTORICAL_HOLDINGS = _payload(
    {**_LABELS, **_KINDS, **_HOLDING_RANGES, **_ranges("balance"), **_words("token_address token_symbol")},
    chains=_CHAINS,
    date_range=_DAYS,
)
FLOWS = _payload(
    _ranges("price_usd token_amount value_usd holders_count total_inflows_count total_outflows_count"),
    required=("chain", "token_address", "label"),
    chain=_CHAIN,
    token_address=_TEXT,
    label=reading.one_of(FLOW_LABELS),
    date=_TIMES,
)
SCREENER = _payload(
    {**_LABELS, **_words("token_address token_symbol"), "only_smart_money": _FLAG, "include_stablecoins": _FLAG}
    | {"trader_type": reading.one_of(_TRADERS), "sectors": _TEXTS, "exclude_sectors": _TEXTS}
    | _ranges("token_age_days market_cap_usd liquidity price_usd price_change fdv fdv_mc_ratio nof_buyers nof_traders")
    | _ranges(
        "nof_sellers nof_buys nof_sells buy_volume sell_volume volume netflow inflow_fdv_ratio outflow_fdv_ratio"
    ),
    chains=_CHAINS,
    timeframe=reading.one_of(_TIMEFRAMES),
    date=_TIMES,
)
