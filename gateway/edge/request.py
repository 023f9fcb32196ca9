"""A request that knows its passage, and whose answers do not name the software that gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from aiohttp.web_response import StreamResponse


class EdgeRequest(web.Request):
    """aiohttp's, but for one header of its answers."""

    async def _prepare_hook(self, response: StreamResponse) -> None:
        response.headers.popall("Server", None)
        if self._match_info is not None:
            await super()._prepare_hook(response)
