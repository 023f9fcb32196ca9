"""Engines on a real RabbitMQ: they drain, survive failing actors, and go on when their broker comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.integration.engine_bench import IN_HAND, Bench, open_bench
from tests.workshop import eventually


@pytest.fixture(params=["asyncio", "loop"])
async def bench(request: pytest.FixtureRequest, rabbitmq_url: str) -> AsyncIterator[Bench]:
    async with open_bench(rabbitmq_url, request.param) as opened:
        yield opened


async def test_everything_in_hand_is_worked_on_at_once_and_no_more(bench: Bench) -> None:
    async def wait(_: int) -> None:
        await bench.until_open()

    bench.act = wait
    await bench.send(*range(2 * IN_HAND))
    async with bench.worker():

        async def full() -> bool:
            return len(bench.begun) >= IN_HAND

        await eventually(full)
        assert (len(bench.begun), bench.ended) == (IN_HAND, [])
        bench.gate.set()
        await bench.has_ended(*range(2 * IN_HAND))
    assert await bench.left() == 0


async def test_stopping_lets_what_has_begun_come_to_its_end_and_leaves_the_rest(bench: Bench) -> None:
    async def wait(_: int) -> None:
        await bench.until_open()

    bench.act = wait
    await bench.send(*range(IN_HAND + 5))
    async with bench.worker() as worker:

        async def full() -> bool:
            return len(bench.begun) == IN_HAND

        await eventually(full)
        stopping = asyncio.create_task(asyncio.to_thread(worker.stop, 20_000))
        bench.gate.set()
        await stopping
    assert sorted(bench.ended) == sorted(bench.begun), "nothing is cut off"

    async def still_the_brokers() -> bool:
        return await bench.left() == IN_HAND + 5 - len(bench.ended)

    await eventually(still_the_brokers)  # what was not begun; it is there again a moment after the channel has closed


async def test_messages_that_end_out_of_order_are_each_acknowledged(bench: Bench) -> None:
    async def first_is_last(n: int) -> None:
        if n == 0:
            await bench.until_open()

    bench.act = first_is_last
    await bench.send(*range(200))  # more than are prefetched: the slow first one must not hold up the others
    async with bench.worker():
        await bench.has_ended(*range(1, 200))
        assert 0 not in bench.ended
        bench.gate.set()
        await bench.has_ended(0)
    assert (len(bench.begun), await bench.left()) == (200, 0)


async def test_a_failing_actor_ends_its_own_message_only(bench: Bench) -> None:
    async def odd_ones_fail(n: int) -> None:
        if n % 2:
            raise ValueError("odd")

    bench.act = odd_ones_fail
    await bench.send(*range(40))
    async with bench.worker():
        await bench.has_ended(*range(0, 40, 2))

        async def all_begun() -> bool:
            return len(bench.begun) == 40

        await eventually(all_begun)
    assert sorted(bench.ended) == list(range(0, 40, 2))
    assert await bench.left() == 0, "nothing runs again by itself: its row decides that"


async def test_a_worker_goes_on_when_its_broker_comes_back_and_nothing_is_lost(bench: Bench) -> None:
    async def wait(n: int) -> None:
        if n == 2:
            await bench.until_open()

    bench.act = wait
    await bench.send(1, 2)
    async with bench.worker():
        await bench.has_ended(1)
        await bench.line.cut()
        bench.gate.set()
        await bench.has_ended(2)  # its acknowledgement has nowhere to go, so it comes again
        await bench.line.mend()
        await bench.send(3)
        await bench.has_ended(3)
        await eventually(lambda: bench.has_begun_twice(2))
    assert await bench.left() == 0
