"""A client that costs little: kept-alive connections, each with one request under way, answers only counted."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Sequence
from typing import cast

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class _Caller(asyncio.Protocol):
    def __init__(self, requests: Sequence[bytes], budget: list[int], statuses: Counter[int]) -> None:
        self._requests, self._budget, self._statuses = requests, budget, statuses
        self._next, self._seen = 0, b""
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._ask()

    def _ask(self) -> None:
        if self._budget[0] <= 0:
            self._transport.close()
            return
        self._budget[0] -= 1
        self._transport.write(self._requests[self._next])
        self._next = (self._next + 1) % len(self._requests)

    def data_received(self, data: bytes) -> None:
        self._seen += data
        end = self._seen.find(b"\r\n\r\n")
        if end < 0:
            return
        length = _LENGTH.search(self._seen, 0, end)
        if length is None or len(self._seen) < end + 4 + int(length[1]):
            return
        self._statuses[int(self._seen[9:12])] += 1
        self._seen = b""
        self._ask()

    def connection_lost(self, _: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


def request(path: str, authorization: str) -> bytes:
    """Write a request as a client of an API does."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: load\r\nAccept: application/json\r\n"
        f"Authorization: {authorization}\r\n\r\n"
    ).encode()


async def load(port: int, requests: Sequence[bytes], many: int, *, connections: int = 32) -> Counter[int]:
    """Send so many requests over so many connections, these in turn; give the statuses of the answers."""
    budget, statuses, loop = [many], Counter[int](), asyncio.get_running_loop()
    callers = []
    for number in range(connections):
        start = number * len(requests) // connections
        turned = [*requests[start:], *requests[:start]]
        _, caller = await loop.create_connection(lambda: _Caller(turned, budget, statuses), "127.0.0.1", port)  # noqa: B023  called at once
        callers.append(caller)
    await asyncio.gather(*(caller.done for caller in callers))
    return statuses
