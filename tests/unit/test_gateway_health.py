"""Readiness is asked for by anybody, and asked about once."""

from __future__ import annotations

import asyncio

from gateway.health import Readiness, shared


async def test_those_who_ask_at_once_are_told_by_one_question_and_the_next_asks_anew() -> None:
    asked, go_on = 0, asyncio.Event()

    async def ask() -> Readiness:
        nonlocal asked
        asked += 1
        await go_on.wait()
        return Readiness("ready", {"asked": str(asked)})

    together = shared(ask)
    waiting = [asyncio.ensure_future(together()) for _ in range(20)]
    await asyncio.sleep(0)
    waiting[0].cancel()  # whoever goes away takes the answer from nobody
    await asyncio.sleep(0)
    go_on.set()
    assert {one.checks["asked"] for one in await asyncio.gather(*waiting[1:])} == {"1"}
    assert (await together()).checks["asked"] == "2"
