"""Trades and prices: pushed in as jobs, which keep the rows as they came, and listed as they were posted."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from broker import views
from gateway.api.book_shapes import (
    PriceAnswer,
    PriceListing,
    PricesRequest,
    TradeAnswer,
    TradeListing,
    TradesRequest,
    when,
    window,
)
from gateway.api.job_shapes import JobAnswer, job_answer
from gateway.call import Call
from gateway.enqueueing import enqueue, hint, new_job
from gateway.idempotency import once
from gateway.paging import Page, after, page
from gateway.routes import Reply, Routes
from ledger import booklists
from ledger.booklists import Place, PricePlace

PUSHED_BYTES_MAX = 1024 * 1024

routes = Routes("books")


TRADE = {"kind": "buy", "happened_at": "2026-01-02T03:04:05Z", "base": "BTC", "qty": "0.5", "quote": "USDT"}
PRICE = {"coin": "BTC", "happened_at": "2026-01-02T03:00:00Z", "price": "64000.5"}


@routes.post(
    "/trades",
    needs="ledger:write",
    status=202,
    key_required=True,
    problems=("too_large", "queue_quota", "conflict"),
    example={"source": "my exchange", "trades": [{**TRADE, "price": "64000", "trade_id": "t-1"}]},
)
async def push_trades(call: Call, body: TradesRequest) -> Reply[JobAnswer]:
    """Post up to 1000 trades to your books.

    The rows are kept as they came before anything is done with them; the answer is the job that posts them.  Each row
    is judged by itself: `counts` says what became of them, `/jobs/{job}/pages` which were refused and why.
    """
    rows = msgspec.to_builtins(body.trades)
    return await _pushed(call, "ledger.trades", {"source": body.source, "rows": rows}, body)


@routes.post(
    "/prices",
    needs="admin:write",
    status=202,
    key_required=True,
    problems=("too_large", "queue_quota"),
    example={"source": "my exchange", "prices": [PRICE]},
)
async def push_prices(call: Call, body: PricesRequest) -> Reply[JobAnswer]:
    """Post up to 1000 prices, which everybody's books are valued at: for administrators."""
    rows = msgspec.to_builtins(body.prices)
    return await _pushed(call, "ledger.prices", {"source": body.source, "rows": rows}, body)


async def _pushed(call: Call, kind: str, args: dict[str, Any], asked: object) -> Reply[JobAnswer]:
    new = new_job(call, kind, args, bytes_max=PUSHED_BYTES_MAX)
    made: dict[Any, str] = {}

    async def effect(conn: AsyncConnection) -> Reply[JobAnswer]:
        receipt = (await enqueue(call, conn, [new]))[0]
        made[receipt.id] = new.queue
        return Reply(job_answer((await views.get_jobs(conn, [receipt.id]))[0]), status=202)

    reply = await once(call, asked, effect, required=True)
    await hint(call, made)
    told: Any = reply.value  # as it was kept, if it was told before
    job = told["id"] if isinstance(told, dict) else told.id
    root = call.request.path.rpartition("/")[0]
    return Reply(reply.value, status=reply.status, headers={**reply.headers, "Location": f"{root}/jobs/{job}"})


@routes.get("/trades", needs="ledger:read", problems=("invalid_cursor",))
async def list_trades(call: Call, query: TradeListing) -> Page[TradeAnswer]:
    """Your posted rows, the newest first, with reversals and what they undid."""
    behind = after(call, query, Place)
    async with call.books() as conn:
        found = await booklists.trades(
            conn,
            call.principal.user,
            when=when(query),
            **window(query),
            coin=query.coin,
            kind=query.kind,
            tag=query.algorithm,
            account=query.account,
            after=behind,
            limit=query.limit + 1,
        )
    return page(call, query, found, lambda row: row.place, lambda row: msgspec.convert(row.body, TradeAnswer))


@routes.get("/prices", needs="ledger:read", problems=("invalid_cursor",))
async def list_prices(call: Call, query: PriceListing) -> Page[PriceAnswer]:
    """What coins were worth in USDT, the newest first; the same for everybody."""
    behind = after(call, query, PricePlace)
    async with call.rows() as conn:
        found = await booklists.prices(
            conn, when=when(query), **window(query), coin=query.coin, after=behind, limit=query.limit + 1
        )
    return page(call, query, found, lambda row: row.place, lambda row: msgspec.convert(row.body, PriceAnswer))
