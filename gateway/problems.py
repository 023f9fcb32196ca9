"""Every way to say no: problem documents (RFC 9457) with a ``code`` that never changes once it was given out.

Handlers raise ``Problem``; what a client can meet is the table ``KINDS``, which OpenAPI and the documents repeat.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

MEDIA_TYPE = "application/problem+json"
QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"
REDUCED_CAPACITY = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity"


@dataclass(frozen=True, slots=True)
class Kind:
    """One stable code: its status and the sentence that all answers with it share."""

    status: int
    title: str
    type: str = "about:blank"


KINDS: Mapping[str, Kind] = {
    "malformed_request": Kind(400, "The request cannot be read"),
    "invalid_cursor": Kind(400, "This cursor does not belong to this question"),
    "idempotency_key_missing": Kind(400, "Idempotency-Key is required here"),
    "unauthenticated": Kind(401, "A valid token or API key is required"),
    "invalid_credentials": Kind(401, "These credentials are not valid"),
    "insufficient_scope": Kind(403, "The token does not allow this"),
    "forbidden": Kind(403, "This is not allowed to you"),
    "not_found": Kind(404, "There is no such thing, or it is not yours"),
    "method_not_allowed": Kind(405, "This address does not take this method"),
    "request_timeout": Kind(408, "The request took too long to arrive"),
    "conflict": Kind(409, "The state of the thing does not allow this"),
    "idempotency_key_in_use": Kind(409, "A request with this Idempotency-Key is still under way"),
    "too_large": Kind(413, "The request is larger than is taken here"),
    "unsupported_media_type": Kind(415, "The body is of a type that is not taken here"),
    "invalid": Kind(422, "The request does not say something that can be done"),
    "weak_password": Kind(422, "This password is too easy to guess"),
    "idempotency_key_reused": Kind(422, "This Idempotency-Key was used for another request"),
    "rate_limited": Kind(429, "Too many requests", QUOTA_EXCEEDED),
    "queue_quota": Kind(429, "Too many jobs are waiting", QUOTA_EXCEEDED),
    "too_many_streams": Kind(429, "Too many event streams are open", QUOTA_EXCEEDED),
    "internal": Kind(500, "Something went wrong here"),
    "method_unknown": Kind(501, "This method is not known here"),
    "unavailable": Kind(503, "Something this needs is away; try again", REDUCED_CAPACITY),
    "version_not_supported": Kind(505, "HTTP/1.1 is spoken here"),
}


class Problem(Exception):
    """A refusal on its way to the client; ``extra`` are further members of the document, without secrets."""

    def __init__(
        self, code: str, detail: str | None = None, *, headers: Mapping[str, str] | None = None, **extra: Any
    ) -> None:
        super().__init__(code)
        self.code, self.detail, self.headers, self.extra = code, detail, dict(headers or {}), extra

    @property
    def status(self) -> int:
        """The HTTP status that belongs to the code."""
        return KINDS[self.code].status


def document(problem: Problem, request_id: str | None = None) -> bytes:
    """Write a refusal's document."""
    kind = KINDS[problem.code]
    body = {
        "type": kind.type,
        "title": kind.title,
        "status": kind.status,
        "code": problem.code,
        **({"detail": problem.detail} if problem.detail else {}),
        **({"request_id": request_id} if request_id else {}),
        **problem.extra,
    }
    return orjson.dumps(body)


def problem_response(problem: Problem, *, request_id: str | None = None) -> web.Response:
    """Write a refusal as an answer of its own."""
    return web.Response(
        body=document(problem, request_id),
        status=problem.status,
        content_type=MEDIA_TYPE,
        headers=problem.headers or None,
    )
