"""Nansen's rows as items: what is identity, what is content, what only moves.

Chain and address are the identity, never the symbol: a symbol may carry an emoji in front, be an emoji, or be borrowed.
Rows of netflow, holdings and token-screener are snapshots: their key holds the time of the poll.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Context, Decimal
from typing import Any

from ledger.model import Book, Item
from workers.items import Page
from workers.providers import reading

NAME = "nansen"
_NINE = Context(prec=9)
_EVM = re.compile(r"0x[0-9a-fA-F]+")
_PREFIX = re.compile(r"^[^\w\s]+\s+(?=\S)")  # "🌱 GETF" is young, "⚠️ WCAT" suspicious: today
NET_FLOWS = ("net_flow_1h_usd", "net_flow_24h_usd", "net_flow_7d_usd", "net_flow_30d_usd", "trader_count")
SHARES = ("value_usd", "balance_24h_percent_change", "holders_count", "share_of_holdings_percent")
FLOWS = (
    *("price_usd", "token_amount", "value_usd", "holders_count", "total_inflows_count", "total_outflows_count"),
    *("total_inflows_dex", "total_outflows_dex", "total_inflows_cex", "total_outflows_cex"),
)
SCREENED = (
    *("price_usd", "price_change", "liquidity", "volume", "buy_volume", "sell_volume", "netflow"),
    *("fdv", "fdv_mc_ratio", "inflow_fdv_ratio", "outflow_fdv_ratio"),
    *("nof_traders", "nof_buyers", "nof_sellers", "nof_buys", "nof_sells"),
)
_AGES = ("token_age_days", "token_age_hours", "market_cap_usd")  # they move by themselves: values at request time
_TRADE_ASIDE = tuple(
    f"token_{side}_{what}" for side in ("bought", "sold") for what in ("age_days", "market_cap", "fdv")
)

Row = Mapping[str, Any]


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


def snapshot(dataset: str, kind: str, measures: tuple[str, ...]) -> Callable[[Row, Page], Item]:
    """Make the reader of a snapshot list's rows; ``measures`` are its numbers.  The reader raises BadRow."""

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


def historical_holding(row: Row, page: Page) -> Item:
    """Read one token's holdings of one day, under the label filter that was asked.  Raises BadRow."""
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
            | reading.numbers(row, ("balance", *SHARES))
        ),
        observed=reading.told(reading.numbers(row, _AGES) | _marked(row, "token_symbol")),
        provisional=at.date() >= _polled(page).date(),  # a day is whole when it is over, in UTC
    )


def dex_trade(row: Row, _page: Page) -> Item:
    """Read one swap; the amounts in its key tell several swaps of one transaction apart.  Raises BadRow."""
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


def flow(row: Row, page: Page) -> Item:
    """Read one bucket; the asked token and label are not repeated in the row.  Raises BadRow."""
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
        body=reading.told(place | {"bucket_end": reading.stamp(end) if end else None} | reading.numbers(row, FLOWS)),
        provisional=not whole if whole is not None else end is not None and end > page.polled_at,
    )
