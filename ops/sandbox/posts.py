"""CryptoPanic's rows: an invented telling as a post of v2, of v1 and of the old developer plan.  Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ops.sandbox import words
from ops.sandbox.chance import between, draw, fraction, pick
from ops.sandbox.clock import stamp
from ops.sandbox.news import Telling
from ops.sandbox.words import Coin

FLAWS = {7: "id", 19: "title", 31: "published_at"}
"""In every hundred rows these are malformed on purpose, in the field named."""
DEVELOPER_FIELDS = ("id", "slug", "title", "description", "published_at", "created_at", "kind")
VOTES = ("negative", "positive", "important", "liked", "disliked", "lol", "toxic", "saved", "comments")
SITE = "https://cryptopanic.com/news"


@dataclass(frozen=True, slots=True)
class Post:
    """A telling under its number; ``flaw`` names the field that is malformed on purpose."""

    id: int
    telling: Telling
    flaw: str = ""

    @property
    def key(self) -> str:
        """Give the natural key as the ledger writes it."""
        return f"posts:{self.id}"

    @property
    def kind(self) -> str:
        """Give news or media, as the list's filter knows them."""
        return "media" if draw("kind", self.telling.slug) % 25 == 0 else "news"


def tick(at: datetime) -> int:
    """Number the ten minutes in which nothing about a post moves."""
    return int(at.timestamp()) // 600


def votes(seed: int, post: Post, now: datetime) -> dict[str, int]:
    """Count the votes at this moment: they only grow, a little every ten minutes of the post's first day."""
    ticks = min(max(tick(now) - tick(post.telling.published), 0), 144)
    appeal = fraction(seed, "appeal", post.id) ** 4
    return {
        name: int(ticks * appeal * fraction(seed, "vote", name, post.id) * (0.5 if name == "positive" else 0.12))
        for name in VOTES
    }


def v2_row(seed: int, post: Post, now: datetime) -> dict[str, Any]:
    """Give the post as v2 shows it, without what only Enterprise sees."""
    telling = post.telling
    row: dict[str, Any] = {
        "id": post.id,
        "slug": telling.slug,
        "title": telling.title,
        "description": pick((telling.text[:180], telling.text[:90], "", None), seed, "description", post.id),
        "published_at": stamp(telling.published),
        "created_at": stamp(telling.published),
        "kind": post.kind,
        "source": _source(seed, post, v1=False),
        "original_url": _tracked(telling) if draw(seed, "original", post.id) % 30 else None,
        "url": f"{SITE}/{post.id}/{telling.slug}",
        "image": f"https://{telling.outlet.domain}/img/{post.id}.jpg" if draw(seed, "image", post.id) % 3 else None,
        "votes": votes(seed, post, now),
        "author": telling.author if draw(seed, "author", post.id) % 3 else None,
    }
    match draw(seed, "instruments", post.id) % 10:
        case 0 | 1:
            pass  # absent, not empty: about a third of the recorded posts name no coin at all
        case 2:
            row["instruments"] = None
        case 3:
            row["instruments"] = []
        case _:
            row["instruments"] = [_instrument(seed, coin, now) for coin in telling.coins]
    return _flawed(row, post.flaw)


def enterprise_row(seed: int, post: Post, now: datetime, *, panic: bool) -> dict[str, Any]:
    """Give the post as Enterprise sees it: with content, and with panic scores when a period was asked."""
    row = v2_row(seed, post, now)
    full = has_content(seed, post)
    row["content"] = {"original": f"<p>{post.telling.text}</p>", "clean": post.telling.text} if full else NO_CONTENT
    if panic:
        row["panic_score"] = between(0, 100, seed, "panic", post.id)
        row["panic_score_1h"] = between(0, 100, seed, "panic-1h", post.id)
    return row


NO_CONTENT = {"original": None, "clean": None}


def has_content(seed: int, post: Post) -> bool:
    """Say whether the full text is there."""
    return draw(seed, "content", post.id) % 3 > 0


def developer_row(seed: int, post: Post, now: datetime) -> dict[str, Any]:
    """Give the seven fields of the plan that was free."""
    row = v2_row(seed, post, now)
    return {name: row[name] for name in DEVELOPER_FIELDS if name in row}


def v1_row(seed: int, post: Post, now: datetime) -> dict[str, Any]:
    """Give the post as v1 showed it: ``currencies`` is absent in about a third, addresses carry a tracker."""
    telling = post.telling
    source = _source(seed, post, v1=True)
    row: dict[str, Any] = {
        "kind": post.kind,
        "domain": f"@{source['domain']}" if source["type"] == "twitter" else source["domain"],
        "source": source,
        "title": telling.title,
        "published_at": stamp(telling.published),
        "slug": telling.slug,
        "id": post.id,
        "url": f"{SITE}/{post.id}/{telling.slug}?mtm_campaign=API-OFA",
        "created_at": stamp(telling.published),
        "votes": votes(seed, post, now),
    }
    if draw(seed, "instruments", post.id) % 10 > 2:
        row["currencies"] = [
            {"code": coin.code, "title": coin.title, "slug": coin.slug, "url": f"{SITE}/{coin.slug}/"}
            for coin in telling.coins
        ]
    return _flawed(row, post.flaw)


def _source(seed: int, post: Post, *, v1: bool) -> dict[str, Any]:
    outlet = post.telling.outlet
    if draw(seed, "tweet", post.id) % 25 == 0:
        handle = pick(words.HANDLES, seed, "handle", post.id)
        tweet = {"title": handle, "region": "en", "domain": handle, "type": "twitter"}
        return tweet | {"path": f"@{handle.lower()}"} if v1 else tweet
    kind = "media" if post.kind == "media" else "feed"
    feed = {"title": outlet.title, "region": "en", "domain": outlet.domain, "type": kind}
    return feed | {"path": None} if v1 else feed


def _tracked(telling: Telling) -> str:
    return f"{telling.link}?{telling.outlet.tracker}" if telling.outlet.tracker else telling.link


def _instrument(seed: int, coin: Coin, now: datetime) -> dict[str, Any]:
    price = 90_000 / coin.rank**2.2 * (1 + 0.05 * fraction(seed, "price", coin.code, now.strftime("%Y%m%d%H")))
    dead = coin.rank > 20  # the smallest ones have no price
    return {
        "code": coin.code,
        "title": coin.title,
        "slug": coin.slug,
        "url": f"{SITE}/{coin.slug}/",
        "market_cap_usd": None if dead else round(price * 19_000_000, 2),
        "price_in_usd": None if dead else round(price, 6),
        "price_in_btc": None if dead else round(price / 90_000, 12),
        "price_in_eth": None if dead else round(price / 19_600, 12),
        "price_in_eur": None if dead else round(price * 0.92, 6),
        "market_rank": coin.rank,
    }


def _flawed(row: dict[str, Any], flaw: str) -> dict[str, Any]:
    if flaw == "published_at":
        return row | {"published_at": "not-a-date", "created_at": "not-a-date"}
    return {name: value for name, value in row.items() if name != flaw} if flaw else row
