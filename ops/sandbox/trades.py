"""Invented swaps of smart wallets, with what makes them hard: nulls, empty labels, several swaps in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ops.sandbox import words
from ops.sandbox.chance import base58, between, draw, fraction, hexadecimal, pick
from ops.sandbox.clock import stamp
from ops.sandbox.tokens import Token, digits

FLAWS = {9: "transaction_hash", 27: "block_timestamp"}
"""In every hundred trades these are malformed on purpose, in the field named."""
WINDOW = timedelta(hours=24)
WALLETS = 60


@dataclass(frozen=True, slots=True)
class Trade:
    """One swap and its row."""

    at: datetime
    row: dict[str, Any]
    flaw: str = ""


def invented_trade(seed: int, number: int, at: datetime, tokens: Sequence[Token], *, flawless: bool = False) -> Trade:
    """Invent one swap; every ninth shares the transaction of the one before, with other amounts."""
    shared = number - 1 if number % 9 == 4 else number
    bought = tokens[draw(seed, "bought", shared) % len(tokens)]
    same_chain = [token for token in tokens if token.chain == bought.chain and token is not bought]
    sold = pick(same_chain, seed, "sold", shared) if same_chain else bought
    wallet = between(0, WALLETS - 1, seed, "wallet", shared)
    solana = bought.chain == "solana"
    row: dict[str, Any] = {
        "chain": bought.chain,
        "block_timestamp": stamp(at),
        "transaction_hash": base58(88, seed, "tx", shared) if solana else "0x" + hexadecimal(64, seed, "tx", shared),
        "trader_address": base58(44, seed, "wallet", wallet)
        if solana
        else "0x" + hexadecimal(40, seed, "wallet", wallet),
        "trader_address_label": _label(seed, wallet),
        "token_bought_address": bought.address,
        "token_sold_address": sold.address,
        "token_bought_amount": None if number % 23 == 11 else _amount(seed, "got", number),
        "token_sold_amount": None if number % 31 == 14 else _amount(seed, "gave", number),
        "token_bought_symbol": bought.symbol,
        "token_sold_symbol": sold.symbol,
        "token_bought_age_days": (at.date() - bought.born).days,
        "token_sold_age_days": (at.date() - sold.born).days,
        "token_bought_market_cap": bought.market_cap(),
        "token_sold_market_cap": sold.market_cap(),
        "token_bought_fdv": digits(bought.amount("fdv")),
        "token_sold_fdv": None if number % 7 == 2 else digits(sold.amount("fdv")),
        "trade_value_usd": None if number % 37 == 5 else _amount(seed, "value", number),
    }
    if number % 41 == 8 and row["trade_value_usd"] is not None:
        row["trade_value_usd"] = str(row["trade_value_usd"])  # a text where a number is documented: seen elsewhere
    flaw = "" if flawless else FLAWS.get(number % 100, "")
    if flaw == "transaction_hash":
        row[flaw] = None
    elif flaw == "block_timestamp":
        row[flaw] = "yesterday"
    return Trade(at, row, flaw)


def _amount(seed: int, kind: str, number: int) -> float:
    return digits(10 ** (-9 + 18 * fraction(seed, kind, number)))


def _label(seed: int, wallet: int) -> str | None:
    name = f"{pick(words.COMPANY_HEADS, seed, 'label', wallet)}{pick(words.COMPANY_MIDDLES, seed, 'label', wallet)}"
    match wallet % 4:
        case 0:
            return ""
        case 1:
            return None
        case 2:
            return f"{pick(words.LABELS, seed, 'label', wallet)}"
    return f"🤓 {name} [0x{hexadecimal(6, seed, 'label', wallet)}]"
