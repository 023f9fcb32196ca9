"""Whatever goes wrong becomes a problem document: one place decides which, and no cause is ever shown to a client."""

from __future__ import annotations

import asyncio

import psycopg
import redis
import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestPayloadError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from broker.producer import BrokerUnreachableError
from gateway.edge.passage import Passage
from gateway.problems import Problem

log = structlog.get_logger(__name__)

AGAIN_S = 2
AWAY = (
    OperationalError,
    InterfaceError,
    PoolTimeoutError,
    psycopg.OperationalError,
    redis.ConnectionError,
    redis.TimeoutError,
    BrokerUnreachableError,
    ConnectionError,
    TimeoutError,
)
"""What a store raises while it is away, restarts, or is too busy: the same request works later."""

CODES = {404: "not_found", 405: "method_not_allowed", 413: "too_large", 415: "unsupported_media_type"}


def problem_of(error: Exception, request: web.BaseRequest, passage: Passage) -> Problem:
    """Turn anything that was raised into what the client is told; what nobody expected is logged, once."""
    match error:
        case Problem():
            return error
        case web.HTTPException():
            return _of_http(error)
        case RequestPayloadError() | HttpProcessingError():
            return Problem("malformed_request", "the body cannot be read", headers={"Connection": "close"})
        case asyncio.IncompleteReadError():
            return Problem("malformed_request", "the body ended early", headers={"Connection": "close"})
    if is_away(error):
        log.warning("store_away", request_id=passage.request_id, error=type(error).__name__)
        return unavailable()
    if isinstance(error, StatementError):
        error.hide_parameters = True  # its text holds the row that was written: a hash, a name
    log.error(
        "request_failed",
        request_id=passage.request_id,
        method=request.method,
        route=passage.route,
        exc_info=error,
    )
    return Problem("internal")


def is_away(error: BaseException) -> bool:
    """Whether this is about a store that cannot be used now, and not about the request."""
    return isinstance(error, AWAY) or (isinstance(error, DBAPIError) and error.connection_invalidated)


def unavailable(detail: str | None = None) -> Problem:
    """Say to come again."""
    return Problem("unavailable", detail, headers={"Retry-After": str(AGAIN_S)})


def _of_http(error: web.HTTPException) -> Problem:
    headers = {}
    if allow := error.headers.get("Allow"):
        headers["Allow"] = ", ".join(sorted(allow.split(",")))
    if error.status == 413:
        headers["Connection"] = "close"  # what is left of the body is not waited for
    if error.status in CODES:
        return Problem(CODES[error.status], headers=headers)
    return Problem("malformed_request" if error.status < 500 else "internal", headers=headers)
