"""Nansen: what labelled wallets hold, trade and move, on-chain.

POST, snake_case JSON: {"chains": [...], "filters": {...}, "pagination": {"page": 1, "per_page": 1000}}
{"data": [{"chain": "base", "token_address": "0x...", ...}], "pagination": {"page": 1, "is_last_page": true}}

Chain and address are the identity, never the symbol: a symbol may carry an emoji in front, be an emoji, or be borrowed.
Rows of netflow, holdings and token-screener are snapshots: their key holds the time of the poll.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from typing import Any

from ledger.model import Book, Item
from workers.items import (
    Api,
    Budget,
    Dataset,
    InHeader,
    Limits,
    Malformed,
    Misconfigured,
    Page,
    Parsed,
    ProviderError,
    Pull,
    QuotaUsedUp,
    Rate,
    Request,
    Usage,
)
from workers.providers import nansen_params, reading, refusals
from workers.providers.nansen_flows import windows

NAME = "nansen"
PER_PAGE = 1000
HISTORY_UNASKED = timedelta(days=7)
_POLL_S = 900
_NINE = Context(prec=9)
_EVM = re.compile(r"0x[0-9a-fA-F]+")
_PREFIX = re.compile(r"^[^\w\s]+\s+(?=\S)")  # "🌱 GETF" is young, "⚠️ WCAT" suspicious: today
_NET_FLOWS = ("net_flow_1h_usd", "net_flow_24h_usd", "net_flow_7d_usd", "net_flow_30d_usd", "trader_count")
_SHARES = ("value_usd", "balance_24h_percent_change", "holders_count", "share_of_holdings_percent")
_FLOWS = (
    *("price_usd", "token_amount", "value_usd", "holders_count", "total_inflows_count", "total_outflows_count"),
    *("total_inflows_dex", "total_outflows_dex", "total_inflows_cex", "total_outflows_cex"),
)
_SCREENED = (
    *(
        "price_usd",
        "price_change",
        "liquidity",
        "volume",
        "buy_volume",
        "sell_volume",
        "netflow",
        "fdv",
        "fdv_mc_ratio",
    ),
    *("inflow_fdv_ratio", "outflow_fdv_ratio", "nof_traders", "nof_buyers", "nof_sellers", "nof_buys"),
    "nof_sells",
)
_AGES = ("token_age_days", "token_age_hours", "market_cap_usd")  # they move by themselves: values at request time
_TRADE_ASIDE = tuple(
    f"token_{side}_{what}" for side in ("bought", "sold") for what in ("age_days", "market_cap", "fdv")
)

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What is special about one endpoint: its price in credits, an order in which rows stay put, and its rows."""

    cost: int
    item: Callable[[Row, Page], Item] | None = None
    order: tuple[tuple[str, str], ...] = (("chain", "ASC"), ("token_address", "ASC"))


class Nansen:
    """One dataset for each endpoint, by its path; ``account`` has no rows and tells what is left."""

    name = NAME
    apis: Mapping[str, Api] = {"v1": Api("https://api.nansen.ai", InHeader("apikey"))}
    # Headers tell all of it; these are the smallest rates ever told.  The budget is a cap that covers netflow, trades
    # and holdings every fifteen minutes.  A query may take 33 s to fail.
    limits = Limits(
        rates=(Rate(15, 1.0), Rate(300, 60.0)),
        concurrency=4,
        budget=Budget(50_000, "month", "credits"),
        timeout_s=45.0,
    )
    datasets: Mapping[str, Dataset] = {
        "account": Dataset(nansen_params.ACCOUNT, interval_s=_POLL_S, overlap=timedelta(0), snapshot=True),
        "smart-money/netflow": Dataset(
            nansen_params.NETFLOW, ("token_symbol", *_NET_FLOWS), _POLL_S, timedelta(0), snapshot=True
        ),
        "smart-money/dex-trades": Dataset(
            nansen_params.DEX_TRADES, ("token_bought_amount", "token_sold_amount", "trade_value_usd"), _POLL_S
        ),
        "smart-money/holdings": Dataset(
            nansen_params.HOLDINGS, ("token_symbol", *_SHARES), _POLL_S, timedelta(0), snapshot=True
        ),
        "smart-money/historical-holdings": Dataset(
            nansen_params.HISTORICAL_HOLDINGS, ("token_symbol", "balance", *_SHARES), 6 * 3600, timedelta(days=2)
        ),
        "tgm/flows": Dataset(nansen_params.FLOWS, _FLOWS[:6], _POLL_S, timedelta(days=1)),  # a day is restated
        "token-screener": Dataset(
            nansen_params.SCREENER, ("token_symbol", *_SCREENED[:7]), _POLL_S, timedelta(0), snapshot=True
        ),
    }

    def request(self, pull: Pull, cursor: str | None) -> Request:
        """Ask for one page; tgm/flows walks windows, historical-holdings takes plain dates."""
        endpoint, path = _ENDPOINTS[pull.dataset], f"/api/v1/{pull.dataset}"
        if endpoint.item is None:
            return Request("GET", api="v1", path=path, cost=endpoint.cost)
        window, number = _place(cursor)
        payload = {
            **pull.params,
            **_dates(pull, window),
            "pagination": {"page": number, "per_page": PER_PAGE},
            "order_by": [{"field": field, "direction": direction} for field, direction in endpoint.order],
        }
        return Request("POST", api="v1", path=path, json=payload, cost=endpoint.cost)

    def parse(self, page: Page) -> Parsed:
        """Read rows; of flows only those with real values, and the windows one after the other."""
        answer = reading.envelope(page.body)
        make = _ENDPOINTS[page.pull.dataset].item
        if make is None:
            return Parsed(usage=_account(answer))
        rows = reading.rows_of(answer, "data")
        items, rejected = reading.each(rows, lambda row: make(row, page))
        window, number = _place(page.cursor)
        following = None if _is_last(answer, len(rows)) else f"{window}|{number + 1}"
        skipped = 0
        if page.pull.dataset == "tgm/flows":
            walked = windows(page.pull)
            real = walked[window].real(items, first_page=number == 1)
            skipped, items = len(items) - len(real), real
            if following is None and window + 1 < len(walked):
                following = f"{window + 1}|1"
        return Parsed(items, rejected, next=following, skipped=skipped, warnings=_warnings(answer))

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """The body's ``code`` is the stable word, else the status."""
        match refusals.said(body).get("code"):
            case "insufficient_credits":
                return QuotaUsedUp(f"{NAME} answered {status}: no credits are left")
            case "rate_limit_exceeded":
                return refusals.rate_limited(NAME, status, headers, body)
        if status == 402:
            return Misconfigured(f"{NAME} answered 402: without a key this path is sold per call")
        return refusals.by_status(NAME, status, headers, body)

    def usage(self, headers: Mapping[str, str]) -> Usage:
        """Credits and the most constrained rate window; every Reset is seconds to wait, not a clock time."""
        return Usage(
            # A failed answer may tell its price only: then count it as paid.
            cost=refusals.count(headers, "X-Nansen-Credits-Used", "X-Nansen-Credits-Cost"),
            remaining=refusals.count(headers, "X-Nansen-Credits-Remaining"),
            retry_after_s=refusals.retry_after_s(headers),
            rate_remaining=refusals.count(headers, *_scopes("Remaining")),
            rate_reset_s=refusals.seconds(headers, *_scopes("Reset")),
        )


def _scopes(what: str) -> tuple[str, ...]:
    return (
        f"X-RateLimit-{what}",
        f"RateLimit-{what}",
        f"X-RateLimit-{what}-Second",
        f"X-RateLimit-{what}-Minute",
    )


def _place(cursor: str | None) -> tuple[int, int]:
    """Read ``<window>|<page>``; None is the first page of the first window."""
    window, _, number = (cursor or "0|1").partition("|")
    return int(window), int(number)


def _dates(pull: Pull, window: int) -> dict[str, Any]:
    if pull.dataset == "tgm/flows":
        return {"date": windows(pull)[window].asked}
    if pull.dataset == "smart-money/historical-holdings" and "date_range" not in pull.params:
        start = pull.since or pull.until - HISTORY_UNASKED
        return {"date_range": {"from": start.date().isoformat(), "to": pull.until.date().isoformat()}}
    return {}


def _is_last(answer: Row, rows: int) -> bool:
    told = answer.get("pagination")
    last = told.get("is_last_page") if isinstance(told, dict) else None
    return last if isinstance(last, bool) and rows else rows < PER_PAGE


def _warnings(answer: Row) -> tuple[str, ...]:
    told = answer.get("warnings")
    return tuple(str(one)[:300] for one in told) if isinstance(told, list) else ()


def _account(answer: Row) -> Usage:
    try:
        left, plan = reading.whole(answer, "credits_remaining"), reading.maybe_text(answer, "plan")
    except reading.BadRow as error:
        raise Malformed(f"account: {error}") from None
    if left is None:
        raise Malformed("account: credits_remaining is missing")
    return Usage(remaining=left, plan=plan or None)


def _address(row: Row, name: str) -> str:
    """Give an address as identity: hexadecimal ones in lower case, others (Solana) as they are."""
    given = reading.text(row, name).strip()
    return given.lower() if _EVM.fullmatch(given) else given


def _symbol(row: Row, name: str) -> str:
    return _PREFIX.sub("", reading.maybe_text(row, name).strip())


def _marked(row: Row, *names: str) -> dict[str, str]:
    """Give the symbols that carry a mark; the mark moves, so it is observed."""
    return {
        name: reading.maybe_text(row, name) for name in names if reading.maybe_text(row, name) != _symbol(row, name)
    }


def _nine_digits(amount: Decimal | int | None) -> str:
    if amount is None:
        return ""
    return format(_NINE.create_decimal(amount).normalize(), "f") if amount else "0"


def _polled(page: Page) -> datetime:
    return page.polled_at.astimezone(UTC).replace(microsecond=0)


def _token(row: Row) -> dict[str, Any]:
    return {
        "chain": reading.text(row, "chain"),
        "token_address": _address(row, "token_address"),
        "token_symbol": _symbol(row, "token_symbol"),
        "token_sectors": sorted(reading.texts(row, "token_sectors")),
    }


def _snapshot(dataset: str, kind: str, measures: tuple[str, ...]) -> Callable[[Row, Page], Item]:
    def item(row: Row, page: Page) -> Item:
        at, token = _polled(page), _token(row)
        deployed = reading.maybe_instant(row, "token_deployment_date")
        return Item(
            provider=NAME,
            key=f"{dataset}:{token['chain']}|{token['token_address']}|{reading.stamp(at)}",
            book=Book.GLASS,
            kind=kind,
            happened_at=at,
            coins=reading.distinct([token["token_symbol"].upper()]),
            body=reading.told(
                token
                | reading.numbers(row, measures)
                | {"token_deployment_date": reading.stamp(deployed) if deployed else None}
            ),
            observed=reading.told(reading.numbers(row, _AGES) | _marked(row, "token_symbol")),
        )

    return item


def _historical_holding(row: Row, page: Page) -> Item:
    token, day = _token(row), reading.instant(row, "date").date().isoformat()
    at = reading.as_instant(day)
    filters = page.pull.params.get("filters") or {}
    labels = ",".join(sorted(set(filters.get("include_smart_money_labels") or ()))) or "all"
    return Item(
        provider=NAME,
        key=f"smart-money/historical-holdings:{day}|{token['chain']}|{token['token_address']}|{labels}",
        book=Book.GLASS,
        kind="historical_holding",
        happened_at=at,
        coins=reading.distinct([token["token_symbol"].upper()]),
        body=reading.told(
            token
            | {"date": day, "smart_money_labels": sorted(reading.texts(row, "smart_money_labels"))}
            | reading.numbers(row, ("balance", *_SHARES))
        ),
        observed=reading.told(reading.numbers(row, _AGES) | _marked(row, "token_symbol")),
        provisional=at.date() >= _polled(page).date(),  # a day is whole when it is over, in UTC
    )


def _dex_trade(row: Row, _page: Page) -> Item:
    body = {
        "chain": reading.text(row, "chain"),
        "transaction_hash": _address(row, "transaction_hash"),
        "trader_address": _address(row, "trader_address"),
        "token_bought_address": _address(row, "token_bought_address"),
        "token_sold_address": _address(row, "token_sold_address"),
    }
    amounts = reading.numbers(row, ("token_bought_amount", "token_sold_amount"))
    symbols = {name: _symbol(row, name) for name in ("token_bought_symbol", "token_sold_symbol")}
    return Item(
        provider=NAME,
        key="smart-money/dex-trades:" + "|".join([*body.values(), *map(_nine_digits, amounts.values())]),
        book=Book.GLASS,
        kind="dex_trade",
        happened_at=reading.instant(row, "block_timestamp"),
        coins=reading.distinct(symbol.upper() for symbol in symbols.values()),
        body=reading.told(body | amounts | symbols | reading.numbers(row, ("trade_value_usd",))),
        observed=reading.told(
            reading.numbers(row, _TRADE_ASIDE)
            | _marked(row, *symbols)
            | {"trader_address_label": reading.maybe_text(row, "trader_address_label")}
        ),
    )


def _flow(row: Row, page: Page) -> Item:
    asked, start, end = page.pull.params, reading.instant(row, "date"), reading.maybe_instant(row, "bucket_end")
    place = {"chain": reading.text(asked, "chain"), "token_address": _address(asked, "token_address")}
    place["label"] = reading.text(asked, "label")
    whole = reading.maybe_flag(row, "is_complete")
    return Item(
        provider=NAME,
        key=f"tgm/flows:{'|'.join(place.values())}|{reading.stamp(start)}",
        book=Book.GLASS,
        kind="flow",
        happened_at=start,
        body=reading.told(place | {"bucket_end": reading.stamp(end) if end else None} | reading.numbers(row, _FLOWS)),
        provisional=not whole if whole is not None else end is not None and end > page.polled_at,
    )


_ENDPOINTS: Mapping[str, Endpoint] = {
    "account": Endpoint(cost=0),
    "smart-money/netflow": Endpoint(5, _snapshot("smart-money/netflow", "netflow", _NET_FLOWS)),
    "smart-money/dex-trades": Endpoint(5, _dex_trade, (("block_timestamp", "DESC"), ("transaction_hash", "ASC"))),
    "smart-money/holdings": Endpoint(5, _snapshot("smart-money/holdings", "holding", _SHARES)),
    "smart-money/historical-holdings": Endpoint(
        1, _historical_holding, (("date", "DESC"), ("chain", "ASC"), ("token_address", "ASC"))
    ),
    "tgm/flows": Endpoint(1, _flow, (("date", "ASC"),)),
    "token-screener": Endpoint(1, _snapshot("token-screener", "screener", _SCREENED)),
}

PROVIDER = Nansen()
