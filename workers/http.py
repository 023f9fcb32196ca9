"""The only module that fetches: it adds the token, keeps the deadline, and removes the token from what comes back.

A token never leaves this file: not in an answer's body or headers, not in an error's text, not in a logged address.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from types import TracebackType
from typing import Self
from urllib.parse import quote, quote_plus

import aiohttp
import orjson
import structlog
from yarl import URL

from workers.items import NO_USAGE, InHeader, Misconfigured, Provider, Refused, Request, RetryLater, Usage
from workers.providers.refusals import header, http_date

log = structlog.get_logger(__name__)

BODY_MAX_BYTES = 32 * 1024 * 1024
CHUNK_BYTES = 64 * 1024
CONNECT_TIMEOUT_S = 10.0
TOKEN_MIN = 4  # a shorter one would be found, and cut, everywhere in a body
USER_AGENT = "sluice/0.1"  # a library's default name is refused by CryptoPanic's gatekeeper


@dataclass(frozen=True, slots=True)
class Answer:
    """A 200, redacted and otherwise as it came; header names in lower case.

    ``date`` is the server's own clock, ``seconds`` how long the answer took.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float
    date: datetime | None
    url_for_log: str


def token_variable(provider: str) -> str:
    """Name the environment variable that holds a provider's token."""
    return f"{provider.upper()}_API_KEY"


class Fetcher:
    """One pool of connections for all providers: ``async with Fetcher(tokens=...) as fetcher``.

    ``tokens`` by provider name; ``bases`` replaces all base addresses of a provider by one root (the sandbox's).
    """

    def __init__(
        self,
        tokens: Mapping[str, str],
        *,
        bases: Mapping[str, str] | None = None,
        user_agent: str = USER_AGENT,
        body_max_bytes: int = BODY_MAX_BYTES,
        connections_max: int = 64,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tokens = {name: token.strip() for name, token in tokens.items()}
        self._bases = dict(bases or {})
        self._user_agent = user_agent
        self._body_max_bytes = body_max_bytes
        self._connections_max = connections_max
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the pool on the running loop."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections_max, limit_per_host=self._connections_max),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
            headers={"User-Agent": self._user_agent, "Accept": "application/json"},
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def has_token(self, provider: str) -> bool:
        """Tell whether a provider can be asked at all."""
        return len(self._tokens.get(provider, "")) >= TOKEN_MIN

    async def fetch(self, provider: Provider, request: Request, timeout_s: float | None = None) -> Answer:
        """Make one HTTP call and give its 200.

        Raises what ``provider.error`` names for any other status, with ``usage`` from its headers; RetryLater for
        connections, deadlines and cut bodies; Misconfigured without a token; Refused for a body over the limit.
        """
        token = self._token(provider.name)
        redact = _redactor(token)
        started, url = self._clock(), self._url(provider, request)
        limit_s = provider.limits.timeout_s if timeout_s is None else timeout_s
        try:
            async with asyncio.timeout(limit_s):
                status, raw_headers, raw = await self._call(provider, request, url, token)
        except TimeoutError:
            raise _perhaps_charged(f"{provider.name}: no whole answer within {limit_s:g} s", request) from None
        except aiohttp.InvalidURL:
            raise Misconfigured(f"{provider.name}: the base address is not a URL") from None
        except aiohttp.ClientPayloadError:
            cut = f"{provider.name}: the answer was cut off or could not be decompressed"
            raise _perhaps_charged(cut, request) from None
        except aiohttp.ClientConnectorError as error:
            raise RetryLater(f"{provider.name}: no answer from {url.host} ({type(error).__name__})") from None
        except (aiohttp.ClientError, OSError) as error:
            silence = f"{provider.name}: no answer from {url.host} ({type(error).__name__})"
            raise _perhaps_charged(silence, request) from None
        headers = {
            name.lower(): redact(value.encode("utf-8", "replace")).decode() for name, value in raw_headers.items()
        }
        body = redact(raw)
        if status != 200:
            refusal = provider.error(status, headers, body)
            refusal.status, refusal.usage = status, usage_of(provider, headers)
            raise refusal
        return Answer(
            status, headers, body, self._clock() - started, http_date(header(headers, "Date")), _for_log(url, redact)
        )

    async def _call(
        self, provider: Provider, request: Request, url: URL, token: str
    ) -> tuple[int, Mapping[str, str], bytes]:
        assert self._session is not None, "a Fetcher is used inside its async with"
        place, headers = provider.apis[request.api].token, {}
        if isinstance(place, InHeader):
            headers[place.name] = token
        else:
            url = url.extend_query({place.name: token})
        data = None
        if request.json is not None:
            data, headers["Content-Type"] = orjson.dumps(dict(request.json)), "application/json"
        async with self._session.request(
            request.method, url, headers=headers, data=data, allow_redirects=False
        ) as answer:
            try:
                body = await self._read(provider.name, answer)
            except Refused as refusal:
                told = usage_of(provider, answer.headers)
                unsaid = request.cost if answer.status == 200 else None  # it was delivered, though not taken
                refusal.status = answer.status
                refusal.usage = replace(told, cost=unsaid if told.cost is None else told.cost)
                raise
            return answer.status, dict(answer.headers), body

    async def _read(self, name: str, answer: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
            body += chunk
            if len(body) > self._body_max_bytes:
                answer.close()
                raise Refused(f"{name}: the answer is larger than {self._body_max_bytes} bytes; ask for smaller pages")
        return bytes(body)

    def _url(self, provider: Provider, request: Request) -> URL:
        base = self._bases.get(provider.name) or provider.apis[request.api].base
        try:
            url = URL(base.rstrip("/") + request.path)
        except ValueError:
            raise Misconfigured(f"{provider.name}: the base address is not a URL") from None
        if url.scheme not in {"http", "https"} or not url.host:
            raise Misconfigured(f"{provider.name}: the base address must begin with http:// or https://")
        return url.extend_query(request.query) if request.query else url

    def _token(self, name: str) -> str:
        token = self._tokens.get(name, "")
        if not token:
            raise Misconfigured(f"{name} has no key: set {token_variable(name)}")
        if len(token) < TOKEN_MIN or not (token.isascii() and token.isprintable()):
            raise Misconfigured(
                f"{name}: {token_variable(name)} is not a key (printable, {TOKEN_MIN} characters or more)"
            )
        return token


def usage_of(provider: Provider, headers: Mapping[str, str]) -> Usage:
    """Read what the headers say about limits; what cannot be read tells nothing, so that no answer is lost by it."""
    try:
        return provider.usage(headers)
    except Exception:  # whatever a provider's file meets in a header, the answer is paid for
        log.exception("usage_unreadable", provider=provider.name)
        return NO_USAGE


def _perhaps_charged(reason: str, request: Request) -> RetryLater:
    """Count a call whose answer never came whole as charged: the provider may well have done its part."""
    error = RetryLater(reason)
    error.usage = Usage(cost=request.cost)
    return error


@lru_cache(maxsize=64)
def _redactor(token: str) -> Callable[[bytes], bytes]:
    """Make a function that cuts the token out of bytes: raw, percent-encoded in either case, and escaped for JSON."""
    encoded = {quote(token, safe=""), quote(token), quote_plus(token)}
    lowered = {re.sub("%..", lambda hit: hit[0].lower(), form) for form in encoded}
    forms = sorted({token, token.replace("/", "\\/")} | encoded | lowered, key=len, reverse=True)
    found = re.compile(b"|".join(re.escape(form.encode()) for form in forms))
    return lambda raw: found.sub(b"REDACTED", raw)


def _for_log(url: URL, redact: Callable[[bytes], bytes]) -> str:
    return redact(str(url.with_user(None)).encode()).decode()
