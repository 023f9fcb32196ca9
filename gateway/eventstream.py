"""Server-sent events: an answer that goes on while there is something to tell (WHATWG HTML, section 9.2).

A handler returns an EventStream in place of a value; whoever writes answers calls ``respond`` with the headers that
every answer carries.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass

import orjson
from aiohttp import web

MEDIA_TYPE = "text/event-stream"
HEARTBEAT = b": still here\n\n"


@dataclass(frozen=True, slots=True)
class EventStream:
    """Chunks as ``event`` and ``HEARTBEAT`` write them; the answer ends with them, or when the client goes."""

    chunks: AsyncGenerator[bytes, None]

    async def respond(self, request: web.Request, headers: Mapping[str, str]) -> web.StreamResponse:
        """Write the answer to its end."""
        answer = web.StreamResponse(headers=headers)
        answer.content_type = MEDIA_TYPE
        answer.headers["X-Accel-Buffering"] = "no"  # a proxy that collects events would make them late
        async with aclosing(self.chunks) as chunks:
            await answer.prepare(request)
            try:
                async for chunk in chunks:
                    await answer.write(chunk)
                await answer.write_eof()
            except ConnectionError:  # the client has gone: it comes back with Last-Event-ID, or not at all
                pass
        return answer


def event(name: str, data: object, *, ident: str, retry_ms: int | None = None) -> bytes:
    """Write one event; ``ident`` comes back as Last-Event-ID, ``retry_ms`` is when a client may come back."""
    retry = b"" if retry_ms is None else b"retry: %d\n" % retry_ms
    # JSON on one line: no value in it can end the line, and so none can begin a field.
    return retry + b"id: %s\nevent: %s\ndata: %s\n\n" % (ident.encode(), name.encode(), orjson.dumps(data))
