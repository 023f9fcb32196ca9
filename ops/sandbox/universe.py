"""The invented world: one seed and one moment give one universe, however it is asked; and the list of what is in it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from ops.sandbox import articles as article_rows
from ops.sandbox import inventory, keys, news, posts
from ops.sandbox.answers import Api, Invented
from ops.sandbox.articles import Article
from ops.sandbox.chain_rows import ChainRows
from ops.sandbox.chance import draw, fraction
from ops.sandbox.config import SandboxConfig
from ops.sandbox.cryptopanic import CryptoPanic
from ops.sandbox.meter import Meter
from ops.sandbox.nansen import PLENTY, Nansen
from ops.sandbox.news import Telling
from ops.sandbox.newscatcher import NewsCatcher
from ops.sandbox.posts import Post
from ops.sandbox.search import ArticleSearch
from ops.sandbox.tokens import invented_tokens
from ops.sandbox.trades import Trade, invented_trade

ITEMS_PER_STORY = 2.5
"""How many posts and articles one story becomes on average."""
FIRST_POST = 30_000_000
TRADES_SPAN = timedelta(hours=20)


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
        self._chain = inventory.ChainInventory(self._origin, self._tokens, self._rows)
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
        self._posts = [post for post in self._posts if post.key not in removed]
        self._removed += removed
        self._seen |= {post.key for post in self._visible()}
        return removed

    def invented(self) -> Invented:
        """Give the keys that the streams lead to and the rows that must be rejected."""
        return {
            "cryptopanic": inventory.told_of_posts(self._posts, self._seen, self._removed),
            "newscatcher": inventory.told_of_articles(self._articles),
            "nansen": self._chain.told(self._trades),
        }

    def streams(self) -> list[dict[str, Any]]:
        """Say what a demonstration should pull."""
        news_of = inventory.news_streams(self._origin, frozen=self._config.now is not None)
        return [*news_of, *self._chain.streams()]

    def stories(self) -> list[list[str]]:
        """Give the posts and articles of each story that has more than one."""
        return inventory.stories(self._posts, self._articles)


def account(meter: Meter, now: datetime) -> dict[str, Any]:
    """Give the plan and the credits that are left."""
    left = meter.remaining(now)
    return {"plan": "free" if left is not None else "pro", "credits_remaining": PLENTY if left is None else left}


def _post_order(post: Post) -> tuple[float, int]:
    return -post.telling.published.timestamp(), -post.id


def _article_order(article: Article) -> tuple[float, str]:
    return -article.published.timestamp(), article.id
