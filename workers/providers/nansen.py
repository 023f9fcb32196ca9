"""Nansen: what labelled wallets hold, trade and move, on-chain.

POST, snake_case JSON: {"chains": [...], "filters": {...}, "pagination": {"page": 1, "per_page": 1000}}
{"data": [{"chain": "base", "token_address": "0x...", ...}], "pagination": {"page": 1, "is_last_page": true}}

What a job may ask stands in ``nansen_params.py``, how a row is read in ``nansen_rows.py``, and which window of flows is
asked in ``nansen_flows.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from ledger.model import Item
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
from workers.providers.nansen_rows import (
    FLOWS,
    NAME,
    NET_FLOWS,
    SCREENED,
    SHARES,
    Row,
    dex_trade,
    flow,
    historical_holding,
    snapshot,
)

PER_PAGE = 1000
HISTORY_UNASKED = timedelta(days=7)
_POLL_S = 900


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
            nansen_params.NETFLOW, ("token_symbol", *NET_FLOWS), _POLL_S, timedelta(0), snapshot=True
        ),
        "smart-money/dex-trades": Dataset(
            nansen_params.DEX_TRADES, ("token_bought_amount", "token_sold_amount", "trade_value_usd"), _POLL_S
        ),
        "smart-money/holdings": Dataset(
            nansen_params.HOLDINGS, ("token_symbol", *SHARES), _POLL_S, timedelta(0), snapshot=True
        ),
        "smart-money/historical-holdings": Dataset(
            nansen_params.HISTORICAL_HOLDINGS, ("token_symbol", "balance", *SHARES), 6 * 3600, timedelta(days=2)
        ),
        "tgm/flows": Dataset(nansen_params.FLOWS, FLOWS[:6], _POLL_S, timedelta(days=1)),  # a day is restated
        "token-screener": Dataset(
            nansen_params.SCREENER, ("token_symbol", *SCREENED[:7]), _POLL_S, timedelta(0), snapshot=True
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
        if left is None:
            raise Malformed("account: credits_remaining is missing")
        return Usage(remaining=left, plan=plan or None)
    except ValueError as error:  # BadRow, or no number of credits
        raise Malformed(f"account: {error}") from None


_ENDPOINTS: Mapping[str, Endpoint] = {
    "account": Endpoint(cost=0),
    "smart-money/netflow": Endpoint(5, snapshot("smart-money/netflow", "netflow", NET_FLOWS)),
    "smart-money/dex-trades": Endpoint(5, dex_trade, (("block_timestamp", "DESC"), ("transaction_hash", "ASC"))),
    "smart-money/holdings": Endpoint(5, snapshot("smart-money/holdings", "holding", SHARES)),
    "smart-money/historical-holdings": Endpoint(
        1, historical_holding, (("date", "DESC"), ("chain", "ASC"), ("token_address", "ASC"))
    ),
    "tgm/flows": Endpoint(1, flow, (("date", "ASC"),)),
    "token-screener": Endpoint(1, snapshot("token-screener", "screener", SCREENED)),
}

PROVIDER = Nansen()
