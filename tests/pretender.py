"""A pretender to being a gateway: it answers what a smoke test asks, as well or as badly as a test wants it."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web
from yarl import URL

PASSWORD = "gravel orchid 71 tuba"
SCHEMA = "0042"
NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
Body = dict[str, Any]


@dataclass
class Pretender:
    """What it says, changed by a test; ``asked`` is what it was asked."""

    alive: Any = field(default_factory=lambda: {"status": "alive"})
    ready: Body = field(default_factory=lambda: {"status": "ready", "checks": {"database": "ok"}, "schema": SCHEMA})
    keys: list[Body] = field(default_factory=lambda: [{"kid": "one"}])
    password: str = PASSWORD
    enqueues: int = 202
    ends: bool = True
    job: Body = field(default_factory=dict)
    posted: int = 1
    reverses: bool = True
    held: str = "0"
    forgets: bool = True
    providers: list[Body] | None = None
    token: str | None = None
    trades: list[Body] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def app(self) -> web.Application:
        """All routes."""
        app = web.Application(middlewares=[self._guard])
        app.add_routes(
            [
                web.get("/healthz", self._give(lambda _: self.alive)),
                web.get("/readyz", self._ready),
                web.get("/.well-known/jwks.json", self._give(lambda _: {"keys": self.keys})),
                web.post("/api/v1/login/access-token", self._login),
                web.get("/api/v1/providers", self._providers),
                web.post("/api/v1/jobs", self._enqueue),
                web.get("/api/v1/jobs/{job}", self._give(self._job)),
                web.get("/api/v1/jobs/{job}/events", self._events),
                web.post("/api/v1/trades", self._push),
                web.get("/api/v1/trades", self._give(lambda _: {"data": self.trades, "next_cursor": None})),
                web.get("/api/v1/positions", self._give(lambda _: [{"qty": self.held}])),
                web.post("/api/v1/auth/logout", self._logout),
                web.get("/api/v1/auth/me", self._give(lambda _: {"name": "smoke"})),
            ]
        )
        return app

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.path}")
        inside = request.path.startswith("/api/v1/") and "login" not in request.path
        if inside and (self.token is None or request.headers.get("Authorization") != f"Bearer {self.token}"):
            return web.json_response({"title": "who are you?"}, status=401)
        return await handler(request)

    def _give(self, what: Callable[[web.Request], Any]) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(request: web.Request) -> web.Response:
            return web.json_response(what(request))

        return answer

    async def _ready(self, _: web.Request) -> web.Response:
        return web.json_response(self.ready, status=200 if self.ready["status"] == "ready" else 503)

    async def _login(self, request: web.Request) -> web.Response:
        if (await request.post())["password"] != self.password:
            return web.json_response({"detail": "name or password is wrong"}, status=401)
        self.token = "a token"
        return web.json_response({"access_token": self.token, "expires_in": 900})

    async def _providers(self, _: web.Request) -> web.Response:
        if self.providers is None:
            return web.json_response({"title": "not for you"}, status=403)
        return web.json_response(self.providers)

    async def _enqueue(self, _: web.Request) -> web.Response:
        return web.json_response({"id": "j1", "detail": "the queue is full"}, status=self.enqueues)

    def _job(self, _: web.Request) -> Body:
        begun = NOW + timedelta(milliseconds=20)
        usual = {"state": "succeeded", "attempt": 1, "created_at": NOW.isoformat(), "started_at": begun.isoformat()}
        return {**usual, "last_error": None, "counts": {"new": self.posted, "rejected": 0}, **self.job}

    async def _events(self, request: web.Request) -> web.StreamResponse:
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await stream.prepare(request)
        await stream.write(b"event: end\ndata: {}\n\n" if self.ends else b"event: job\ndata: {}\n\n")
        return stream

    async def _push(self, request: web.Request) -> web.Response:
        (row,) = (await request.json())["trades"]
        if row["kind"] == "reversal":
            undone = next(one for one in self.trades if one["trade_id"] == row["reverses"])
            undone["reversed_by"] = "e2" if self.reverses else None
        self.trades.append({"trade_id": row["trade_id"], "reversed_by": None})
        return web.json_response({"id": "j2"}, status=202)

    async def _logout(self, _: web.Request) -> web.Response:
        if self.forgets:
            self.token = None
        return web.Response(status=204)


@asynccontextmanager
async def pretending(pretender: Pretender, tls: ssl.SSLContext | None = None) -> AsyncIterator[URL]:
    """Serve it on loopback."""
    runner = web.AppRunner(pretender.app(), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        port = runner.addresses[0][1]
        yield URL(f"https://localhost:{port}" if tls else f"http://127.0.0.1:{port}")
    finally:
        await runner.cleanup()
