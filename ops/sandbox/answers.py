"""What travels between the HTTP side of the sandbox and the three providers: a question, an answer, no framework."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import orjson

Invented = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ask:
    """One call: ``path`` begins behind the provider's name, ``base`` is the address up to and with that name."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    base: str
    now: datetime
    number: int  # of this provider's calls, from 1


@dataclass(slots=True)
class Answer:
    """What the provider says.

    ``payload`` is rendered as JSON unless ``text`` is given.  ``rows`` names the list inside the payload that a fault
    may reorder or repeat.  ``endpoint``, ``request`` and ``page`` say what was asked, for the count of calls; ``cost``
    is in the unit of the quota; ``keys`` were promised by this answer beyond those of the universe (snapshots).
    """

    payload: dict[str, Any] = field(default_factory=dict)
    status: int = 200
    text: str | None = None
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    rows: str | None = None
    endpoint: str = ""
    request: str = ""
    page: int = 1
    cost: int = 0
    at: datetime | None = None  # the time of the recording, where there is one
    keys: tuple[str, ...] = ()
    when_sent: Callable[[], None] | None = None  # called when the answer was sent whole

    def rendered(self) -> bytes:
        """Give the body."""
        return self.text.encode() if self.text is not None else orjson.dumps(self.payload)


class Api(Protocol):
    """One provider's API: pure questions and answers over what was invented or recorded."""

    name: str

    def token(self, ask: Ask) -> str | None:
        """Find the token where this provider looks for it."""
        ...

    def route(self, ask: Ask) -> Answer | None:
        """Give the gateway's 404 when nothing lives at this path, else None."""
        ...

    def cost(self, ask: Ask, /) -> int:
        """Say what a good answer will cost, in the unit of the quota."""
        ...

    def refusal(self, kind: str, ask: Ask, detail: str = "", /) -> Answer:
        """Say no in this provider's words: no_token, bad_token, rate, concurrency, quota, 500 or 503."""
        ...

    def answer(self, ask: Ask) -> Answer:
        """Answer a call that may be made."""
        ...


class World(Protocol):
    """What stands behind the three APIs: a generator's universe or a folder of recordings."""

    def apis(self) -> Mapping[str, Api]:
        """Give the three APIs by name."""
        ...

    def invented(self) -> Invented:
        """Give by provider the ``keys`` that a run over the streams must end with, and the expected ``rejects``."""
        ...

    def streams(self) -> list[dict[str, Any]]:
        """Say what a demonstration should pull."""
        ...

    def stories(self) -> list[list[str]]:
        """Give the keys (``provider/key``) that tell the same story, group by group."""
        ...

    def grow(self, count: int, now: datetime) -> list[str]:
        """Put this many new stories at the top of the lists; give their keys."""
        ...

    def remove(self, count: int) -> list[str]:
        """Take this many posts off the list, as happens; give their keys."""
        ...


HTML_404 = (
    '<!DOCTYPE html>\n<html lang="en"><head><title>Page not found</title></head>'
    "<body><h1>404</h1><p>The page you are looking for is not here.</p></body></html>\n"
)
CLOUDFLARE = (
    '<!DOCTYPE html>\n<html lang="en-US"><head><title>Just a moment...</title>'
    '<meta name="robots" content="noindex,nofollow"></head><body><noscript>Enable JavaScript and cookies to continue'
    '</noscript><div id="cf-error-details">Error 1020: Access denied. Ray ID: 8f00sandbox</div></body></html>\n'
)


def html(status: int, page: str) -> Answer:
    """Answer with a page for people."""
    return Answer(status=status, text=page, content_type="text/html")


def canonical(parts: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> str:
    """Write a request so that equal requests are equal texts."""
    return orjson.dumps(dict(parts), option=orjson.OPT_SORT_KEYS).decode()
