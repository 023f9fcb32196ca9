"""Messages: each an ordinary Dramatiq envelope for the actor that has the name of its queue."""

from __future__ import annotations

from uuid import UUID

import orjson
import pytest
from dramatiq.encoder import JSONEncoder

from broker.envelope import Envelope
from broker.messages import AcceptJob, DedupPage, Hint, PostPage, WorkOnJob, fetch_queue, queues

PAGE = UUID("01a202ca-6e3e-71a7-94c5-c15ad73ce280")
HINTS: list[tuple[Hint, str]] = [
    (WorkOnJob("fetch.nansen"), "fetch.nansen"),
    (DedupPage(PAGE), "dedup"),
    (PostPage(PAGE), "post"),
    (AcceptJob("probe", {"note": "x"}, idempotency_key="k", priority=2), "jobs"),
]


@pytest.mark.parametrize(("hint", "queue"), HINTS, ids=[queue for _, queue in HINTS])
def test_a_message_is_for_the_actor_with_the_name_of_its_queue(hint: Hint, queue: str) -> None:
    message = hint.message()
    assert (message.queue_name, message.actor_name, message.args) == (queue, queue, ())


@pytest.mark.parametrize(("hint", "_"), HINTS, ids=[queue for _, queue in HINTS])
def test_a_message_reads_the_same_by_dramatiqs_own_encoder(hint: Hint, _: str) -> None:
    fields = hint.message().asdict()
    written = Envelope().encode(fields)
    assert orjson.loads(JSONEncoder().encode(fields)) == orjson.loads(written)
    assert Envelope().decode(written) == JSONEncoder().decode(written)


def test_two_hints_of_the_same_kind_are_two_messages() -> None:
    assert WorkOnJob("dedup").message().message_id != WorkOnJob("dedup").message().message_id


def test_each_provider_has_a_queue_of_its_own() -> None:
    assert fetch_queue("nansen") == "fetch.nansen"
    assert queues(["a", "b"]) == ("jobs", "fetch.a", "fetch.b", "ledger", "dedup", "post", "probe")
