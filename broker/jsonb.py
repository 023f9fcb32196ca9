"""JSON as PostgreSQL can hold it: a stranger's message may be fine JSON and still have no place in a row."""

from __future__ import annotations

import re
from typing import Any

import orjson

_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")  # an escaped NUL, and not an escaped backslash before "u0000"
KEPT_MAX = 4000


def misfit(value: Any) -> str | None:
    """Say why a value has no place in a row, or None where it has one."""
    try:
        written = orjson.dumps(value)
    except TypeError as error:
        return f"it cannot be written as JSON: {error}"
    return "a text in it holds a NUL" if _NUL.search(written) else None


def kept(value: Any) -> str:
    """Write a value so that a row can keep it whatever it is: NUL as U+FFFD, the unwritable as a text, cut short."""
    try:
        written = orjson.dumps(value)
    except TypeError:
        written = orjson.dumps({"body": ascii(value)[:KEPT_MAX]})
    return _NUL.sub(rb"\1\\ufffd", written).decode()
