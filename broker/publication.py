"""The frames that publish one message, put together by hand.  Pure: values in, bytes out.

pika makes objects of the three frames of each message and sends each of them by itself; together that costs more than
all else that a publisher does (``docs/engine.md`` has the figures).  Whatever is not a publication, pika writes.

    frame        type:1 channel:2 size:4 payload:size 0xCE
    publication  method(60,40: no exchange, queue, mandatory)  header(body size:8, properties)  body, in as many frames
                 as it needs
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct

END = b"\xce"
_frame = Struct(">BHL").pack
_header = Struct(">BHLHHQ").pack
METHOD, HEADER, BODY = 1, 2, 3
BASIC = 60
_PERSISTENT_JSON = b"\x90\x80" + b"\x10application/json" + b"\x02"
"""Which properties follow (content type, delivery mode, message id), and the first two of them."""


def publication(channel: int, queue: str, message_id: str, body: bytes, room: int) -> bytes:
    """Write a persistent, mandatory JSON message to a queue, with at most ``room`` bytes of body in a frame.

    Raises ValueError where queue or id are longer than 255 bytes.
    """
    name = message_id.encode()
    properties = b"%b%c%b" % (_PERSISTENT_JSON, len(name), name) if len(name) < 256 else _refuse(name)
    size = len(body)
    header = _header(HEADER, channel, 12 + len(properties), BASIC, 0, size)
    if 0 < size <= room:
        return b"".join((_method(channel, queue), header, properties, END, _frame(BODY, channel, size), body, END))
    parts = [_method(channel, queue), header, properties, END]
    for at in range(0, size, room):
        part = body[at : at + room]
        parts += (_frame(BODY, channel, len(part)), part, END)
    return b"".join(parts)


@lru_cache(maxsize=256)
def _method(channel: int, queue: str) -> bytes:
    name = queue.encode()
    if len(name) > 255:
        _refuse(name)
    # class and method, a reserved short, no exchange, the routing key, mandatory
    payload = b"\x00\x3c\x00\x28\x00\x00\x00%c%b\x01" % (len(name), name)
    return _frame(METHOD, channel, len(payload)) + payload + END


def _refuse(name: bytes) -> bytes:
    raise ValueError(f"a name in AMQP has at most 255 bytes, not {len(name)}")
