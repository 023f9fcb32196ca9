"""A task that was cancelled ends, whatever the library under it made of that."""

from __future__ import annotations

import asyncio

import pytest

from broker.cancelling import heeds_cancellation


async def _loses_it(*, then: Exception | None) -> str:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        if then is not None:
            raise then from None
    return "done"


@pytest.mark.parametrize("then", [None, ConnectionError("closed")])
async def test_a_lost_cancellation_is_raised_after_all(then: Exception | None) -> None:
    task = asyncio.create_task(heeds_cancellation(_loses_it)(then=then))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def test_results_and_errors_of_one_that_was_not_cancelled_are_its_own() -> None:
    @heeds_cancellation
    async def gives(value: int) -> int:
        if value < 0:
            raise ValueError(value)
        return value

    assert await gives(3) == 3
    with pytest.raises(ValueError, match="-1"):
        await gives(-1)


async def test_a_time_limit_around_it_is_still_a_time_limit() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await heeds_cancellation(_loses_it)(then=None)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_what_is_done_while_a_cancelled_task_leaves_is_not_cancelled_once_more() -> None:
    said: list[str] = []

    @heeds_cancellation
    async def says() -> None:
        said.append("goodbye")

    async def leaves_politely() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await says()
            said.append("gone")

    task = asyncio.create_task(leaves_politely())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert said == ["goodbye", "gone"]
