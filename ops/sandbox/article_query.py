"""One search of NewsCatcher as its server understands it: defaults filled in, times absolute, filters, order.  Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from ops.sandbox import articles as rows
from ops.sandbox.articles import Article
from ops.sandbox.boolean import InvalidQuery, compiled
from ops.sandbox.when import moment

HISTORY = timedelta(days=400)
UNRANKED = 999_999
SORTS = ("relevancy", "date", "rank")
PRECISIONS = ("full", "timezone unknown", "date")


class BadParameter(ValueError):
    """A parameter is wrong; ``status`` says how the provider takes it."""

    def __init__(self, message: str, status: int = 422) -> None:
        super().__init__(message)
        self.status = status


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
