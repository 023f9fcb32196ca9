"""CryptoPanic: news posts, newest first, 20 a page.

v2  {"next": url | null, "previous": url | null, "results": [{"id": 1, "title": "...", "published_at": "..."}]}
v1  the same with "count" (200 at most) and with "currencies" in place of "instruments"

Only ``id``, ``title`` and ``published_at`` are sure to be there; every other field may be absent or null, by plan.
``next`` holds the token and may name any host: only its page number is taken.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit, urlunsplit

from ledger.model import Book, Item
from workers.items import (
    Api,
    Budget,
    Dataset,
    InQuery,
    Limits,
    Misconfigured,
    Page,
    Parsed,
    ProviderError,
    Pull,
    Rate,
    Request,
    Usage,
)
from workers.providers import reading, refusals

NAME = "cryptopanic"
PLAN = "growth/v2"
PAGE_SIZE = 20
VOTES = ("negative", "positive", "important", "liked", "disliked", "lol", "toxic", "saved", "comments")
MOVING = ("market_cap_usd", "price_in_usd", "price_in_btc", "price_in_eth", "price_in_eur", "market_rank")
_MARKUP = re.compile(r"</?(?:span|a|b|i|em|strong|u|mark|br|p)(?:\s+[\w-]+\s*=[^<>]*)?\s*/?>", re.IGNORECASE)  # 2018
_LISTS = ("currencies", "regions")
_FILTERS = ("rising", "hot", "bullish", "bearish", "important", "saved", "lol")
_CODES = {"type": "string", "pattern": r"^[\w.$-]+(,[\w.$-]+)*$"}

PARAMS = reading.params(
    {
        "plan": {"type": "string", "pattern": r"^([a-z_]+/)?v[0-9]$", "default": PLAN},
        "currencies": {"anyOf": [_CODES, {"type": "array", "items": _CODES, "minItems": 1}]},
        "regions": {"anyOf": [_CODES, {"type": "array", "items": _CODES, "minItems": 1}]},
        "filter": reading.one_of(_FILTERS),
        "kind": reading.one_of(("news", "media", "all")),
        "public": {"type": "boolean"},
        "following": {"type": "boolean"},
        "panic_period": reading.one_of(("1h", "6h", "24h")),  # this and the rest: Enterprise
        "panic_sort": reading.one_of(("asc", "desc")),
        "size": {"type": "integer", "minimum": 1, "maximum": 500},
        "with_content": {"type": "boolean"},
        "search": {"type": "string", "minLength": 1},
    }
)


class CryptoPanic:
    """One dataset, ``posts``; the plan is part of the path and so a parameter of the job."""

    name = NAME
    apis: Mapping[str, Api] = {"posts": Api("https://cryptopanic.com", InQuery("auth_token"))}
    # No headers tell; 2 a second is the smallest figure documented, 3,000 a month what users report for Growth.
    limits = Limits(rates=(Rate(2, 1.0),), concurrency=2, budget=Budget(3_000, "month"))
    datasets: Mapping[str, Dataset] = {
        "posts": Dataset(
            params=PARAMS,
            expected=("kind", "source", "created_at", "slug"),
            interval_s=300,
            overlap=timedelta(hours=1),  # posts appear up to 33 minutes late
        )
    }

    def request(self, pull: Pull, cursor: str | None) -> Request:
        """Ask for one page by its number; there is no time filter, so every pull reads from the top."""
        asked = {name: value for name, value in pull.params.items() if name != "plan"}
        query = [(name, _query_value(name, asked[name])) for name in sorted(asked) if asked[name] is not False]
        query.append(("page", cursor or "1"))
        plan = pull.params.get("plan", PLAN)
        return Request("GET", api="posts", path=f"/api/{plan}/posts/", query=tuple(query))

    def parse(self, page: Page) -> Parsed:
        """Read a page of any of the shapes; an empty one ends the list, whatever ``next`` says."""
        answer = reading.envelope(page.body)
        rows = reading.rows_of(answer, "results")
        items, rejected = reading.each(rows, _post)
        following, warnings = _next_page(answer.get("next"), page.cursor) if rows else (None, ())
        total = answer.get("count")
        pages = -(-total // PAGE_SIZE) if isinstance(total, int) and 0 <= total < 10**9 else None
        return Parsed(items, rejected, next=following, pages_total=pages, warnings=warnings)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """Tell the monthly quota, the per-second limit, a bad token and Cloudflare apart: the status alone does not."""
        if refusals.is_cloudflare_block(status, body):
            return Misconfigured(
                f"{NAME} answered 403 from Cloudflare, before the API: it refuses this User-Agent or address"
            )
        if refusals.says_quota(body):
            return refusals.by_status(NAME, status, headers, body)
        if status == 401 or (status == 400 and "token" in refusals.words(body).lower()):
            return Misconfigured(f"{NAME} answered {status}: the token is missing, unknown or not valid")
        if status == 403 and (refusals.says_rate(body) or not refusals.said(body)):
            return refusals.rate_limited(NAME, status, headers, body)  # crossing a limit gives 403 as well as 429
        return refusals.by_status(NAME, status, headers, body)

    def usage(self, headers: Mapping[str, str]) -> Usage:
        """No limit headers were ever seen; Retry-After is read in case one comes."""
        return Usage(retry_after_s=refusals.retry_after_s(headers))


def _query_value(name: str, value: Any) -> str:
    if value is True:
        return "true"
    if name in _LISTS and not isinstance(value, str):
        return ",".join(value)
    return str(value)


def _next_page(link: Any, cursor: str | None) -> tuple[str | None, tuple[str, ...]]:
    """Take the page number out of ``next``; a link that does not lead on is no next page."""
    if link is None or link == "":
        return None, ()
    try:
        number = int(parse_qs(urlsplit(str(link)).query)["page"][0])
    except (ValueError, KeyError):
        return None, ("the link to the next page has no page number",)
    if number <= int(cursor or "1"):
        return None, ("the link to the next page does not lead on",)
    return str(number), ()


def _post(row: Mapping[str, Any]) -> Item:
    original, own = reading.maybe_text(row, "original_url"), _untracked(reading.maybe_text(row, "url"))
    listed = [*reading.parts(row, "currencies"), *reading.parts(row, "instruments")]
    return Item(
        provider=NAME,
        key=f"posts:{_id(row)}",
        book=Book.HUMAN,
        kind="news",
        happened_at=reading.instant(row, "published_at"),
        title=_plain(reading.text(row, "title")),
        url=original or own,
        coins=reading.distinct(reading.maybe_text(coin, "code").upper() for coin in listed),
        body=_body(row, own if original else ""),
        observed=_observed(row),
    )


def _id(row: Mapping[str, Any]) -> int:
    number = reading.whole(row, "id")
    if number is None or number <= 0:
        raise reading.BadRow("id is missing")
    return number


def _plain(title: str) -> str:
    """Make a title one line without markup: tweets have line breaks, titles of 2018 have HTML."""
    plain = " ".join(_MARKUP.sub("", title).split())
    if not plain:
        raise reading.BadRow("title is missing")
    return plain


def _untracked(url: str) -> str:
    """Drop CryptoPanic's own campaign mark, which names the API and not the post."""
    if "mtm_" not in url:
        return url
    try:
        parts = urlsplit(url)
        kept = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if not pair[0].startswith("mtm_")]
    except ValueError:
        return url
    return urlunsplit(parts._replace(query=urlencode(kept))) if "mtm_" in parts.query else url


def _body(row: Mapping[str, Any], page_url: str) -> dict[str, Any]:
    source = reading.part(row, "source")
    home, domain = reading.maybe_text(source, "domain"), reading.maybe_text(row, "domain")
    created = reading.maybe_instant(row, "created_at")
    return reading.told(
        {
            "kind": reading.maybe_text(row, "kind"),
            "slug": reading.maybe_text(row, "slug"),
            "created_at": reading.stamp(created) if created else None,
            "source": reading.told(
                {name: reading.maybe_text(source, name) for name in ("title", "region", "type", "path")}
            )
            | reading.told({"domain": home or domain}),
            "handle": domain if home and domain != home else None,  # v1, tweets: @Handle
            "page_url": page_url,
            "description": reading.maybe_text(row, "description"),
            "author": reading.maybe_text(row, "author"),
            "image": reading.maybe_text(row, "image"),
            "content": reading.told(
                {name: reading.maybe_text(reading.part(row, "content"), name) for name in ("original", "clean")}
            ),
        }
    )


def _observed(row: Mapping[str, Any]) -> dict[str, Any]:
    """Votes, panic scores and prices are values at request time: they never make a revision."""
    prices: dict[str, dict[str, Decimal | int | None]] = {
        code: reading.told(reading.numbers(coin, MOVING))
        for coin in reading.parts(row, "instruments")
        if (code := reading.maybe_text(coin, "code").upper())
    }
    return reading.told(
        {
            "votes": reading.told({name: reading.whole(reading.part(row, "votes"), name) for name in VOTES}),
            "panic_score": reading.whole(row, "panic_score"),
            "panic_score_1h": reading.whole(row, "panic_score_1h"),
            "instruments": {code: moving for code, moving in prices.items() if moving},
        }
    )


PROVIDER = CryptoPanic()
