"""What the sandbox says it invented is what the real provider modules read out of its answers, fault or no fault."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ops.sandbox import SandboxConfig, SandboxServer, running_sandbox
from workers.items import InHeader, Page, Parsed, Provider, Pull, Request
from workers.providers.cryptopanic import PROVIDER as CRYPTOPANIC
from workers.providers.nansen import PROVIDER as NANSEN
from workers.providers.newscatcher import PROVIDER as NEWSCATCHER

NOW = datetime(2026, 3, 1, 12, 17, tzinfo=UTC)
RECORDED = Path(__file__).parents[3] / "shared/providers/recorded"
PROVIDERS: Mapping[str, Provider] = {one.name: one for one in (CRYPTOPANIC, NEWSCATCHER, NANSEN)}

needs_recordings = pytest.mark.skipif(not RECORDED.is_dir(), reason="no folder of recordings beside this checkout")


@dataclass
class Pulled:
    """What all streams of a sandbox led to."""

    items: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in PROVIDERS})
    rejected: Counter[str] = field(default_factory=Counter)
    bodies: dict[str, list[bytes]] = field(default_factory=dict)

    def keys(self, provider: str) -> set[str]:
        return set(self.items[provider])


class Collector:
    """Pulls streams to their ends with the product's own pure provider modules."""

    def __init__(self, server: SandboxServer, session: aiohttp.ClientSession) -> None:
        self._url = server.url
        self._session = session
        self.pulled = Pulled()

    async def control(self, name: str) -> Any:
        async with self._session.get(f"{self._url}/_sandbox/{name}") as response:
            return await response.json()

    async def pull_all(self) -> Pulled:
        for stream in await self.control("streams"):
            for _ in range(stream.get("polls", 1)):
                await self._pull(stream)
        return self.pulled

    async def _pull(self, stream: Mapping[str, Any]) -> None:
        provider = PROVIDERS[stream["provider"]]
        pull = Pull(stream["dataset"], stream["params"], stream["mode"], until=datetime.now(UTC))
        cursor: str | None = None
        while True:
            parsed, pull = await self._page(provider, pull, cursor, stream["name"])
            self.pulled.items[provider.name].update(item.key for item in parsed.items)
            self.pulled.rejected[stream["name"]] += len(parsed.rejected)
            if (cursor := parsed.next) is None:
                return

    async def _page(self, provider: Provider, pull: Pull, cursor: str | None, name: str) -> tuple[Parsed, Pull]:
        body, at = await self._call(provider, provider.request(pull, cursor))
        self.pulled.bodies.setdefault(name, []).append(body)
        pull = replace(pull, polled_at=pull.polled_at or at)
        assert pull.polled_at is not None
        return provider.parse(Page(body, pull, cursor, fetched_at=at, polled_at=pull.polled_at)), pull

    async def _call(self, provider: Provider, asked: Request) -> tuple[bytes, datetime]:
        token = provider.apis[asked.api].token
        headers = {token.name: "key"} if isinstance(token, InHeader) else {}
        query = [*asked.query, *([] if headers else [(token.name, "key")])]
        url = f"{self._url}/{provider.name}{asked.path}"
        async with self._session.request(asked.method, url, params=query, json=asked.json, headers=headers) as response:
            assert response.status == 200, await response.text()
            return await response.read(), parsedate_to_datetime(response.headers["Date"])


@asynccontextmanager
async def collector(config: SandboxConfig) -> AsyncIterator[Collector]:
    async with running_sandbox(config) as server, aiohttp.ClientSession() as session:
        yield Collector(server, session)


@pytest.mark.parametrize("now", [NOW, None], ids=["frozen", "moving"])
async def test_pulling_all_streams_leads_to_exactly_what_was_invented(now: datetime | None) -> None:
    async with collector(SandboxConfig(size=300, now=now)) as sandbox:
        pulled = await sandbox.pull_all()
        invented = await sandbox.control("invented")
    for provider, told in invented.items():
        assert pulled.keys(provider) == set(told["keys"])
    # the articles come twice, by search and by headlines
    expected = {
        "posts": len(invented["cryptopanic"]["rejects"]),
        "articles": len(invented["newscatcher"]["rejects"]),
        "headlines": len(invented["newscatcher"]["rejects"]),
        "netflow": 1,
        "trades": len(invented["nansen"]["rejects"]) - 1,
    }
    assert {name: count for name, count in pulled.rejected.items() if count} == expected


async def test_a_frozen_sandbox_gives_the_same_bytes_for_the_same_first_call() -> None:
    async def once() -> dict[str, list[bytes]]:
        async with collector(SandboxConfig(size=100, now=NOW)) as sandbox:
            bodies = (await sandbox.pull_all()).bodies
            return {name: body for name, body in bodies.items() if name != "posts"}  # their links name the port

    assert await once() == await once()


@needs_recordings
async def test_recordings_lead_to_exactly_their_rows_run_after_run() -> None:
    async with collector(SandboxConfig(recorded=RECORDED)) as sandbox:
        pulled = await sandbox.pull_all()
        first = {name: set(keys) for name, keys in pulled.items.items()}
        posts, articles = pulled.items["cryptopanic"], pulled.items["newscatcher"]
        assert (posts.total(), len(posts)) == (200, 140)
        assert (articles.total(), len(articles)) == (236 + 575, 236 + 575 - 22)
        invented = await sandbox.control("invented")
        assert first == {name: set(told["keys"]) for name, told in invented.items()}
        again = await sandbox.pull_all()
        assert {name: set(keys) for name, keys in again.items.items()} == first
        assert await sandbox.control("invented") | {"nansen": None} == invented | {"nansen": None}
        assert not sum(pulled.rejected.values())


@needs_recordings
async def test_successive_screens_are_the_successive_recordings() -> None:
    async with collector(SandboxConfig(recorded=RECORDED)) as sandbox:
        stream = next(one for one in await sandbox.control("streams") if one["dataset"] == "token-screener")
        asked = NANSEN.request(Pull(stream["dataset"], stream["params"], stream["mode"], NOW), None)
        times = [(await sandbox._call(NANSEN, asked))[1] for _ in range(5)]
    assert times[:4] == sorted(set(times[:4]))
    assert times[4] == times[0]
