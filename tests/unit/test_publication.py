"""Frames written by hand, against pika's own writing of the same message."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika import frame, spec

from broker.publication import publication

NAMES = st.text(max_size=60)


def as_pika_writes_it(channel: int, queue: str, message_id: str, body: bytes, room: int) -> bytes:
    method = spec.Basic.Publish(exchange="", routing_key=queue, mandatory=True)
    properties = spec.BasicProperties(content_type="application/json", delivery_mode=2, message_id=message_id)
    frames = [frame.Method(channel, method), frame.Header(channel, len(body), properties)]
    parts = [frame.Body(channel, body[at : at + room]) for at in range(0, len(body), room)]
    return b"".join(one.marshal() for one in [*frames, *parts])


@given(st.integers(1, 65535), NAMES, NAMES.filter(bool), st.binary(max_size=400), st.integers(1, 500))
def test_a_publication_is_byte_for_byte_what_the_library_writes(
    channel: int, queue: str, message_id: str, body: bytes, room: int
) -> None:
    given_ = (channel, queue, message_id, body, room)
    assert publication(*given_) == as_pika_writes_it(*given_)


def test_a_body_larger_than_the_broker_takes_in_one_frame_is_written_in_several() -> None:
    given_ = (3, "jobs", "one", b"x" * 300_000, 131_064)
    assert publication(*given_) == as_pika_writes_it(*given_)


def test_names_of_up_to_255_bytes_are_written_and_longer_ones_refused() -> None:
    longest, too_long = "q" * 255, "ü" * 128
    assert publication(1, longest, longest, b"x", 10) == as_pika_writes_it(1, longest, longest, b"x", 10)
    for queue, message_id in ((too_long, "id"), ("queue", too_long)):
        with pytest.raises(ValueError, match="256"):
            publication(1, queue, message_id, b"x", 10)
