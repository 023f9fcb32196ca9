"""A seeded history of trades and prices, posted as any user's would be; what it came to by four methods; the proof."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from types import MappingProxyType
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from ledger.bookview import marks, told, view
from ledger.lots import Method
from ledger.proof import verify
from ledger.tenancy import acting_for
from ops.demo_client import Client

TRADES = 600
SEED = 7
FIRST = datetime(2026, 1, 5, 9, tzinfo=UTC)
STEP = timedelta(hours=3)
COINS: Mapping[str, tuple[Decimal, int]] = MappingProxyType(
    {"BTC": (Decimal(90000), 4), "ETH": (Decimal(3000), 3), "SOL": (Decimal(140), 1)}
)
"""What each costs at first, and in how many decimals it is traded."""
Row = dict[str, Any]


async def push(client: Client, operator: Client) -> Sequence[str]:
    """Push the history: prices as an operator, whose word they are, then trades; give the jobs."""
    trades, prices = history()
    told = await operator.post("prices", {"source": "demo", "prices": prices})
    await operator.ended(told["id"])
    return [(await client.post("trades", {"source": "demo", "trades": trades}))["id"]]


async def ended(client: Client, pushed: Sequence[str]) -> dict[str, Any]:
    """Wait until what was pushed is booked; a second time nothing is new."""
    jobs = [await client.ended(job) for job in pushed]
    trouble = [
        f"{job['kind']}: {job['state']}, {job['counts']['rejected']} rows refused" for job in jobs if _wrong(job)
    ]
    return {"trades_new": sum(job["counts"]["new"] for job in jobs), "books_trouble": trouble}


async def account(database: AsyncEngine, user: str) -> dict[str, Any]:
    """Tell what a user's books say: gains realized and not by each method, and whether they prove themselves."""
    realized: dict[str, str] = {}
    unrealized: dict[str, str | None] = {}
    async with database.begin() as conn:
        prices = await marks(conn)
        for method in Method:
            document = told(await view(conn, user, method), prices)["users"].get(user, {})
            realized[method.value] = document.get("realised", "0")
            unrealized[method.value] = document.get("unrealised")
        async with acting_for(conn, user):
            counted = await conn.execute(text("SELECT count(*) FROM entries WHERE kind IN ('buy', 'sell')"))
            trades = counted.scalar_one()
        findings = await verify(conn, user)
    diverges = [f"{one.check}: {one.diverges}" for one in findings if one.diverges]
    proved = {"verified": not diverges, "diverges": diverges}
    return {"trades": trades, "realized": realized, "unrealized": unrealized, **proved}


def history(trades: int = TRADES, seed: int = SEED) -> tuple[Sequence[Row], Sequence[Row]]:
    """Invent trades of three coins whose prices walk, and a price of each coin a day; the same for the same seed."""
    rng = Random(seed)  # noqa: S311  a demonstration, no secret
    price = {coin: start for coin, (start, _) in COINS.items()}
    held = dict.fromkeys(COINS, Decimal(0))
    rows: list[Row] = []
    quotes: list[Row] = []
    for n in range(trades):
        at = (FIRST + n * STEP).isoformat()
        coin = rng.choice(list(COINS))
        for one in COINS:
            price[one] = (price[one] * Decimal(rng.randint(985, 1016)) / 1000).quantize(Decimal("0.01"))
        qty = Decimal(rng.randint(1, 40)).scaleb(-COINS[coin][1])
        sells = held[coin] >= qty and rng.random() < 0.45
        held[coin] += -qty if sells else qty
        fee = (qty * price[coin] / 1000).quantize(Decimal("0.0001"))
        rows.append(
            {"trade_id": f"demo-{n}", "kind": "sell" if sells else "buy", "happened_at": at, "base": coin}
            | {"qty": str(qty), "price": str(price[coin]), "fee_qty": str(fee), "fee_coin": "USDT"}
            | {"tag": rng.choice(["grid", "trend"])}
        )
        if n % 8 == 7 or n == trades - 1:
            quotes += [{"coin": one, "happened_at": at, "price": str(price[one])} for one in COINS]
    return rows, quotes


def _wrong(job: Any) -> bool:
    return bool(job["state"] != "succeeded" or job["counts"]["rejected"])
