"""The figures of streams, measured over rows in a real database; and kept pages that are read again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
import zstandard
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from uuid_utils.compat import uuid7

from broker import due, jobs, pages, streams
from broker.jobs import NewJob
from broker.measured import StreamQuality, quality
from broker.pages import Counts, Decision
from broker.reparse import reparse
from broker.streams import NewStream, Stream
from broker.views import get_jobs, pages_of

NOW = datetime(2026, 8, 17, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(hours=24)


async def make_stream(ledger: AsyncEngine, *, created: datetime, next_run: datetime = NOW + HOUR) -> Stream:
    """A stream that is due every hour, on the hour."""
    async with ledger.begin() as conn:
        new = NewStream(f"stream-{uuid4()}", "nansen", "smart-money/netflow", {"chains": ["base"]}, interval_s=3600)
        stream = await streams.add(conn, new, now=created)
        await streams.set_next(conn, stream.id, next_run)
    return stream


async def make_run(
    ledger: AsyncEngine, stream: Stream, at: datetime, *, state: str = "succeeded", page: dict[str, Any] | None = None
) -> UUID:
    """A run of the stream that ended at a time, with one page."""
    job, page = uuid7(), {"state": "posted", "found": 0, "rejects": [], "complete": None} | (page or {})
    counts = {name: page.get(name, 0) for name in ("found", "new", "duplicate", "rejected")}
    async with ledger.begin() as conn:
        await conn.execute(
            text(
                """INSERT INTO jobs (id, kind, queue, args, owner, body_hash, stream_id, state, run_at, landed, posted,
                    exhausted, created_at, started_at, finished_at)
                VALUES (:id, 'fetch', 'fetch.nansen', CAST(:args AS jsonb), 'system', '', :stream, :state, :at, 1, 1,
                    true, :at, :at, :at)"""
            ),
            {
                "id": job,
                "args": orjson.dumps({"provider": stream.provider, "dataset": stream.dataset}).decode(),
                "stream": stream.id,
                "state": state,
                "at": at,
            },
        )
        await conn.execute(
            text(
                """INSERT INTO pages (id, job_id, stream_id, seq, provider, dataset, request, body, body_bytes,
                    fetched_at, answered_at, polled_at, cost, state, found, new, duplicate, rejected, rejects, complete)
                VALUES (:id, :job, :stream, 1, 'nansen', 'smart-money/netflow', '{}', :body, 2, :at, :at, :at, 5,
                    :state, :found, :new, :duplicate, :rejected, CAST(:rejects AS jsonb), :complete)"""
            ),
            {
                "id": uuid7(),
                "job": job,
                "stream": stream.id,
                "body": zstandard.compress(b"{}"),
                "at": at,
                "state": page["state"],
                "rejects": orjson.dumps(page["rejects"]).decode(),
                "complete": page["complete"],
                **counts,
            },
        )
    return job


async def measured(ledger: AsyncEngine, stream: Stream, *, window: timedelta = DAY) -> StreamQuality:
    async with ledger.begin() as conn:
        found = await quality(conn, now=NOW, window=window, stream=stream.name)
    assert len(found) == 1
    return found[0]


async def test_a_stream_without_a_run_is_unknown(ledger: AsyncEngine) -> None:
    told = await measured(ledger, await make_stream(ledger, created=NOW))
    assert (told.figures.score, told.figures.level) == (None, "unknown")
    assert (told.timeliness.age, told.volume.usual, told.duplicate_rate) == (None, None, None)


async def test_figures_are_those_of_the_window_and_rejects_are_told_by_reason(ledger: AsyncEngine) -> None:
    stream = await make_stream(ledger, created=NOW - timedelta(days=2))
    rejects = [{"position": 0, "reason": "id is missing"}, {"position": 3, "reason": "id is missing"}]
    good = {"found": 8, "new": 3, "duplicate": 3, "rejected": 2, "rejects": rejects, "complete": 0.5}
    await make_run(ledger, stream, NOW - 2 * HOUR + timedelta(minutes=1), page=good)
    await make_run(ledger, stream, NOW - HOUR + timedelta(minutes=1), page=good | {"complete": 1.0})
    await make_run(ledger, stream, NOW - 30 * HOUR, page=good | {"complete": 0.0})
    told = await measured(ledger, stream)
    assert (told.figures.completeness, told.figures.accuracy) == (0.75, 0.75)
    assert (told.timeliness.due, told.timeliness.on_time) == (24, 2)
    assert told.rejects == {"id is missing": 4}
    assert (told.pages, told.found, told.volume.new, told.duplicate_rate) == (2, 16, 6, 6 / 16)


async def test_a_run_that_failed_is_not_on_time_and_an_age_counts_days(ledger: AsyncEngine) -> None:
    stream = await make_stream(ledger, created=NOW - timedelta(days=9))
    await make_run(ledger, stream, NOW - timedelta(days=4, hours=2))
    await make_run(ledger, stream, NOW - 2 * HOUR, state="failed", page={"state": "dead"})
    told = await measured(ledger, stream)
    assert told.timeliness.age == timedelta(days=4, hours=2)
    assert (told.timeliness.on_time, told.failed, told.dead) == (0, 1, 1)
    assert told.figures.level == "high"


async def test_a_paused_stream_has_no_timeliness(ledger: AsyncEngine) -> None:
    stream = await make_stream(ledger, created=NOW - timedelta(days=2))
    async with ledger.begin() as conn:
        await streams.pause(conn, stream.name, reason="for the test")
    assert (await measured(ledger, stream)).figures.timeliness is None


async def test_the_volume_is_compared_with_the_median_of_whole_windows_before(ledger: AsyncEngine) -> None:
    stream = await make_stream(ledger, created=NOW - timedelta(days=5))
    for day, new in ((0, 5), (1, 10), (2, 1000), (3, 20)):  # and none four days ago
        await make_run(ledger, stream, NOW - timedelta(days=day, hours=1), page={"found": new, "new": new})
    told = await measured(ledger, stream)
    assert (told.volume.new, told.volume.usual) == (5, 15.0)
    young = await make_stream(ledger, created=NOW - timedelta(days=3))
    assert (await measured(ledger, young)).volume.usual is None


# -- read again --------------------------------------------------------------------------------------------------------


async def test_pages_read_again_cost_nothing_and_end_like_any_others(ledger: AsyncEngine) -> None:
    stream = await make_stream(ledger, created=NOW - DAY)
    origins = [await make_run(ledger, stream, NOW - hours * HOUR) for hours in (3, 2, 1)]
    async with ledger.begin() as conn:
        made = await reparse(conn, stream.id, since=NOW - 2 * HOUR, now=NOW)
        told = await get_jobs(conn, made.jobs)
        copies = [page for job in made.jobs for page in await pages_of(conn, job)]
        kept = [page for job in origins for page in await pages_of(conn, job)]
    assert (made.pages, [job.args["of"] for job in told]) == (2, [str(job) for job in origins[1:]])
    assert {(job.kind, job.state, job.landed, job.exhausted) for job in told} == {("reparse", "running", 1, True)}
    assert [(page.state, page.cost, page.seq, page.fetched_at) for page in copies] == [
        ("landed", 0, 1, page.fetched_at) for page in kept[1:]
    ]
    await _finish(ledger, [page.id for page in copies])
    async with ledger.begin() as conn:
        ended = await get_jobs(conn, made.jobs)
    assert [(job.state, job.outcome, job.found, job.duplicate) for job in ended] == [
        ("succeeded", "nothing new", 4, 4)
    ] * 2


async def test_the_dispatcher_says_what_is_to_be_read_again_and_never_fetches_it(ledger: AsyncEngine) -> None:
    stream = await make_stream(ledger, created=NOW - DAY)
    await make_run(ledger, stream, NOW - HOUR)
    async with ledger.begin() as conn:
        made = await reparse(conn, stream.id, now=NOW)
        (copy,) = await pages_of(conn, made.jobs[0])
        later = NOW + timedelta(days=1)
        said = await due.pages(conn, dedup_empty=True, now=later, lost_after=timedelta(seconds=30))
        fetched = await jobs.claim(conn, "fetch.nansen", 10, worker="test", now=later, lease=HOUR)
    assert copy.id in said
    assert [job.id for job in fetched if job.id in made.jobs] == []


async def test_a_later_reading_of_the_same_page_comes_after_the_earlier(ledger: AsyncEngine) -> None:
    stream = await make_stream(ledger, created=NOW - DAY)
    job = await make_run(ledger, stream, NOW - HOUR)
    async with ledger.begin() as conn:
        first, second = [await reparse(conn, stream.id, now=NOW) for _ in range(2)]
        answered = [(await pages_of(conn, one))[0].answered_at for one in (job, *first.jobs, *second.jobs)]
    assert first.pages == second.pages == 1
    assert answered == sorted(set(answered))
    assert answered[-1] - answered[0] < timedelta(milliseconds=1)


async def test_refused_pages_are_read_again_only_when_asked_for(ledger: AsyncEngine) -> None:
    stream = await make_stream(ledger, created=NOW - DAY)
    await make_run(ledger, stream, NOW - HOUR, state="failed", page={"state": "malformed"})
    async with ledger.begin() as conn:
        assert (await reparse(conn, stream.id, now=NOW)).pages == 0
        assert (await reparse(conn, stream.id, malformed=True, now=NOW)).pages == 1


async def test_what_is_read_again_neither_counts_in_quality_nor_holds_up_the_stream(ledger: AsyncEngine) -> None:
    stream = await make_stream(ledger, created=NOW - DAY, next_run=NOW)
    await make_run(ledger, stream, NOW - HOUR, page={"found": 2, "new": 2})
    before = await measured(ledger, stream)
    async with ledger.begin() as conn:
        await reparse(conn, stream.id, now=NOW)
        assert stream.name in [one.name for one in await streams.due(conn, now=NOW)]
    assert await measured(ledger, stream) == before


async def test_a_removed_stream_leaves_its_jobs(ledger: AsyncEngine) -> None:
    stream = await make_stream(ledger, created=NOW - DAY)
    job = await make_run(ledger, stream, NOW - HOUR)
    async with ledger.begin() as conn:
        assert await streams.remove(conn, stream.name)
        assert not await streams.remove(conn, stream.name)
        assert [one.stream for one in await get_jobs(conn, [job])] == [None]
        await jobs.enqueue(conn, [NewJob("probe", "probe")], now=NOW)


async def _finish(ledger: AsyncEngine, wanted: Sequence[UUID]) -> None:
    """What dedup and post do with a page of which everything is known."""
    decided = [
        Decision(page, 4, 0, 0, rejects=[], warnings=[], complete=1.0, newest=None, pages_total=None, next="2")
        for page in wanted
    ]
    async with ledger.begin() as conn:
        await pages.decide(conn, decided, now=NOW)
        await pages.posted(conn, [Counts(page, 0, 0, 0) for page in wanted], now=NOW)
