"""Everything that can be asked, an area each; ``AREAS`` is the whole table of routes, in the order of the documents."""

from __future__ import annotations

from gateway.api import (
    account,
    all_jobs,
    dead_letters,
    flows,
    items,
    jobs,
    pnl,
    providers,
    statements,
    streams,
    tokens,
    trades,
    users,
    works,
)
from gateway.routes import Routes

AREAS: tuple[Routes, ...] = (
    tokens.routes,
    account.routes,
    users.routes,
    jobs.routes,
    items.routes,
    flows.routes,
    trades.routes,
    pnl.routes,
    statements.routes,
    streams.routes,
    providers.routes,
    works.routes,
    dead_letters.routes,
    all_jobs.routes,
)
