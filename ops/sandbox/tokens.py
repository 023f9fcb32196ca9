"""Invented tokens and what smart wallets do with them: the rows of Nansen's snapshot and daily endpoints.  Pure.

Values of a snapshot move with the clock, all of one list by the same factor, so that the order of a list is stable
while it is paged.  Every float has eleven significant digits and perhaps a last one more: restated, never revised.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any

from ops.sandbox import words
from ops.sandbox.chance import base58, between, draw, fraction, hexadecimal, pick

WARNING = (
    "total_inflows_dex, total_outflows_dex, total_inflows_cex and total_outflows_cex are only populated when "
    "label=exchange and are null for all other labels."
)


@dataclass(frozen=True, slots=True)
class Token:
    """A token of one chain."""

    seed: int
    number: int
    chain: str
    address: str
    symbol: str
    sectors: tuple[str, ...]
    born: date

    def unit(self, *about: object) -> float:
        """Give the same number from 0 to 1 for the same question."""
        return fraction(self.seed, "token", self.number, *about)

    def amount(self, *about: object) -> float:
        """Give an amount in USD over many orders of magnitude."""
        return 10 ** (2 + 6 * self.unit(*about))

    def signed(self, *about: object) -> float:
        """Give an amount in USD that may be negative."""
        return self.amount(*about) * (1 if self.unit(*about, "sign") < 0.55 else -1)

    def market_cap(self) -> float | None:
        """Give the market cap, unknown for some."""
        return None if self.number % 13 == 5 else digits(10 ** (5 + 5 * self.unit("cap")))


@lru_cache(maxsize=8)
def invented_tokens(seed: int, count: int, today: date) -> tuple[Token, ...]:
    """Invent the tokens: mostly on five chains, one in forty on a chain that no list names."""
    return tuple(_token(seed, number, today) for number in range(count))


def _token(seed: int, number: int, today: date) -> Token:
    chain = words.UNKNOWN_CHAIN if number % 40 == 17 else pick(words.CHAINS, seed, "chain", number)
    address = base58(44, seed, "mint", number) if chain == "solana" else "0x" + hexadecimal(40, seed, "token", number)
    symbol = pick(words.SYMBOL_HEADS, seed, "symbol", number) + ("" if number % 3 else str(number % 97))
    if number % 11 == 3:
        symbol = words.EMOJI_SYMBOLS[number // 11 % 3].format(symbol)
    elif number % 29 == 7:
        symbol = "BTC"  # a meme token may call itself what it likes
    sectors = tuple({pick(words.SECTORS, seed, "sector", number, part): None for part in range(number % 3)})
    return Token(
        seed, number, chain, address, symbol, sectors, today - timedelta(days=between(3, 1400, seed, "born", number))
    )


def digits(value: float, restated: bool = False) -> float:
    """Round to eleven significant digits; a restated value differs in the last digit of the float only."""
    rounded = float(f"{value:.10e}")
    return math.nextafter(rounded, math.inf) if restated else rounded


def tick(now: datetime) -> int:
    """Number the five minutes in which a snapshot stands still."""
    return int(now.timestamp()) // 300


def drift(seed: int, endpoint: str, now: datetime) -> float:
    """Give the factor by which all values of a snapshot stand at this five minutes."""
    return 1 + 0.1 * fraction(seed, "drift", endpoint, tick(now))


def netflow_row(token: Token, now: datetime) -> dict[str, Any]:
    """Give one row of smart-money/netflow."""
    factor = drift(token.seed, "netflow", now)
    spans = {name: digits(factor * token.signed("netflow", name)) for name in ("1h", "24h", "7d", "30d")}
    if token.number % 6 == 0:
        spans["1h"] = 0.0
    return {
        "token_address": token.address,
        "token_symbol": token.symbol,
        **{f"net_flow_{name}_usd": value for name, value in spans.items()},
        "chain": token.chain,
        "token_sectors": list(token.sectors),
        "trader_count": between(1, 250, token.seed, "traders", token.number),
        "token_age_days": (now.date() - token.born).days,
        "market_cap_usd": token.market_cap(),
    }


def holdings_row(token: Token, now: datetime) -> dict[str, Any]:
    """Give one row of smart-money/holdings."""
    return {
        "chain": token.chain,
        "token_address": token.address,
        "token_symbol": token.symbol,
        "token_sectors": list(token.sectors),
        **_position(token, drift(token.seed, "holdings", now), "now"),
        "token_age_days": (now.date() - token.born).days,
        "market_cap_usd": token.market_cap(),
    }


def _position(token: Token, factor: float, *about: object) -> dict[str, Any]:
    share = 10 ** (-11 + 10 * token.unit("share", *about))
    return {
        "value_usd": digits(factor * token.amount("value", *about)),
        "balance_24h_percent_change": 0.0
        if token.unit("still", *about) < 0.4
        else digits(token.unit("change", *about) / 5),
        "holders_count": between(1, 90, token.seed, "holders", token.number, *about),
        "share_of_holdings_percent": None if token.number % 17 == 4 else digits(share),
    }


def historical_row(token: Token, day: date, labels: tuple[str, ...], restated: bool) -> dict[str, Any]:
    """Give one row of smart-money/historical-holdings; a finished day is restated in the last digit at most."""
    held = labels or tuple(label for label in words.LABELS if token.unit("held", label) < 0.6) or words.LABELS[:1]
    position = _position(token, 1.0, day, *labels)
    value = position["value_usd"]
    return {
        "date": day.isoformat(),
        "chain": token.chain,
        "token_address": token.address,
        "token_symbol": token.symbol,
        "token_sectors": list(token.sectors),
        "smart_money_labels": list(held),
        "balance": digits(value / (0.01 + token.unit("price")), restated),
        **position,
        "value_usd": digits(value, restated),
        "token_age_days": (day - token.born).days,
        "market_cap_usd": token.market_cap(),
    }


def screener_row(token: Token, now: datetime, timeframe: str, trader_type: str) -> dict[str, Any]:
    """Give one row of token-screener; who is counted depends on the type of trader."""
    factor = drift(token.seed, "screener", now)
    bought, sold = (digits(factor * token.amount(side, timeframe)) for side in ("buy", "sell"))
    cap = token.market_cap()
    fdv = digits((cap or 3e6) * (1 + token.unit("fdv")))
    age = now - datetime.combine(token.born, datetime.min.time(), now.tzinfo)
    row: dict[str, Any] = {
        "chain": token.chain,
        "token_address": token.address,
        "token_symbol": token.symbol,
        "token_age_days": float(age.days),
        "token_age_hours": float(age // timedelta(hours=1)),
        "token_deployment_date": f"{token.born.isoformat()}T{draw(token.address) % 24:02d}:05:48",
        "market_cap_usd": cap,
        "liquidity": digits(token.amount("liquidity")),
        "price_usd": digits(token.unit("price") / 100),
        "price_change": digits(token.unit("change") - 0.5),
        "fdv": fdv,
        "fdv_mc_ratio": digits(fdv / cap) if cap else None,
    }
    if trader_type != "all":
        row["nof_traders"] = between(1, 60, token.seed, "nof", token.number)
    return row | {
        "buy_volume": bought,
        "inflow_fdv_ratio": digits(bought / fdv),
        "outflow_fdv_ratio": digits(sold / fdv),
        "sell_volume": sold,
        "volume": digits(bought + sold),
        "netflow": digits(bought - sold),
    }


@lru_cache(maxsize=20_000)
def flow_row(
    token: Token, label: str, start: datetime, length: timedelta, *, whole: bool, first: bool, restated: bool
) -> dict[str, Any]:
    """Give one bucket of tgm/flows; the first one of a window has no flow, whatever the hour really had.

    Not to be changed by who gets it: it is remembered.
    """
    about = ("flow", label, int(start.timestamp()))
    price, held = digits(token.unit("price") + 0.001), digits(1e5 * (1 + token.unit("held", label)))
    still = first or token.unit(*about, "still") < 0.2
    dex_in, cex_in = (0.0 if still else digits(token.amount(*about, kind, "in") / 10) for kind in ("dex", "cex"))
    dex_out, cex_out = (0.0 if still else -digits(token.amount(*about, kind, "out") / 10) for kind in ("dex", "cex"))
    exchange = label == "exchange"
    return {
        "date": start.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "bucket_end": (start + length).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "is_complete": whole,
        "price_usd": price,
        "token_amount": digits(held + token.unit(*about) * 1000, restated),
        "value_usd": digits(price * held, restated),
        "holders_count": between(20, 300, token.seed, token.number, label),
        "total_inflows_count": digits(dex_in + cex_in) if exchange else dex_in,
        "total_outflows_count": digits(dex_out + cex_out) if exchange else dex_out,
        "total_inflows_dex": dex_in if exchange else None,
        "total_outflows_dex": dex_out if exchange else None,
        "total_inflows_cex": cex_in if exchange else None,
        "total_outflows_cex": cex_out if exchange else None,
    }
