"""Which refusals close a provider's queue, and for how long."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from ops import gate
from ops.gate import Gate
from workers.observer import Silent

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


class Queue:
    """Remembers whether it is closed."""

    def __init__(self) -> None:
        self.closed: list[str] = []
        self.opened = asyncio.Event()

    def pause(self, by: str, why: str) -> None:
        self.closed.append(f"{by}: {why}")

    def resume(self, by: str) -> None:
        assert by == "limits"
        self.opened.set()


def made(queue: Queue) -> Gate:
    return Gate(Silent(), lambda: {"fetch.nansen": queue}, lambda: NOW)


async def test_a_refusal_with_a_time_closes_the_queue_once_and_time_opens_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "CLOSED_S_MAX", 0.01)
    monkeypatch.setattr(gate, "CLOSED_S_MIN", 0.0)
    queue = Queue()
    closing = made(queue)
    for _ in range(3):
        closing.put_off("nansen", "breaker", NOW + timedelta(hours=1))
    assert queue.closed == ["limits: breaker"]
    await queue.opened.wait()
    closing.put_off("nansen", "quota", NOW + timedelta(hours=1))
    assert queue.closed == ["limits: breaker", "limits: quota"]


@pytest.mark.parametrize(
    ("provider", "why", "seconds"),
    [("nansen", "concurrency", 60), ("nansen", "unchecked", 60), ("nansen", "rate", 0.6), ("other", "quota", 60)],
)
async def test_what_passes_by_itself_or_at_once_closes_nothing(provider: str, why: str, seconds: float) -> None:
    queue = Queue()
    made(queue).put_off(provider, why, NOW + timedelta(seconds=seconds))
    assert queue.closed == []
