"""Texts, moments and numbers that clients may send, with the bounds that OpenAPI repeats.

No text may hold a control character: it could end a header, a log line or a field somewhere down the road, and
PostgreSQL refuses NUL.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from msgspec import Meta

from gateway.problems import Problem

PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$(?!\n)"  # without the end, ``$`` would let one line end pass

NO_CONTROL = {"pattern": r"^[^\x00-\x1f\x7f]*$(?!\n)"}
NO_CONTROL_BUT_BLANKS = {"pattern": r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"}
"""What ``strict`` refuses in queries and forms, and in JSON, as OpenAPI says it."""

Name = Annotated[str, Meta(min_length=1, max_length=100, pattern=PRINTABLE)]
Words = Annotated[str, Meta(min_length=1, max_length=200, pattern=PRINTABLE)]
Reason = Annotated[str, Meta(min_length=1, max_length=500, pattern=PRINTABLE)]
RowId = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Moment = Annotated[datetime, Meta(tz=True)]
When = Annotated[
    str,
    Meta(
        max_length=64,
        description="A moment with its zone, such as 2026-11-22T12:00:00Z",
        extra_json_schema={"format": "date-time", "minLength": 16},  # `moment` says it better than a length does
    ),
]
"""A moment in a query, where msgspec would also take a bare number for one: read it with ``moment``."""


def either(**fields: str) -> dict[str, Any]:
    """Say in JSON Schema that exactly one of these fields (name and type) is given; the others are null or absent."""
    others = {one: {name: {"type": "null"} for name in fields if name != one} for one in fields}
    return {
        "oneOf": [
            {"required": [one], "properties": {one: {"type": kind}, **others[one]}} for one, kind in fields.items()
        ]
    }


# A plus that a client forgot to quote has become a space.
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d(?::\d\d(?:[.,]\d{1,30})?)?)([Zz]|[+ -]\d\d:\d\d)", re.ASCII)


def moment(field: str, text: str | None) -> datetime | None:
    """Read a When, in UTC; raise Problem ``invalid`` for what is no moment."""
    if text is None:
        return None
    if (parts := _MOMENT.fullmatch(text)) is not None:
        day, time, zone = parts.groups()
        try:
            return datetime.fromisoformat(f"{day}T{time}{zone.upper().replace(' ', '+')}").astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise Problem("invalid", f"{field}: a moment with its zone is needed, such as 2026-11-22T12:00:00Z", field=field)
