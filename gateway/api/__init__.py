"""Everything that can be asked, an area each; ``AREAS`` is the whole table of routes, in the order of the documents."""

from __future__ import annotations

from gateway.api import account, all_jobs, dead_letters, flows, items, jobs, providers, streams, tokens, users, works
from gateway.routes import Routes

AREAS: tuple[Routes, ...] = (
    tokens.routes,
    account.routes,
    users.routes,
    jobs.routes,
    items.routes,
    flows.routes,
    streams.routes,
    providers.routes,
    works.routes,
    dead_letters.routes,
    all_jobs.routes,
)
