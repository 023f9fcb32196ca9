"""The sandbox's clock: frozen at a moment or running with the machine's, and put forward by a control route."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class Clock:
    """Tells the provider's time; always aware, always UTC."""

    def __init__(self, frozen_at: datetime | None = None) -> None:
        if frozen_at is not None and frozen_at.tzinfo is None:
            raise ValueError("the sandbox's clock needs a moment with a time zone")
        self._frozen_at = frozen_at
        self._ahead = timedelta()

    def now(self) -> datetime:
        """Give the present moment of this clock."""
        return (self._frozen_at or datetime.now(UTC)).astimezone(UTC) + self._ahead

    def advance(self, seconds: float) -> datetime:
        """Put the clock forward and give the new moment."""
        if seconds < 0:
            raise ValueError("a clock only goes forward")
        self._ahead += timedelta(seconds=seconds)
        return self.now()


def stamp(moment: datetime) -> str:
    """Write a moment as ``2026-08-17T00:00:00Z``, the form of keys and of most answers."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
