"""Whatever bytes arrive become a message that some actor takes."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from dramatiq import Message
from hypothesis import given
from hypothesis import strategies as st

from broker.envelope import BODY_KEPT_MAX, UNREADABLE, Envelope, addressed

GOOD: dict[str, Any] = {
    "queue_name": "dedup",
    "actor_name": "dedup",
    "args": [],
    "kwargs": {"page": "x"},
    "options": {},
    "message_id": "1",
    "message_timestamp": 1,
}
ACTORS = {"dedup": 1, "post": 1, "jobs": 1, UNREADABLE: 1}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([*GOOD, "kind", "x"]), inner),
    max_leaves=12,
)


def reason_for(body: bytes) -> str:
    fields = Envelope().decode(body)
    assert (fields["queue_name"], fields["actor_name"]) == ("jobs", UNREADABLE)
    return str(fields["kwargs"]["reason"])


def test_a_good_envelope_is_read_as_it_is() -> None:
    assert Envelope().decode(orjson.dumps(GOOD)) == GOOD


def test_an_envelope_needs_neither_id_nor_time() -> None:
    fields = Envelope().decode(orjson.dumps({k: GOOD[k] for k in GOOD if not k.startswith("message")}))
    assert fields["kwargs"] == {"page": "x"}
    assert fields["message_id"]
    assert fields["message_timestamp"] > 0


def test_a_bare_job_is_enough() -> None:
    fields = Envelope().decode(b'{"kind": "probe", "args": {"note": "hi"}}')
    assert (fields["queue_name"], fields["actor_name"]) == ("jobs", "jobs")
    assert fields["kwargs"] == {"kind": "probe", "args": {"note": "hi"}}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"hello", "not JSON"),
        (b"[1]", "JSON object"),
        (b"null", "JSON object"),
        (b"{}", "lacks actor_name, args, kwargs, options, queue_name"),
        (orjson.dumps(GOOD | {"extra": 1}), "unknown keys: extra"),
        (orjson.dumps(GOOD | {"kwargs": []}), "kwargs and options"),
        (orjson.dumps(GOOD | {"options": None}), "kwargs and options"),
        (orjson.dumps(GOOD | {"args": {}}), "args is"),
        (orjson.dumps(GOOD | {"queue_name": 3}), "are text"),
    ],
)
def test_what_cannot_be_read_says_why(body: bytes, reason: str) -> None:
    assert reason in reason_for(body)


@given(st.binary(max_size=60) | JSON.map(orjson.dumps))
def test_no_bytes_can_make_the_reader_raise(body: bytes) -> None:
    fields = Envelope().decode(body)
    message: Message[None] = Message(**fields)
    safe = addressed(message, "dedup", ACTORS)
    assert safe.queue_name == "dedup"
    assert safe.actor_name in ("dedup", UNREADABLE)


def test_only_so_much_of_an_unreadable_body_is_kept_and_no_nul() -> None:
    fields = Envelope().decode(b"\x00" + b"x" * 10_000)
    assert len(fields["kwargs"]["body"]) == BODY_KEPT_MAX
    assert "\x00" not in fields["kwargs"]["body"]


def test_the_queue_is_the_consumers_whatever_the_body_says() -> None:
    message: Message[None] = Message(**GOOD | {"queue_name": "elsewhere"})
    assert addressed(message, "dedup", ACTORS).queue_name == "dedup"


@pytest.mark.parametrize(
    ("actor", "reason"), [("nobody", "no actor named 'nobody'"), ("post", "'post' does not serve queue 'dedup'")]
)
def test_a_message_for_the_wrong_actor_is_turned_away_with_the_reason(actor: str, reason: str) -> None:
    message: Message[None] = Message(**GOOD | {"actor_name": actor, "options": {"redis_message_id": "r", "eta": 5}})
    turned = addressed(message, "dedup", ACTORS)
    assert (turned.actor_name, turned.queue_name, turned.args) == (UNREADABLE, "dedup", ())
    assert reason in turned.kwargs["reason"]
    assert actor in turned.kwargs["body"]
    assert turned.options == {"redis_message_id": "r"}  # Redis acknowledges by it; nothing else of a stranger's stays
