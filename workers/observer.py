"""What the pipeline tells whoever counts: metrics are wired by ``ops``, nothing here knows their names.

What is told has happened: it is said after its commit.  A page that is worked on twice is told of twice; exact counts
are in the rows.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Protocol

from broker.pages import Decision
from broker.providers import Call

PageState = Literal["landed", "spare", "read", "posted", "malformed", "dead"]
RowOutcome = Literal["new", "duplicate", "amended", "rejected", "skipped"]


class Observer(Protocol):
    """Called on the event loop, so it must not block.

    ``called``: one call of a provider, whatever came of it.  ``put_off``: a job of that provider has to wait, why,
    in one of a few words, and until when.  ``page``: a page came so far.  ``rows``: what became of so many rows of a
    page.  ``posted``: a page is in the ledger, so many seconds after the provider's answer.
    """

    def called(self, call: Call) -> None: ...

    def put_off(self, provider: str, why: str, until: datetime) -> None: ...

    def page(self, state: PageState) -> None: ...

    def rows(self, provider: str, outcome: RowOutcome, count: int) -> None: ...

    def posted(self, seconds: float) -> None: ...


class Silent:
    """Counts nothing."""

    def called(self, call: Call) -> None:
        """Count nothing."""

    def put_off(self, provider: str, why: str, until: datetime) -> None:
        """Count nothing."""

    def page(self, state: PageState) -> None:
        """Count nothing."""

    def rows(self, provider: str, outcome: RowOutcome, count: int) -> None:
        """Count nothing."""

    def posted(self, seconds: float) -> None:
        """Count nothing."""


def found_out(observer: Observer, provider: str, decided: Decision, fresh: int) -> None:
    """Tell what reading a page found: ``fresh`` rows are left for post, what is not among them is known or refused."""
    observer.page("read")
    observer.rows(provider, "rejected", decided.rejected)
    observer.rows(provider, "skipped", decided.skipped)
    observer.rows(provider, "duplicate", decided.found - decided.rejected - fresh)
