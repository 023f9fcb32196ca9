"""What the limiter tells whoever counts: metrics are wired by ``ops``, the limiter knows none of their names."""

from __future__ import annotations

from typing import Literal, Protocol

Outcome = Literal["admitted", "refused", "refused_from_cache", "admitted_locally", "refused_locally"]
Failure = Literal["late", "lost", "broken"]


class Observer(Protocol):
    """Called on the event loop, so it must not block.

    ``decided``: one decision and the seconds it took.  ``failed``: Redis did not decide (late: no answer in time, lost:
    no connection, broken: an error).  ``degraded``: the breaker opened or closed.  ``pending``: locally admitted calls
    that Redis has not been told of.  ``replayed``: so many were told.  ``dropped``: so many never will be.
    """

    def decided(self, outcome: Outcome, seconds: float) -> None: ...

    def failed(self, failure: Failure) -> None: ...

    def degraded(self, is_open: bool) -> None: ...

    def pending(self, stamps: int) -> None: ...

    def replayed(self, stamps: int) -> None: ...

    def dropped(self, stamps: int) -> None: ...


class Silent:
    """Counts nothing."""

    def decided(self, outcome: Outcome, seconds: float) -> None:
        """Count nothing."""

    def failed(self, failure: Failure) -> None:
        """Count nothing."""

    def degraded(self, is_open: bool) -> None:
        """Count nothing."""

    def pending(self, stamps: int) -> None:
        """Count nothing."""

    def replayed(self, stamps: int) -> None:
        """Count nothing."""

    def dropped(self, stamps: int) -> None:
        """Count nothing."""
