"""What the processes count is what happened: compared with the rows, and asked for at their own ``/metrics``."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from broker import jobs
from broker.jobs import NewJob
from broker.limits import Limits, Rate
from broker.messages import PROBE
from ops.embedded import Stack
from ops.metrics import Meters
from ops.metrics.exporter import CONTENT_TYPE, exposition
from ops.metrics.worker import PipelineMeters
from tests.workshop import Workshop, eventually

Told = dict[tuple[str, tuple[str, ...]], float]


def values(text: str) -> Told:
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_calls_pages_and_rows_are_counted_as_the_rows_have_them(shop: Workshop) -> None:
    meters = Meters("worker")
    shop.works.observer = PipelineMeters(meters)
    await shop.ask(pages_max=2)
    await shop.settle()
    await shop.ask(pages_max=2)  # the same again
    await shop.settle()
    await shop.faults("cryptopanic:500=every 2")
    await shop.ask(pages_max=3)
    await shop.settle()
    told = values(exposition([meters.registry]).decode())
    (pages,) = await shop.rows(
        "SELECT count(*) AS posted, sum(new) AS new, sum(duplicate) AS duplicate, sum(rejected) AS rejected FROM pages"
    )
    calls = {row.outcome: row.n for row in await shop.rows("SELECT outcome, count(*) AS n FROM calls GROUP BY outcome")}
    assert calls["RetryLater"] >= 1
    assert calls == {
        labels[0]: value for (name, labels), value in told.items() if name == "sluice_provider_calls_total"
    }
    for state in ("landed", "read", "posted"):
        assert told["sluice_pages_total", (state,)] == pages.posted
    for outcome in ("new", "duplicate", "rejected"):
        assert told["sluice_items_total", (outcome, "cryptopanic")] == getattr(pages, outcome), outcome
    assert told["sluice_post_seconds_count", ()] == pages.posted
    assert pages.duplicate > 0 < pages.new


async def test_a_job_that_must_wait_is_counted_with_the_reason(shop: Workshop) -> None:
    meters = Meters("worker")
    shop.works.observer = PipelineMeters(meters)
    limits = Limits(rates=(Rate(1, 3600.0),))
    shop.works.limiter.limits = {**shop.works.limiter.limits, "cryptopanic": limits}
    await shop.ask(pages_max=1)
    await shop.ask(pages_max=1)
    await shop.run()
    told = values(exposition([meters.registry]).decode())
    assert told["sluice_jobs_put_off_total", ("cryptopanic", "rate")] == 1


# -- processes ---------------------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@asynccontextmanager
async def serving(environment: Mapping[str, str], *words: str) -> AsyncIterator[str]:
    """Run a command of Sluice until the block ends; give the address of its metrics."""
    port = free_port()
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ops.cli", *words, env={**environment, "SLUICE_METRICS_PORT": str(port)}
    )
    try:
        yield f"http://127.0.0.1:{port}/metrics"
        child.terminate()
        assert await asyncio.wait_for(child.wait(), 30) == 0
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


async def until_told(url: str, *wanted: tuple[str, Sequence[str], float]) -> Told:
    """Ask until all of these are told."""
    last: Told = {}

    async def check() -> bool:
        nonlocal last
        try:
            async with aiohttp.ClientSession() as client, client.get(url) as answer:
                assert answer.headers["Content-Type"] == CONTENT_TYPE
                last = values(await answer.text())
        except aiohttp.ClientConnectionError:
            return False
        return all(last.get((name, tuple(labels))) == value for name, labels, value in wanted)

    await eventually(check, within_s=90)
    return last


def environment(stack: Stack, ledger_url: str, folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SLUICE_")}
    return {
        **kept,
        "SLUICE_DATABASE_URL": ledger_url,
        "SLUICE_REDIS_URL": stack.redis.start().database_url(8),
        "SLUICE_BROKER_URL": stack.redis.start().database_url(10),
        "SLUICE_VAR": str(folder),
        "SLUICE_DRAIN_S": "2",
        "SLUICE_LOG_LEVEL": "error",
        "SLUICE_PORT": str(free_port()),
    }


async def test_every_process_tells_what_it_does(shop: Workshop, stack: Stack, ledger_url: str, tmp_path: Path) -> None:
    given = environment(stack, ledger_url, tmp_path)
    async with (
        serving(given, "worker", "--processes", "2") as worker,
        serving(given, "dispatch") as dispatcher,
        serving(given, "serve") as gateway,
    ):
        await until_told(worker, ("sluice_child_processes", (), 2), ("sluice_messages_in_hand", (), 0))
        await until_told(
            dispatcher,
            ("sluice_dispatcher_leads", (), 1),
            ("sluice_watch_up", ("broker",), 1),
            ("sluice_watch_up", ("rows",), 1),
            ("sluice_watch_up", ("streams",), 1),
            ("sluice_watch_up", ("limits",), 1),
            ("sluice_queue_consumers", ("post",), 2),
            ("sluice_queue_ready", ("post",), 0),
            ("sluice_provider_usable", ("nansen",), 0),  # it has no key
            ("sluice_provider_breaker_state", ("nansen",), 0),
        )
        async with shop.database.begin() as conn:
            await jobs.enqueue(conn, [NewJob(PROBE, PROBE, {})], now=shop.clock(), hinted=False)
        told = await until_told(worker, ("sluice_messages_total", ("probe", "done"), 1))
        assert told["sluice_message_seconds_count", ("probe",)] == 1
        assert (await until_told(dispatcher))["sluice_publishes_total", ("taken",)] >= 1
        await until_told(gateway, ("sluice_ratelimit_degraded", (), 0))
        async with aiohttp.ClientSession() as client:
            for path, status in (("/healthz", 200), ("/api/v1/trades", 401), ("/nowhere", 404)):
                async with client.get(f"http://127.0.0.1:{given['SLUICE_PORT']}{path}") as answer:
                    assert answer.status == status
        told = await until_told(
            gateway,
            ("sluice_http_requests_total", ("GET /healthz", "200"), 1),
            ("sluice_http_requests_total", ("GET /api/v1/trades", "401"), 1),
            ("sluice_http_requests_total", ("none", "404"), 1),
            ("sluice_http_request_seconds_count", ("GET /healthz",), 1),
        )
        assert sum(value for (name, _), value in told.items() if name == "sluice_ratelimit_decisions_total") >= 1
        assert told["sluice_revocations_read_timestamp_seconds", ()] > 1.7e9
