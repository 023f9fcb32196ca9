"""NewsCatcher's API, v3 and v2: GET and POST, defaults of seven days and a hundred rows, error bodies, clusters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import parse_qsl

import orjson

from ops.sandbox.answers import HTML_404, Answer, Ask, canonical, html
from ops.sandbox.article_query import BadParameter
from ops.sandbox.chance import hexadecimal
from ops.sandbox.search import Found

V3 = {"search", "latest_headlines", "subscription", "aggregation_count", "sources", "search_by_link"}
V2 = {"search", "latest_headlines", "sources"}
STATUS_V3 = {
    400: "Bad request",
    401: "Unauthorized",
    403: "Forbidden",
    408: "Request timeout",
    422: "Validation error",
    429: "Too many requests",
    499: "Unknown status code",
    503: "Service unavailable",
}
CODES_V2 = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    406: "WrongParameter",
    408: "TimeOut",
    429: "TooManyRequests",
}
REFUSALS = {
    "no_token": (401, "Invalid api key: None"),
    "bad_token": (401, "Invalid api key: {}"),
    "rate": (429, "Max API requests concurrency reached"),
    "concurrency": (429, "Max API requests concurrency reached"),
    "429": (429, "Max API requests concurrency reached"),
    "quota": (403, "Monthly API calls limit reached"),
    "408": (408, "Request timed out after 30 seconds"),
    "502": (502, "Bad gateway"),
    "503": (503, "Service temporarily unavailable"),
    "504": (504, "Gateway time-out"),
}
CAP = 10_000
"""One query reaches at most this many articles; exactly this figure means "at least"."""


class Articles(Protocol):
    """What can be asked of a collection of articles."""

    def search(self, version: str, endpoint: str, params: Mapping[str, Any], ask: Ask) -> Found:
        """Find articles; raise BadParameter when a parameter is wrong."""
        ...

    def subscription(self, ask: Ask) -> dict[str, Any]:
        """Tell the plan and what is left of it."""
        ...


def version_of(ask: Ask) -> str:
    """Tell the version of the API from the path."""
    return "v2" if ask.path.startswith("/v2/") else "v3"


def failure(ask: Ask, status: int, message: str) -> Answer:
    """Say no in the shape of the version that was asked."""
    if status == 500:
        return headed(ask, Answer(status=500, text="Internal Server Error", content_type="text/plain"))
    if version_of(ask) == "v2":
        body: dict[str, Any] = {"status": "error", "error_code": CODES_V2.get(status, "Error"), "message": message}
    else:
        body = {"message": message, "status_code": status, "status": STATUS_V3.get(status, "Unknown status code")}
    return headed(ask, Answer(body, status))


def headed(ask: Ask, answer: Answer) -> Answer:
    """Add the headers that every answer carries; a limit is never among them."""
    raw = hexadecimal(32, ask.number, ask.path, ask.now)
    answer.headers |= {
        "correlation-id": f"{raw[:8]}-{raw[8:12]}-4{raw[13:16]}-8{raw[17:20]}-{raw[20:]}",
        "x-process-time": f"0.{int(raw[:3], 16):04d}",
        "CF-RAY": f"{raw[:16]}-AMS",
        "cf-cache-status": "DYNAMIC",
    }
    return answer


class NewsCatcher:
    """Serves articles from whatever can be searched."""

    name = "newscatcher"

    def __init__(self, articles: Articles) -> None:
        self._articles = articles

    def token(self, ask: Ask) -> str | None:
        """Find the token in the header of that version."""
        return ask.headers.get("x-api-key" if version_of(ask) == "v2" else "x-api-token")

    def route(self, ask: Ask) -> Answer | None:
        """Only the documented endpoints are there."""
        known = {f"/v2/{name}" for name in V2} | {f"/api/{name}" for name in V3}
        return None if ask.path in known and ask.method in {"GET", "POST"} else html(404, HTML_404)

    def cost(self, ask: Ask) -> int:
        """One call is one call; asking for the plan is free."""
        return 0 if ask.path.endswith("/subscription") else 1

    def refusal(self, kind: str, ask: Ask, detail: str = "") -> Answer:
        """Say no in NewsCatcher's words; a wrong key is echoed, as the real one does."""
        if kind == "no_token" and version_of(ask) == "v2":
            return failure(ask, 400, "No API key was given.")
        status, message = REFUSALS.get(kind, (500, ""))
        return failure(ask, status, message.format(detail))

    def answer(self, ask: Ask) -> Answer:
        """Answer one call, or say which parameter is wrong."""
        try:
            params = parameters(ask)
            return headed(ask, self._answer(ask, params))
        except BadParameter as wrong:
            status = 406 if version_of(ask) == "v2" and wrong.status == 422 else wrong.status
            return failure(ask, status, str(wrong))

    def _answer(self, ask: Ask, params: dict[str, Any]) -> Answer:
        version, endpoint = version_of(ask), ask.path.rpartition("/")[2]
        if endpoint == "subscription":
            return Answer(self._articles.subscription(ask), endpoint="api/subscription")
        found = self._articles.search(version, endpoint, params, ask)
        if endpoint == "sources":
            payload: dict[str, Any] = {"message": "ok", "sources": found.sources(), "user_input": found.echo}
        elif endpoint == "aggregation_count":
            payload = envelope(version, found, 1, 100) | {
                "aggregations": found.counts(str(params.get("aggregation_by", "day")))
            }
            del payload["articles"]
        else:
            return self._page(ask, version, params, found)
        return self._counted(ask, params, Answer(payload, cost=1))

    def _page(self, ask: Ask, version: str, params: dict[str, Any], found: Found) -> Answer:
        page = whole(params, "page", 1, 1, None)
        size = whole(params, "page_size", 100, 1, 100 if version == "v2" else 1000)
        payload = envelope(version, found, page, size)
        answer = Answer(payload, rows="articles", page=page, cost=1, at=found.at)
        if version == "v3" and truth(params.get("clustering_enabled", False)):
            payload |= found.clustered(payload.pop("articles"), page, size)
            answer.rows = "clusters"
        return self._counted(ask, params, answer)

    def _counted(self, ask: Ask, params: dict[str, Any], answer: Answer) -> Answer:
        answer.endpoint = ask.path.strip("/")
        answer.request = canonical({name: value for name, value in params.items() if name != "page"})
        return answer


def envelope(version: str, found: Found, page: int, size: int) -> dict[str, Any]:
    """Wrap one page; the status of an empty v2 answer says so, with 200 all the same."""
    total = min(found.total, CAP)
    pages = found.pages or math.ceil(total / size)
    status = "No matches for your search." if version == "v2" and not total else "ok"
    return {
        "status": status,
        "total_hits": total,
        "page": page,
        "total_pages": pages if version == "v3" else max(1, pages),
        "page_size": size,
        "articles": found.rows((page - 1) * size, min(page * size, CAP)),
        "user_input": found.echo | {"page": page, "size" if version == "v2" else "page_size": size},
    }


def parameters(ask: Ask) -> dict[str, Any]:
    """Read the parameters of a GET or POST; the body of a POST is JSON (a form is taken too)."""
    if ask.method == "GET":
        return dict(ask.query)
    if "form-urlencoded" in ask.headers.get("content-type", ""):
        return dict(parse_qsl(ask.body.decode()))
    try:
        read = orjson.loads(ask.body)
    except orjson.JSONDecodeError:
        raise BadParameter("Invalid JSON in request body", 400) from None
    if not isinstance(read, dict):
        raise BadParameter("Invalid JSON in request body", 400)
    return read


def truth(value: object) -> bool:
    """Read a boolean as JSON or as a query string has it."""
    return value if isinstance(value, bool) else str(value).strip().lower() in {"true", "1", "yes"}


def whole(params: Mapping[str, Any], name: str, default: int, low: int, high: int | None) -> int:
    """Read a whole number between its limits, or say which rule it breaks."""
    try:
        value = int(params.get(name, default))
    except (TypeError, ValueError):
        raise BadParameter(f"{name}: value is not a valid integer") from None
    if value < low:
        raise BadParameter(f"{name}: ensure this value is greater than or equal to {low}")
    if high is not None and value > high:
        raise BadParameter(f"{name}: ensure this value is less than or equal to {high}")
    return value
