"""Searching invented articles: windows, filters, order, groups; answers are prepared once and sliced by the page."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson

from ops.sandbox import articles as rows
from ops.sandbox.answers import Ask, canonical
from ops.sandbox.articles import Article
from ops.sandbox.boolean import InvalidQuery, compiled
from ops.sandbox.chance import draw
from ops.sandbox.when import moment

HISTORY = timedelta(days=400)
UNRANKED = 999_999
REMEMBERED = 256
"""Queries whose articles are kept in memory."""
SORTS = ("relevancy", "date", "rank")
PRECISIONS = ("full", "timezone unknown", "date")
HOURS = {"day": "%Y-%m-%d 00:00:00", "hour": "%Y-%m-%d %H:00:00", "month": "%Y-%m-01 00:00:00"}


class BadParameter(ValueError):
    """A parameter is wrong; ``status`` says how the provider takes it."""

    def __init__(self, message: str, status: int = 422) -> None:
        super().__init__(message)
        self.status = status


@dataclass(slots=True)
class Found:
    """The articles of one query in its order, and what the server understood (``echo``)."""

    total: int
    echo: dict[str, Any]
    slice: Callable[[int, int], list[Any]]
    found: Sequence[Article] = ()
    at: datetime | None = None  # the time of the recording, where there is one
    pages: int | None = None  # as recorded: pages may be shorter than they were asked to be

    def rows(self, start: int, stop: int) -> list[Any]:
        """Give one page of rows."""
        return self.slice(start, stop) if start < stop else []

    def sources(self) -> list[str]:
        """Give the publishers' domains."""
        return sorted({article.telling.outlet.domain for article in self.found})

    def counts(self, by: str) -> list[dict[str, Any]]:
        """Count the articles by day, hour or month."""
        if by not in HOURS:
            raise BadParameter("aggregation_by: unexpected value")
        counted = Counter(article.published.strftime(HOURS[by]) for article in self.found)
        frames = [{"time_frame": frame, "article_count": count} for frame, count in sorted(counted.items())]
        return [{"aggregation_count": frames}]

    def clustered(self, page: list[Any], number: int, size: int) -> dict[str, Any]:
        """Group one page by story: clusters never reach over pages."""
        groups: OrderedDict[int, list[Any]] = OrderedDict()
        for article, row in zip(self.found[(number - 1) * size :], page, strict=False):
            groups.setdefault(article.telling.story, []).append(row)
        clusters = [
            {"cluster_id": str(draw("cluster", story)), "cluster_size": len(group), "articles": group}
            for story, group in groups.items()
        ]
        return {"clusters_count": len(clusters), "clusters": clusters}


class ArticleSearch:
    """Everything that can be asked of the invented articles; ``source`` gives them newest first."""

    def __init__(self, source: Callable[[], Sequence[Article]], remaining: Callable[[datetime], int | None]) -> None:
        self._source = source
        self._remaining = remaining
        self._texts: dict[str, str] = {}
        self._told: dict[tuple[int, str], list[Article]] = {}
        self._found: OrderedDict[tuple[int, str], list[Article]] = OrderedDict()
        self._rendered: dict[tuple[str, ...], orjson.Fragment] = {}

    def subscription(self, ask: Ask) -> dict[str, Any]:
        """Tell the plan and what is left of the month."""
        left = self._remaining(ask.now)
        return {
            "active": True,
            "concurrent_calls": 10,
            "plan": "v3_nlp",
            "plan_calls": 250_000,
            "remaining_calls": 250_000 if left is None else left,
            "historical_days": HISTORY.days,
        }

    def search(self, version: str, endpoint: str, params: Mapping[str, Any], ask: Ask) -> Found:
        """Find the articles of one query; equal queries are answered from memory until the list grows."""
        query = Query(version, endpoint, params, ask.now)
        everything = self._source()
        key = (len(everything), canonical({"v": version, "e": endpoint, **query.understood}))
        if (found := self._found.get(key)) is None:
            told = self._telling(query, everything)
            found = self._found[key] = query.order([article for article in told if query.keeps(article)])
            if len(self._found) > REMEMBERED:
                self._found.popitem(last=False)
        groups = query.groups(found)
        kept = [group[0] for group in groups.values()] if groups else found

        def page(start: int, stop: int) -> list[orjson.Fragment]:
            return [self._row(version, art, query.additions(art, groups)) for art in kept[start:stop]]

        return Found(len(kept), query.understood, page, kept)

    def _telling(self, query: Query, everything: Sequence[Article]) -> list[Article]:
        """Find the articles whose text fits; windows move on with the clock, queries stay the same."""
        key = (len(everything), query.text)
        if key not in self._told:
            if len(self._told) >= REMEMBERED:
                self._told.clear()
            self._told[key] = [article for article in everything if query.matches(self._text(article))]
        return self._told[key]

    def _text(self, article: Article) -> str:
        if article.id not in self._texts:
            self._texts[article.id] = f"{article.telling.title} {article.telling.text}".casefold()
        return self._texts[article.id]

    def _row(self, version: str, article: Article, extra: dict[str, Any]) -> orjson.Fragment:
        """Render an article once for each set of things that came with it."""
        key = (version, article.id, *extra)
        if "duplicate_count" in extra or key not in self._rendered:
            row = rows.v2_row(article) if version == "v2" else rows.v3_row(article)
            self._rendered[key] = orjson.Fragment(orjson.dumps(row | extra))
        return self._rendered[key]


class Query:
    """One search as the server understands it: defaults filled in, times absolute."""

    def __init__(self, version: str, endpoint: str, params: Mapping[str, Any], now: datetime) -> None:
        self._v3 = version == "v3"
        self._endpoint = endpoint
        self._params = params
        low, high = ("from_", "to_") if self._v3 else ("from", "to")
        self.start, self.end = self._window(now, low, high)
        self.text = str(params.get("q") or "").strip() if endpoint in {"search", "aggregation_count"} else ""
        self.matches = self._compiled()
        self._by_parse = self._flag("by_parse_date")
        self._sort = str(params.get("sort_by", "relevancy" if endpoint == "search" else "date"))
        if self._sort not in SORTS:
            raise BadParameter("Invalid sort_by")
        self._lists = {name: _listed(params.get(name)) for name in ("lang", "not_lang", "countries", "not_countries",
                       "sources", "not_sources", "ids", "links", "published_date_precision")}  # fmt: skip
        if any(len(code) != 2 for code in self._lists["lang"] | self._lists["not_lang"]):
            raise BadParameter("Invalid language")
        if self._lists["published_date_precision"] - set(PRECISIONS):
            raise BadParameter("Invalid published_date_precision")
        self._ranked_only = self._flag("ranked_only", default=endpoint in {"search", "latest_headlines"})
        self._ranks = (self._rank("from_rank", 1), self._rank("to_rank", UNRANKED))
        self.understood = {
            **{name: value for name, value in params.items() if name not in {"page", "page_size"}},
            low: self.start.strftime("%Y-%m-%dT%H:%M:%S"),
            high: self.end.strftime("%Y-%m-%dT%H:%M:%S"),
            "ranked_only": self._ranked_only if self._v3 else str(self._ranked_only),
            "sort_by": self._sort,
        }

    def _flag(self, name: str, *, default: bool = False) -> bool:
        return str(self._params.get(name, default)).strip().lower() in {"true", "1", "yes"}

    def _rank(self, name: str, default: int) -> int:
        text = str(self._params.get(name) or default)
        if not text.isdigit() or not 1 <= int(text) <= UNRANKED:
            raise BadParameter(f"{name}: ensure this value is a whole number from 1 to {UNRANKED}")
        return int(text)

    def _window(self, now: datetime, low: str, high: str) -> tuple[datetime, datetime]:
        since = str(self._params.get("when", "7d")) if self._endpoint == "latest_headlines" else None
        default = "1 month ago" if self._endpoint in {"search_by_link", "sources"} else "7 days ago"
        try:
            start = moment(since or str(self._params.get(low) or default), now)
            end = moment(str(self._params.get(high) or "now"), now) if since is None else now
        except (ValueError, OverflowError):
            raise BadParameter("Invalid date format") from None
        if end - start > HISTORY or now - start > HISTORY:
            raise BadParameter(f"Your plan request date range cannot be greater than {HISTORY.days} days", 403)
        return start, end

    def _compiled(self) -> Callable[[str], bool]:
        if self._endpoint not in {"search", "aggregation_count"}:
            return lambda _text: True
        if not self.text:
            raise BadParameter("q: field required")
        try:
            return compiled(self.text)
        except InvalidQuery as wrong:
            raise BadParameter(str(wrong)) from None

    def keeps(self, article: Article) -> bool:
        """Say whether the article is part of the answer."""
        at = article.parsed if self._by_parse else article.published
        return (
            self.start <= at <= self.end
            and not (self._ranked_only and article.telling.outlet.rank == UNRANKED)
            and self._listed(article)
        )

    def _listed(self, article: Article) -> bool:
        wanted, outlet, telling = self._lists, article.telling.outlet, article.telling
        topic = self._params.get("topic")
        return (
            ("en" in wanted["lang"] or not wanted["lang"])
            and "en" not in wanted["not_lang"]
            and (not wanted["countries"] or outlet.country.lower() in wanted["countries"])
            and outlet.country.lower() not in wanted["not_countries"]
            and (not wanted["sources"] or outlet.domain in wanted["sources"])
            and outlet.domain not in wanted["not_sources"]
            and (not wanted["ids"] or article.id in wanted["ids"])
            and (not wanted["links"] or telling.link in wanted["links"])
            and (not wanted["published_date_precision"] or article.precision in wanted["published_date_precision"])
            and self._ranks[0] <= outlet.rank <= self._ranks[1]
            and (self._v3 or topic is None or rows.topic(article) == topic)
        )

    def order(self, found: list[Article]) -> list[Article]:
        """Sort as asked; equal ones by id, so that pages never depend on chance."""
        match self._sort:
            case "date":
                return sorted(
                    found, key=lambda art: (art.parsed if self._by_parse else art.published, art.id), reverse=True
                )
            case "rank":
                return sorted(found, key=lambda art: (art.telling.outlet.rank, art.id))
        return sorted(found, key=lambda art: (art.score, art.id), reverse=True)

    def groups(self, found: Sequence[Article]) -> dict[str, list[Article]]:
        """Group equal titles of one story when duplicates are to be left out."""
        grouped: dict[str, list[Article]] = {}
        if self._flag("exclude_duplicates"):
            for article in found:
                grouped.setdefault(f"{article.telling.story} {article.telling.title}", []).append(article)
        return grouped

    def additions(self, article: Article, groups: Mapping[str, Sequence[Article]]) -> dict[str, Any]:
        """Give what comes only on request."""
        extra: dict[str, Any] = {}
        if self._by_parse:
            extra["parse_date"] = article.parsed.strftime(rows.PLAIN)
        if self._v3 and (self._flag("include_nlp_data") or self._flag("has_nlp")):
            extra["nlp"] = rows.nlp(article)
        if groups:
            group = groups[f"{article.telling.story} {article.telling.title}"]
            extra["duplicate_count"] = len(group) - 1
            extra["duplicate_articles_group_id"] = group[0].id
        if self._flag("additional_domain_info"):
            extra["additional_domain_info"] = {
                "is_news_domain": True,
                "news_domain_type": "Original Content",
                "news_type": "Crypto News",
            }
        return extra


def _listed(value: object) -> frozenset[str]:
    """Read a list given as an array or as a comma-separated string."""
    parts = value if isinstance(value, list) else str(value).split(",") if value else []
    return frozenset(str(part).strip().lower() if len(str(part)) < 200 else str(part) for part in parts)
