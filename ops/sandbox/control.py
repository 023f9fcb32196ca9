"""Control routes under ``/_sandbox/``: what was asked, what was invented, what to pull; faults, clock and growth."""

from __future__ import annotations

from typing import Any

import orjson
from aiohttp import web

from ops.sandbox.clock import stamp
from ops.sandbox.faults import parse_fault
from ops.sandbox.state import STATE

ROOT = "/_sandbox"


def add_control_routes(app: web.Application) -> None:
    """Add them to an application that holds its state."""
    app.router.add_get(f"{ROOT}/calls", calls)
    app.router.add_get(f"{ROOT}/invented", invented)
    app.router.add_get(f"{ROOT}/streams", streams)
    app.router.add_get(f"{ROOT}/stories", stories)
    app.router.add_get(f"{ROOT}/faults", show_faults)
    app.router.add_put(f"{ROOT}/faults", put_faults)
    app.router.add_post(f"{ROOT}/clock", clock)
    app.router.add_post(f"{ROOT}/grow", grow)
    app.router.add_post(f"{ROOT}/remove", remove)


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")


async def calls(request: web.Request) -> web.Response:
    """Calls and costs by endpoint, statuses, faults, and the good and spoiled answers of each single request."""
    return _json(request.app[STATE].counts.report())


async def invented(request: web.Request) -> web.Response:
    """By provider: ``keys`` in the ledger's form, ``rejects`` that are expected, and Nansen's ``polls``."""
    return _json(request.app[STATE].invented())


async def streams(request: web.Request) -> web.Response:
    """``[{name, provider, dataset, params, mode}]``: what a demonstration should pull."""
    return _json(request.app[STATE].world.streams())


async def stories(request: web.Request) -> web.Response:
    """Groups of ``provider/key`` that tell the same story, two or more in each."""
    return _json(request.app[STATE].world.stories())


async def show_faults(request: web.Request) -> web.Response:
    """The faults that are switched on."""
    state = request.app[STATE]
    return _json([{"kind": one.kind, "provider": one.provider, "probability": one.probability, "every": one.every,
                   "options": dict(one.options)} for one in state.faults])  # fmt: skip


async def put_faults(request: web.Request) -> web.Response:
    """Take ``["429=0.1", "nansen:cut=every 5"]`` or ``{"faults": [...]}`` in place of what was switched on."""
    body = await _body(request)
    texts = body.get("faults") if isinstance(body, dict) else body
    try:
        chosen = [parse_fault(str(text)) for text in texts or []]
    except ValueError as wrong:
        return _json({"error": str(wrong)}, 422)
    request.app[STATE].use_faults(chosen)
    return await show_faults(request)


async def clock(request: web.Request) -> web.Response:
    """Put the clock forward by ``advance_s`` seconds."""
    body = await _body(request)
    try:
        now = request.app[STATE].clock.advance(float(body["advance_s"]))
    except (KeyError, TypeError, ValueError):
        return _json({"error": "advance_s must be a number of seconds, not below 0"}, 422)
    return _json({"now": stamp(now)})


async def grow(request: web.Request) -> web.Response:
    """Add ``n`` stories to the top of the lists: each one post, one article and one trade."""
    state, count = request.app[STATE], await _count(request)
    return _json({"keys": state.world.grow(count, state.clock.now())})


async def remove(request: web.Request) -> web.Response:
    """Take ``n`` posts off CryptoPanic's list."""
    return _json({"keys": request.app[STATE].world.remove(await _count(request))})


async def _body(request: web.Request) -> Any:
    try:
        return orjson.loads(await request.read() or b"{}")
    except orjson.JSONDecodeError:
        raise web.HTTPBadRequest(text="the body is not JSON") from None


async def _count(request: web.Request) -> int:
    body = await _body(request)
    count = body.get("n", 1) if isinstance(body, dict) else None
    if not isinstance(count, int) or not 0 <= count <= 10_000:
        raise web.HTTPUnprocessableEntity(text="n must be a whole number from 0 to 10000")
    return count
