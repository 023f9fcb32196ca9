"""The sandbox as an HTTP server: three providers under one root, faults on the way, control routes beside them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import format_datetime

from aiohttp import web

from ops.sandbox import faults
from ops.sandbox.answers import CLOUDFLARE, Answer, Api, Ask, html
from ops.sandbox.clock import Clock
from ops.sandbox.config import SandboxConfig
from ops.sandbox.control import add_control_routes
from ops.sandbox.faults import INSTEAD, SPOILING, Fault, struck
from ops.sandbox.state import STATE, State

PROVIDER_PATH = "/{provider:cryptopanic|newscatcher|nansen}{path:/.*}"


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


@dataclass(frozen=True, slots=True)
class Call:
    """One call on its way: what was asked, which faults strike it, how many others were being answered."""

    state: State
    name: str
    ask: Ask
    hit: dict[str, Fault]
    in_flight: int

    def struck_by(self, kind: str) -> Fault | None:
        """Give the fault of this kind that strikes the call, and count it."""
        if kind in self.hit:
            self.state.counts.fault(self.name, kind)
        return self.hit.get(kind)


async def handle(request: web.Request) -> web.StreamResponse:
    """Answer one call to a provider."""
    state, name = request.app[STATE], request.match_info["provider"]
    meter = state.meters[name]
    body = await request.read()
    ask = _ask(request, name, body, state)
    call = Call(state, name, ask, struck(state.faults, state.config.seed, name, ask.number), meter.in_flight)
    meter.in_flight += 1
    try:
        state.grow_if_due(name, call.hit, ask.now)
        await _wait(call)
        return await _send(request, call, _answered(call))
    finally:
        meter.in_flight -= 1


def _ask(request: web.Request, name: str, body: bytes, state: State) -> Ask:
    return Ask(
        method=request.method,
        path=request.match_info["path"],
        query=dict(request.query),
        headers={key.lower(): value for key, value in request.headers.items()},
        body=body,
        base=f"{request.scheme}://{request.host}/{name}",
        now=state.clock.now(),
        number=state.next_call(name),
    )


async def _wait(call: Call) -> None:
    if slow := call.struck_by("slow"):
        await asyncio.sleep(slow.option("ms") / 1000)
    if hang := call.struck_by("hang"):
        await asyncio.sleep(hang.option("limit_s"))


def _answered(call: Call) -> Answer:
    api, meter, ask = call.state.apis[call.name], call.state.meters[call.name], call.ask
    if missing := api.route(ask):
        return missing
    if replaced := _instead(call, api):
        return replaced
    if refused := meter.refusal(api.token(ask), ask.now, api.cost(ask), call.in_flight):
        return api.refusal(refused[0], ask, refused[1])
    answer = api.answer(ask)
    if answer.status == 200:
        meter.charge(answer.cost, ask.now)
        _disturb(call, answer)
    return answer


def _instead(call: Call, api: Api) -> Answer | None:
    for kind in INSTEAD:
        if fault := call.struck_by(kind):
            if kind == "html":
                return html(fault.option("status"), CLOUDFLARE)
            return api.refusal(kind, call.ask, f"second:{fault.option('retry_after')}" if kind == "429" else "")
    return None


def _disturb(call: Call, answer: Answer) -> None:
    """Reorder or repeat the rows of a good answer."""
    if answer.rows is None:
        return
    for kind, change in (("repeated", faults.repeated), ("reordered", faults.reordered)):
        if call.struck_by(kind):
            answer.payload[answer.rows] = change(answer.payload[answer.rows], call.state.config.seed, call.ask.number)


async def _send(request: web.Request, call: Call, answer: Answer) -> web.StreamResponse:
    body = answer.rendered()
    spoiling = next((kind for kind in SPOILING if kind in call.hit), None) if answer.status == 200 else None
    headers = {**answer.headers, "Date": format_datetime(answer.at or call.ask.now, usegmt=True)}
    call.state.answered(call.name, call.ask, answer, spoiled=spoiling is not None)
    if spoiling:
        call.struck_by(spoiling)
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
