"""``/metrics`` beside the health of a process: its own registry, or the sum of its children's."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def exposition(registries: Sequence[CollectorRegistry]) -> bytes:
    """Write all series in Prometheus' text format."""
    return b"".join(generate_latest(registry) for registry in registries)


def add_metrics(app: web.Application, registries: Sequence[CollectorRegistry]) -> None:
    """Answer ``/metrics``.  Written in a thread: the files of many children take longer than the loop should stand."""

    async def metrics(_: web.Request) -> web.Response:
        body = await asyncio.to_thread(exposition, registries)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})

    app.router.add_get("/metrics", metrics)
