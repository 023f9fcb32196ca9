"""The OpenAPI 3.1 document, written from the table of routes: what is decoded and checked is what is described."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Union, get_args, get_origin

import msgspec

from gateway.dispatching import structs_within
from gateway.eventstream import EventStream
from gateway.problems import KINDS, MEDIA_TYPE
from gateway.routes import Reply, Route

VERSION = "3.1.0"
JSON = "application/json"
REF = "#/components/schemas/{name}"
Schema = dict[str, Any]

ALWAYS = ("internal", "unavailable")
COUNTED = ("rate_limited",)
VERIFIED = ("malformed_request", "unauthenticated", "insufficient_scope", "rate_limited")
WITH_BODY = ("malformed_request", "request_timeout", "too_large", "unsupported_media_type", "invalid")
WITH_PATH = ("not_found",)
WITH_KEY = ("idempotency_key_in_use", "idempotency_key_reused", "invalid")

TITLE = "Sluice"
ABOUT = """Crypto news, wallet flows, trades and PnL out of one audited ledger, and the jobs that fill it.

Log in at `login/access-token` and send the token as `Authorization: Bearer ...`; programs use an API key in its
place. Errors are problem documents (RFC 9457) whose `code` never changes. Lists page by `cursor`: send the
`next_cursor` of one page to get the following one. Amounts and quantities are decimal numbers in strings. Every
answer has an `X-Request-Id`; every answer to somebody known says what is left of the rate limit."""


def document(table: Sequence[Route], *, server: str | None = None) -> Schema:
    """Describe every route; ``server`` is what clients call this gateway, if that is known."""
    types = list(_types(table))
    shapes, components = msgspec.json.schema_components([kind for _, kind in types], ref_template=REF)
    schemas = dict(zip((key for key, _ in types), shapes, strict=True))
    for struct in set().union(*(structs_within(kind) for _, kind in types)):
        if more := getattr(struct, "TOGETHER", None):  # what its fields say together, and none of them alone
            components[struct.__name__] |= more
    paths: dict[str, Schema] = {}
    refusals: dict[str, Schema] = {}
    names = Counter(route.handler.__name__ for route in table)
    for route in table:
        name = route.handler.__name__
        operation = _operation(route, schemas, components)
        operation["responses"] |= _refusals(route, refusals)
        operation["operationId"] = name if names[name] == 1 else f"{route.tag}_{name}".replace("-", "_")
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    scopes = sorted({route.needs for route in table if route.needs})
    used = {**components, "Problem": _problem_schema()}
    for kind in _parameter_kinds(table):  # each of their fields is a parameter by now
        used.pop(kind.__name__, None)
    return {
        "openapi": VERSION,
        "info": {"title": TITLE, "version": "1", "description": ABOUT, "license": {"name": "Apache-2.0"}},
        "servers": [{"url": server or "/"}],
        "tags": _tags(table),
        "paths": paths,
        "components": {
            "schemas": used,
            "responses": refusals,
            "headers": _HEADERS,
            "securitySchemes": _schemes(scopes),
        },
    }


def _types(table: Iterable[Route]) -> Iterable[tuple[tuple[int, str], Any]]:
    for route in table:
        for place, kind in route.inputs.items():
            if kind is not bytes:
                yield (id(route), place), kind
        for status, kind in answers(route).items():
            if route.media_type == JSON and kind is not None:
                yield (id(route), str(status)), kind


def _parameter_kinds(table: Iterable[Route]) -> set[Any]:
    return {kind for route in table for place, kind in route.inputs.items() if place != "body"}


def answers(route: Route) -> dict[int, Any]:
    """Say what a route answers when all goes well, by status; None is no body."""
    kinds = get_args(route.answer) if get_origin(route.answer) is Union else (route.answer,)
    within = [get_args(kind)[0] if get_origin(kind) is Reply else kind for kind in kinds]
    bodies = [kind for kind in within if kind not in (None, type(None), EventStream)]
    main = Union[tuple(bodies)] if bodies else None  # noqa: UP007  as many as there are
    return {route.status: None if route.status == 204 else main, **route.also}


def _operation(route: Route, schemas: Mapping[Any, Schema], components: Mapping[str, Schema]) -> Schema:
    operation: Schema = {"tags": [route.tag], "summary": route.summary, "parameters": []}
    if route.description:
        operation["description"] = route.description
    for place in ("path", "query"):
        if place in route.inputs:
            operation["parameters"] += _parameters(place, schemas[id(route), place], components)
    operation["parameters"] += _header_parameters(route)
    if "body" in route.inputs:
        shape = schemas.get((id(route), "body"), {"type": "string", "format": "binary"})
        shown = {} if route.example is None else {"example": route.example}
        operation["requestBody"] = {"required": True, "content": {route.takes: {"schema": shape, **shown}}}
    operation["responses"] = _successes(route, schemas)
    operation["security"] = [{"token": [route.needs]}, {"key": [route.needs]}] if route.needs else []
    return operation


def _parameters(place: str, shape: Schema, components: Mapping[str, Schema]) -> list[Schema]:
    struct = components[shape["$ref"].rpartition("/")[2]]
    required = struct.get("required", [])
    found = []
    for name, schema in struct["properties"].items():
        kept = _not_null({key: value for key, value in schema.items() if key != "description"})
        one = {"name": name, "in": place, "required": place == "path" or name in required, "schema": kept}
        if "description" in schema:
            one["description"] = schema["description"]
        found.append(one)
    return found


def _not_null(schema: Schema) -> Schema:
    """Leave out null and its default: in an address a parameter is there or it is not."""
    if schema.get("default", ...) is None:
        schema = {key: value for key, value in schema.items() if key != "default"}
    if "anyOf" in schema:
        kinds = [one for one in schema["anyOf"] if one != {"type": "null"}]
        rest = {key: value for key, value in schema.items() if key != "anyOf"}
        return {**rest, **kinds[0]} if len(kinds) == 1 else {**rest, "anyOf": kinds}
    return schema


def _header_parameters(route: Route) -> list[Schema]:
    found = []
    if route.idempotent:
        found.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": route.key_required,
                "description": "A key of your own, such as a UUID: the same request with the same key is done once.",
                "schema": {"type": "string", "pattern": "^[!-~]{1,200}$"},
            }
        )
    if route.media_type == "text/event-stream":
        found.append(
            {
                "name": "Last-Event-ID",
                "in": "header",
                "required": False,
                "description": "The id of the last event that came: what followed is told again.",
                "schema": {"type": "string", "maxLength": 100},
            }
        )
    return found


def _successes(route: Route, schemas: Mapping[Any, Schema]) -> Schema:
    found: Schema = {}
    for status, kind in answers(route).items():
        one: Schema = {"description": _PHRASES.get(status, "Done"), "headers": _headers(route)}
        if route.idempotent:
            one["headers"]["Idempotency-Replayed"] = _ref("Idempotency-Replayed")
        if kind is not None and route.media_type == JSON:
            one["content"] = {JSON: {"schema": schemas[id(route), str(status)]}}
        elif status != 204 and status == route.status:
            one["content"] = {route.media_type: {"schema": {"type": "string"}}}
        found[str(status)] = one
    return found


def problems_of(route: Route) -> tuple[str, ...]:
    """Name the codes that a route can answer with, its own last."""
    codes = [*ALWAYS]
    if route.needs is not None:
        codes += VERIFIED
    elif not route.free:
        codes += COUNTED
    codes += WITH_BODY if "body" in route.inputs else ()
    codes += WITH_PATH if "path" in route.inputs else ()
    codes += WITH_KEY if route.idempotent else ()
    codes += ("idempotency_key_missing",) if route.key_required else ()
    codes += ("invalid",)  # a parameter that is not taken
    codes += ("invalid_cursor",) if "cursor" in getattr(route.inputs.get("query"), "__struct_fields__", ()) else ()
    return tuple(dict.fromkeys((*codes, *route.problems)))


def _refusals(route: Route, shared: dict[str, Schema]) -> Schema:
    """Say how a route refuses, by status; what many routes say alike stands once, in ``shared``."""
    by_status: dict[int, list[str]] = {}
    for code in problems_of(route):
        by_status.setdefault(KINDS[code].status, []).append(code)
    found: Schema = {}
    for status, codes in sorted(by_status.items()):
        if status in answers(route):
            continue
        name = "_or_".join(sorted(codes)) + ("" if route.needs else "_to_anybody")
        shared.setdefault(name, _refusal(status, sorted(codes), route))
        found[str(status)] = {"$ref": f"#/components/responses/{name}"}
    return found


def _refusal(status: int, codes: list[str], route: Route) -> Schema:
    headers = _headers(route) | {name: _ref(name) for name in _BESIDE.get(status, ())}
    shape = {
        "allOf": [{"$ref": REF.format(name="Problem")}],
        "properties": {"code": {"enum": codes}, "status": {"const": status}},
    }
    told = "; ".join(f"`{code}`: {KINDS[code].title}" for code in codes)
    return {"description": told, "headers": headers, "content": {MEDIA_TYPE: {"schema": shape}}}


def _headers(route: Route) -> Schema:
    names = ["X-Request-Id", *(_RATE if route.needs else ())]
    return {name: _ref(name) for name in names}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/headers/{name}"}


def _tags(table: Iterable[Route]) -> list[Schema]:
    found: dict[str, str] = {}
    for route in table:
        about = (sys.modules[route.handler.__module__].__doc__ or "").strip()
        found.setdefault(route.tag, about)
    return [{"name": name, "description": about} for name, about in found.items()]


def _problem_schema() -> Schema:
    return {
        "type": "object",
        "description": "A refusal (RFC 9457). Some codes have members of their own, such as `violated-policies`.",
        "required": ["type", "title", "status", "code"],
        "properties": {
            "type": {"type": "string", "format": "uri-reference"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "code": {"type": "string", "enum": sorted(KINDS)},
            "detail": {"type": "string"},
            "request_id": {"type": "string"},
        },
    }


def _schemes(scopes: Sequence[str]) -> Schema:
    flow = {
        "tokenUrl": "/api/v1/login/access-token",
        "refreshUrl": "/api/v1/auth/refresh",
        "scopes": {scope: _scope_words(scope) for scope in scopes},
    }
    return {
        "token": {"type": "oauth2", "description": "People log in with a password.", "flows": {"password": flow}},
        "key": {
            "type": "http",
            "scheme": "bearer",
            "description": "Programs send an API key, made at `auth/api-keys`, in the same header.",
        },
    }


def _scope_words(scope: str) -> str:
    what, _, how = scope.partition(":")
    return f"{'Change' if how == 'write' else 'Read'} {'what belongs to all' if what == 'admin' else f'your {what}'}"


_RATE = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "RateLimit-Policy", "RateLimit")
_BESIDE = {401: ("WWW-Authenticate",), 403: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}
_PHRASES = {200: "Done", 201: "Made", 202: "Taken: it is done later", 204: "Done; there is nothing to tell"}


def _header(about: str, kind: str = "string") -> Schema:
    return {"description": about, "schema": {"type": kind}}


_HEADERS: Schema = {
    "X-Request-Id": _header("Names this request in the logs."),
    "X-RateLimit-Limit": _header("Calls that the window which binds admits.", "integer"),
    "X-RateLimit-Remaining": _header("Calls that are left in it.", "integer"),
    "X-RateLimit-Reset": _header("When its next call is free: seconds since 1970.", "integer"),
    "RateLimit-Policy": _header("Both windows (draft-ietf-httpapi-ratelimit-headers)."),
    "RateLimit": _header("What is left of both, and when more is free, in seconds from now."),
    "Retry-After": _header("Seconds to wait before the next try.", "integer"),
    "WWW-Authenticate": _header("What kind of token, and which scope, is needed (RFC 6750)."),
    "Idempotency-Replayed": _header("`true` where this is the answer that an earlier request with the key got."),
}
