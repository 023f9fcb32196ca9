"""A gateway of a test's own with a few routes that do what a test wants, and raw connections to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, cast

import msgspec
from aiohttp import ClientSession, web
from multidict import CIMultiDictProxy

from gateway.app import DRAINING, make_app
from gateway.call import Call, Parts
from gateway.edge.accesslog import AccessLog
from gateway.edge.server import EdgeServer, serving
from gateway.edge.settings import EdgeSettings
from gateway.health import Probe
from gateway.problems import Problem
from gateway.routes import Reply, Routes
from tests.integration.gateway.standins import CountingLimiter, WordAuthenticator, principal

USER, ADMIN = "5eed0000-0000-7000-8000-00000000000a", "5eed0000-0000-7000-8000-00000000000b"
AS_USER, AS_ADMIN = {"Authorization": "Bearer user-word"}, {"Authorization": "Bearer admin-word"}
PEOPLE = {"user-word": principal(USER, "user"), "admin-word": principal(ADMIN, "admin")}


class Thing(msgspec.Struct, forbid_unknown_fields=True):
    """What goes in and comes out."""

    name: Annotated[str, msgspec.Meta(max_length=2000)]
    amount: int = 0
    within: Any = None


class ThingPath(msgspec.Struct, forbid_unknown_fields=True):
    """Which."""

    thing: str


class Listing(msgspec.Struct, forbid_unknown_fields=True):
    """How many."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 50
    coin: list[str] = []


class Form(msgspec.Struct, forbid_unknown_fields=True):
    """A form."""

    name: str
    amount: int = 0


@dataclass
class Doing:
    """What the routes do when they are asked, and what came of it."""

    started: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    error: BaseException | None = None
    ended: list[str] = field(default_factory=list)
    seen: list[Call] = field(default_factory=list)


def doing_routes(doing: Doing) -> Routes:
    """The routes of these tests."""
    routes = Routes("things")

    @routes.get("/things", needs="jobs:read")
    async def list_things(call: Call, query: Listing) -> Listing:
        """Say what was asked."""
        doing.seen.append(call)
        return query

    @routes.post("/things", needs="jobs:write", status=201)
    async def make_thing(_: Call, body: Thing) -> Thing:
        """Give back what came."""
        return body

    @routes.post("/forms", needs=None, takes="application/x-www-form-urlencoded")
    async def fill_form(_: Call, body: Form) -> Form:
        """Give back what came."""
        return body

    @routes.get("/things/{thing}", needs="jobs:read")
    async def get_thing(_: Call, path: ThingPath) -> ThingPath:
        """Say which."""
        return path

    @routes.post("/changes/{thing}", needs="jobs:write", status=201)
    async def change_thing(_: Call, path: ThingPath, body: Thing) -> Thing:
        """Give back what came, under another name."""
        return Thing(path.thing, body.amount)

    @routes.get("/slow", needs="jobs:read")
    async def slow(_: Call) -> Thing:
        """Take the time that the test takes."""
        return await _wait(doing)

    @routes.post("/slow", needs="jobs:write")
    async def slow_write(_: Call) -> Thing:
        """Take the time that the test takes, with something to be done."""
        return await _wait(doing)

    @routes.get("/works", needs="admin:read")
    async def works(_: Call) -> Thing:
        """Only for administrators."""
        return Thing("works")

    @routes.get("/fails", needs="jobs:read")
    async def fails(_: Call) -> Thing:
        """Raise what the test wants raised."""
        assert doing.error is not None
        raise doing.error

    @routes.get("/csv", needs="jobs:read", media_type="text/csv")
    async def csv(_: Call) -> Reply[str]:
        """Answer with text and a header."""
        return Reply("a,b\n", headers={"Content-Disposition": "attachment"})

    return routes


async def _wait(doing: Doing) -> Thing:
    doing.started.set()
    try:
        await doing.go_on.wait()
    except asyncio.CancelledError:
        doing.ended.append("cancelled")
        raise
    doing.ended.append("done")
    return Thing("slow")


@dataclass
class Answer:
    """One answer, read whole."""

    status: int
    headers: CIMultiDictProxy[str] | Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json["code"])


@dataclass
class Hand:
    """A clock that a test moves."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Front:
    """A running gateway of these routes."""

    port: int
    app: web.Application
    doing: Doing
    limiter: CountingLimiter
    lines: list[bytes]
    log: AccessLog
    client: ClientSession
    server: EdgeServer
    opened: list[asyncio.StreamWriter] = field(default_factory=list)

    async def ask(self, method: str, path: str, **more: Any) -> Answer:
        """Ask as aiohttp's client does."""
        async with self.client.request(method, f"http://127.0.0.1:{self.port}{path}", **more) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    async def raw(self, sent: bytes, *, host: str | None = None) -> Answer:
        """Send bytes, and read until the other side closes."""
        reader, writer = await self.connect(host=host)
        writer.write(sent)
        answer = await reader.read()
        writer.close()
        return parsed(answer)

    async def connect(self, *, host: str | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection, from another address of this machine where one is given."""
        local = (host, 0) if host else None
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, local_addr=local)
        self.opened.append(writer)
        return reader, writer

    def told(self) -> list[dict[str, Any]]:
        """The lines of the access log so far."""
        self.log.flush()
        return [json.loads(line) for chunk in self.lines for line in chunk.splitlines()]


def parsed(answer: bytes) -> Answer:
    """Take an answer apart."""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Answer(int(first.split()[1]), headers, body)


@asynccontextmanager
async def open_front(
    *,
    settings: EdgeSettings | None = None,
    probes: Mapping[str, Probe] | None = None,
    more: Iterable[Routes] = (),
    parts: Parts | None = None,
    notice_s: float = 0.0,
    grace_s: float = 5.0,
    clock: Any = None,
    share: float = 1.0,
) -> AsyncIterator[Front]:
    """Serve these routes; what they do is in ``front.doing``."""
    doing, limiter, lines = Doing(), CountingLimiter(), list[bytes]()
    log = AccessLog(lines.append, share=share)
    settings = settings or EdgeSettings()
    app = make_app(
        cast(Parts, parts or NO_STORES),
        areas=[doing_routes(doing), *more],
        authenticator=WordAuthenticator(PEOPLE),
        limiter=limiter,
        probes=probes or {},
        log=log,
        keys=lambda: {"keys": []},
        settings=settings,
    )
    timed = {} if clock is None else {"clock": clock}
    async with ClientSession(auto_decompress=False) as client:
        serve = serving(
            app,
            "127.0.0.1",
            0,
            log=log,
            settings=settings,
            notice_s=notice_s,
            grace_s=grace_s,
            made=_held.append,
            **timed,
        )
        async with serve as port:
            front = Front(port, app, doing, limiter, lines, log, client, _held.pop())
            yield front
            for writer in front.opened:
                writer.close()
    log.flush()
    assert app[DRAINING].now


_held: list[EdgeServer] = []


class _NoStores:
    """A gateway whose routes need no store."""

    auth = None


NO_STORES = _NoStores()


def problem(code: str) -> Problem:
    """What a handler raises."""
    return Problem(code)
