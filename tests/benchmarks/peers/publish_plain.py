"""Publishing with confirms as others do it: aio-pika with a window, and bytes on a socket.

Both publish persistent messages of a body that is ready, to a queue that is there, and end when all are confirmed.
"""

from __future__ import annotations

import asyncio
from struct import pack, unpack_from

import aio_pika
import pika

from broker.publication import publication

READ, ROOM = 65536, 100_000
ACK = b"\x00\x3c\x00\x50"
GOODBYE = pack(">BHLHHHBHH", 1, 0, 11, 10, 50, 200, 0, 0, 0) + b"\xce"


async def with_aio_pika(url: str, queue: str, body: bytes, many: int, callers: int) -> None:
    """Publish from so many callers, each of which awaits its own confirmation before its next message."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel(publisher_confirms=True)
        left = iter(range(many))

        async def caller() -> None:
            for _ in left:
                message = aio_pika.Message(
                    body, content_type="application/json", delivery_mode=aio_pika.DeliveryMode.PERSISTENT
                )
                await channel.default_exchange.publish(message, queue)

        await asyncio.gather(*(caller() for _ in range(callers)))


def with_a_socket(url: str, queue: str, body: bytes, many: int, window: int) -> None:
    """Write the same bytes again and again, half a window at a time, and count the numbers that come back.

    pika shakes hands; nobody waits for any one message.
    """
    connection = pika.BlockingConnection(pika.URLParameters(url + "?heartbeat=0"))
    channel = connection.channel()
    channel.confirm_delivery()
    link = connection._impl._transport._sock
    link.setblocking(True)
    one = publication(channel.channel_number, queue, "0" * 36, body, ROOM)
    sent, told, rest = 0, Told(), b""
    while told.confirmed < many:
        room = min(window - (sent - told.confirmed), many - sent)
        if room and room >= min(window // 2, many - sent):
            link.sendall(one * room)
            sent += room
        rest = told.read(rest + link.recv(READ))
    link.sendall(GOODBYE)
    link.recv(READ)
    link.close()


class Told:
    """Which numbers the broker has confirmed: all up to ``low``, and some beyond."""

    def __init__(self) -> None:
        """None yet."""
        self.low = 0
        self.beyond: set[int] = set()

    @property
    def confirmed(self) -> int:
        """How many."""
        return self.low + len(self.beyond)

    def read(self, data: bytes) -> bytes:
        """Read the frames that are whole; give the rest."""
        at = 0
        while len(data) - at >= 8 and (stop := at + 8 + unpack_from(">L", data, at + 3)[0]) <= len(data):
            if data[at + 7 : at + 11] == ACK:
                self._took(*unpack_from(">QB", data, at + 11))
            at = stop
        return data[at:]

    def _took(self, number: int, multiple: int) -> None:
        if multiple:
            self.low = max(self.low, number)
            self.beyond = {one for one in self.beyond if one > number}
        else:
            self.beyond.add(number)
        while self.low + 1 in self.beyond:
            self.low += 1
            self.beyond.discard(self.low)
