"""Ten thousand connections that are kept open and ask nothing: what they cost, and whether anybody else notices."""

from __future__ import annotations

import asyncio
import resource
import time
from collections import Counter
from urllib.parse import urlsplit

import psutil
from aiohttp import ClientSession

from gateway.edge.files import room_for
from tests.load.outcome import Outcome

CONNECTIONS, ABREAST = 10_000, 200
NETWORK = 2  # 127.0.2.x, 127.0.3.x, ...: all of 127/8 is this machine
KILOBYTES_MAX, HEALTH_MS_MAX, IDLE_SHARE_MAX = 24.0, 100.0, 0.1
WATCHED_S = 5.0
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def idle(url: str, pid: int, token: str, *, per_address: int) -> Outcome:
    """Hold as many as files can be open here, from as many addresses as are needed, each after one request."""
    port, gateway = urlsplit(url).port or 80, psutil.Process(pid)
    many = room_for(CONNECTIONS)
    before = gateway.memory_info().rss
    held = await _hold(port, many, per_address)
    grown = (gateway.memory_info().rss - before) / 1024 / max(1, len(held))
    used = gateway.cpu_times()
    await asyncio.sleep(WATCHED_S)
    share = (sum(gateway.cpu_times()[:2]) - sum(used[:2])) / WATCHED_S
    statuses = Counter[int]()
    began = time.perf_counter()
    async with ClientSession(url) as client:
        async with client.get("/healthz") as answer:
            statuses[answer.status] += 1
        health_ms = (time.perf_counter() - began) * 1000
        async with client.get("/api/v1/auth/me", headers={"Authorization": f"Bearer {token}"}) as answer:
            statuses[answer.status] += 1
    one_more = await _open(port, _address(0))
    gone = sum(reader.at_eof() for reader, _ in held)
    for _, writer in [*held, *([one_more] if one_more else [])]:
        writer.close()
    return Outcome(
        "idle",
        f"{len(held)} idle connections from {-(-many // per_address)} addresses",
        statuses,
        f"{grown:.1f} kB each, {share:.1%} of a core, health in {health_ms:.0f} ms",
        wrong={
            "not held": many - len(held) + gone,
            f"over {KILOBYTES_MAX:.0f} kB each": grown > KILOBYTES_MAX,
            f"health over {HEALTH_MS_MAX:.0f} ms": health_ms > HEALTH_MS_MAX,
            f"over {IDLE_SHARE_MAX:.0%} of a core": share > IDLE_SHARE_MAX,
            "new client not served": statuses != {200: 2},
            "one more of a full address let in": one_more is not None,
            "too few files may be open": resource.getrlimit(resource.RLIMIT_NOFILE)[0] < CONNECTIONS,
        },
    )


def _address(n: int) -> str:
    return f"127.0.{NETWORK + n // 250}.{1 + n % 250}"


async def _hold(port: int, many: int, per_address: int) -> list[Line]:
    held: list[Line] = []
    for start in range(0, many, ABREAST):
        places = range(start, min(start + ABREAST, many))
        opened = await asyncio.gather(*(_open(port, _address(n // per_address)) for n in places))
        held += [line for line in opened if line is not None]
    return held


async def _open(port: int, address: str) -> Line | None:
    """Connect from an address and ask once; None where the other side hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0), limit=2048)
    writer.write(HEALTH)
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-l"))
        await reader.readexactly(length)
    except (OSError, EOFError):
        writer.close()
        return None
    return reader, writer
