"""Confirmed publishes per second: our producer's, aio-pika's and a plain socket's, on the same quorum queue.

    python -m tests.benchmarks.bench_publish [--messages 20000] [--repeats 5] [--json]

Messages are persistent and of about 200 bytes.  *200 callers*: each sends one message, awaits its own confirmation, and
sends the next; ours makes and encodes every message, the others send a body that is ready.  The socket writes the same
bytes again and again, up to 2000 unconfirmed, and nobody waits for any of them: what the broker can take.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import UUID

import aio_pika
import orjson

from broker.messages import DEDUP, DedupPage
from broker.producer import Producer, open_producer
from ops.embedded.rabbitmq import RabbitMQ
from tests.benchmarks.pairs import Line, interleaved, parser, show
from tests.benchmarks.peers.publish_plain import with_a_socket, with_aio_pika

CALLERS, SOCKET_WINDOW = 200, 2000
HINT = DedupPage(UUID(int=1))
BODY = orjson.dumps(HINT.message())


@dataclass(frozen=True, slots=True)
class Post:
    """A private RabbitMQ, and our producer for it."""

    url: str
    producer: Producer


async def in_windows(post: Post, many: int) -> None:
    """Send all in one call, as a batch of jobs does."""
    await post.producer.send([HINT] * many)


async def one_at_a_time(post: Post, many: int) -> None:
    """Send the next one when the broker has taken the one before."""
    for _ in range(many):
        await post.producer.send([HINT])


async def many_callers(post: Post, many: int) -> None:
    """Send from so many callers at once, each of which awaits its own confirmation."""
    left = iter(range(many))

    async def caller() -> None:
        for _ in left:
            await post.producer.send([HINT])

    await asyncio.gather(*(caller() for _ in range(CALLERS)))


async def aio_pikas_callers(post: Post, many: int) -> None:
    """The same with aio-pika."""
    await with_aio_pika(post.url, DEDUP, BODY, many, CALLERS)


async def a_socket(post: Post, many: int) -> None:
    """The most that the broker takes."""
    await asyncio.to_thread(with_a_socket, post.url, DEDUP, BODY, many, SOCKET_WINDOW)


async def timed(post: Post, way: Callable[[Post, int], Awaitable[None]], many: int) -> float:
    """Run one way with an empty queue, look whether all arrived, and give messages a second."""
    await post.producer.depth(DEDUP)  # declares it
    async with await aio_pika.connect(post.url) as connection:
        await (await (await connection.channel()).get_queue(DEDUP)).purge()
    began = time.perf_counter()
    await way(post, many)
    rate = many / (time.perf_counter() - began)
    arrived = await post.producer.depth(DEDUP)
    assert arrived == many, f"{arrived} of {many} are there"
    return rate


async def measure(many: int, repeats: int) -> Sequence[Line]:
    """Run all in turns."""
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder, RabbitMQ(Path(folder)) as server:
        async with open_producer(server.url, [DEDUP]) as producer:
            post = Post(server.url, producer)
            await timed(post, in_windows, 100)  # connects
            told = await interleaved(
                {
                    "ours": partial(timed, post, many_callers, many),
                    "aio-pika": partial(timed, post, aio_pikas_callers, max(CALLERS, many // 4)),
                    "socket": partial(timed, post, a_socket, many),
                    "windows": partial(timed, post, in_windows, many),
                    "one": partial(timed, post, one_at_a_time, max(1, many // 20)),
                },
                repeats,
            )
    return [
        Line(f"confirmed publishes, {CALLERS} callers", "messages/s", "aio-pika", told["ours"], told["aio-pika"], 2.5),
        Line(f"confirmed publishes, {CALLERS} callers", "messages/s", "socket", told["ours"], told["socket"], 0.7),
        Line("confirmed publishes, one batch", "messages/s", "one at a time", told["windows"], told["one"], 4),
    ]


def main() -> None:
    """Read the command line."""
    made = parser(__doc__, repeats=5)
    made.add_argument("--messages", type=int, default=20000)
    args = made.parse_args()
    show(measure(args.messages, args.repeats), as_json=args.json)


if __name__ == "__main__":
    main()
