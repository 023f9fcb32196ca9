"""A producer that counts what it sends; everything else is the producer's own."""

from __future__ import annotations

import time
from collections.abc import Sequence

from broker.messages import Hint
from broker.producer import BrokerUnreachableError, Held, Producer, Telling, Write
from ops.metrics.meters import Meters


class MeteredProducer:
    """Passes everything on to ``producer``, which is one of ``open_producer``."""

    def __init__(self, producer: Producer, meters: Meters) -> None:
        """Count into these meters."""
        self._producer, self._meters = producer, meters
        for outcome in ("taken", "refused"):  # the growth of a series that begins with its first event misses that one
            meters.count("sluice_publishes_total", outcome, by=0)

    async def send(self, hints: Sequence[Hint]) -> None:
        if not hints:
            return
        began = time.perf_counter()
        try:
            await self._producer.send(hints)
        except BrokerUnreachableError:
            self._meters.count("sluice_publishes_total", "refused")
            raise
        self._meters.count("sluice_publishes_total", "taken")
        self._meters.observe("sluice_publish_seconds", time.perf_counter() - began)

    async def depth(self, queue: str) -> int:
        return await self._producer.depth(queue)

    async def held(self, queue: str) -> Held:
        assert isinstance(self._producer, Telling)
        return await self._producer.held(queue)

    async def collect_dead(self, queue: str, limit: int, write: Write) -> int:
        return await self._producer.collect_dead(queue, limit, write)
