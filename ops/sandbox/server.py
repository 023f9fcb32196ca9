"""The sandbox as an HTTP server: three providers under one root, faults on the way, control routes beside them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime

from aiohttp import web

from ops.sandbox import faults
from ops.sandbox.answers import CLOUDFLARE, Answer, Ask, html
from ops.sandbox.clock import Clock
from ops.sandbox.config import SandboxConfig
from ops.sandbox.control import add_control_routes
from ops.sandbox.faults import INSTEAD, SPOILING, Fault, struck
from ops.sandbox.state import STATE, State

PROVIDER_PATH = "/{provider:cryptopanic|newscatcher|nansen}{path:/.*}"
NEWS = ("cryptopanic", "newscatcher")


@dataclass(frozen=True, slots=True)
class SandboxServer:
    """A running sandbox: ``url`` is its root without a slash at the end, ``state`` what its control routes show."""

    url: str
    state: State


def make_sandbox(config: SandboxConfig) -> web.Application:
    """Build the application; raises ValueError or OSError when the folder of recordings cannot be served."""
    app = web.Application(client_max_size=4 * 1024 * 1024)
    app[STATE] = State.opened(config, Clock(config.now))
    app.router.add_route("*", PROVIDER_PATH, handle)
    add_control_routes(app)
    return app


@asynccontextmanager
async def running_sandbox(
    config: SandboxConfig, *, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[SandboxServer]:
    """Serve a sandbox, on a free port unless one is given, until the block ends."""
    app = make_sandbox(config)
    # a hanging answer must not hold up the end of a test
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        bound = runner.addresses[0][1]
        yield SandboxServer(f"http://{host}:{bound}", app[STATE])
    finally:
        await runner.cleanup()


async def handle(request: web.Request) -> web.StreamResponse:
    """Answer one call to a provider."""
    state = request.app[STATE]
    name = request.match_info["provider"]
    number = state.next_call(name)
    meter = state.meters[name]
    body = await request.read()
    ask = _ask(request, name, body, number, state.clock.now())
    hit = struck(state.faults, state.config.seed, name, number)
    meter_full = meter.in_flight  # before this call takes its own place
    meter.in_flight += 1
    try:
        state.grow_if_due(name, hit, ask.now)
        await _wait(state, name, hit)
        answer = _answered(state, name, ask, hit, meter_full)
        return await _send(request, state, name, ask, answer, hit)
    finally:
        meter.in_flight -= 1


def _ask(request: web.Request, name: str, body: bytes, number: int, now: datetime) -> Ask:
    return Ask(
        method=request.method,
        path=request.match_info["path"],
        query=dict(request.query),
        headers={key.lower(): value for key, value in request.headers.items()},
        body=body,
        base=f"{request.scheme}://{request.host}/{name}",
        now=now,
        number=number,
    )


async def _wait(state: State, name: str, hit: dict[str, Fault]) -> None:
    if slow := hit.get("slow"):
        state.counts.fault(name, "slow")
        await asyncio.sleep(slow.option("ms") / 1000)
    if hang := hit.get("hang"):
        state.counts.fault(name, "hang")
        await asyncio.sleep(hang.option("limit_s"))


def _answered(state: State, name: str, ask: Ask, hit: dict[str, Fault], in_flight: int) -> Answer:
    api = state.apis[name]
    if missing := api.route(ask):
        return missing
    for kind in INSTEAD:
        if fault := hit.get(kind):
            state.counts.fault(name, kind)
            if kind == "html":
                return html(fault.option("status"), CLOUDFLARE)
            return api.refusal(kind, ask, f"second:{fault.option('retry_after')}" if kind == "429" else "")
    if refused := state.meters[name].refusal(api.token(ask), ask.now, api.cost(ask), in_flight):
        return api.refusal(refused[0], ask, refused[1])
    answer = api.answer(ask)
    if answer.status == 200:
        state.meters[name].charge(answer.cost, ask.now)
        _disturb(state, name, ask, answer, hit)
    return answer


def _disturb(state: State, name: str, ask: Ask, answer: Answer, hit: dict[str, Fault]) -> None:
    """Reorder or repeat the rows of a good answer."""
    if answer.rows is None:
        return
    for kind, change in (("repeated", faults.repeated), ("reordered", faults.reordered)):
        if kind in hit:
            state.counts.fault(name, kind)
            answer.payload[answer.rows] = change(answer.payload[answer.rows], state.config.seed, ask.number)


async def _send(
    request: web.Request, state: State, name: str, ask: Ask, answer: Answer, hit: dict[str, Fault]
) -> web.StreamResponse:
    body = answer.rendered()
    spoiling = next((kind for kind in SPOILING if kind in hit), None) if answer.status == 200 else None
    headers = {**answer.headers, "Date": format_datetime(answer.at or ask.now, usegmt=True)}
    state.answered(name, ask, answer, spoiled=spoiling is not None)
    if spoiling == "cut":
        return await _cut(request, body, headers)
    if spoiling == "truncated":
        body = body[: len(body) // 2]
    return web.Response(body=body, status=answer.status, content_type=answer.content_type, headers=headers)


async def _cut(request: web.Request, body: bytes, headers: dict[str, str]) -> web.StreamResponse:
    """Promise the whole body, send half of it and drop the connection."""
    response = web.StreamResponse(headers={**headers, "Content-Length": str(len(body))})
    response.content_type = "application/json"
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response
