"""NewsCatcher: articles by query, v3 and the older v2.

{"status": "ok", "total_hits": 2, "page": 1, "total_pages": 1, "page_size": 100, "articles": [{"id": "...", ...}]}

v2 names some fields otherwise (``_id``, ``clean_url``, ``excerpt``, ``summary``): they are read under v3's names.  A
clustered answer has ``clusters`` of articles in place of ``articles``.  One query reaches at most 10,000 articles; a
window that holds more is cut into shorter ones (``newscatcher_window.py``), newest first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

from ledger.model import Book, Item
from workers.items import (
    COUNT_MAX,
    Api,
    Budget,
    Dataset,
    InHeader,
    Limits,
    Misconfigured,
    Page,
    Parsed,
    ProviderError,
    Pull,
    Rate,
    Refused,
    Request,
    Usage,
)
from workers.providers import reading, refusals
from workers.providers.newscatcher_params import HEADLINES, PAGE_SIZE, SEARCH
from workers.providers.newscatcher_window import REACHABLE, Cursor, Window, headline_span, window_of

NAME = "newscatcher"
_KEY = re.compile(r"\b(?:api[ _-]?)?key\b")
_EXPECTED = ("domain_url", "content", "language", "published_date_precision")
_OVERLAP = timedelta(hours=1)


class NewsCatcher:
    """Two datasets, ``search`` and ``latest_headlines``, each by ``api`` v3 (POST) or v2 (GET)."""

    name = NAME
    apis: Mapping[str, Api] = {
        "v3": Api("https://v3-api.newscatcherapi.com", InHeader("x-api-token")),
        "v2": Api("https://api.newscatcherapi.com", InHeader("x-api-key")),
    }
    # No headers tell.  The limit is called calls a second in one place and simultaneous calls in another: obey both.
    # Calls a month are by contract; this is a cap that covers one search every five minutes.
    limits = Limits(rates=(Rate(1, 1.0),), concurrency=1, budget=Budget(10_000, "month"))
    datasets: Mapping[str, Dataset] = {
        "search": Dataset(params=SEARCH, expected=_EXPECTED, interval_s=300, overlap=_OVERLAP, windowed=True),
        "latest_headlines": Dataset(
            params=HEADLINES, expected=_EXPECTED, interval_s=300, overlap=_OVERLAP, windowed=True
        ),
    }

    def request(self, pull: Pull, cursor: str | None) -> Request:
        """Ask for one page of one window; the window's end is fixed by the pull, so page numbers keep their meaning."""
        at = Cursor.read(cursor, window_of(pull))
        api = pull.params.get("api", "v3")
        asked = {name: value for name, value in pull.params.items() if name not in {"api", "from", "to"}}
        asked |= {"page": at.page, "page_size": pull.params.get("page_size", PAGE_SIZE)}
        asked |= _time_filter(pull, at.window, api)
        if api == "v2":
            query = tuple(sorted((name, _in_query(value)) for name, value in asked.items()))
            return Request("GET", api=api, path=f"/v2/{pull.dataset}", query=query)
        return Request("POST", api=api, path=f"/api/{pull.dataset}", json=asked)

    def parse(self, page: Page) -> Parsed:
        """Read articles or clusters; a window over the cap gives no rows, only the way into its first part."""
        answer = reading.envelope(page.body)
        rows = _articles(answer)
        at = Cursor.read(page.cursor, window_of(page.pull))
        hits, pages = _count(answer, "total_hits"), _count(answer, "total_pages")
        if hits >= REACHABLE and at.page == 1 and (narrower := _narrowed(page, at)):
            return Parsed(next=narrower, skipped=len(rows), warnings=("over 10,000 hits: the time window is cut",))
        items, rejected = reading.each(rows, _article)
        size = int(page.pull.params.get("page_size", PAGE_SIZE))
        capped = hits >= REACHABLE and at.page * size >= REACHABLE
        more = at.page < pages if pages else len(rows) >= size
        following = at.after(bool(rows) and more and not capped)
        warnings = ("over 10,000 hits in the shortest window: the rest cannot be reached",) if capped else ()
        whole = pages if pages and at.window == window_of(page.pull) else None
        return Parsed(items, rejected, next=following, pages_total=whole, warnings=warnings)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """A 401 echoes the key, so its text is never repeated; a 403 about the date range is the request's fault."""
        if refusals.says_quota(body):
            return refusals.by_status(NAME, status, headers, body)
        spoken = refusals.words(body).lower()
        if status == 401 or (status == 400 and _KEY.search(spoken)):
            return Misconfigured(f"{NAME} answered {status}: the key is missing or not valid")
        if status == 403 and "date range" in spoken:
            return Refused(f"{NAME} answered 403: {refusals.words(body)}")
        return refusals.by_status(NAME, status, headers, body)

    def usage(self, headers: Mapping[str, str]) -> Usage:
        """Nothing is documented; what the official SDK honours is read in case it comes."""
        return Usage(
            retry_after_s=refusals.retry_after_s(headers),
            rate_remaining=refusals.count(headers, "X-RateLimit-Remaining"),
            rate_reset_s=refusals.until_reset_s(headers, "X-RateLimit-Reset"),
        )


def _time_filter(pull: Pull, window: Window, api: str) -> dict[str, Any]:
    incremental = pull.mode == "incremental" and not {"from", "to"} & set(pull.params)
    parsed = {"by_parse_date": True} if api == "v3" and incremental else {}
    if pull.dataset == "latest_headlines":
        return {"when": headline_span(pull)} | parsed
    start, end = window
    if api == "v2":
        form = "%Y/%m/%d %H:%M:%S"
        return {"from": start.strftime(form), "to": end.strftime(form), "sort_by": "date"}
    return {"from_": reading.stamp(start)[:-1], "to_": reading.stamp(end)[:-1], "sort_by": "date"} | parsed


def _in_query(value: Any) -> str:
    match value:
        case bool():
            return str(value)
        case list() | tuple():
            return ",".join(map(str, value))
    return str(value)


def _narrowed(page: Page, at: Cursor) -> str | None:
    return at.narrower() if page.pull.dataset == "search" else None


def _count(answer: Mapping[str, Any], name: str) -> int:
    value = answer.get(name)
    return min(value, COUNT_MAX) if isinstance(value, int) and value >= 0 else 0


def _articles(answer: Mapping[str, Any]) -> list[Any]:
    if "clusters" not in answer:
        return reading.rows_of(answer, "articles")
    clusters = reading.rows_of(answer, "clusters")
    return [
        {**article, "cluster_id": str(cluster.get("cluster_id") or "")} if isinstance(article, dict) else article
        for cluster in clusters
        for article in _members(cluster)
    ]


def _members(cluster: Any) -> list[Any]:
    """Give a cluster's articles; what is no cluster stays one row, to be refused with its reason."""
    members = cluster.get("articles") if isinstance(cluster, dict) else None
    return members if isinstance(members, list) else [cluster]


def _article(given: Mapping[str, Any]) -> Item:
    row = {**given, **{new: given[old] for old, new in _RENAMED.items() if given.get(new) is None and old in given}}
    published = reading.maybe_instant(row, "published_date") or reading.maybe_instant(row, "parse_date")
    if published is None:
        raise reading.BadRow("published_date is missing")
    return Item(
        provider=NAME,
        key=f"articles:{reading.text(row, 'id')}",
        book=Book.HUMAN,
        kind="news",
        happened_at=published,
        title=" ".join(reading.text(row, "title").split()),
        url=reading.text(row, "link"),
        body=_body(row),
        observed=_observed(row),
    )


_RENAMED = {"_id": "id", "_score": "score", "clean_url": "domain_url", "excerpt": "description", "summary": "content"}
_STABLE_TEXTS = [
    "domain_url",
    "full_domain_url",
    "parent_url",
    "name_source",
    "author",
    "country",
    "rights",
    "media",
    "language",
    "description",
    "content",
    "published_date_precision",
    "twitter_account",
    "topic",
]
_ON_REQUEST_TEXTS = ("title_translated_en", "content_translated_en", "duplicate_articles_group_id", "cluster_id")


def _body(row: Mapping[str, Any]) -> dict[str, Any]:
    updated = reading.maybe_instant(row, "updated_date")
    return reading.told(
        {name: reading.maybe_text(row, name) for name in _STABLE_TEXTS}
        | {name: reading.texts(row, name) for name in ("authors", "journalists")}
        | {name: reading.maybe_flag(row, name) for name in ("is_opinion", "paid_content")}
        | {"word_count": reading.whole(row, "word_count"), "updated_date": reading.stamp(updated) if updated else None}
    )


def _observed(row: Mapping[str, Any]) -> dict[str, Any]:
    """What depends on the query, on the moment or on a model: the same article comes with other values tomorrow.

    ``duplicate_articles_group_id`` too: its parent can change.  Embeddings and page links stay in the kept page only.
    """
    parsed = reading.maybe_instant(row, "parse_date")
    return reading.told(
        reading.numbers(row, ("score", "rank", "duplicate_count"))
        | {name: reading.maybe_text(row, name) for name in _ON_REQUEST_TEXTS}
        | {name: reading.maybe_flag(row, name) for name in ("is_headline", "robots_compliant")}
        | {
            "parse_date": reading.stamp(parsed) if parsed else None,
            "custom_tags": reading.free(row.get("custom_tags"), "custom_tags"),
            "additional_domain_info": reading.free(row.get("additional_domain_info"), "additional_domain_info"),
            "nlp": _nlp(reading.part(row, "nlp")),
        }
    )


def _nlp(nlp: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in nlp.items() if "embedding" not in name and name != "sentiment"}
    sentiment = {
        name: _within_one(reading.number(reading.part(nlp, "sentiment"), name)) for name in ("title", "content")
    }
    return reading.told({**reading.told(reading.free(kept, "nlp")), "sentiment": reading.told(sentiment)})


def _within_one(score: Decimal | int | None) -> Decimal | int | None:
    """A sentiment outside ±1 is no sentiment; the article stays."""
    return score if score is not None and -1 <= score <= 1 else None


PROVIDER = NewsCatcher()
