"""The invented world: one seed and one moment give one universe, however it is asked; and the list of what is in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from ops.sandbox import articles as article_rows
from ops.sandbox import keys, news, posts
from ops.sandbox.answers import Api, Invented
from ops.sandbox.articles import Article
from ops.sandbox.chain_rows import FLAWED_NETFLOW, HOUR, ChainRows, buckets
from ops.sandbox.chance import draw, fraction
from ops.sandbox.clock import stamp
from ops.sandbox.config import SandboxConfig
from ops.sandbox.cryptopanic import CryptoPanic
from ops.sandbox.meter import Meter
from ops.sandbox.nansen import Nansen
from ops.sandbox.news import Telling
from ops.sandbox.newscatcher import NewsCatcher
from ops.sandbox.posts import Post
from ops.sandbox.search import UNRANKED, ArticleSearch
from ops.sandbox.tokens import Token, invented_tokens
from ops.sandbox.trades import Trade, invented_trade
from ops.sandbox.words import CHAINS

ITEMS_PER_STORY = 2.5
"""How many posts and articles one story becomes on average."""
FIRST_POST = 30_000_000
TRADES_SPAN = timedelta(hours=20)
FLOWS_SPAN = timedelta(hours=48)
FLOW_TOKENS = 4
DAYS, WEEK, ONE_DAY = timedelta(days=10), timedelta(days=7), timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that is malformed on purpose: the field, and the key it would have had where it has one."""

    provider: str
    dataset: str
    field: str
    key: str | None

    def wire(self) -> dict[str, Any]:
        """Give it as JSON."""
        return {"dataset": self.dataset, "field": self.field, "key": self.key}


class Universe:
    """Everything invented for one seed at one moment, and what was added or taken away since."""

    def __init__(self, config: SandboxConfig, origin: datetime, meters: Mapping[str, Meter]) -> None:
        self._config = config
        self._seed = config.seed
        self._origin = origin.replace(microsecond=0)
        self._stories = max(1, round(config.size / ITEMS_PER_STORY))
        self._grown = 0
        self._tellings = self._first_tellings()
        self._posts = self._numbered_posts()
        self._articles = self._first_articles()
        self._tokens = invented_tokens(self._seed, max(40, min(1500, config.size // 10)), self._origin.date())
        self._trades = self._first_trades()
        self._rows = ChainRows(self._seed, self._tokens, lambda: self._trades, self._origin)
        self._removed: list[str] = []
        self._seen = {post.key for post in self._visible()}
        self._meters = meters

    def _first_tellings(self) -> list[Telling]:
        times = news.story_times(self._stories, self._origin)
        return [
            telling
            for number, at in enumerate(times)
            for telling in news.tellings(self._seed, number, at, self._origin)
        ]

    def _numbered_posts(self) -> list[Post]:
        """Number posts in the order of listing, while the list is in the order of publication: a late post has a
        higher number than newer ones."""
        listed = sorted((told for told in self._tellings if told.in_posts), key=lambda told: (told.listed, told.story))
        numbered = [
            Post(FIRST_POST + 2 * place + draw(self._seed, "step", place) % 2, told)
            for place, told in enumerate(listed)
        ]
        newest_first = sorted(numbered, key=_post_order)
        return [
            Post(post.id, post.telling, posts.FLAWS.get(place % 100, "")) for place, post in enumerate(newest_first)
        ]

    def _first_articles(self) -> list[Article]:
        told = [telling for telling in self._tellings if telling.in_articles]
        found = [self._article(telling, article_rows.FLAWS.get(place % 100, "")) for place, telling in enumerate(told)]
        return sorted(found, key=_article_order)

    def _article(self, telling: Telling, flaw: str = "") -> Article:
        published, precision = article_rows.told(self._seed, telling)
        own, old = (news.article_id(self._seed, telling, version) for version in ("v3", "v2"))
        # some were found long after they were published
        behind = timedelta(hours=30) if draw(self._seed, "behind", telling.story, telling.number) % 25 == 0 else None
        published = published - behind if behind else published
        return Article(self._seed, own, old, telling, published, telling.listed, precision, flaw)

    def _first_trades(self) -> list[Trade]:
        count = max(120, self._config.size // 2)
        step = TRADES_SPAN / count
        found = [
            self._trade(number, self._origin - step * (count - number) - timedelta(seconds=5))
            for number in range(count)
        ]
        found.sort(key=lambda trade: trade.at, reverse=True)
        return found

    def _trade(self, number: int, at: datetime, *, flawless: bool = False) -> Trade:
        at = at.replace(microsecond=0)
        return invented_trade(self._seed, number, at, self._tokens, flawless=flawless)

    def _visible(self) -> list[Post]:
        return self._posts if self._config.reach is None else self._posts[: self._config.reach]

    def apis(self) -> Mapping[str, Api]:
        """Give the three APIs over this universe."""
        meters = self._meters
        search = ArticleSearch(lambda: self._articles, meters["newscatcher"].remaining)
        return {
            "cryptopanic": CryptoPanic(self._seed, lambda: self._posts, self._config.reach),
            "newscatcher": NewsCatcher(search),
            "nansen": Nansen(self._rows, meters["nansen"], partial(account, meters["nansen"])),
        }

    def grow(self, count: int, now: datetime) -> list[str]:
        """Add stories to the top: each one post, one article and one trade."""
        added: list[str] = []
        for _ in range(count):
            added += self._grow_one(now)
        self._posts.sort(key=_post_order)
        self._articles.sort(key=_article_order)
        self._seen |= {post.key for post in self._visible()}
        return added

    def _grow_one(self, now: datetime) -> list[str]:
        number = self._stories + self._grown
        self._grown += 1
        telling = news.fresh_telling(self._seed, number, now)
        post, article = Post(FIRST_POST + 10_000_000 + self._grown, telling), self._article(telling)
        trade = self._trade(10_000_000 + self._grown, now - timedelta(seconds=30), flawless=True)
        self._posts.append(post)
        self._articles.append(article)
        self._trades.insert(0, trade)
        return [post.key, f"articles:{article.id}", keys.trade_key(trade.row)]

    def remove(self, count: int) -> list[str]:
        """Take posts off the list, from its middle: deletions happen."""
        gone = [post for post in self._visible() if not post.flaw]
        gone = sorted(gone, key=lambda post: fraction(self._seed, "removed", post.id))[:count]
        removed = [post.key for post in gone]
        self._posts = [post for post in self._posts if post not in gone]
        self._removed += removed
        self._seen |= {post.key for post in self._visible()}
        return removed

    def invented(self) -> Invented:
        """Give the keys that the streams lead to and the rows that must be rejected; see also ``removed``.

        What outside Enterprise was never within reach is left out of ``keys``; Enterprise reaches ``keys_enterprise``.
        """
        flawed = {post.key for post in self._posts if post.flaw}
        everything = [post.key for post in self._posts if not post.flaw]
        reachable = [post for post in self._visible() if post.flaw]
        ranked = [art for art in self._articles if art.telling.outlet.rank != UNRANKED]
        return {
            "cryptopanic": {
                "keys": sorted(self._seen - flawed - set(self._removed)),
                "keys_enterprise": sorted(everything),
                "removed": self._removed,
                "rejects": [
                    Reject("cryptopanic", "posts", post.flaw, None if post.flaw == "id" else post.key).wire()
                    for post in reachable
                ],
            },
            "newscatcher": {
                "keys": sorted(f"articles:{art.id}" for art in ranked if not art.flaw),
                "keys_v2": sorted(f"articles:{art.id_v2}" for art in ranked if not art.flaw),
                "keys_unranked": sorted(f"articles:{art.id}" for art in self._articles if art not in ranked),
                "rejects": [
                    Reject(
                        "newscatcher", "articles", art.flaw, None if art.flaw == "id" else f"articles:{art.id}"
                    ).wire()
                    for art in ranked
                    if art.flaw
                ],
            },
            "nansen": {"keys": sorted(self._chain_keys()), "rejects": self._chain_rejects()},
        }

    def _chain_keys(self) -> set[str]:
        """Keys that do not depend on the time of a poll; the server adds those that its answers promised."""
        found = {keys.trade_key(trade.row) for trade in self._trades if not trade.flaw}
        for token, label, start, end in self._flow_streams():
            # the buckets of the window itself: whoever asks one more in front gets them all with their real values
            _, starts = buckets(start - HOUR, end)
            found |= {keys.flow_key(token.chain, token.address, label, stamp(at)) for at in starts}
        return found | set(self._rows.daily_keys(self._daily(), self._origin))

    def _daily(self) -> dict[str, Any]:
        day = self._origin.date()
        return {"chains": list(CHAINS), "date_range": {"from": str(day - DAYS), "to": str(day - ONE_DAY)}}

    def _chain_rejects(self) -> list[dict[str, Any]]:
        trades = [Reject("nansen", "smart-money/dex-trades", trade.flaw, None) for trade in self._trades if trade.flaw]
        netflow = Reject("nansen", "smart-money/netflow", "token_address", None)
        return [reject.wire() for reject in [*trades, *([netflow] if len(self._tokens) > FLAWED_NETFLOW else [])]]

    def _flow_streams(self) -> list[tuple[Token, str, datetime, datetime]]:
        end = self._origin.replace(minute=0, second=0)
        known = [token for token in self._tokens if token.chain in CHAINS][:FLOW_TOKENS]
        labels = ("smart_money", "exchange")
        return [(token, labels[place % 2], end - FLOWS_SPAN, end) for place, token in enumerate(known)]

    def streams(self) -> list[dict[str, Any]]:
        """Say what a demonstration should pull."""
        chains = list(CHAINS)
        # under a frozen clock the last seven days of whoever asks may be other days
        fixed = {"from": stamp(self._origin - WEEK), "to": stamp(self._origin + WEEK)} if self._config.now else {}
        found = [
            _stream("posts", "cryptopanic", "posts", {"plan": "growth/v2"}),
            _stream("articles", "newscatcher", "search", {"api": "v3", "q": "crypto", "page_size": 100, **fixed}),
            _stream("headlines", "newscatcher", "latest_headlines", {"api": "v3", "page_size": 100}),
            _stream("netflow", "nansen", "smart-money/netflow", {"chains": chains}),
            _stream("trades", "nansen", "smart-money/dex-trades", {"chains": chains}),
            _stream("holdings", "nansen", "smart-money/holdings", {"chains": chains}),
            _stream(
                "screener",
                "nansen",
                "token-screener",
                {"chains": chains, "timeframe": "24h", "filters": {"trader_type": "sm"}},
            ),
            _stream(
                "daily-holdings",
                "nansen",
                "smart-money/historical-holdings",
                self._daily(),
                "backfill",
            ),
        ]
        for place, (token, label, start, end) in enumerate(self._flow_streams()):
            params = {"chain": token.chain, "token_address": token.address, "label": label,
                      "date": {"from": stamp(start), "to": stamp(end)}}  # fmt: skip
            found.append(_stream(f"flows-{place}-{label}", "nansen", "tgm/flows", params, "backfill"))
        return found

    def stories(self) -> list[list[str]]:
        """Give the posts and articles of each story that has more than one."""
        groups: dict[int, list[str]] = {}
        for post in self._posts:
            groups.setdefault(post.telling.story, []).append(f"cryptopanic/{post.key}")
        for article in self._articles:
            groups.setdefault(article.telling.story, []).append(f"newscatcher/articles:{article.id}")
        return [group for _, group in sorted(groups.items()) if len(group) > 1]


def account(meter: Meter, now: datetime) -> dict[str, Any]:
    """Give the plan and the credits that are left."""
    left = meter.remaining(now)
    return {"plan": "free" if left is not None else "pro", "credits_remaining": 1_000_000 if left is None else left}


def _stream(
    name: str, provider: str, dataset: str, params: dict[str, Any], mode: str = "incremental"
) -> dict[str, Any]:
    return {"name": name, "provider": provider, "dataset": dataset, "params": params, "mode": mode}


def _post_order(post: Post) -> tuple[float, int]:
    return -post.telling.published.timestamp(), -post.id


def _article_order(article: Article) -> tuple[float, str]:
    return -article.published.timestamp(), article.id
