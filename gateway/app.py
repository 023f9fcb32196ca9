"""The HTTP application.  So far it tells how the system is; what clients ask of it is added route by route."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.health import Probe, add_health_routes, problem

CODES = {404: "not_found", 405: "method_not_allowed"}


def make_app(probes: Mapping[str, Probe]) -> web.Application:
    """Build the application over what it depends on."""
    app = web.Application(middlewares=[problems])
    add_health_routes(app, probes)
    return app


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn what aiohttp raises into problem documents."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        answer = problem(error.status, CODES.get(error.status, "refused"), error.reason)
        if allow := error.headers.get("Allow"):
            answer.headers["Allow"] = allow
        return answer
