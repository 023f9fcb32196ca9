"""Each Route becomes one function: decode what its signature names, call the handler, encode what comes back."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import uuid_utils
from aiohttp import web

from gateway.call import Call
from gateway.edge.answer import JSON, Answer
from gateway.edge.timelimit import TimeLimit
from gateway.eventstream import EventStream
from gateway.problems import Problem
from gateway.routes import Reply, Route
from gateway.strict import check_json, pairs, path_values

FORM = "application/x-www-form-urlencoded"
FORM_FIELDS_MAX = 50
_ENUM_FAULT = re.compile(r"^Invalid enum value .* - at `\$\.(\w+)`$", re.DOTALL)


def _plain(value: object) -> object:
    if isinstance(value, uuid_utils.UUID):
        return str(value)
    raise NotImplementedError(f"{type(value).__name__} cannot be answered")


_encode = msgspec.json.Encoder(enc_hook=_plain, decimal_format="string").encode

Reader = Callable[[web.Request], Any]
Dispatch = Callable[[Call], Awaitable[web.StreamResponse | EventStream]]


def dispatcher(route: Route, *, body_s: float = 30.0, handler_s: float = 60.0) -> Dispatch:
    """Give the function that answers this route: a response, or a Problem.

    ``body_s`` is how long a body may take to arrive, ``handler_s`` how long the handler may work; a stream of events
    may last.  Raises TypeError at once for a signature that would let unknown fields pass.
    """
    _check_structs(route)
    readers = {place: reader for place in ("path", "query") if (reader := _reader(route, place))}
    read_body = _body_reader(route)
    refuses_query = "query" not in route.inputs
    handler, status, answers_json = route.handler, route.status, route.media_type == JSON
    limit = None if route.media_type == "text/event-stream" else TimeLimit(handler_s)

    async def work(call: Call, inputs: Mapping[str, Any]) -> Any:
        try:
            if limit is None:
                return await handler(call, **inputs)
            return await limit.within(handler(call, **inputs))
        except TimeoutError:
            raise Problem("unavailable", "this took too long", headers={"Retry-After": "5"}) from None

    run = work if route.method == "GET" else _shielded(work)

    async def dispatch(call: Call) -> web.StreamResponse | EventStream:
        request = call.request
        if refuses_query and request.rel_url.raw_query_string:
            raise Problem("invalid", "no query parameters are taken here")
        inputs = {place: read(request) for place, read in readers.items()}
        if read_body is not None:
            inputs["body"] = read_body(request, await _whole_body(request, body_s))
        value = await run(call, inputs)
        if isinstance(value, Reply):
            return _response(value.value, value.status or status, value.headers, route.media_type)
        if isinstance(value, (web.StreamResponse, EventStream)):
            return value
        if answers_json and status != 204:
            return Answer(_encode(value), status=status)
        return _response(value, status, {}, route.media_type)

    return dispatch


def _response(value: Any, status: int, headers: Mapping[str, str], media_type: str) -> Answer:
    if status in (204, 304):
        return Answer(b"", status=status, media_type=media_type, more=headers)
    if media_type == JSON:
        return Answer(_encode(value), status=status, more=headers)
    body = value if isinstance(value, bytes) else str(value).encode()
    return Answer(body, status=status, media_type=f"{media_type}; charset=utf-8", more=headers)


def _shielded(work: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Let what was begun be done: a client that goes away stops waiting for a change, not the change."""
    under_way: set[asyncio.Task[Any]] = set()  # the loop itself holds its tasks weakly

    async def run(*given: Any) -> Any:
        task = asyncio.ensure_future(work(*given))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
        return await asyncio.shield(task)

    return run


# -- reading ----------------------------------------------------------------------------------------------------------


def _reader(route: Route, place: str) -> Reader | None:
    kind = route.inputs.get(place)
    if kind is None:
        return None
    if place == "path":
        return lambda request: _converted(path_values(request.match_info), kind, "not_found")
    lists, no_null = _list_fields(kind), _without_null(kind)

    def read(request: web.Request) -> Any:
        given = pairs(request.query.items(), lists) if request.rel_url.raw_query_string else {}
        for name in no_null.intersection(given):
            if str(given[name]).lower() == "null":
                raise Problem("invalid", f"`{name}`: leave it out to say nothing")
        return _converted(given, kind)

    return read


def _converted(given: Mapping[str, Any], kind: Any, code: str = "invalid") -> Any:
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise Problem(code, None if code == "not_found" else _said(error, kind)) from None


def _said(error: msgspec.ValidationError, kind: Any) -> str:
    """Give the decoder's own words, with the choices where there are some to choose from."""
    text = str(error)
    place = _ENUM_FAULT.search(text)
    choices = _choices(kind).get(place[1], ()) if place else ()
    return f"{text}: one of {', '.join(choices)}" if choices else text


@cache
def _choices(kind: Any) -> dict[str, tuple[str, ...]]:
    fields = getattr(msgspec.inspect.type_info(kind), "fields", ())
    return {field.encode_name: tuple(_values(field.type)) for field in fields}


def _values(kind: msgspec.inspect.Type) -> Iterator[str]:
    match kind:
        case msgspec.inspect.UnionType(types=types):
            for one in types:
                yield from _values(one)
        case msgspec.inspect.EnumType(cls=cls):
            yield from (str(one.value) for one in cls)
        case msgspec.inspect.LiteralType(values=values):
            yield from map(str, values)


def _body_reader(route: Route) -> Callable[[web.Request, bytes], Any] | None:
    kind = route.inputs.get("body")
    if kind is None:
        return None
    takes = route.takes
    if takes == JSON:
        return _json_reader(msgspec.json.Decoder(kind))
    if takes == FORM:
        return _form_reader(kind)

    def read_raw(request: web.Request, body: bytes) -> bytes:
        _check_type(request, takes)
        return body

    return read_raw


def _json_reader(decoder: msgspec.json.Decoder[Any]) -> Callable[[web.Request, bytes], Any]:
    def read(request: web.Request, body: bytes) -> Any:
        _check_type(request, JSON)
        check_json(body)
        try:
            return decoder.decode(body)
        except msgspec.ValidationError as error:
            raise Problem("invalid", str(error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise Problem("malformed_request") from None

    return read


def _form_reader(kind: Any) -> Callable[[web.Request, bytes], Any]:
    lists = _list_fields(kind)

    def read(request: web.Request, body: bytes) -> Any:
        _check_type(request, FORM)
        try:
            given = parse_qsl(
                body.decode(),
                keep_blank_values=True,
                strict_parsing=bool(body),
                errors="strict",
                max_num_fields=FORM_FIELDS_MAX,
            )
        except ValueError:
            raise Problem("malformed_request") from None
        return _converted(pairs(given, lists), kind)

    return read


def _check_type(request: web.Request, takes: str) -> None:
    if request.content_type != takes or "Content-Type" not in request.headers:
        raise Problem("unsupported_media_type", f"the body of this request is {takes}")
    if (request.charset or "utf-8").lower() not in ("utf-8", "utf8"):
        raise Problem("unsupported_media_type", "text is UTF-8 here")


async def _whole_body(request: web.Request, limit_s: float) -> bytes:
    if request.content.is_eof():
        return await request.read()
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")  # only who was let in is asked for the body
    try:
        async with asyncio.timeout(limit_s):
            return await request.read()
    except TimeoutError:
        raise Problem("request_timeout", headers={"Connection": "close"}) from None


# -- checking signatures at start -------------------------------------------------------------------------------------


def _list_fields(kind: Any) -> frozenset[str]:
    """Name the fields of a Struct that may be given several times."""
    several = (
        msgspec.inspect.ListType,
        msgspec.inspect.VarTupleType,
        msgspec.inspect.SetType,
        msgspec.inspect.FrozenSetType,
    )
    info = msgspec.inspect.type_info(kind)
    assert isinstance(info, msgspec.inspect.StructType), "path, query and form are Structs"
    return frozenset(
        field.encode_name
        for field in info.fields
        if any(isinstance(one, several) for one in getattr(field.type, "types", (field.type,)))
    )


def _without_null(kind: Any) -> frozenset[str]:
    """Name the fields that may be missing and are no text: msgspec would read the word ``null`` as nothing."""
    fields = msgspec.inspect.type_info(kind).fields  # type: ignore[attr-defined]  # _list_fields saw to that
    kinds = {one.encode_name: getattr(one.type, "types", (one.type,)) for one in fields}
    text = msgspec.inspect.StrType
    return frozenset(name for name, types in kinds.items() if not any(isinstance(one, text) for one in types))


def _check_structs(route: Route) -> None:
    """Refuse a signature that lets unknown fields pass, or whose path does not fit its names."""
    for place, kind in route.inputs.items():
        for struct in structs_within(kind):
            if not struct.__struct_config__.forbid_unknown_fields:
                raise TypeError(f"{route.method} {route.path}: {struct.__name__} ({place}) takes unknown fields")
    if inspect.getdoc(route.handler) is None:
        raise TypeError(f"{route.method} {route.path}: a handler without a docstring is a route nobody can read about")


def structs_within(kind: Any) -> set[type[msgspec.Struct]]:
    """Find every Struct that a type is made of."""
    found: set[type[msgspec.Struct]] = set()

    def look(info: Any) -> None:
        if isinstance(info, msgspec.inspect.StructType):
            if info.cls in found:
                return
            found.add(info.cls)
            for field in info.fields:
                look(field.type)
        for name in ("types", "item_types"):
            for part in getattr(info, name, ()):
                look(part)
        for name in ("item_type", "value_type", "type"):
            if (part := getattr(info, name, None)) is not None:
                look(part)

    look(msgspec.inspect.type_info(kind))
    return found
