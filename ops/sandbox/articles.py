"""NewsCatcher's rows: an invented telling as an article of v3 and of v2.  Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time
from typing import Any

from ops.sandbox.chance import draw, fraction, pick
from ops.sandbox.news import Telling

FLAWS = {11: "id", 23: "title", 41: "published_date"}
"""In every hundred rows these are malformed on purpose, in the field named."""
THEMES = ("Business", "Finance", "Tech", "Business, Tech", "Economics")
TOPICS = ("finance", "business", "news", "tech", "economics")
PLAIN = "%Y-%m-%d %H:%M:%S"


@dataclass(frozen=True, slots=True)
class Article:
    """A telling as NewsCatcher found it: ``published`` as told (midnight if only the day is known)."""

    seed: int
    id: str
    id_v2: str
    telling: Telling
    published: datetime
    parsed: datetime
    precision: str
    flaw: str = ""

    @property
    def score(self) -> float:
        """Give a relevance that is the same for every query: enough to sort by."""
        return round(2 + 12 * fraction(self.seed, "score", self.id), 6)


def told(seed: int, telling: Telling) -> tuple[datetime, str]:
    """Give the time of publication as the provider knows it, and how precisely."""
    match draw(seed, "precision", telling.story, telling.number) % 20:
        case 0:
            return datetime.combine(telling.published.date(), time(), telling.published.tzinfo), "date"
        case 1 | 2:
            return telling.published, "timezone unknown"
    return telling.published, "full"


def v3_row(article: Article) -> dict[str, Any]:
    """Give the article as v3 shows it, without what comes only on request."""
    telling, outlet, seed = article.telling, article.telling.outlet, article.seed
    row: dict[str, Any] = {
        "title": telling.title,
        "author": telling.author if draw(seed, "author", article.id) % 3 else "",
        "published_date": article.published.strftime(PLAIN),
        "published_date_precision": article.precision,
        "updated_date": None,
        "updated_date_precision": None,
        "link": telling.link + pick(("", "", "#comments", "?utm_source=newsapi"), seed, "link", article.id),
        "domain_url": outlet.domain,
        "full_domain_url": f"www.{outlet.domain}",
        "name_source": outlet.title,
        "is_headline": draw(seed, "headline", article.id) % 4 == 0,
        "paid_content": False,
        "parent_url": f"https://{outlet.domain}/crypto",
        "country": outlet.country,
        "rights": pick((outlet.domain, outlet.title, None), seed, "rights", article.id),
        "rank": outlet.rank,
        "media": f"https://{outlet.domain}/img/{article.id[:8]}.jpg" if draw(seed, "media", article.id) % 4 else "",
        "language": "en",
        "description": telling.text[:160],
        "content": telling.text,
        "word_count": len(telling.text.split()),
        "is_opinion": draw(seed, "opinion", article.id) % 30 == 0,
        "twitter_account": pick((None, f"@{outlet.title.replace(' ', '')}"), seed, "twitter", article.id),
        "all_links": pick(([], f"https://{outlet.domain}/about"), seed, "links", article.id),
        "all_domain_links": [],
        "robots_compliant": True,
        "custom_tags": {},
        "id": article.id,
        "score": article.score,
    }
    row |= _authors(article)
    return _flawed(row, article.flaw)


def _authors(article: Article) -> dict[str, Any]:
    """The three types that are seen: an array, a plain string, nothing at all."""
    author = article.telling.author
    match draw(article.seed, "authors", article.id) % 4:
        case 0:
            return {"authors": author, "journalists": author}
        case 1:
            return {"authors": None, "journalists": None}
    return {"authors": [author], "journalists": []}


def nlp(article: Article) -> dict[str, Any]:
    """Give what the NLP plans add; now and then empty or with null lists, as seen."""
    seed, telling = article.seed, article.telling
    if draw(seed, "nlp", article.id) % 12 == 0:
        return {}
    return {
        "theme": pick(THEMES, seed, "theme", article.id),
        "summary": telling.text[:200],
        "sentiment": {
            "title": pick((0, 1, -0.25, 0.5), seed, "mood", article.id),
            "content": round(2 * fraction(seed, "tone", article.id) - 1, 4),
        },
        "ner_PER": pick((None, [], [{"entity_name": telling.author, "count": 1}]), seed, "ner", article.id),
        "ner_ORG": [{"entity_name": telling.outlet.title, "count": 2}],
        "ner_MISC": [{"entity_name": coin.title, "count": 1} for coin in telling.coins],
        "ner_LOC": [],
    }


def v2_row(article: Article) -> dict[str, Any]:
    """Give the article as v2 showed it: ``summary`` is the full text."""
    telling, outlet, seed = article.telling, article.telling.outlet, article.seed
    row = {
        "title": telling.title,
        "author": telling.author if draw(seed, "author", article.id) % 3 else None,
        "published_date": article.published.strftime(PLAIN),
        "published_date_precision": article.precision,
        "link": telling.link,
        "clean_url": outlet.domain,
        "excerpt": telling.text[:160],
        "summary": telling.text,
        "rights": pick((outlet.domain, None), seed, "rights", article.id),
        "rank": outlet.rank,
        "topic": topic(article),
        "country": outlet.country,
        "language": "en",
        "authors": f"{telling.author}",
        "media": f"https://{outlet.domain}/img/{article.id[:8]}.jpg",
        "is_opinion": draw(seed, "opinion", article.id) % 30 == 0,
        "twitter_account": pick((None, f"@{outlet.title.replace(' ', '')}"), seed, "twitter", article.id),
        "_score": article.score,
        "_id": article.id_v2,
    }
    return _flawed(row, {"id": "_id"}.get(article.flaw, article.flaw))


def topic(article: Article) -> str:
    """Give v2's topic."""
    return pick(TOPICS, article.seed, "topic", article.id)


def _flawed(row: dict[str, Any], flaw: str) -> dict[str, Any]:
    if flaw == "published_date":
        return row | {"published_date": "2026-13-45 99:00:00"}
    return {name: value for name, value in row.items() if name != flaw} if flaw else row
