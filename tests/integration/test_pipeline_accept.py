"""Jobs that arrive as messages, from whoever can reach the queue ``jobs``."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from functools import partial
from typing import Any

import psycopg
import pytest
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from broker import jobs
from broker.connect import DELIVERIES_MAX
from broker.messages import JOBS, AcceptJob
from broker.producer import BrokerUnreachableError
from tests.workshop import Workshop
from workers.database import transact

POSTS = {"provider": "cryptopanic", "dataset": "posts"}


async def arrive(shop: Workshop, body: bytes) -> Any:
    """Deliver a message and give the newest job."""
    shop.mailbox.put(JOBS, body)
    await shop.deliver(JOBS)
    return (await shop.rows("SELECT * FROM jobs ORDER BY id DESC LIMIT 1"))[0]


def bare(**fields: Any) -> bytes:
    return json.dumps({"kind": "fetch", "args": POSTS} | fields).encode()


def nested(depth: int) -> dict[str, Any]:
    """Deeper than some can write what they have read."""
    return {"deeper": nested(depth - 1)} if depth else {}


async def test_a_message_becomes_a_row_and_runs(shop: Workshop) -> None:
    await shop.mailbox.send([AcceptJob("fetch", POSTS, priority=4)])
    await shop.run()
    (row,) = await shop.rows("SELECT * FROM jobs")
    assert (row.kind, row.owner, row.priority, row.state) == ("fetch", "amqp", 4, "succeeded")
    assert row.new > 0


async def test_the_shortest_message_is_kind_and_args(shop: Workshop) -> None:
    row = await arrive(shop, bare())
    assert (row.kind, row.state, row.args["dataset"]) == ("fetch", "queued", "posts")


async def test_a_message_with_a_key_that_comes_twice_is_one_job(shop: Workshop) -> None:
    first = await arrive(shop, bare(idempotency_key="k"))
    second = await arrive(shop, bare(idempotency_key="k"))
    assert first.id == second.id


async def test_a_key_used_for_something_else_becomes_a_failed_job_that_says_so(shop: Workshop) -> None:
    first = await arrive(shop, bare(idempotency_key="k"))
    refused = await arrive(shop, bare(idempotency_key="k", kind="backfill"))
    assert refused.state == "failed"
    assert str(first.id) in refused.last_error


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"kind": "fech"}, "no kind 'fech'"),
        ({"kind": 7}, "kind is text"),
        ({"kind": "fe\x00tch"}, "no kind"),
        ({"args": []}, "args is a JSON object"),
        ({"args": {}}, "'provider' is a required property"),
        ({"args": POSTS | {"provider": "nobody"}}, "nobody"),
        ({"args": POSTS | {"dataset": "flows"}}, "no dataset 'flows'"),
        ({"args": POSTS | {"since": "soon"}}, "since"),
        ({"args": POSTS | {"params": {"currencies": "B\x00TC"}}}, "NUL"),
        ({"args": POSTS | {"params": {"B\x00": 1}}}, "NUL"),
        ({"args": POSTS | {"params": nested(300)}}, "cannot be written as JSON"),
        ({"idempotency_key": 5}, "idempotency_key"),
        ({"idempotency_key": ""}, "idempotency_key"),
        ({"idempotency_key": "a\x00"}, "NUL"),
        ({"priority": "high"}, "priority"),
        ({"priority": True}, "priority"),
        ({"priority": 101}, "priority"),
        ({"owner": "root"}, "unknown fields: owner"),
        ({"own\x00er": "root"}, "unknown fields"),
    ],
)
async def test_a_message_that_does_not_fit_is_a_failed_job_with_the_reason(
    shop: Workshop, fields: dict[str, Any], reason: str
) -> None:
    row = await arrive(shop, bare(**fields))
    assert (row.kind, row.state) == ("unreadable", "failed")
    assert reason in row.last_error
    assert shop.mailbox.waiting() == {}


@pytest.mark.parametrize("body", [b"\x00", b"hello", b"[1, 2]", b'{"queue_name": "a\\u0000"}', b"\xff" * 9000])
async def test_what_nobody_can_read_is_kept_as_a_failed_job(shop: Workshop, body: bytes) -> None:
    row = await arrive(shop, body)
    assert (row.kind, row.state) == ("unreadable", "failed")
    assert row.last_error
    assert row.args["body"]


async def test_what_was_refused_is_never_tried_again(shop: Workshop) -> None:
    row = await arrive(shop, b"hello")
    for _ in range(3):
        assert await shop.dispatcher.tick() == 0
    async with shop.database.begin() as conn:
        assert await jobs.retry(conn, row.id, now=shop.clock()) is None
    assert await shop.value("SELECT count(*) FROM jobs") == 1


async def test_a_job_that_no_provider_can_do_fails_with_the_reason_and_costs_nothing(shop: Workshop) -> None:
    job = await shop.ask("cryptopanic", "flows")
    await shop.run()
    row = await shop.job(job)
    assert (row.state, row.calls, row.cost) == ("failed", 0, 0)
    assert "no dataset 'flows'" in row.last_error


class Deaf:
    """A database whose first commit comes to pass, and nobody hears of it."""

    patience_s = 60.0

    def __init__(self, real: AsyncEngine) -> None:
        self.real, self.heard = real, False

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        async with self.real.begin() as conn:
            yield conn
        if not self.heard:
            self.heard = True
            raise gone("server closed the connection unexpectedly")


class Away:
    """A database that nobody reaches."""

    patience_s = 0.0

    def begin(self) -> AbstractAsyncContextManager[AsyncConnection]:
        raise gone("connection refused")


def gone(why: str) -> OperationalError:
    return OperationalError("COMMIT", None, psycopg.OperationalError(why), connection_invalidated=True)


@contextmanager
def database_of(shop: Workshop, other: Deaf | Away, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put this database in place of the real one, and let nobody wait for one that is away."""
    with monkeypatch.context() as changed:
        changed.setattr(shop.works, "database", other)
        changed.setattr("workers.inbox.transact", partial(transact, patience_s=other.patience_s))
        yield


@pytest.mark.parametrize("fields", [{}, {"idempotency_key": "k"}])
async def test_a_message_whose_commit_nobody_heard_of_becomes_one_job_and_is_hinted_at(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any]
) -> None:
    with database_of(shop, deaf := Deaf(shop.database), monkeypatch):
        shop.mailbox.put(JOBS, bare(**fields))
        await shop.deliver(JOBS)
    assert deaf.heard
    assert await shop.value("SELECT count(*) FROM jobs") == 1
    assert shop.mailbox.waiting() == {"fetch.cryptopanic": 1}


async def test_a_message_that_meets_no_database_goes_back_to_its_queue_as_it_was(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database_of(shop, Away(), monkeypatch):
        await shop.mailbox.send([AcceptJob("fetch", POSTS, idempotency_key="k", priority=4)])
        for _ in range(DELIVERIES_MAX + 1):
            await shop.deliver(JOBS)
            assert shop.mailbox.waiting() == {JOBS: 1}
    await shop.run()
    (row,) = await shop.rows("SELECT * FROM jobs")
    assert (row.kind, row.state, row.idempotency_key, row.priority) == ("fetch", "succeeded", "k", 4)


async def test_a_message_that_meets_neither_database_nor_broker_is_not_taken_for_done(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.mailbox.put(JOBS, bare())
    shop.mailbox.away = True
    with database_of(shop, Away(), monkeypatch), pytest.raises(BrokerUnreachableError):
        await shop.deliver(JOBS)
