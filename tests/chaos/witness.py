"""A sandbox that remembers who asked what: each worker has keys of its own, so that a call can be laid at its door."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from ops.sandbox import SandboxConfig, make_sandbox
from ops.sandbox.state import STATE
from workers.items import Request

Answerer = Callable[[web.Request], Awaitable[web.StreamResponse]]
KEY = "chaos-key-"


@dataclass(slots=True)
class Asked:
    """One call as it reached the sandbox: ``good`` is None while it is open, True for a whole 200."""

    who: str
    what: str
    good: bool | None = None


@dataclass(slots=True)
class Witness:
    """A running sandbox and every call to it, in order of arrival."""

    url: str = ""
    calls: list[Asked] = field(default_factory=list)
    report: Callable[[], dict[str, Any]] = dict

    def is_asking(self, who: str) -> bool:
        """Say whether a call of this worker is being answered now."""
        return any(call.who == who and call.good is None for call in self.calls)

    def may_have_paid(self, who: str, what: str) -> bool:
        """Say whether this worker's last call for it is open, or was answered well."""
        last = next((call for call in reversed(self.calls) if (call.who, call.what) == (who, what)), None)
        return last is not None and last.good is not False

    def good(self) -> Counter[str]:
        """Count the whole answers of each request."""
        return Counter(call.what for call in self.calls if call.good)

    def struck(self) -> Counter[str]:
        """Count the faults that struck, by kind."""
        counted: Counter[str] = Counter()
        for one in self.report().get("faults", {}).values():
            counted.update(one)
        return counted

    @web.middleware
    async def watch(self, request: web.Request, handler: Answerer) -> web.StreamResponse:
        """Write the call down, before and after."""
        if request.path.startswith("/_sandbox"):
            return await handler(request)
        call = Asked(*await _told(request))
        self.calls.append(call)
        response = await handler(request)
        call.good = _is_whole(response)
        return response


@asynccontextmanager
async def watched_sandbox(config: SandboxConfig) -> AsyncIterator[Witness]:
    """Serve a sandbox with a witness at its door until the block ends."""
    witness, app = Witness(), make_sandbox(config)
    app.middlewares.append(witness.watch)
    witness.report = app[STATE].counts.report
    # Whoever asks is charged, even if nobody listens to the answer any more: no handler is cancelled.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        witness.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield witness
    finally:
        await runner.cleanup()


def said(provider: str, request: Request) -> str:
    """Write a request as the witness writes it."""
    return _one_form(request.method, f"/{provider}{request.path}", request.query, request.json)


async def _told(request: web.Request) -> tuple[str, str]:
    body = await request.read()
    keys = [value for value in (*request.query.values(), *request.headers.values()) if value.startswith(KEY)]
    query = [(name, value) for name, value in request.query.items() if not value.startswith(KEY)]
    asked = orjson.loads(body) if body else None
    return keys[0].removeprefix(KEY), _one_form(request.method, request.path, query, asked)


def _one_form(method: str, path: str, query: Any, body: Mapping[str, Any] | None) -> str:
    return orjson.dumps([method, path, sorted(map(list, query)), body], option=orjson.OPT_SORT_KEYS).decode()


def _is_whole(response: web.StreamResponse) -> bool:
    if response.status != 200 or not isinstance(response, web.Response) or not isinstance(response.body, bytes):
        return False
    try:
        orjson.loads(response.body)
    except orjson.JSONDecodeError:
        return False
    return True
