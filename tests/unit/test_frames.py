"""Deliveries cut by hand, against the library's own writing and reading of the same bytes."""

from __future__ import annotations

from itertools import pairwise
from struct import pack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika import frame, spec
from pika.exceptions import InvalidFrameError

from broker.frames import cut

BODIES = st.binary(max_size=300)
TEXTS = st.text(max_size=40)


class Seen:
    """What a stream of bytes was taken for: deliveries as one, all other frames as they came."""

    def __init__(self) -> None:
        self.came: list[tuple[Any, ...]] = []
        self.rest = b""

    def feed(self, data: bytes) -> None:
        data = self.rest + data
        done = cut(
            data, lambda *one: self.came.append(("delivery", *one)), lambda one: self.came.append(("frame", one))
        )
        self.rest = data[done:]


def delivery(channel: int, tag: int, body: bytes, *, key: str = "q", consumer: str = "ctag1", parts: int = 1) -> bytes:
    """Write a delivery as RabbitMQ does, its body in so many frames."""
    method = spec.Basic.Deliver(consumer, tag, redelivered=False, exchange="", routing_key=key)
    properties = spec.BasicProperties(content_type="application/json", delivery_mode=2, message_id=key)
    size = max(1, -(-len(body) // parts))
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    frames = [frame.Method(channel, method), frame.Header(channel, len(body), properties)]
    return b"".join(one.marshal() for one in [*frames, *(frame.Body(channel, piece) for piece in pieces)])


HEARTBEAT = frame.Heartbeat().marshal()


@given(
    st.lists(st.tuples(st.integers(1, 65535), st.integers(1, 2**63), BODIES, st.integers(1, 3), TEXTS), max_size=6),
    st.data(),
)
def test_however_the_bytes_arrive_the_same_messages_come_out(
    sent: list[tuple[int, int, bytes, int, str]], data: st.DataObject
) -> None:
    stream = b""
    wanted: list[tuple[Any, ...]] = []
    for channel, tag, body, parts, key in sent:
        whole = delivery(channel, tag, body, key=key, parts=parts)
        stream += whole + HEARTBEAT
        if body and (parts == 1 or len(body) == 1):
            wanted.append(("delivery", channel, tag, body))
        else:
            wanted += [("frame", one) for one in _frames(whole)]
        wanted.append(("frame", HEARTBEAT))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    seen = Seen()
    for begin, end in pairwise([0, *cuts, len(stream)]):
        seen.feed(stream[begin:end])
    assert (seen.came, seen.rest) == (wanted, b"")


@given(st.binary(max_size=400))
def test_bytes_that_mean_nothing_never_break_it_and_are_handed_on(noise: bytes) -> None:
    seen = Seen()
    seen.feed(noise)
    assert b"".join(one[1] for one in seen.came if one[0] == "frame") + seen.rest == noise or any(
        one[0] == "delivery" for one in seen.came
    )


@given(st.integers(0, 2000), st.integers(0, 255))
def test_a_broken_byte_is_never_taken_for_another_message(at: int, value: int) -> None:
    """A wrong frame end goes to the library, which closes the connection; the body is the broker's business."""
    whole = delivery(3, 7, b"x" * 40)
    at %= len(whole)
    broken = whole[:at] + bytes((value,)) + whole[at + 1 :]
    seen = Seen()
    seen.feed(broken)
    if at in _ends(whole) and value != 0xCE:
        assert [one for one in seen.came if one[0] == "delivery"] == []
        handed_on = b"".join(one[1] for one in seen.came)
        with pytest.raises(InvalidFrameError):
            _decoded(handed_on)


def _frames(data: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(data):
        size = 8 + int.from_bytes(data[at + 3 : at + 7], "big")
        found.append(data[at : at + size])
        at += size
    return found


def _decoded(data: bytes) -> list[Any]:
    return [frame.decode_frame(one)[1] for one in _frames(data)]


def _ends(data: bytes) -> list[int]:
    ends, at = [], 0
    for one in _frames(data):
        at += len(one)
        ends.append(at - 1)
    return ends


def test_a_frame_of_another_channel_between_is_left_to_the_library() -> None:
    method, header, body = _frames(delivery(1, 1, b"abc"))
    other = pack(">BHL", 2, 2, len(header) - 8) + header[7:]
    seen = Seen()
    seen.feed(method + other + body)
    assert [one[0] for one in seen.came] == ["frame"] * 3
