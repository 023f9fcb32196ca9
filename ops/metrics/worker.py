"""What the pipeline tells of, counted."""

from __future__ import annotations

from datetime import datetime

from broker.providers import Call
from ops.metrics.meters import Meters
from workers.observer import PageState, RowOutcome


class PipelineMeters:
    """Counts what the pipeline tells of (``workers/observer.py``)."""

    def __init__(self, meters: Meters) -> None:
        """Count into these meters."""
        self._meters = meters

    def called(self, call: Call) -> None:
        """Count a call, its time and its cost."""
        self._meters.count("sluice_provider_calls_total", call.provider, call.outcome)
        self._meters.count("sluice_provider_cost_total", call.provider, by=call.cost)
        self._meters.observe("sluice_provider_call_seconds", max(0.0, call.seconds), call.provider)

    def put_off(self, provider: str, why: str, until: datetime) -> None:  # noqa: ARG002  not counted
        """Count a job that has to wait."""
        self._meters.count("sluice_jobs_put_off_total", provider, why)

    def page(self, state: PageState) -> None:
        """Count a page that came so far."""
        self._meters.count("sluice_pages_total", state)

    def rows(self, provider: str, outcome: RowOutcome, count: int) -> None:
        """Count rows; at a second reading of a page there may be fewer duplicates than at the first."""
        self._meters.count("sluice_items_total", provider, outcome, by=max(0, count))

    def posted(self, seconds: float) -> None:
        """Note how long a page took."""
        self._meters.observe("sluice_post_seconds", seconds)
