"""Calls of one moment share a run; each still gets its own answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from workers.together import Together


class Bank:
    """Writes batches down; each runs only when the test opens the gate."""

    def __init__(self, *, size_max: int = 256) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.together = Together(self.run, size_max=size_max)

    async def run(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        await self.gate.wait()
        if -1 in items:
            raise ValueError("one of them is bad")
        return [item * 10 for item in items]


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_an_idle_process_runs_each_at_once() -> None:
    bank = Bank()
    assert [await bank.together(1), await bank.together(2)] == [10, 20]
    assert bank.batches == [[1], [2]]


async def test_what_comes_in_one_turn_goes_together_and_each_gets_its_own_answer() -> None:
    bank = Bank()
    assert await asyncio.gather(*map(bank.together, range(5))) == [0, 10, 20, 30, 40]
    assert bank.batches == [[0, 1, 2, 3, 4]]


async def test_what_comes_during_a_run_waits_for_the_next() -> None:
    bank = Bank()
    bank.gate.clear()
    calls = [asyncio.create_task(bank.together(1))]
    await settled()
    calls += [asyncio.create_task(bank.together(n)) for n in (2, 3)]
    await settled()
    assert bank.batches == [[1]]
    bank.gate.set()
    assert await asyncio.gather(*calls) == [10, 20, 30]
    assert bank.batches == [[1], [2, 3]]


async def test_a_batch_is_no_larger_than_its_limit() -> None:
    bank = Bank(size_max=2)
    await asyncio.gather(*map(bank.together, range(5)))
    assert bank.batches == [[0, 1], [2, 3], [4]]


async def test_one_bad_item_fails_alone() -> None:
    bank = Bank()
    answers = await asyncio.gather(*map(bank.together, [1, -1, 2]), return_exceptions=True)
    assert (answers[0], answers[2]) == (10, 20)
    assert isinstance(answers[1], ValueError)
    assert bank.batches == [[1, -1, 2], [1], [-1], [2]]


async def test_a_bad_batch_does_not_stop_the_next() -> None:
    bank = Bank()
    with pytest.raises(ValueError, match="bad"):
        await bank.together(-1)
    assert await bank.together(3) == 30


async def test_a_caller_that_gave_up_harms_nobody() -> None:
    bank = Bank()
    bank.gate.clear()
    gone, stays = (asyncio.create_task(bank.together(n)) for n in (1, 2))
    await settled()
    gone.cancel()
    bank.gate.set()
    assert await stays == 20
    assert gone.cancelled() or gone.cancelling()
    assert await bank.together(3) == 30


async def test_a_run_that_is_cut_off_leaves_nobody_waiting_for_ever() -> None:
    bank = Bank(size_max=2)

    async def cut_off(_: Sequence[int]) -> list[int]:
        await bank.gate.wait()
        raise asyncio.CancelledError

    bank.together = Together(cut_off, size_max=2)
    bank.gate.clear()
    calls = [asyncio.create_task(bank.together(n)) for n in range(3)]
    await settled()
    bank.gate.set()
    async with asyncio.timeout(10):
        answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(answer) for answer in answers] == [asyncio.CancelledError] * 3, "two of its batch, and one behind them"


async def test_who_comes_after_a_run_that_was_cut_off_is_served() -> None:
    bank, cut_off = Bank(), asyncio.Event()

    async def run(items: Sequence[int]) -> list[int]:
        if not cut_off.is_set():
            cut_off.set()
            raise asyncio.CancelledError
        return await bank.run(items)

    bank.together = Together(run)
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(10):
            await bank.together(1)
    assert await bank.together(2) == 20


async def test_a_batch_ends_with_the_item_that_makes_it_full_and_full_ones_run_side_by_side() -> None:
    bank = Bank()
    bank.together = Together(bank.run, weight_of=lambda item: item, weight_max=10)
    bank.gate.clear()
    calls = [asyncio.create_task(bank.together(n)) for n in (6, 6, 20, 3, 4)]
    await settled()
    assert bank.batches == [[6, 6], [20]], "the rest is not full, so it waits for a lane to be done"
    bank.gate.set()
    assert await asyncio.gather(*calls) == [60, 60, 200, 30, 40]
    assert bank.batches == [[6, 6], [20], [3, 4]]
