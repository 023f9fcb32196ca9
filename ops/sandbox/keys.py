"""Natural keys as the ledger writes them, made from rows by code of the sandbox's own: the check must not share the
code that it checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Context, Decimal
from typing import Any

from ops.sandbox.clock import stamp

_NINE = Context(prec=9)
SNAPSHOTS = ("smart-money/netflow", "smart-money/holdings", "token-screener")


def address(text: str) -> str:
    """Write EVM addresses and hashes in lower case; Solana's distinguish cases."""
    return text.lower() if text[:2].lower() == "0x" else text


def amount(value: float | str | None) -> str:
    """Round to nine significant digits, plain, without trailing zeros; nothing stays nothing."""
    if value is None:
        return ""
    rounded = _NINE.create_decimal(Decimal(str(value)))
    text = format(rounded, "f")
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text


def snapshot_key(endpoint: str, row: Mapping[str, Any], polled_at: datetime) -> str:
    """Key a row of netflow, holdings or token-screener by the time of the poll."""
    return f"{endpoint}:{row['chain']}|{address(row['token_address'])}|{stamp(polled_at)}"


def trade_key(row: Mapping[str, Any]) -> str:
    """Key a swap, with its amounts: several swaps may share one transaction."""
    parts = (
        row["chain"],
        address(row["transaction_hash"]),
        address(row["trader_address"]),
        address(row["token_bought_address"]),
        address(row["token_sold_address"]),
        amount(row["token_bought_amount"]),
        amount(row["token_sold_amount"]),
    )
    return f"smart-money/dex-trades:{'|'.join(parts)}"


def historical_key(row: Mapping[str, Any], labels: Iterable[str]) -> str:
    """Key one day of one token under the label filter that was used."""
    used = ",".join(labels) or "all"
    return f"smart-money/historical-holdings:{row['date']}|{row['chain']}|{address(row['token_address'])}|{used}"


def flow_key(chain: str, token: str, label: str, start: str) -> str:
    """Key one bucket of tgm/flows; ``start`` is written as ``2026-08-17T00:00:00Z``."""
    return f"tgm/flows:{chain}|{address(token)}|{label}|{start}"
