"""Pages of news as a provider sends them, and as they lie in the database once they have landed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import zstandard
from sqlalchemy import text
from uuid_utils.compat import uuid7

from broker import jobs
from broker.jobs import NewJob
from broker.messages import fetch_queue
from ledger.model import Item
from tests.benchmarks.system import System
from workers.items import Page, Pull
from workers.providers.cryptopanic import PROVIDER

NOW = datetime(2026, 5, 5, 12, tzinfo=UTC)
WORDS = (
    *("bitcoin", "ether", "whale", "moves", "exchange", "fund", "rises", "falls", "token"),
    *("network", "price", "bank", "halts", "opens", "audit", "court"),
)
COINS = ("BTC", "ETH", "SOL", "XRP", "ADA")


def bodies(pages: int, rows: int, *, seed: int) -> Iterator[bytes]:
    """Make pages of posts of the usual size; every post of a seed is another one."""
    rng = random.Random(seed)
    for page in range(pages):
        posts = [_post(rng, seed * 10**8 + page * rows + n) for n in range(1, rows + 1)]
        yield orjson.dumps({"next": None, "previous": None, "results": posts})


def _post(rng: random.Random, number: int) -> dict[str, Any]:
    at = (NOW - timedelta(seconds=number % 10**6)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "id": number,
        "slug": f"post-{number}",
        "title": " ".join(rng.choices(WORDS, k=10)),
        "description": " ".join(rng.choices(WORDS, k=50)),
        "published_at": at,
        "created_at": at,
        "kind": "news",
        "source": {"title": "Ledgerpost", "region": "en", "domain": "ledgerpost.example", "type": "feed"},
        "original_url": f"https://ledgerpost.example/{number}",
        "url": f"https://cryptopanic.com/news/{number}/post-{number}",
        "instruments": [{"code": code, "price_in_usd": number % 1000 + 0.25} for code in rng.sample(COINS, 2)],
        "votes": {"positive": number % 7, "negative": number % 3},
        "panic_score": number % 100,
    }


def items(pages: Sequence[bytes]) -> list[Item]:
    """Read the pages as dedup does."""
    pull = Pull("posts", {}, "backfill", until=NOW, polled_at=NOW)
    return [one for body in pages for one in PROVIDER.parse(Page(body, pull, None, NOW, NOW)).items]


async def land(system: System, pages: Sequence[bytes]) -> list[UUID]:
    """Write one backfill whose pages have all landed; nothing is published."""
    now = datetime.now(UTC)
    args = {"provider": PROVIDER.name, "dataset": "posts", "params": {}}
    ids = [uuid7() for _ in pages]
    async with system.database.begin() as conn:
        receipts = await jobs.enqueue(conn, [NewJob("backfill", fetch_queue(PROVIDER.name), args)], now=now)
        job = {"job": receipts[0].id, "pages": len(pages), "now": now}
        await conn.execute(_RUNNING, job)
        rows = [
            {"id": id_, "seq": seq, "body": zstandard.compress(body), "bytes": len(body), "provider": PROVIDER.name}
            for seq, (id_, body) in enumerate(zip(ids, pages, strict=True), start=1)
        ]
        await conn.execute(_LANDED, [row | job for row in rows])
    return ids


_RUNNING = text(
    """UPDATE jobs SET state = 'running', want = :pages, landed = :pages, started_at = :now, polled_at = :now
    WHERE id = :job"""
)
_LANDED = text(
    """INSERT INTO pages (id, job_id, seq, provider, dataset, request, body, body_bytes, fetched_at, answered_at,
        polled_at, cost, state, published_at)
    VALUES (:id, :job, :seq, :provider, 'posts', '{}', :body, :bytes, :now, :now, :now, 1, 'landed', :now)"""
)
