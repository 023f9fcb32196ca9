"""One user's questions wait for each other, and for nobody else's."""

from __future__ import annotations

import asyncio

from gateway.turns import Turns


async def test_so_many_of_one_user_are_inside_at_once_and_others_do_not_wait() -> None:
    turns, inside, most, go_on = Turns(at_once=2), 0, 0, asyncio.Event()

    async def ask(name: str) -> None:
        nonlocal inside, most
        async with turns.taken(name):
            inside += name == "ann"
            most = max(most, inside)
            await go_on.wait()
            inside -= name == "ann"

    asked = [asyncio.create_task(ask("ann")) for _ in range(9)]
    await asyncio.sleep(0)
    other = asyncio.create_task(ask("bob"))
    asked[8].cancel()  # whoever goes away while waiting takes no turn from anybody
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(*asked[:8], other)
    assert most == 2
    assert not turns._gates, "nothing is kept of users who ask nothing"
