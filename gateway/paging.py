"""Lists by keyset: a page, and an opaque cursor that goes on behind its last row.

A cursor holds the place of a row and a signature over the user, the route, the filter and that place.  What it was not
made for it does not open: not for another user, another route, another filter, nor after a bit was changed.  It keeps
no state here, and rows that come or go meanwhile neither repeat nor hide others.
"""

from __future__ import annotations

import binascii
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Any, Generic, TypeVar

import msgspec
import orjson
from msgspec import Meta, Struct

from gateway.call import Call
from gateway.problems import Problem

LIMIT_MAX, LIMIT = 100, 50
CURSOR_CHARS_MAX = 4000  # places hold names that sources gave: long ones, in letters of four bytes
MAC_BYTES = 16

Row = TypeVar("Row")
Answer = TypeVar("Answer")
Place = Sequence[Any]
"""What orders a list, such as (happened_at, id): texts, whole numbers, UUIDs and aware datetimes."""


Cursor = Annotated[
    str,
    Meta(
        max_length=CURSOR_CHARS_MAX,
        description="next_cursor of the page before",
        extra_json_schema={"pattern": "^[A-Za-z0-9_-]*$"},  # what is no cursor is 400, whatever it is made of
    ),
]


class Listing(Struct, forbid_unknown_fields=True, kw_only=True):
    """The query of every list; what a list is filtered by are further fields."""

    limit: Annotated[int, Meta(ge=1, le=LIMIT_MAX, description="How many rows at most")] = LIMIT
    cursor: Cursor | None = None


class Page(Struct, Generic[Answer]):
    """Rows in the order of the list; ``next_cursor`` is null on the last page."""

    data: list[Answer]
    next_cursor: str | None


PlaceT = TypeVar("PlaceT")


def after(call: Call, query: Listing, place: type[PlaceT]) -> PlaceT | None:
    """Say behind which place the asked page begins, as a ``place`` (a NamedTuple); None: at the beginning.

    Raises Problem ``invalid_cursor`` for a cursor that was not made for this user, route and filter.
    """
    if query.cursor is None:
        return None
    raw = opened(query.cursor, call.parts.cursor_key, _scope(call, query))
    try:
        return msgspec.convert(raw, place)
    except msgspec.ValidationError:  # signed by an older version of us
        raise Problem("invalid_cursor") from None


def page(
    call: Call, query: Listing, rows: Sequence[Row], place: Callable[[Row], Place], answer: Callable[[Row], Answer]
) -> Page[Answer]:
    """Make a page of ``rows``, of which the caller has read one more than ``query.limit`` to see whether there is more.

    ``place`` gives where a row stands in the list, ``answer`` how it is told.
    """
    shown = rows[: query.limit]
    more = len(rows) > len(shown)
    cursor = sealed(place(shown[-1]), call.parts.cursor_key, _scope(call, query)) if more else None
    return Page(data=[answer(row) for row in shown], next_cursor=cursor)


def sealed(place: Place, key: bytes, scope: bytes) -> str:
    """Write a place as a cursor for this scope."""
    told = orjson.dumps([_plain(part) for part in place], default=str)
    return urlsafe_b64encode(_mac(key, scope, told) + told).rstrip(b"=").decode()


def opened(cursor: str, key: bytes, scope: bytes) -> Any:
    """Read a cursor back; raise Problem ``invalid_cursor`` unless it was sealed for this very scope."""
    try:
        raw = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except (binascii.Error, ValueError):
        raise Problem("invalid_cursor") from None
    mac, told = raw[:MAC_BYTES], raw[MAC_BYTES:]
    if not hmac.compare_digest(mac, _mac(key, scope, told)):
        raise Problem("invalid_cursor")
    return orjson.loads(told)


def _scope(call: Call, query: Listing) -> bytes:
    """What a cursor is bound to; how many rows a page has may change from page to page."""
    asked = {
        name: value for name, value in msgspec.to_builtins(query).items() if name not in ("limit", "cursor") and value
    }
    return orjson.dumps([call.principal.user, call.request.path, asked], option=orjson.OPT_SORT_KEYS)


def _mac(key: bytes, scope: bytes, told: bytes) -> bytes:
    # Two hashes of fixed length side by side: no scope can run on into a place.
    parts = sha256(scope).digest() + sha256(told).digest()
    return hmac.digest(key, b"sluice cursor\0" + parts, "sha256")[:MAC_BYTES]


def _plain(part: Any) -> Any:
    return part.astimezone(UTC).isoformat() if isinstance(part, datetime) else part
