"""The way of every request, in one function: id, address, asker, quota, route, answer, headers, one line in the log.

There is no stack of middlewares: each would cost a frame and a look-up for every request, and their order would be a
rule that nobody wrote down.  The order is here.  Verified first, then charged: a forged token that names somebody costs
that somebody nothing, it is charged to the address it came from.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from gateway.call import Call, Parts
from gateway.dispatching import dispatcher
from gateway.edge.answer import Answer
from gateway.edge.cors import Cors
from gateway.edge.draining import Draining
from gateway.edge.headers import secure
from gateway.edge.passage import PASSAGE, REQUEST_ID, Passage, Proxies, numbered
from gateway.edge.refusals import problem_of
from gateway.edge.seams import Authenticator, RateLimiter
from gateway.edge.settings import EdgeSettings
from gateway.eventstream import EventStream
from gateway.problems import MEDIA_TYPE, Problem, document
from gateway.routes import Route

METHODS = "DELETE, GET, HEAD, OPTIONS, PATCH, POST"
AUTHORIZATION_MAX = 4096
CLIENT_WENT = 499  # as nginx writes it: nobody was left to answer
Log = Callable[[web.BaseRequest, Passage, int], None]
NoteRefusal = Callable[[Call, str], Awaitable[None]]
Run = Callable[[web.Request, Passage], Awaitable[web.StreamResponse]]
_VERSIONS = frozenset({(1, 0), (1, 1)})


class Door:
    """One gateway's front: ``middleware`` is around everything, ``handler`` makes what answers a route."""

    def __init__(
        self,
        parts: Parts,
        *,
        authenticator: Authenticator,
        limiter: RateLimiter,
        settings: EdgeSettings,
        draining: Draining,
        log: Log,
        note_refusal: NoteRefusal,
    ) -> None:
        self._parts, self._authenticator, self._limiter = parts, authenticator, limiter
        self._settings, self._draining, self._log = settings, draining, log
        self._proxies, self._cors, self._number = (
            Proxies(settings.trusted_proxies),
            Cors(settings.cors_origins),
            numbered(),
        )
        self._note_refusal = note_refusal
        self._fixed: dict[tuple[str, str], Run] = {}

    def middleware(self) -> Middleware:
        """Give the one middleware: whatever happens inside, an answer with all its headers comes out."""

        @web.middleware
        async def door(request: web.Request, handler: Handler) -> web.StreamResponse:
            async def run(request: web.Request, passage: Passage) -> web.StreamResponse:
                request[PASSAGE] = passage
                return await handler(request)

            return await self._through(request, run)

        return door

    def front(self, app_handles: Handler) -> Handler:
        """Give the shorter way for routes whose path is always the same; ``app_handles`` answers everything else."""
        fixed, through, allowed = self._fixed, self._through, dict[str, set[str]]()
        for method, path in fixed:
            allowed.setdefault(path, set()).update([method, "HEAD"] if method == "GET" else [method])

        async def front(request: web.Request) -> web.StreamResponse:
            path = request.rel_url.raw_path
            run = fixed.get((request.method, path))
            if run is None and path in allowed and request.method not in allowed[path]:
                run = _not_that_method(allowed[path])
            return await app_handles(request) if run is None else await through(request, run)

        return front

    def handler(self, route: Route) -> Handler:
        """Give what aiohttp calls for a route."""
        run = self._runner(route)
        if "{" not in route.path:
            self._fixed[route.method, route.path] = run

        async def handle(request: web.Request) -> web.StreamResponse:
            return await run(request, request[PASSAGE])

        return handle

    async def _through(self, request: web.Request, run: Run) -> web.StreamResponse:
        peer, proxies, draining = request.remote or "", self._proxies, self._draining
        trusted = proxies.trusts(peer)
        request_id = (proxies.request_id(request) if trusted else None) or self._number()
        passage = Passage(request_id, peer, time.perf_counter())
        REQUEST_ID.set(request_id)
        draining.enter()
        try:
            if trusted:
                passage.address = proxies.address(request, peer)
            _check_protocol(request)
            asked = self._cors.preflight(request) if request.method == "OPTIONS" else None
            answer = asked or await run(request, passage)
        except asyncio.CancelledError:
            self._log(request, passage, CLIENT_WENT)
            raise
        except Exception as error:  # noqa: BLE001  this is where every error becomes an answer
            problem = problem_of(error, request, passage)
            if "Expect" in request.headers:  # whether the body comes all the same, only the client knows
                problem.headers["Connection"] = "close"
            answer = Answer(
                document(problem, request_id), status=problem.status, media_type=MEDIA_TYPE, more=problem.headers
            )
        finally:
            draining.leave()
        if not answer.prepared:
            headers = answer.more if isinstance(answer, Answer) else answer.headers
            if headers is answer.headers:
                secure(answer.headers)
            headers["X-Request-Id"] = request_id
            if passage.quota is not None:
                headers.update(passage.quota)
            self._cors.mark(request, headers)
            if draining.now:
                answer.force_close()
        self._log(request, passage, answer.status)
        return answer

    def _runner(self, route: Route) -> Run:
        dispatch = dispatcher(route, body_s=self._settings.body_s, handler_s=self._settings.handler_s)
        parts, needs, name = self._parts, route.needs, f"{route.method} {route.path}"
        guard, guarded = self._limiter.guard, route.tag == "auth" or (needs or "").startswith("admin:")
        admit = self._admit_anybody if needs is None else self._admit
        challenge = {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{needs}"'}

        async def run(request: web.Request, passage: Passage) -> web.StreamResponse:
            passage.route, passage.quiet = name, route.free
            if guarded:
                guard()
            if not route.free:
                await admit(request, passage)
            asker = passage.asker
            call = Call(request, parts, asker, passage.request_id, passage.address)
            if needs is not None and (asker is None or needs not in asker.scopes):
                await self._note_refusal(call, name)
                raise Problem("insufficient_scope", f"this needs the scope {needs}", headers=challenge)
            value = await dispatch(call)
            if isinstance(value, EventStream):
                return await self._follow(request, passage, value)
            return value

        return run

    async def _admit(self, request: web.Request, passage: Passage) -> None:
        """Find out who asks and charge them; who cannot be verified is charged by address."""
        given = request.headers.getall("Authorization", ())
        if len(given) > 1:
            raise Problem("malformed_request", "Authorization is given more than once")
        try:
            if given and len(given[0]) > AUTHORIZATION_MAX:
                raise unauthenticated()
            asker = (self._authenticator.known(given[0]) if given else None) or (
                await self._authenticator.authenticate(request)
            )
        except Problem as problem:
            if problem.status == 401:
                await self._charge_address(passage)
            raise
        passage.asker = asker
        limiter = self._limiter
        verdict = await limiter.charge(asker.quota, self._settings.limits(asker))
        if not verdict.admitted:
            raise limiter.refusal(verdict)
        passage.quota = limiter.headers(verdict)

    async def _admit_anybody(self, _: web.Request, passage: Passage) -> None:
        await self._charge_address(passage)

    async def _charge_address(self, passage: Passage) -> None:
        verdict = await self._limiter.charge_address(passage.address)
        if not verdict.admitted:
            raise self._limiter.refusal(verdict)

    async def _follow(self, request: web.Request, passage: Passage, stream: EventStream) -> web.StreamResponse:
        answer = web.StreamResponse()
        secure(answer.headers)
        self._cors.mark(request, answer.headers)
        headers: Mapping[str, str] = {**answer.headers, **(passage.quota or {}), "X-Request-Id": passage.request_id}
        chunks = self._while_let_in(request, stream.chunks)
        return await EventStream(self._draining.until_draining(chunks)).respond(request, headers)

    async def _while_let_in(
        self, request: web.Request, chunks: AsyncGenerator[bytes, None]
    ) -> AsyncGenerator[bytes, None]:
        """Hand on what comes while its reader would be let in: who is logged out is told nothing more."""
        async with aclosing(chunks):
            async for chunk in chunks:
                try:
                    await self._authenticator.authenticate(request)
                except Problem:
                    return
                yield chunk


def _not_that_method(allowed: set[str]) -> Run:
    async def run(_: web.Request, __: Passage) -> web.StreamResponse:
        raise Problem("method_not_allowed", headers={"Allow": ", ".join(sorted(allowed))})

    return run


def unauthenticated(detail: str | None = None) -> Problem:
    """Say that a token is needed."""
    return Problem("unauthenticated", detail, headers={"WWW-Authenticate": "Bearer"})


def _check_protocol(request: web.Request) -> None:
    if request.version not in _VERSIONS:
        raise Problem("version_not_supported", headers={"Connection": "close"})
    if request.method == "CONNECT":  # what it names is no path, so that the router has no word for it
        raise Problem("method_not_allowed", headers={"Allow": METHODS, "Connection": "close"})
