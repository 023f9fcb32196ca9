"""One connection: aiohttp's, with a time limit for each request's head, and its own words for what cannot be read."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMethod
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler

from gateway.edge.answer import Answer
from gateway.edge.door import METHODS
from gateway.edge.passage import Passage, numbered
from gateway.problems import MEDIA_TYPE, Problem, document

if TYPE_CHECKING:
    from gateway.edge.server import EdgeServer

_number = numbered()


class Connection(RequestHandler):
    """``waiting_since`` is when the first byte of a request came (at first: when the connection was made), and None
    while none is on its way in: then aiohttp's keep-alive time counts.
    """

    __slots__ = ("_address", "_body", "_line", "_server", "_unread", "waiting_since")

    def __init__(self, server: EdgeServer, *, loop: asyncio.AbstractEventLoop, **more: Any) -> None:
        super().__init__(server, loop=loop, **more)
        self._server = server
        self._address: str | None = None
        self._body: StreamReader | None = None
        self._line: asyncio.Transport | None = None  # aiohttp forgets its own when it begins to close
        self._unread: tuple[int, float] | None = None
        self.waiting_since: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, or hang up where this address has too many already."""
        self._line = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        address = peer[0] if isinstance(peer, tuple) else ""
        if not self._server.enter(self, address):
            self._force_close = True
            self._line.abort()
            return
        self._address, self.waiting_since = address, self._server.clock()
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """End; what was not let in has nothing to end."""
        if self._address is not None:
            self._server.leave(self, self._address)
            self.waiting_since = None
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, and note whether a request's head is on its way in."""
        count, body = self._request_count, self._body
        in_body = body is not None and not body.is_eof()
        super().data_received(data)
        if self._request_count != count:
            self.waiting_since = None
            self._body = self._messages[-1][1] if self._messages else None
        elif self.waiting_since is None and not in_body:
            self.waiting_since = self._server.clock()

    def resume_writing(self) -> None:
        """Go on: the other side has taken some of what was sent."""
        super().resume_writing()
        self._unread = None

    def is_late(self, now: float, *, header_s: float, unread_s: float) -> bool:
        """Whether a head does not come to its end, or nothing of what was sent is taken; asked now and then."""
        assert self._line is not None, "a connection is asked while it is open"
        size = self._line.get_write_buffer_size()
        if not size:
            self._unread = None
        elif self._unread is None or size < self._unread[0]:
            self._unread = size, now
        elif self._unread[1] <= now - unread_s:
            return True
        return self.waiting_since is not None and self.waiting_since <= now - header_s

    def drop(self) -> None:
        """Close; what the other side has not taken is thrown away, or it would be waited for without end."""
        self.force_close()
        if self._line is not None and self._line.get_write_buffer_size():
            self._line.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002  it may repeat the client's bytes
    ) -> web.StreamResponse:
        """Answer what could not be read with a problem document that repeats none of it, and hang up."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was begun already")
        passage = Passage(_number(), request.remote or "", self._loop.time())
        more = {"X-Request-Id": passage.request_id, "Connection": "close"}
        if isinstance(exc, BadHttpMethod):
            problem = Problem("method_unknown")
            more["Allow"] = METHODS
        else:
            problem = Problem("malformed_request" if status < 500 else "internal")
        answer = Answer(document(problem, passage.request_id), status=problem.status, media_type=MEDIA_TYPE, more=more)
        self._server.log(request, passage, answer.status)
        return answer
