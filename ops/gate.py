"""A provider that may not be called is not asked for more: its queue is left alone until then.

What the limiter or a provider's standing refuses puts one job off, with the reason.  All hints behind it would only be
told the same, each for a claim and a commit, so the queue is closed: its messages stay with the broker.  Every
``CLOSED_S_MAX`` some are let through, since calls that cost nothing may be among them, or somebody may have helped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol

from broker.messages import fetch_queue
from broker.providers import Call
from workers.observer import Observer, PageState, RowOutcome

WHO = "limits"
LEAD_S = 0.5  # a call may be granted a little before its time, and waits then
CLOSED_S_MIN, CLOSED_S_MAX = 0.2, 5.0
PASSING = frozenset({"concurrency", "unchecked"})  # over as soon as a call ends or Redis is back, not at a known time


class Queue(Protocol):
    """What can be closed (``ops/engine/intake.py``)."""

    def pause(self, by: str, why: str) -> None: ...

    def resume(self, by: str) -> None: ...


class Gate:
    """An observer that closes the queues of providers whose jobs are put off, and tells all to the one behind it."""

    def __init__(
        self, behind: Observer, queues: Callable[[], Mapping[str, Queue]], clock: Callable[[], datetime]
    ) -> None:
        """Called on the loop, like every observer."""
        self._behind, self._queues, self._clock = behind, queues, clock
        self._opens: dict[str, asyncio.TimerHandle] = {}

    def put_off(self, provider: str, why: str, until: datetime) -> None:
        """Close the provider's queue for as long as is sure, and never for long."""
        self._behind.put_off(provider, why, until)
        queue = self._queues().get(fetch_queue(provider))
        closed_s = min(CLOSED_S_MAX, (until - self._clock()).total_seconds() - LEAD_S)
        if queue is None or why in PASSING or closed_s < CLOSED_S_MIN or provider in self._opens:
            return
        queue.pause(WHO, why)
        self._opens[provider] = asyncio.get_running_loop().call_later(closed_s, self._open, provider, queue)

    def _open(self, provider: str, queue: Queue) -> None:
        del self._opens[provider]
        queue.resume(WHO)

    def called(self, call: Call) -> None:
        """Nothing of the gate's."""
        self._behind.called(call)

    def page(self, state: PageState) -> None:
        """Nothing of the gate's."""
        self._behind.page(state)

    def rows(self, provider: str, outcome: RowOutcome, count: int) -> None:
        """Nothing of the gate's."""
        self._behind.rows(provider, outcome, count)

    def posted(self, seconds: float) -> None:
        """Nothing of the gate's."""
        self._behind.posted(seconds)
