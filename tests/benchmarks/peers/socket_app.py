"""A plain socket: pika shakes hands, then bytes are read, deliveries counted, and a group of them acknowledged at once.

Nothing is decoded and nothing runs: what a client could reach that had nothing to do.  An entry point: it reads the
environment.
"""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from struct import pack

import pika

from broker.frames import cut

PREFETCH, GROUP = 1000, 100


def main() -> None:
    """Drain the queue."""
    connection = pika.BlockingConnection(pika.URLParameters(os.environ["BENCH_BROKER_URL"] + "?heartbeat=0"))
    channel = connection.channel()
    link = connection._impl._transport._sock
    link.setblocking(True)
    many = int(os.environ["BENCH_COUNT"])
    number, said, last, done, began = channel.channel_number, 0, 0, 0, 0.0
    queue = os.environ["BENCH_QUEUE"].encode()
    link.sendall(_method(number, pack(">HHLHB", 60, 10, 0, PREFETCH, 0)))
    consume = pack(">HHHB", 60, 20, 0, len(queue)) + queue + b"\x00\x00" + pack(">L", 0)
    link.sendall(_method(number, consume))

    def took(_: int, tag: int, __: bytes) -> None:
        nonlocal done, last
        done, last = done + 1, tag

    rest = b""
    while done < many:
        rest += link.recv(65536)
        began = began or (time.perf_counter() if done else 0.0)
        rest = rest[cut(rest, took, lambda _: None) :]
        if last - said >= GROUP or done >= many:
            link.sendall(_method(number, pack(">HHQB", 60, 80, last, 1)))
            said = last
    told = Path(os.environ["BENCH_RESULT"])
    part = told.with_suffix(".part")
    part.write_text(json.dumps({"seconds": time.perf_counter() - began}))
    part.rename(told)
    signal.pause()  # until told to stop, like the others


def _method(channel: int, payload: bytes) -> bytes:
    return pack(">BHL", 1, channel, len(payload)) + payload + b"\xce"


if __name__ == "__main__":
    main()
