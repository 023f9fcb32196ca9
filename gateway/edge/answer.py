"""An answer that is written in one piece: head and body, from lines that were mostly made at start.

aiohttp builds a dictionary of headers for every answer, looks through it several times and joins it again; for an
answer that is whole in memory all of that says the same each time.  What this cannot say in one piece (HEAD, HTTP/1.0,
a large body, a header in place of a usual one) goes aiohttp's way, and a test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import HttpVersion11, web
from aiohttp.helpers import rfc822_formatted_time
from multidict import CIMultiDict

from gateway.edge.headers import SECURITY

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.web_request import BaseRequest

JSON = "application/json"
ONE_PIECE_MAX = 32_768
_USUAL = frozenset(name.lower() for name in (*SECURITY, "Content-Type", "Content-Length", "Date", "Connection"))


class Answer(web.Response):
    """``body`` whole in memory; ``more`` are headers beside the usual ones, or in place of them."""

    def __init__(
        self, body: bytes, *, status: int = 200, media_type: str = JSON, more: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(body=body, status=status)
        self.headers["Content-Type"] = media_type
        self.more: dict[str, str] = dict(more) if more else {}

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        """Write everything at once where that is possible, else leave it to aiohttp."""
        body = self._body
        if (
            isinstance(body, bytes)
            and len(body) <= ONE_PIECE_MAX
            and self._status >= 200
            and self._status not in (204, 304)
            and request.version == HttpVersion11
            and request.method != "HEAD"
            and request.keep_alive
            and self._keep_alive is None
            and len(self._headers) == 1
            and _USUAL.isdisjoint(map(str.lower, self.more))
        ):
            self._at_once(request, body)
            if request.protocol.writing_paused:  # who asks and does not read the answers is not answered any further
                await request.writer.drain()
            return None
        for name, value in SECURITY.items():
            self._headers.setdefault(name, value)
        self._headers.update(self.more)
        if self.more.get("Connection", "").lower() == "close":
            self.force_close()
        return await super().prepare(request)

    def _at_once(self, request: BaseRequest, body: bytes) -> None:
        transport = request.protocol.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("nobody is there any more")
        lines = "".join([f"{name}: {value}\r\n" for name, value in self.more.items()])
        if lines.count("\n") != len(self.more) or lines.count("\r") != len(self.more):
            raise ValueError("a header holds a line end")
        head = (
            f"{_first(self._status, self._headers['Content-Type'])}Content-Length: {len(body)}\r\n"
            f"Date: {rfc822_formatted_time()}\r\n{lines}\r\n"
        )
        transport.write(head.encode("latin-1") + body)
        self._keep_alive, self._eof_sent, self._body_length = True, True, len(body)


@lru_cache(maxsize=256)
def _first(status: int, media_type: str) -> str:
    lines: CIMultiDict[str] = CIMultiDict({"Content-Type": media_type, **SECURITY})
    written = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{written}"
