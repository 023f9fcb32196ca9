"""Reading an answer that is not a 200: what it says, how long to wait, and the remedy that its status alone suggests.

The text that is given on never holds a secret: long words and whatever follows "key" or "token" are cut out, since
providers echo the token (http.py also removes it by value).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import Any

from workers.items import COUNT_MAX, Malformed, Misconfigured, NotThere, ProviderError, QuotaUsedUp, Refused, RetryLater

WORDS_MAX = 200
_QUOTA = re.compile(
    r"quota\W+(?:\w+\W+){0,3}(?:exceed|used|reach|exhaust)"
    r"|(?:exceed|exhaust|reach|used)\w*\W+(?:\w+\W+){0,3}quota"
    r"|insufficient[ _]credits|out of credits"
    r"|(?:monthly|weekly|daily|plan)\W+(?:api\W+)?(?:calls?\W+)?limit",
    re.IGNORECASE,
)
_RATE = re.compile(r"thrott|too many|rate.?limit|slow down|per second|concurren", re.IGNORECASE)
_LONG_WORD = re.compile(r"[\w\-./+=%]{20,}")
_NAMED_SECRET = re.compile(r"((?:api[ _-]?)?key|token)(\W*[:=]\s*)[^\s&,;\"']+", re.IGNORECASE)
_EPOCH_S_MIN = 1_000_000_000  # a reset beyond this is a clock time, not a number of seconds


def header(headers: Mapping[str, str], name: str) -> str | None:
    """Give a header by its name, whatever its case."""
    wanted = name.lower()
    return next((value for key, value in headers.items() if key.lower() == wanted), None)


def seconds(headers: Mapping[str, str], *names: str) -> float | None:
    """Give the first of these headers that is a finite, non-negative number."""
    for name in names:
        value = _finite(header(headers, name))
        if value is not None:
            return value
    return None


def count(headers: Mapping[str, str], *names: str) -> int | None:
    """Give the first of these headers that is a number of 0 to COUNT_MAX, whole."""
    told = (_finite(header(headers, name)) for name in names)
    return next((int(value) for value in told if value is not None and value <= COUNT_MAX), None)


def _finite(value: Any) -> float | None:
    try:
        figure = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return figure if isfinite(figure) and figure >= 0 else None


def answered_at(headers: Mapping[str, str]) -> datetime:
    """Give the server's clock (its Date header), else ours."""
    return http_date(header(headers, "Date")) or datetime.now(UTC)


def http_date(value: str | None) -> datetime | None:
    """Read an HTTP date as UTC; None where it is none."""
    try:
        at = parsedate_to_datetime(value or "")
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def until_reset_s(headers: Mapping[str, str], *names: str) -> float | None:
    """Give the seconds until a rate window turns, whether the header tells seconds or a Unix time."""
    value = seconds(headers, *names)
    if value is None or value < _EPOCH_S_MIN:
        return value
    return max(0.0, value - answered_at(headers).timestamp())


def retry_after_s(headers: Mapping[str, str], body: bytes = b"") -> float | None:
    """Give what Retry-After asks (seconds or a date), else the body's ``retry_after`` or "available in N seconds"."""
    asked = seconds(headers, "Retry-After")
    if asked is not None:
        return asked
    at = http_date(header(headers, "Retry-After"))
    if at is not None:
        return max(0.0, (at - answered_at(headers)).total_seconds())
    answer = said(body)
    told = _finite(answer.get("retry_after"))
    if told is None and (found := re.search(r"available in (\d{1,6}) seconds", str(answer.get("detail", "")))):
        told = float(found[1])
    return told


def _wait(headers: Mapping[str, str], body: bytes) -> timedelta | None:
    asked = retry_after_s(headers, body)
    return None if asked is None else timedelta(seconds=min(asked, 366 * 86400.0))


def said(body: bytes) -> Mapping[str, Any]:
    """Give the JSON object of a refusal; empty when it is HTML, plain text or nothing."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def is_html(body: bytes) -> bool:
    """Tell a web page from an answer."""
    return body.lstrip()[:200].lower().startswith((b"<!doctype", b"<html", b"<head", b"<?xml"))


def words(body: bytes) -> str:
    """Say in a few words, without any secret, what the body says."""
    if is_html(body):
        return "an HTML page"
    answer = said(body)
    spoken = next((answer[name] for name in ("info", "message", "detail", "error") if answer.get(name)), None)
    raw = str(spoken) if spoken else body[: 2 * WORDS_MAX].decode("utf-8", "replace").strip()
    return _without_secrets(" ".join(raw.split()))[:WORDS_MAX] or "an empty body"


def _without_secrets(spoken: str) -> str:
    return _LONG_WORD.sub("REDACTED", _NAMED_SECRET.sub(r"\1\2REDACTED", spoken))


def says_quota(body: bytes) -> bool:
    """Tell a used-up period from a passing rate limit: only the text does, the status is the same."""
    return not is_html(body) and bool(_QUOTA.search(body[:4000].decode("utf-8", "replace")))


def says_rate(body: bytes) -> bool:
    """Tell a rate limit that is dressed as another status."""
    return not is_html(body) and bool(_RATE.search(body[:4000].decode("utf-8", "replace")))


def is_cloudflare_block(status: int, body: bytes) -> bool:
    """Tell the gatekeeper in front of the provider from the provider."""
    return status == 403 and (b"error code: 10" in body[:400] or b"cloudflare" in body[:20000].lower())


def by_status(name: str, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    """Name the remedy where the provider has no rule of its own: quota text first, then the status."""
    what = f"{name} answered {status}: {words(body)}"
    wait = _wait(headers, body)
    if says_quota(body):
        return QuotaUsedUp(what)
    match status:
        case 401 | 402 | 403 | 407 | 451:
            return Misconfigured(what)
        case 404 | 410:
            return NotThere(what)
        case 429:
            return RetryLater(what, after=wait, rate_limited=True)
        case 408 | 425:
            return RetryLater(what, after=wait)
    if 300 <= status < 400:
        return Misconfigured(f"{name} answered {status}, a redirect, which is not followed: is its base address right?")
    if 400 <= status < 500:
        return Refused(what)
    return RetryLater(what, after=wait) if status >= 500 else Malformed(what)


def rate_limited(name: str, status: int, headers: Mapping[str, str], body: bytes) -> RetryLater:
    """Say that this answer is a rate limit, whatever its status."""
    return RetryLater(f"{name} answered {status}: {words(body)}", after=_wait(headers, body), rate_limited=True)
