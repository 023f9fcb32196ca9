"""Searching invented articles: windows, filters, order, groups; answers are prepared once and sliced by the page."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from ops.sandbox import articles as rows
from ops.sandbox.answers import Ask, canonical
from ops.sandbox.article_query import HISTORY, BadParameter, Query
from ops.sandbox.articles import Article
from ops.sandbox.chance import draw

REMEMBERED = 256
"""Queries whose articles are kept in memory."""
HOURS = {"day": "%Y-%m-%d 00:00:00", "hour": "%Y-%m-%d %H:00:00", "month": "%Y-%m-01 00:00:00"}


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
