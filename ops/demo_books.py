"""A seeded history of trades and prices, posted as any user's would be; what it came to by four methods; the proof."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from types import MappingProxyType
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from broker import jobs
from broker.jobs import NewJob
from broker.messages import LEDGER, WorkOnJob
from broker.producer import Producer
from ledger.bookview import marks, told, view
from ledger.lots import Method
from ledger.proof import verify
from ledger.tenancy import acting_for

USER = "demo"
TRADES = 600
SEED = 7
FIRST = datetime(2026, 1, 5, 9, tzinfo=UTC)
STEP = timedelta(hours=3)
COINS: Mapping[str, tuple[Decimal, int]] = MappingProxyType(
    {"BTC": (Decimal(90000), 4), "ETH": (Decimal(3000), 3), "SOL": (Decimal(140), 1)}
)
"""What each costs at first, and in how many decimals it is traded."""
LOOK_EVERY_S = 0.1
Row = dict[str, Any]


async def run(database: AsyncEngine, producer: Producer) -> dict[str, Any]:
    """Post the history, wait until it is booked, and give its account; a second time nothing is new."""
    trades, prices = history()
    new = [
        NewJob("ledger.prices", LEDGER, {"source": "demo", "rows": prices}, owner=USER),
        NewJob("ledger.trades", LEDGER, {"user": USER, "source": "demo", "rows": trades}, owner=USER),
    ]
    async with database.begin() as conn:
        receipts = await jobs.enqueue(conn, new, now=datetime.now(UTC))
    await producer.send([WorkOnJob(job.queue) for job in new])
    asked = {"ids": [receipt.id for receipt in receipts]}
    while True:
        async with database.connect() as conn:
            rows = (await conn.execute(_JOBS, asked)).all()
        if all(row.state in ("succeeded", "failed", "cancelled") for row in rows):
            break
        await asyncio.sleep(LOOK_EVERY_S)
    trouble = [f"{row.kind}: {row.state}, {row.rejected} rows refused" for row in rows if _wrong(row)]
    return await account(database) | {"trades_new": sum(row.new for row in rows), "books_trouble": trouble}


async def account(database: AsyncEngine) -> dict[str, Any]:
    """Tell what the books say: gains realized and not by each method, and whether they prove themselves."""
    realized: dict[str, str] = {}
    unrealized: dict[str, str | None] = {}
    async with database.begin() as conn:
        prices = await marks(conn)
        for method in Method:
            document = told(await view(conn, USER, method), prices)["users"].get(USER, {})
            realized[method.value] = document.get("realised", "0")
            unrealized[method.value] = document.get("unrealised")
        async with acting_for(conn, USER):
            counted = await conn.execute(text("SELECT count(*) FROM entries WHERE kind IN ('buy', 'sell')"))
            trades = counted.scalar_one()
        findings = await verify(conn, USER)
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


def _wrong(row: Any) -> bool:
    return bool(row.state != "succeeded" or row.rejected)


_JOBS = text("SELECT kind, state, new, rejected FROM jobs WHERE id = ANY(:ids)")
