"""Pages of news and of swaps as providers send them, and as they lie in the database once they have landed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product
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
from workers.items import Page, Provider, Pull
from workers.providers import cryptopanic, nansen

NOW = datetime(2026, 5, 5, 12, tzinfo=UTC)
_SYLLABLES = ("ba", "chi", "do", "fen", "gra", "hol", "ki", "lum", "mar", "no", "pel", "ra", "sto", "tu", "vi", "zen")
RARE = tuple("".join(parts) for parts in product(_SYLLABLES, repeat=3))
COMMON = ("bitcoin", "ether", "exchange", "fund", "price", "rises", "falls", "token", "says", "after", "new", "market")
COINS = ("BTC", "ETH", "SOL", "XRP", "ADA")


@dataclass(frozen=True, slots=True)
class Kind:
    """A list of a provider: how one of its rows and a whole page of them are made."""

    provider: Provider
    dataset: str
    params: Mapping[str, Any]
    row: Callable[[random.Random, int], dict[str, Any]]
    page: Callable[[list[dict[str, Any]]], dict[str, Any]]


def bodies(kind: Kind, pages: int, rows: int, *, seed: int) -> Iterator[bytes]:
    """Make pages with rows of the usual size; every row of a seed is another one."""
    rng = random.Random(seed)
    for page in range(pages):
        first = seed * 10**8 + page * rows + 1
        yield orjson.dumps(kind.page([kind.row(rng, number) for number in range(first, first + rows)]))


def _post(rng: random.Random, number: int) -> dict[str, Any]:
    at = (NOW - timedelta(seconds=number % 10**6)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "id": number,
        "slug": f"post-{number}",
        "title": _text(rng, 10),
        "description": _text(rng, 50),
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


def _text(rng: random.Random, words: int) -> str:
    """A third of a headline's words are in many others, the rest in few: titles are compared by what is rare."""
    common = words // 3
    return " ".join(rng.choices(COMMON, k=common) + rng.choices(RARE, k=words - common))


def _swap(rng: random.Random, number: int) -> dict[str, Any]:
    at = (NOW - timedelta(seconds=number % 10**6)).strftime("%Y-%m-%dT%H:%M:%SZ")
    bought, sold = rng.sample(COINS, 2)
    return {
        "chain": "base",
        "block_timestamp": at,
        "transaction_hash": f"0x{number:064x}",
        "trader_address": f"0x{number % 997:040x}",
        "trader_address_label": "Fund",
        "token_bought_address": f"0x{ord(bought[0]):040x}",
        "token_sold_address": f"0x{ord(sold[0]):040x}",
        "token_bought_amount": number % 10**6 + 0.254947656,
        "token_sold_amount": number % 10**5 + 0.125,
        "token_bought_symbol": bought,
        "token_sold_symbol": sold,
        "token_bought_age_days": 3,
        "token_sold_age_days": 2173,
        "token_bought_market_cap": 75000000.5,
        "token_sold_market_cap": 75000000000.0,
        "trade_value_usd": 2508.43,
    }


NEWS = Kind(cryptopanic.PROVIDER, "posts", {}, _post, lambda rows: {"next": None, "previous": None, "results": rows})
SWAPS = Kind(
    nansen.PROVIDER,
    "smart-money/dex-trades",
    {"chains": ["base"]},
    _swap,
    lambda rows: {"data": rows, "pagination": {"is_last_page": True}},
)


def items(kind: Kind, pages: Sequence[bytes]) -> list[Item]:
    """Read the pages as dedup does."""
    pull = Pull(kind.dataset, kind.params, "backfill", until=NOW, polled_at=NOW)
    return [one for body in pages for one in kind.provider.parse(Page(body, pull, None, NOW, NOW)).items]


async def land(system: System, kind: Kind, pages: Sequence[bytes]) -> list[UUID]:
    """Write one backfill whose pages have all landed; nothing is published."""
    now, name = datetime.now(UTC), kind.provider.name
    args = {"provider": name, "dataset": kind.dataset, "params": kind.params}
    ids = [uuid7() for _ in pages]
    async with system.database.begin() as conn:
        receipts = await jobs.enqueue(conn, [NewJob("backfill", fetch_queue(name), args)], now=now)
        job = {"job": receipts[0].id, "pages": len(pages), "now": now}
        await conn.execute(_RUNNING, job)
        same = job | {"provider": name, "dataset": kind.dataset}
        rows = [
            same | {"id": id_, "seq": seq, "body": zstandard.compress(body), "bytes": len(body)}
            for seq, (id_, body) in enumerate(zip(ids, pages, strict=True), start=1)
        ]
        await conn.execute(_LANDED, rows)
    return ids


_RUNNING = text(
    """UPDATE jobs SET state = 'running', want = :pages, landed = :pages, started_at = :now, polled_at = :now
    WHERE id = :job"""
)
_LANDED = text(
    """INSERT INTO pages (id, job_id, seq, provider, dataset, request, body, body_bytes, fetched_at, answered_at,
        polled_at, cost, state, published_at)
    VALUES (:id, :job, :seq, :provider, :dataset, '{}', :body, :bytes, :now, :now, :now, 1, 'landed', :now)"""
)
