"""Customers who never stop: each asks, posts and reads in turn, and keeps a record of every answer."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import aiohttp

PAUSE_S = 0.05
TRIES = 3


@dataclass(slots=True)
class Record:
    """What was asked and what came of it; ``seconds`` are those of each answered request."""

    jobs: list[str] = field(default_factory=list)
    trades: list[str] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    cut_off: list[str] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)

    def percentile(self, share: float) -> float:
        """The time within which so many were answered, in milliseconds."""
        return 1000 * sorted(self.seconds)[int(share * (len(self.seconds) - 1))]


@dataclass(slots=True)
class Customer:
    """One who asks as programs do: a request that was cut off is sent again under the same key."""

    base: str
    token: str
    record: Record
    writes: aiohttp.ClientSession
    reads: aiohttp.ClientSession

    async def carry_on(self, stop: asyncio.Event) -> None:
        """Ask until told to stop."""
        n = 0
        while not stop.is_set():
            n += 1
            if n % 5 == 0:
                trade = f"roll-{uuid4()}"
                bought = {"kind": "buy", "base": "BTC", "qty": "1", "price": "100", "trade_id": trade}
                at = datetime.now(UTC).isoformat()
                told = await self._post("trades", {"source": "roll", "trades": [{**bought, "happened_at": at}]})
                if told is not None:
                    self.record.trades.append(trade)
            else:
                told = await self._post("jobs", {"kind": "probe"})
            if told is not None:
                self.record.jobs.append(told["id"])
                await self._ask(self.reads, "GET", f"jobs/{told['id']}")
            await asyncio.sleep(PAUSE_S)

    async def _post(self, path: str, body: Any) -> Any:
        return await self._ask(self.writes, "POST", path, json=body, headers={"Idempotency-Key": str(uuid4())})

    async def _ask(self, http: aiohttp.ClientSession, method: str, path: str, **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.token}", **more.pop("headers", {})}
        for _ in range(TRIES):
            began = time.perf_counter()
            try:
                async with http.request(method, f"{self.base}/{path}", headers=headers, **more) as answer:
                    told = await answer.json(content_type=None)
                    self.record.seconds.append(time.perf_counter() - began)
                    self.record.statuses[answer.status] += 1
                    return told if answer.status < 300 else None
            except (aiohttp.ClientError, TimeoutError) as error:
                self.record.cut_off.append(f"{method} {path}: {type(error).__name__}")
        self.record.unanswered.append(f"{method} {path}")
        return None
