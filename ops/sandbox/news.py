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
PACE = timedelta(minutes=15)


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


@dataclass(frozen=True, slots=True)
class Story:
    """What happened: the same gaps and wordings for every outlet that tells it."""

    seed: int
    number: int
    gaps: dict[str, str]
    wordings: tuple[str, ...]

    @classmethod
    def invented(cls, seed: int, number: int) -> Story:
        """Invent a story."""
        return cls(seed, number, _gaps(seed, number), pick(words.EVENTS, seed, "event", number))

    def draw(self, *about: object) -> int:
        """Draw for a question about this story."""
        return draw(self.seed, self.number, *about)

    def outlet(self, telling: int) -> Outlet:
        """Say who tells it; one telling in forty is an unranked outlet's."""
        if self.draw("unranked", telling) % 40 == 0:
            return words.UNRANKED
        return words.OUTLETS[(self.draw("outlet") + telling * 5) % len(words.OUTLETS)]

    def told(
        self, number: int, outlet: Outlet, *, published: datetime, listed: datetime, posts: bool, articles: bool
    ) -> Telling:
        """Give one outlet's version."""
        # genuine syndication: sometimes a later outlet carries the first one's words under an address of its own
        syndicated = number > 0 and self.draw("syndicated", number) % 4 == 0
        title = self.wordings[0 if syndicated else number % len(self.wordings)].format(**self.gaps)
        coins = [coin for coin in words.COINS if coin.code == self.gaps["code"]]
        if self.draw("second-coin") % 5 == 0:
            coins.append(pick(words.COINS, self.seed, "second-coin-is", self.number))
        return Telling(
            story=self.number,
            number=number,
            title=title[:1].upper() + title[1:],
            text=self._text(number, title),
            outlet=outlet,
            author=_person(self.seed, "author", outlet.domain, self.number % 7),
            coins=tuple(dict.fromkeys(coins)),
            published=published,
            listed=listed,
            in_posts=posts,
            in_articles=articles,
        )

    def _text(self, number: int, title: str) -> str:
        details = sorted(words.DETAILS, key=lambda detail: self.draw("detail", number, detail))
        lead = pick(words.LEADS, self.seed, "lead", self.number, number)
        return " ".join([f"{title}.", lead, *(detail.format(**self.gaps) for detail in details[:4])])


def tellings(seed: int, number: int, at: datetime, latest: datetime) -> list[Telling]:
    """Invent one story that happened at ``at``, in all its versions; none of them is listed after ``latest``."""
    story = Story.invented(seed, number)
    return [_telling(story, version, at, latest) for version in range(pick(TELLINGS, seed, "tellings", number))]


def _telling(story: Story, number: int, at: datetime, latest: datetime) -> Telling:
    delay = timedelta(minutes=number * between(4, 30, story.seed, "delay", story.number, number))
    published = min(at + delay, latest - timedelta(seconds=1 + number)).replace(microsecond=0)
    late = story.draw("late", number) % (LATE_MIN * 60) if story.draw("is-late", number) % 2 else 0
    where = story.draw("where", number) % 20
    return story.told(
        number,
        story.outlet(number),
        published=published,
        listed=min(published + timedelta(seconds=late), latest),
        posts=where < 11,
        articles=where >= 7,
    )


def fresh_telling(seed: int, number: int, now: datetime) -> Telling:
    """Invent a story that appears now, in both lists; nearly half of them carry an older ``published_at``."""
    story = Story.invented(seed, number)
    late = story.draw("late") % (LATE_MIN * 60) if story.draw("is-late") % 20 < 9 else 1
    published = (now - timedelta(seconds=late)).replace(microsecond=0)
    outlet = words.OUTLETS[story.draw("outlet") % len(words.OUTLETS)]
    return story.told(0, outlet, published=published, listed=now, posts=True, articles=True)


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
