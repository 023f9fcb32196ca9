"""A worker whose provider sets no limits, so that what is measured is us and not a provider's manners.

``python -m tests.benchmarks.wide worker …`` takes the words of ``sluice``.  With ``BENCH_BARE`` set, a probe is one
bare HTTP call: no row, no limiter, no landing, as the other task queues are measured.  An entry point: it reads the
environment.
"""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime

from broker.limits import Rate
from ops.cli import main
from tests.benchmarks.peers import count
from workers.items import Pull
from workers.pipeline import Pipeline
from workers.providers.cryptopanic import PROVIDER

NOW = datetime(2026, 5, 5, tzinfo=UTC)


async def bare(pipeline: Pipeline, queue: str) -> None:
    """Fetch one page and drop it."""
    count.begin()
    request = PROVIDER.request(Pull("posts", {}, "backfill", until=NOW), None)
    await pipeline.works.fetcher.fetch(PROVIDER, request, timeout_s=PROVIDER.limits.timeout_s)
    count.end()


if __name__ == "__main__":
    PROVIDER.limits = replace(PROVIDER.limits, rates=(Rate(100_000, 1.0),), concurrency=None, budget=None)
    if "BENCH_BARE" in os.environ:
        Pipeline.probe = bare  # type: ignore[method-assign, assignment]
    main()
