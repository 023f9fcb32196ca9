"""Deliveries, cut out of a stream of AMQP frames by hand.

A library that makes an object of each frame spends more on it than an actor that does nothing (``docs/engine.md`` has
the figures).  So a delivery whose three frames are whole is cut out of the bytes here; every other frame is handed to
the library as it came.  Pure: bytes in, bytes out.

    frame     type:1 channel:2 size:4 payload:size 0xCE
    delivery  method(60,60: consumer tag, delivery tag:8, redelivered:1, ...)  header(body size:8 at 4)  body
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

Deliver = Callable[[int, int, bytes], None]
"""``deliver(channel, delivery_tag, body)``."""

OVERHEAD = 8
METHOD, HEADER, BODY = 1, 2, 3
END = 0xCE
_DELIVER = b"\x00\x3c\x00\x3c"  # class 60 (basic), method 60 (deliver)
_head = Struct(">BHL").unpack_from
_long = Struct(">Q").unpack_from


def cut(data: bytes, deliver: Deliver, other: Callable[[bytes], None]) -> int:
    """Take every whole frame off the beginning of ``data``; give how many bytes these were.

    Deliveries go to ``deliver``, each other frame to ``other``, in the order in which they came.  So does a delivery
    that is not made of exactly three frames, and what is no frame at all: the library knows what to make of it.
    """
    at, end = 0, len(data)
    while end - at >= OVERHEAD:
        kind, _, size = _head(data, at)
        stop = at + OVERHEAD + size
        if stop > end:
            break
        if kind == METHOD and data[at + 7 : at + 11] == _DELIVER:
            after = _delivered(data, at, stop, deliver)
            if after < 0:
                break
            if after:
                at = after
                continue
        other(data[at:stop])
        at = stop
    return at


def _delivered(data: bytes, at: int, header: int, deliver: Deliver) -> int:
    """Hand over the delivery at ``at``, whose second frame begins at ``header``.

    Give where it ends, 0 where it is not of this shape, -1 where more must come.
    """
    end = len(data)
    if end - header < 19:
        return -1
    _, channel, _ = _head(data, at)
    kind, same, size = _head(data, header)
    (length,) = _long(data, header + 11)
    body = header + OVERHEAD + size
    if kind != HEADER or same != channel or size < 14 or not length:
        return 0
    if end - body < OVERHEAD:
        return -1
    kind, same, size = _head(data, body)
    stop: int = body + OVERHEAD + size
    if kind != BODY or same != channel or size != length:
        return 0
    if stop > end:
        return -1
    tag = at + 12 + data[at + 11]
    if tag + 9 > header or not data[header - 1] == data[body - 1] == data[stop - 1] == END:
        return 0
    deliver(channel, _long(data, tag)[0], data[body + 7 : stop - 1])
    return stop
