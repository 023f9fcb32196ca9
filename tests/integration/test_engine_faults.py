"""The asyncio engine and what a broker, an operator or an actor may do to it: it goes on, and loses nothing."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from typing import Any

import aio_pika
import dramatiq
import pytest
from dramatiq.middleware import Middleware, SkipMessage

from broker.connect import dead_queue_arguments
from broker.messages import WorkOnJob
from broker.producer import BrokerUnreachableError, open_producer
from ops.embedded import Stack
from ops.engine import AsyncWorker
from tests.integration.engine_bench import Bench, open_bench
from tests.workshop import eventually

PATIENCE = (
    "[application:set_env(rabbit, Name, Ms) || "
    "{{Name, Ms}} <- [{{consumer_timeout, {}}}, {{channel_tick_interval, {}}}]]."
)
"""How long RabbitMQ waits for an acknowledgement, and how often it looks, both in ms."""


@pytest.fixture
async def bench(rabbitmq_url: str) -> AsyncIterator[Bench]:
    async with open_bench(rabbitmq_url, "asyncio") as opened:
        yield opened


async def control(stack: Stack, *words: str) -> None:
    """What an operator may say to the broker."""
    server = stack.rabbitmq
    await asyncio.to_thread(
        subprocess.run, ["rabbitmqctl", *words], env=server.environment(), check=True, capture_output=True, timeout=60
    )


def on_loop(worker: object, queue: str) -> Any:
    """Give the queue's intake, whose methods belong on the worker's own loop."""
    assert isinstance(worker, AsyncWorker)
    return worker.intakes[queue]


async def call(intake: Any, method: str, *args: object) -> None:
    done = asyncio.Event()
    loop = asyncio.get_running_loop()

    def run() -> None:
        getattr(intake, method)(*args)
        loop.call_soon_threadsafe(done.set)

    intake.works.hand.loop.call_soon_threadsafe(run)
    await done.wait()


async def waits(bench: Bench, n: int) -> None:
    """An actor that waits at its first run of message 0, and does nothing else."""
    if n == 0 and bench.begun.count(0) == 1:
        await bench.until_open()


async def test_a_channel_that_the_broker_closes_is_opened_again_and_others_never_notice(bench: Bench) -> None:
    bench.act = lambda n: waits(bench, n)
    await bench.send(0, 1)
    async with bench.worker() as worker:
        await bench.has_ended(1)
        channel = on_loop(worker, bench.queue)._session.channel
        on_loop(worker, bench.queue).works.hand.loop.call_soon_threadsafe(channel.ack, 12345)  # a tag it never gave
        await eventually(lambda: bench.has_begun_twice(0))
        await bench.send(2)
        await bench.has_ended(0, 2)
        bench.gate.set()
    assert await bench.left() == 0


async def test_a_queue_that_is_deleted_is_made_again_and_served(bench: Bench, rabbitmq_url: str) -> None:
    await bench.send(1)
    async with bench.worker():
        await bench.has_ended(1)
        async with await aio_pika.connect(rabbitmq_url) as connection, connection.channel() as channel:
            await channel.queue_delete(bench.queue)

        async def sent() -> bool:
            await bench.send(2)
            return True

        await eventually(sent)
        await bench.has_ended(2)


async def test_connections_that_an_operator_closes_are_opened_again(bench: Bench, stack: Stack) -> None:
    bench.act = lambda n: waits(bench, n)
    await bench.send(0, 1)
    async with bench.worker():
        await bench.has_ended(1)
        await control(stack, "close_all_connections", "maintenance")
        await eventually(lambda: bench.has_begun_twice(0))
        await bench.send(2)
        await bench.has_ended(0, 2)
        bench.gate.set()
    assert await bench.left() == 0


async def test_a_memory_alarm_stops_publishers_with_an_error_and_workers_not_at_all(bench: Bench, stack: Stack) -> None:
    await bench.send(*range(20))
    await control(stack, "set_vm_memory_high_watermark", "absolute", "1MB")
    try:

        async def refused() -> bool:  # some may still be taken before every connection has heard of the alarm
            try:
                await bench.producer.send([WorkOnJob(bench.queue)] * 3)
            except BrokerUnreachableError:
                return True
            return False

        await eventually(refused)
        async with bench.worker():
            await bench.has_ended(*range(20))
        assert len(bench.begun) >= 20
    finally:
        await control(stack, "set_vm_memory_high_watermark", "0.4")
    await bench.send(30)
    assert await bench.left() >= 1


async def test_an_acknowledgement_that_comes_too_late_costs_a_second_run_and_no_more(
    bench: Bench, stack: Stack
) -> None:
    await control(stack, "eval", PATIENCE.format(500, 300))
    try:
        bench.act = lambda n: waits(bench, n)
        await bench.send(0)
        async with bench.worker():
            await eventually(lambda: bench.has_begun_twice(0))
            await bench.has_ended(0)
            bench.gate.set()
            await bench.send(1)
            await bench.has_ended(1)
    finally:
        await control(stack, "eval", PATIENCE.format(1_800_000, 60_000))
    assert await bench.left() == 0


async def test_a_second_signal_cancels_what_is_in_hand_and_gives_it_back(bench: Bench) -> None:
    async def never(_: int) -> None:
        await asyncio.Event().wait()

    bench.act = never
    await bench.send(*range(3))
    async with bench.worker() as worker:
        assert isinstance(worker, AsyncWorker)

        async def begun() -> bool:
            return len(bench.begun) == 3

        await eventually(begun)
        stopping = asyncio.create_task(asyncio.to_thread(worker.stop, 60_000))
        worker.hurry()
        await stopping
    assert (bench.ended, await bench.left()) == ([], 3)


async def test_a_message_over_its_time_limit_is_cancelled_and_ends(bench: Bench) -> None:
    bench.limit_s = 0.1

    async def first_hangs(n: int) -> None:
        if n == 0:
            await asyncio.Event().wait()

    bench.act = first_hangs
    await bench.send(0)
    async with bench.worker() as worker:
        hand = on_loop(worker, bench.queue).works.hand

        async def over() -> bool:
            return bool(bench.begun) and not len(hand)

        await eventually(over)
        await bench.send(1)
        await bench.has_ended(1)
    assert (bench.ended, await bench.left()) == ([1], 0)


async def test_a_paused_queue_is_not_consumed_until_it_is_resumed(bench: Bench) -> None:
    async with bench.worker() as worker:
        intake = on_loop(worker, bench.queue)
        await bench.send(1)
        await bench.has_ended(1)
        await call(intake, "pause", "test", "to see that it holds")

        async def quiet() -> bool:
            return not intake.consuming

        await eventually(quiet)
        await bench.send(2)
        assert await bench.left() == 1
        await call(intake, "resume", "test")
        await bench.has_ended(2)


async def test_what_no_actor_takes_goes_to_the_dead_letters_and_the_worker_lives_on(
    bench: Bench, rabbitmq_url: str
) -> None:
    async with await aio_pika.connect(rabbitmq_url) as connection, connection.channel() as channel:
        for body in (b"", b"{", b"[]", b'{"actor_name": "nobody"}', b"\x00" * 300_000):
            await channel.default_exchange.publish(aio_pika.Message(body), bench.queue)
        await bench.send(1)
        async with bench.worker():
            await bench.has_ended(1)

            async def dead() -> bool:
                found = await channel.declare_queue(f"{bench.queue}.XQ", durable=True, arguments=dead_queue_arguments())
                return found.declaration_result.message_count == 5

            await eventually(dead)


async def test_an_actor_that_is_not_async_runs_in_a_thread_and_blocks_nobody(bench: Bench) -> None:
    def blocks(n: int) -> None:
        bench.begun.append(n)
        if n == 0:
            bench.gate.wait(20)
        bench.ended.append(n)

    bench.broker.actors.clear()
    dramatiq.actor(actor_name=bench.queue, queue_name=bench.queue, broker=bench.broker)(blocks)
    await bench.send(0, 1, 2)
    async with bench.worker():
        await bench.has_ended(1, 2)
        bench.gate.set()
        await bench.has_ended(0)
    assert await bench.left() == 0


class Recorder(Middleware):
    """Writes down which hooks were called for which message, in order."""

    def __init__(self) -> None:
        self.called: dict[int, list[str]] = {}

    def _note(self, what: str, message: dramatiq.MessageProxy) -> None:
        self.called.setdefault(message.args[0], []).append(what)

    def before_process_message(self, broker: dramatiq.Broker, message: dramatiq.MessageProxy) -> None:
        self._note("before process", message)
        if message.args[0] == 2:
            raise SkipMessage
        if message.args[0] == 3:
            message.fail()

    def after_process_message(self, broker: dramatiq.Broker, message: dramatiq.MessageProxy, **more: Any) -> None:
        self._note(f"after process {type(more.get('exception')).__name__}", message)
        if message.args[0] == 4:
            message.fail()

    def after_skip_message(self, broker: dramatiq.Broker, message: dramatiq.MessageProxy) -> None:
        self._note("after skip", message)

    def before_ack(self, broker: dramatiq.Broker, message: dramatiq.MessageProxy) -> None:
        self._note("before ack", message)

    def after_ack(self, broker: dramatiq.Broker, message: dramatiq.MessageProxy) -> None:
        self._note("after ack", message)

    def before_nack(self, broker: dramatiq.Broker, message: dramatiq.MessageProxy) -> None:
        self._note("before nack", message)

    def after_nack(self, broker: dramatiq.Broker, message: dramatiq.MessageProxy) -> None:
        self._note("after nack", message)


async def test_middleware_sees_what_it_sees_in_dramatiqs_own_worker(rabbitmq_url: str) -> None:
    async def act(n: int) -> None:
        if n in {1, 4}:
            raise ValueError(n)

    async def recorded(engine: str) -> dict[int, list[str]]:
        recorder = Recorder()

        async def all_ended() -> bool:
            called = recorder.called
            return len(called) == 5 and all(one[-1] in {"after ack", "after nack"} for one in called.values())

        async with open_bench(rabbitmq_url, engine) as bench:
            bench.broker.add_middleware(recorder)
            bench.act = act
            await bench.send(*range(5))
            async with bench.worker():
                await eventually(all_ended)
        return recorder.called

    ours = await recorded("asyncio")
    assert ours == await recorded("stock")
    assert ours[3] == ["before process", "after process NoneType", "before nack", "after nack"]


async def test_a_producer_keeps_so_many_messages_for_a_broker_that_is_away_and_refuses_more_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("broker.producer.BUFFER_MAX", 3)
    async with open_producer("amqp://nobody:none@127.0.0.1:9/%2F", ["away"], patience_s=1.0) as producer:
        waiting = asyncio.create_task(producer.send([WorkOnJob("away")] * 3))
        await asyncio.sleep(0)  # it has begun
        with pytest.raises(BrokerUnreachableError, match="3 wait for it already"):
            await producer.send([WorkOnJob("away")])
        assert not waiting.done()
        with pytest.raises(BrokerUnreachableError):
            await waiting
        with pytest.raises(BrokerUnreachableError, match="127"):  # there is room again
            await producer.send([WorkOnJob("away")])
