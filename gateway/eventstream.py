"""Server-sent events: an answer that goes on while there is something to tell (WHATWG HTML, section 9.2).

A handler gives an EventStream back like any other answer, not yet prepared: whoever adds headers to answers still can,
and aiohttp writes what comes when it ends the answer.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

import orjson
from aiohttp import web

MEDIA_TYPE = "text/event-stream"
HEARTBEAT = b": still here\n\n"


class EventStream(web.StreamResponse):
    """Sends chunks, as ``event`` and ``HEARTBEAT`` write them, until there are no more or the client has gone."""

    def __init__(self, chunks: AsyncGenerator[bytes, None]) -> None:
        super().__init__()
        self.content_type = MEDIA_TYPE
        self.headers["X-Accel-Buffering"] = "no"  # a proxy that collects events would make them late
        self._chunks = chunks

    async def write_eof(self, data: bytes = b"") -> None:
        """Send everything there is to tell, then end."""
        async with aclosing(self._chunks) as chunks:
            try:
                async for chunk in chunks:
                    await self.write(chunk)
            except ConnectionError:  # the client has gone: it comes back with Last-Event-ID, or not at all
                return
        await super().write_eof(data)


def event(name: str, data: object, *, ident: str, retry_ms: int | None = None) -> bytes:
    """Write one event; ``ident`` comes back as Last-Event-ID, ``retry_ms`` is when a client may come back."""
    retry = b"" if retry_ms is None else b"retry: %d\n" % retry_ms
    # JSON on one line: no value in it can end the line, and so none can begin a field.
    return retry + b"id: %s\nevent: %s\ndata: %s\n\n" % (ident.encode(), name.encode(), orjson.dumps(data))
