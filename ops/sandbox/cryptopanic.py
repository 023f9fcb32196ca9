"""CryptoPanic's API as its document and its recorded answers show it: plans in the path, links that hold the token."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import orjson

from ops.sandbox import posts
from ops.sandbox.answers import HTML_404, Answer, Ask, canonical, html
from ops.sandbox.posts import Post

PAGE = 20
PLANS = {
    "/api/growth/v2/": "growth",
    "/api/growth_weekly/v2/": "growth",
    "/api/enterprise/v2/": "enterprise",
    "/api/developer/v2/": "developer",
    "/api/v1/": "v1",
    "/api/free/v1/": "v1",
}
QUOTA = "API monthly quota exceeded - Upgrade your API plan: /developers/api/plans/"
REFUSALS = {
    "no_token": (401, "Token not found"),
    "bad_token": (400, "Token not found"),
    "rate": (429, "Too many requests"),
    "concurrency": (429, "Too many requests"),
    "429": (429, "Too many requests"),
    "quota": (429, QUOTA),
}
DEVELOPER_DELAY = timedelta(hours=24)
FILTERS = ("rising", "hot", "bullish", "bearish", "important", "saved", "lol")

Source = Callable[[], Sequence[Post]]


def refusal(kind: str) -> Answer:
    """Say no in CryptoPanic's words: no ``Retry-After``, ever."""
    if kind in REFUSALS:
        status, info = REFUSALS[kind]
        return Answer({"status": "api_error", "info": info}, status)
    status = int(kind)
    return html(status, f"<html><head><title>{status}</title></head><body><h1>Server error</h1></body></html>")


def page_number(text: str) -> int:
    """Read a page number; what is none counts as the first page."""
    return int(text) if text.isdigit() and int(text) > 0 else 1


def link(ask: Ask, page: int | None) -> str | None:
    """Rebuild the call with another page number: with the token inside, as the real links have it."""
    if page is None:
        return None
    others = [(name, value) for name, value in ask.query.items() if name not in {"page", "auth_token"}]
    query = [("auth_token", ask.query.get("auth_token", "")), *others, ("page", str(page))]
    return f"{ask.base}{ask.path}?{urlencode(query)}"


class CryptoPanicDoor:
    """What every list of CryptoPanic has in common, invented or recorded: who may ask, the price, the refusals."""

    name = "cryptopanic"

    def token(self, ask: Ask) -> str | None:
        """Find the token in the query."""
        return ask.query.get("auth_token")

    def cost(self, _ask: Ask) -> int:
        """One call is one call."""
        return 1

    def refusal(self, kind: str, _ask: Ask, _detail: str = "") -> Answer:
        """Say no in CryptoPanic's words."""
        return refusal(kind)


class CryptoPanic(CryptoPanicDoor):
    """Serves a list of posts, newest first; ``reach`` is where it is cut outside Enterprise."""

    def __init__(self, seed: int, source: Source, reach: int | None) -> None:
        self._seed = seed
        self._posts = source
        self._reach = reach
        self._rendered: dict[tuple[str, int], orjson.Fragment] = {}
        self._tick = -1

    def route(self, ask: Ask) -> Answer | None:
        """Plans and routes that are gone answer with a page for people; the trailing slash is part of the path."""
        return None if plan_of(ask) and ask.method == "GET" else html(404, HTML_404)

    def answer(self, ask: Ask) -> Answer:
        """Give one page of the list."""
        plan = plan_of(ask)
        found = matching(self._seed, self._posts(), plan, ask.query, ask.now)
        visible = found if plan == "enterprise" or self._reach is None else found[: self._reach]
        size = _size(ask.query) if plan == "enterprise" else PAGE
        page = page_number(ask.query.get("page", "1"))
        rows = [self._row(post, plan, ask) for post in visible[(page - 1) * size : page * size]]
        payload: dict[str, Any] = {"count": len(visible)} if plan == "v1" else {}
        payload["next"] = link(ask, page + 1 if page * size < len(visible) else None)
        payload["previous"] = link(ask, page - 1 if page > 1 else None)
        payload["results"] = rows
        return answered(ask, payload, page)

    def _row(self, post: Post, plan: str, ask: Ask) -> orjson.Fragment:
        """Render a row once for as long as its votes and prices stand still."""
        tick = posts.tick(ask.now)
        if tick != self._tick:
            self._rendered.clear()
            self._tick = tick
        key = (f"{plan} {ask.query.get('panic_period', '')}", post.id)
        if key not in self._rendered:
            self._rendered[key] = orjson.Fragment(orjson.dumps(_row(self._seed, post, plan, ask)))
        return self._rendered[key]


def answered(ask: Ask, payload: dict[str, Any], page: int) -> Answer:
    """Wrap a page with what the count of calls wants to know."""
    asked = canonical((name, value) for name, value in ask.query.items() if name not in {"auth_token", "page"})
    return Answer(payload, rows="results", endpoint=ask.path.strip("/"), request=asked, page=page, cost=1)


def plan_of(ask: Ask) -> str:
    """Tell the plan from the path, or "" when there is none."""
    return PLANS.get(ask.path.removesuffix("posts/"), "") if ask.path.endswith("/posts/") else ""


def _size(query: Mapping[str, str]) -> int:
    return min(500, max(1, int(query["size"]))) if query.get("size", "").isdigit() else PAGE


def _row(seed: int, post: Post, plan: str, ask: Ask) -> dict[str, Any]:
    match plan:
        case "v1":
            return posts.v1_row(seed, post, ask.now)
        case "developer":
            return posts.developer_row(seed, post, ask.now)
        case "enterprise":
            return posts.enterprise_row(seed, post, ask.now, panic="panic_period" in ask.query)
    return posts.v2_row(seed, post, ask.now)


def matching(seed: int, found: Sequence[Post], plan: str, query: Mapping[str, str], now: datetime) -> Sequence[Post]:
    """Keep the posts that the query asks for, in the list's order."""
    if plan == "developer":
        found = [post for post in found if post.telling.published <= now - DEVELOPER_DELAY]
    if codes := {code.strip().upper() for code in query.get("currencies", "").split(",") if code.strip()}:
        found = [post for post in found if codes & {coin.code for coin in post.telling.coins}]
    if (kind := query.get("kind", "all")) != "all":
        found = [post for post in found if post.kind == kind]
    if (regions := query.get("regions")) and "en" not in regions.split(","):
        return []
    if (name := query.get("filter")) in FILTERS:
        counter = name if name in posts.VOTES else "positive"
        found = [post for post in found if posts.votes(seed, post, now)[counter] > 0]
    return _enterprise(seed, found, query) if plan == "enterprise" else found


def _enterprise(seed: int, found: Sequence[Post], query: Mapping[str, str]) -> Sequence[Post]:
    if search := query.get("search", "").casefold():
        found = [post for post in found if search in post.telling.title.casefold()]
    if query.get("with_content") == "true":
        found = [post for post in found if posts.has_content(seed, post)]
    try:
        since = datetime.fromisoformat(query.get("last_pull", ""))
    except ValueError:
        return found
    since = since if since.tzinfo else since.replace(tzinfo=UTC)
    return [post for post in found if post.telling.listed >= since]
