"""Reading what clients send, strictly: one meaning for one text, or a Problem.

JSON that parsers disagree about is refused (RFC 8259 section 4 leaves repeated names open): the same body must mean the
same to us, to a proxy in front and to whoever reads the log.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Never

from gateway.problems import Problem

DEPTH_MAX = 32
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_CONTROL_BUT_BLANKS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def check_json(body: bytes) -> None:
    """Raise Problem unless this is one JSON text in UTF-8: no name twice, no NaN, at most ``DEPTH_MAX`` levels.

    ``malformed_request`` for what is no such text, ``invalid`` for control characters in a string: they would travel
    on into logs and stores.
    """
    try:
        value = _read(body.decode())
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:  # not UTF-8, not JSON, a whole number of thousands of digits, or what the hooks refuse
        detail = f"line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else None
        raise Problem("malformed_request", detail) from None
    _check_tree(value)


def pairs(given: Iterable[tuple[str, str]], lists: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Turn the fields of a query or a form into a mapping; only those in ``lists`` may be given more than once."""
    found: dict[str, Any] = {}
    for name, value in given:
        if _CONTROL.search(value) or _CONTROL.search(name):
            raise Problem("invalid", "control characters are not taken here")
        if name in lists:
            found.setdefault(name, []).append(value)
        elif name in found:
            raise Problem("invalid", f"`{name}` is given more than once")
        else:
            found[name] = value
    return found


def path_values(given: Mapping[str, str]) -> Mapping[str, str]:
    """Take the variable parts of a path; a part that only looks like one (``..%2fadmin``) names nothing."""
    for value in given.values():
        if _CONTROL.search(value) or "/" in value or "\\" in value:
            raise Problem("not_found")
    return given


def _unique(found: list[tuple[str, Any]]) -> dict[str, Any]:
    named = dict(found)
    if len(named) != len(found):
        raise ValueError("a name is given twice")
    return named


def _no_constant(_: str) -> Never:
    raise ValueError("NaN and Infinity are not JSON")


_read = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant).decode


def _check_tree(value: Any) -> None:
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > DEPTH_MAX:
            raise _too_deep()
        deeper: list[Any] = []
        for one in level:
            if type(one) is dict:
                _check_texts(one)
                deeper += one.values()
            elif type(one) is list:
                deeper += one
            elif type(one) is str:
                _check_texts((one,))
        level = deeper


def _check_texts(texts: Iterable[str]) -> None:
    for text in texts:
        if not text.isprintable() and (_CONTROL_BUT_BLANKS.search(text) or _surrogate(text)):
            raise Problem("invalid", "control characters are not taken here")


def _surrogate(text: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in text)


def _too_deep() -> Problem:
    return Problem("malformed_request", f"nested deeper than {DEPTH_MAX} levels")
