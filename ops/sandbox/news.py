"""Invented news: stories, each told by one or several outlets in their own words.  Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from ops.sandbox import words
from ops.sandbox.chance import between, draw, fraction, hexadecimal, pick
from ops.sandbox.words import Coin, Outlet

TELLINGS = (1, 1, 1, 1, 2, 2, 2, 3, 3, 5)
LATE_MIN = 33
"""The longest that a post was seen to appear after its own ``published_at``."""
SPAN = timedelta(days=4)
"""All invented news lies within this time, well inside NewsCatcher's default window of seven days."""
PACE = timedelta(minutes=6)


@dataclass(frozen=True, slots=True)
class Telling:
    """One outlet's version of a story: it becomes a post, an article or both."""

    story: int
    number: int
    title: str
    text: str
    outlet: Outlet
    author: str
    coins: tuple[Coin, ...]
    published: datetime
    listed: datetime
    """When it appeared in the list: up to 33 minutes after ``published``."""
    in_posts: bool
    in_articles: bool

    @property
    def slug(self) -> str:
        """Give the title as an address would hold it."""
        return re.sub(r"[^A-Za-z0-9]+", "-", self.title).strip("-")

    @property
    def link(self) -> str:
        """Give the address of the text, without trackers."""
        return f"https://{self.outlet.domain}/{self.published:%Y/%m/%d}/{self.slug.lower()}-{self.story}{self.number}"


def story_times(count: int, origin: datetime) -> list[datetime]:
    """Give the moments of the stories, oldest first, the last one shortly before ``origin``."""
    span = min(SPAN, count * PACE)
    return [origin - span + span * (number + 0.5) / count for number in range(count)]


def tellings(seed: int, story: int, at: datetime, latest: datetime) -> list[Telling]:
    """Invent one story that happened at ``at``; none of it is listed after ``latest``."""
    gaps = _gaps(seed, story)
    count = pick(TELLINGS, seed, "tellings", story)
    wordings = pick(words.EVENTS, seed, "event", story)
    first = draw(seed, "outlet", story)
    return [_telling(seed, story, number, at, latest, gaps, wordings, first) for number in range(count)]


def fresh_telling(seed: int, story: int, now: datetime) -> Telling:
    """Invent a story that appears now, in both lists; nearly half of them carry an older ``published_at``."""
    late = between(1, LATE_MIN * 60, seed, "late", story) if draw(seed, "is-late", story) % 20 < 9 else 1
    gaps, wordings = _gaps(seed, story), pick(words.EVENTS, seed, "event", story)
    outlet = words.OUTLETS[draw(seed, "outlet", story) % len(words.OUTLETS)]
    published = (now - timedelta(seconds=late)).replace(microsecond=0)
    return _built(seed, story, 0, wordings[0], gaps, outlet, published, now, in_posts=True, in_articles=True)


def _telling(
    seed: int,
    story: int,
    number: int,
    at: datetime,
    latest: datetime,
    gaps: dict[str, str],
    wordings: tuple[str, ...],
    first: int,
) -> Telling:
    # genuine syndication: sometimes a later outlet carries the first one's words under an address of its own
    syndicated = number > 0 and draw(seed, "syndicated", story, number) % 4 == 0
    wording = wordings[0 if syndicated else number % len(wordings)]
    outlet = words.OUTLETS[(first + number * 5) % len(words.OUTLETS)]
    if draw(seed, "unranked", story, number) % 40 == 0:
        outlet = words.UNRANKED
    delay = timedelta(minutes=number * between(4, 30, seed, "delay", story, number))
    published = min(at + delay, latest - timedelta(seconds=1 + number)).replace(microsecond=0)
    late = between(0, LATE_MIN * 60, seed, "late", story, number) if draw(seed, "is-late", story, number) % 2 else 0
    listed = min(published + timedelta(seconds=late), latest)
    where = draw(seed, "where", story, number) % 20
    posts, articles = where < 11, where >= 7
    return _built(seed, story, number, wording, gaps, outlet, published, listed, in_posts=posts, in_articles=articles)


def _built(
    seed: int,
    story: int,
    number: int,
    wording: str,
    gaps: dict[str, str],
    outlet: Outlet,
    published: datetime,
    listed: datetime,
    *,
    in_posts: bool,
    in_articles: bool,
) -> Telling:
    title = wording.format(**gaps)
    coins = [coin for coin in words.COINS if coin.code == gaps["code"]]
    if draw(seed, "second-coin", story) % 5 == 0:
        coins.append(pick(words.COINS, seed, "second-coin-is", story))
    return Telling(
        story=story,
        number=number,
        title=title[:1].upper() + title[1:],
        text=_text(seed, story, number, title, gaps),
        outlet=outlet,
        author=_person(seed, "author", outlet.domain, story % 7),
        coins=tuple(dict.fromkeys(coins)),
        published=published,
        listed=listed,
        in_posts=in_posts,
        in_articles=in_articles,
    )


def _text(seed: int, story: int, number: int, title: str, gaps: dict[str, str]) -> str:
    details = sorted(words.DETAILS, key=lambda detail: draw(seed, "detail", story, number, detail))
    lead = pick(words.LEADS, seed, "lead", story, number)
    return " ".join([f"{title}.", lead, *(detail.format(**gaps) for detail in details[:4])])


def _gaps(seed: int, story: int) -> dict[str, str]:
    coin = words.COINS[int(len(words.COINS) * fraction(seed, "coin", story) ** 2)]
    return {
        "coin": coin.title,
        "code": coin.code,
        "company": _company(seed, "company", story),
        "other": _company(seed, "other", story),
        "person": _person(seed, "person", story),
        "place": pick(words.PLACES, seed, "place", story),
        "regulator": pick(words.REGULATORS, seed, "regulator", story),
        "month": pick(words.MONTHS, seed, "month", story),
        "amount": str(between(3, 940, seed, "amount", story)),
        "percent": f"{between(11, 240, seed, 'percent', story) / 10:g}",
        "count": f"{between(1_050, 98_000, seed, 'count', story):,}",
    }


def _company(*parts: object) -> str:
    head, middle = pick(words.COMPANY_HEADS, *parts, "head"), pick(words.COMPANY_MIDDLES, *parts, "middle")
    return f"{head}{middle} {pick(words.COMPANY_TAILS, *parts, 'tail')}"


def _person(*parts: object) -> str:
    return f"{pick(words.FIRST_NAMES, *parts, 'first')} {pick(words.LAST_NAMES, *parts, 'last')}"


def article_id(seed: int, telling: Telling, version: str) -> str:
    """Give 32 hex digits; the two versions of the API number the same article differently."""
    return hexadecimal(32, seed, version, telling.story, telling.number, telling.outlet.domain)
