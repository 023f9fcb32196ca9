"""Clients that ask as fast as they are answered until nobody listens any more, and count who was not answered."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Tally:
    """What the clients met."""

    answered: int = 0
    unanswered: list[str] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)


async def ask_on(port: int, token: str, tally: Tally) -> None:
    """Ask until nobody listens; on a connection as long as it is kept, else on a new one."""
    request = f"GET /api/v1/auth/me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            return
        try:
            kept = True
            while kept:
                writer.write(request)
                first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                await reader.readexactly(int(headers["content-length"]))
                tally.answered += 1
                tally.statuses[int(first.split()[1])] += 1
                kept = headers.get("connection") != "close"
        except (OSError, EOFError) as error:
            tally.unanswered.append(repr(error))
        finally:
            writer.close()
