"""Nansen's API: POST with a JSON body, credits and rates in headers, one error envelope, gateway 404."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

import orjson

from ops.sandbox.answers import Answer, Ask, canonical
from ops.sandbox.chance import hexadecimal
from ops.sandbox.meter import Meter
from ops.sandbox.nansen_rules import ENDPOINTS, ERRORS, Invalid, check, envelope, invalid_body

ROOT = "/api/v1/"
PLENTY = 1_000_000
"""The credits that are left where nobody counts them."""


class Rows(Protocol):
    """What can be asked of a collection of on-chain rows."""

    def page(self, endpoint: str, body: Mapping[str, Any], page: int, per_page: int, ask: Ask) -> PageOfRows:
        """Give one page of one list."""
        ...


class PageOfRows:
    """Rows of one page, whether it is the last, and the keys that its answer promises."""

    __slots__ = ("at", "keys", "last", "rows", "warnings", "when_sent")

    def __init__(
        self,
        rows: list[dict[str, Any]],
        *,
        last: bool,
        warnings: list[str] | None = None,
        keys: tuple[str, ...] = (),
        at: datetime | None = None,
    ) -> None:
        self.rows = rows
        self.last = last
        self.warnings = warnings
        self.keys = keys
        self.at = at
        self.when_sent: Callable[[], None] | None = None


def request_id(ask: Ask) -> str:
    """Give the id that the answer's headers and error body share."""
    return hexadecimal(32, "request", ask.number, ask.path)


class Nansen:
    """Serves rows from whatever can be asked for pages."""

    name = "nansen"

    def __init__(self, rows: Rows, meter: Meter, account: Callable[[datetime], dict[str, Any]]) -> None:
        self._rows = rows
        self._meter = meter
        self._account = account

    def token(self, ask: Ask) -> str | None:
        """Find the token in its header."""
        return ask.headers.get("apikey")

    def route(self, ask: Ask) -> Answer | None:
        """The gateway, not the application, answers for a path or a method that is not there."""
        endpoint = ask.path.removeprefix(ROOT)
        wanted = "GET" if endpoint == "account" else "POST"
        if ask.path.startswith(ROOT) and (endpoint == "account" or endpoint in ENDPOINTS) and ask.method == wanted:
            return None
        own = request_id(ask)
        body = {"message": "no Route matched with those values", "request_id": own}
        return Answer(body, 404, headers={"X-Request-Id": own})

    def cost(self, ask: Ask) -> int:
        """Give the price in credits."""
        rules = ENDPOINTS.get(ask.path.removeprefix(ROOT))
        return rules.cost if rules else 0

    def refusal(self, kind: str, ask: Ask, detail: str = "") -> Answer:
        """Say no in Nansen's words and headers; ``detail`` is a rate's scope or a 429's seconds to wait."""
        own = request_id(ask)
        match kind:
            case "no_token" | "bad_token":
                text = "No API key found in request" if kind == "no_token" else "Invalid authentication credentials"
                return self._said("unauthenticated", text, own, detail=text)
            case "quota":
                text = "Insufficient credits remaining to call this endpoint."
                refused = self._said("insufficient_credits", text, own, detail=text)
                refused.headers |= self._credits(ask, used=0)
                return refused
            case "500":
                text = "Query timed out. Please try adjusting the time range or filtering the data."
                failed = self._said("query_timeout", text, own)
                failed.headers["X-Nansen-Credits-Cost"] = str(self.cost(ask))
                return failed
            case "502" | "503" | "504" | "408":
                status = 504 if kind == "408" else int(kind)  # a time-out has no status of its own here
                wait = 30 if status == 504 else 10
                return self._later("upstream_unavailable", "Upstream service is unavailable.", own, wait, status)
        scope, _, asked = detail.partition(":")
        return self._limited(own, scope or "second", asked)

    def _limited(self, own: str, scope: str, wait: str) -> Answer:
        text = "Rate limit exceeded. Please try again later."
        seconds = int(wait) if wait else (60 if scope == "minute" else 1)
        refused = self._later("rate_limit_exceeded", text, own, seconds)
        refused.headers |= {"X-Nansen-RateLimit-Scope": scope, **self._limits()}
        return refused

    def _later(self, code: str, text: str, own: str, seconds: int, status: int | None = None) -> Answer:
        """A wait of nothing leaves the header and the field out."""
        if not seconds:
            return self._said(code, text, own, detail=text)
        status = status or ERRORS[code][0]
        later = self._said(code, text, own, status=status, retry_after=seconds, detail=text)
        later.headers["Retry-After"] = str(seconds)
        return later

    def _said(self, code: str, message: str, own: str, **more: Any) -> Answer:
        body = envelope(code, message, own, **more)
        return Answer(body, body["status"], headers={"X-Request-Id": own})

    def answer(self, ask: Ask) -> Answer:
        """Answer one call, or say which rule its body breaks."""
        endpoint, own = ask.path.removeprefix(ROOT), request_id(ask)
        if endpoint == "account":
            headers = {"X-Request-Id": own, "X-Nansen-Credits-Cost": "0"}
            return Answer(self._account(ask.now), endpoint=endpoint, headers=headers | self._limits())
        try:
            body = orjson.loads(ask.body)
        except orjson.JSONDecodeError:
            body = None
        if not isinstance(body, dict):
            return Answer(envelope("malformed", "The request body is not valid JSON.", own), 400)
        try:
            check(endpoint, body)
        except Invalid as wrong:
            return Answer(invalid_body(wrong, own), 422, headers={"X-Request-Id": own})
        return self._page(ask, endpoint, body, own)

    def _page(self, ask: Ask, endpoint: str, body: dict[str, Any], own: str) -> Answer:
        paging = body.get("pagination") or {}
        page, per_page = paging.get("page", 1), paging.get("per_page", 10)
        found = self._rows.page(endpoint, body, page, per_page, ask)
        payload: dict[str, Any] = {
            "data": found.rows,
            "pagination": {"page": page, "per_page": per_page, "is_last_page": found.last},
        }
        if endpoint == "tgm/flows":
            payload["warnings"] = found.warnings
        cost = ENDPOINTS[endpoint].cost
        return Answer(
            payload,
            headers={"X-Request-Id": own, **self._credits(ask, used=cost), **self._limits()},
            rows="data",
            endpoint=endpoint,
            request=canonical({name: value for name, value in body.items() if name != "pagination"}),
            page=page,
            cost=cost,
            at=found.at,
            keys=found.keys,
            when_sent=found.when_sent,
        )

    def _credits(self, ask: Ask, used: int) -> dict[str, str]:
        headers = {"X-Nansen-Credits-Cost": str(self.cost(ask)), "X-Nansen-Credits-Used": str(used)}
        left = self._meter.remaining(ask.now)
        return headers | {"X-Nansen-Credits-Remaining": str(PLENTY if left is None else max(0, left - used))}

    def _limits(self) -> dict[str, str]:
        """All are texts; every Reset is seconds to wait."""
        windows = self._meter.windows()
        if not windows:
            return {}
        _, limit, remaining, reset = min(windows, key=lambda window: window[2] / window[1])
        headers: dict[str, str] = {}
        for prefix in ("RateLimit", "X-RateLimit"):
            values = {"Limit": limit, "Remaining": remaining, "Reset": reset}
            headers |= {f"{prefix}-{name}": str(value) for name, value in values.items()}
        for scope, most, left, _ in windows:
            headers[f"X-RateLimit-Limit-{scope.title()}"] = str(most)
            headers[f"X-RateLimit-Remaining-{scope.title()}"] = str(left)
        return headers
