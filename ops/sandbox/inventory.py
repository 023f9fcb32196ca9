"""The list of what was invented, so that a run can be checked, and what a run should pull to get it.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from datetime import datetime, timedelta
from typing import Any

from ops.sandbox import keys
from ops.sandbox.article_query import UNRANKED
from ops.sandbox.articles import Article
from ops.sandbox.chain_rows import FLAWED_NETFLOW, HOUR, ChainRows, buckets
from ops.sandbox.clock import stamp
from ops.sandbox.posts import Post
from ops.sandbox.tokens import Token
from ops.sandbox.trades import Trade
from ops.sandbox.words import CHAINS

FLOWS_SPAN = timedelta(hours=48)
FLOW_TOKENS = 4
FLOW_LABELS = ("smart_money", "exchange")
DAILY_SPAN, WEEK, DAY = timedelta(days=10), timedelta(days=7), timedelta(days=1)


def told_of_posts(posts: Iterable[Post], seen: Set[str], removed: Sequence[str]) -> dict[str, Any]:
    """List the posts that were ever within reach (``seen``); Enterprise reaches ``keys_enterprise``."""
    found = list(posts)
    flawed = [post for post in found if post.flaw]
    return {
        "keys": sorted(seen - {post.key for post in flawed} - set(removed)),
        "keys_enterprise": sorted(post.key for post in found if not post.flaw),
        "removed": list(removed),
        "rejects": [_reject("posts", post.flaw, post.key) for post in flawed if post.key in seen],
    }


def told_of_articles(articles: Iterable[Article]) -> dict[str, Any]:
    """List the articles by the ids of v3 and of v2; those of unranked outlets come only when they are asked for."""
    found = list(articles)
    ranked = [article for article in found if article.telling.outlet.rank != UNRANKED]
    unranked = [article for article in found if article.telling.outlet.rank == UNRANKED]
    return {
        "keys": sorted(_article_key(article) for article in ranked if not article.flaw),
        "keys_v2": sorted(f"articles:{article.id_v2}" for article in ranked if not article.flaw),
        "keys_unranked": sorted(_article_key(article) for article in unranked if not article.flaw),
        "rejects": [_reject("articles", article.flaw, _article_key(article)) for article in ranked if article.flaw],
    }


def stories(posts: Iterable[Post], articles: Iterable[Article]) -> list[list[str]]:
    """Give the posts and articles of each story that has more than one."""
    groups: dict[int, list[str]] = {}
    for post in posts:
        groups.setdefault(post.telling.story, []).append(f"cryptopanic/{post.key}")
    for article in articles:
        groups.setdefault(article.telling.story, []).append(f"newscatcher/{_article_key(article)}")
    return [group for _, group in sorted(groups.items()) if len(group) > 1]


def _article_key(article: Article) -> str:
    return f"articles:{article.id}"


def _reject(dataset: str, field: str, key: str | None) -> dict[str, Any]:
    """Tell of a row that is malformed on purpose: in which field, and the key it has if it has one."""
    return {"dataset": dataset, "field": field, "key": None if field == "id" else key}


class ChainInventory:
    """What is on the chains: keys that do not depend on the time of a poll; the server adds those of its snapshots."""

    def __init__(self, origin: datetime, tokens: Sequence[Token], rows: ChainRows) -> None:
        self._origin = origin
        self._tokens = tokens
        self._rows = rows

    def told(self, trades: Iterable[Trade]) -> dict[str, Any]:
        """List trades, daily holdings and flows as the streams ask for them."""
        found = list(trades)
        trade_keys = {keys.trade_key(trade.row) for trade in found if not trade.flaw}
        daily = self._rows.daily_keys(self._daily(), self._origin)
        rejects = [_reject("smart-money/dex-trades", trade.flaw, None) for trade in found if trade.flaw]
        if len(self._tokens) > FLAWED_NETFLOW:
            rejects.append(_reject("smart-money/netflow", "token_address", None))
        return {"keys": sorted(trade_keys | self._flow_keys() | set(daily)), "rejects": rejects}

    def _flow_keys(self) -> set[str]:
        found = set()
        for token, label, start, end in self._flows():
            # the buckets of the window itself: whoever asks one more in front gets them all with their real values
            _, starts = buckets(start - HOUR, end)
            found |= {keys.flow_key(token.chain, token.address, label, stamp(at)) for at in starts}
        return found

    def _daily(self) -> dict[str, Any]:
        day = self._origin.date()
        return {"chains": list(CHAINS), "date_range": {"from": str(day - DAILY_SPAN), "to": str(day - DAY)}}

    def _flows(self) -> list[tuple[Token, str, datetime, datetime]]:
        end = self._origin.replace(minute=0, second=0)
        known = [token for token in self._tokens if token.chain in CHAINS][:FLOW_TOKENS]
        return [
            (token, FLOW_LABELS[place % len(FLOW_LABELS)], end - FLOWS_SPAN, end) for place, token in enumerate(known)
        ]

    def streams(self) -> list[dict[str, Any]]:
        """Say what to pull from Nansen."""
        chains = {"chains": list(CHAINS)}
        screen = {**chains, "timeframe": "24h", "filters": {"trader_type": "sm"}}
        found = [
            _stream("netflow", "nansen", "smart-money/netflow", chains),
            _stream("trades", "nansen", "smart-money/dex-trades", chains),
            _stream("holdings", "nansen", "smart-money/holdings", chains),
            _stream("screener", "nansen", "token-screener", screen),
            _stream("daily-holdings", "nansen", "smart-money/historical-holdings", self._daily(), "backfill"),
        ]
        for place, (token, label, start, end) in enumerate(self._flows()):
            window = {"from": stamp(start), "to": stamp(end)}
            params = {"chain": token.chain, "token_address": token.address, "label": label, "date": window}
            found.append(_stream(f"flows-{place}-{label}", "nansen", "tgm/flows", params, "backfill"))
        return found


def news_streams(origin: datetime, *, frozen: bool) -> list[dict[str, Any]]:
    """Say what to pull of the news; under a frozen clock with a fixed window, for the asker's week may be another."""
    fixed = {"from": stamp(origin - WEEK), "to": stamp(origin + WEEK)} if frozen else {}
    return [
        _stream("posts", "cryptopanic", "posts", {"plan": "growth/v2"}),
        _stream("articles", "newscatcher", "search", {"api": "v3", "q": "crypto", "page_size": 100, **fixed}),
        _stream("headlines", "newscatcher", "latest_headlines", {"api": "v3", "page_size": 100}),
    ]


def _stream(
    name: str, provider: str, dataset: str, params: dict[str, Any], mode: str = "incremental"
) -> dict[str, Any]:
    return {"name": name, "provider": provider, "dataset": dataset, "params": params, "mode": mode}
