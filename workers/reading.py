"""Reading a page on the event loop without holding it up: after every few rows, whoever is ready has a turn."""

from __future__ import annotations

import asyncio

from sqlalchemy.util import await_only, greenlet_spawn

from workers.items import Page, Parsed, Provider
from workers.providers.reading import breath


class Reading:
    """Reads the pages of a process one after the other, so that the first is ready to be posted while others wait."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def read(self, provider: Provider, page: Page) -> Parsed:
        """Parse a page; raises what the parser raises.

        A parser is a plain function.  The greenlet lets it stand still in the middle, as SQLAlchemy does with its own.
        """
        async with self._turn:
            return await greenlet_spawn(_parse, provider, page)


def _parse(provider: Provider, page: Page) -> Parsed:
    token = breath.set(_give_way)
    try:
        return provider.parse(page)
    finally:
        breath.reset(token)


def _give_way() -> None:
    await_only(asyncio.sleep(0))
