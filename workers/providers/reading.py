"""Strict reading of what providers send: exact numbers, aware times, and a reason for every row that is refused.

Nothing here knows a provider.  A whole body that is not JSON raises Malformed; one bad value raises BadRow, whose text
names the field and the rule, never the value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from ledger.model import InvalidItem, Item
from workers.items import Malformed, Refused, Rejected

DIGITS_MAX = 60
"""No price or amount needs more digits on either side of the point; 1e999999999 would expand into gigabytes."""

_NOT_A_NUMBER = Decimal("NaN")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # NUL and lone surrogates: PostgreSQL and UTF-8 refuse them
_UNSTORABLE_ESCAPE = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")


def _go_on() -> None:
    return


ROWS_A_BREATH = 50
breath: ContextVar[Callable[[], None]] = ContextVar("breath", default=_go_on)
"""Called after every so many rows: who reads pages beside other work (``workers/reading.py``) lets that have a turn."""


class BadRow(ValueError):
    """This row cannot become an item."""


def load(body: bytes) -> Any:
    """Read JSON with Decimals taken from the text; NaN and Infinity are no JSON.  Raises Malformed."""
    try:
        text = body.decode("utf-8-sig")
        value = json.loads(text, parse_float=_exact, parse_constant=_refuse)
        return _storable(value) if _UNSTORABLE_ESCAPE.search(text) else value
    except (ValueError, RecursionError) as error:
        raise Malformed(f"the body is no JSON ({type(error).__name__}, {len(body)} bytes)") from None


def _exact(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        return _NOT_A_NUMBER  # the row that holds it is refused when the field is read


def _refuse(name: str) -> Any:
    raise ValueError(name)


def _storable(value: Any) -> Any:
    match value:
        case str():
            return _UNSTORABLE.sub("\ufffd", value)
        case dict():
            return {_storable(name): _storable(part) for name, part in value.items()}
        case list():
            return [_storable(part) for part in value]
    return value


def envelope(body: bytes) -> Mapping[str, Any]:
    """Give the page's outer object.  Raises Malformed."""
    page = load(body)
    if not isinstance(page, dict):
        raise Malformed(f"the page is a {type(page).__name__}, not an object")
    return page


def rows_of(page: Mapping[str, Any], name: str) -> list[Any]:
    """Give the page's list of rows.  Raises Malformed: a page without its list is no page."""
    rows = page.get(name)
    if not isinstance(rows, list):
        raise Malformed(f"the page has no list {name!r}")
    return rows


def each(
    rows: Iterable[Any], make: Callable[[Mapping[str, Any]], Item]
) -> tuple[tuple[Item, ...], tuple[Rejected, ...]]:
    """Make an item of every row; a row that cannot be one is refused alone, with its position and the reason."""
    items: list[Item] = []
    rejected: list[Rejected] = []
    for position, row in enumerate(rows):
        if position % ROWS_A_BREATH == ROWS_A_BREATH - 1:
            breath.get()()
        try:
            items.append(make(an_object(row)))
        except (BadRow, InvalidItem) as error:
            rejected.append(Rejected(position, str(error)))
    return tuple(items), tuple(rejected)


def an_object(value: Any) -> Mapping[str, Any]:
    """Give the value when it is an object.  Raises BadRow."""
    if not isinstance(value, dict):
        raise BadRow("the row is not an object")
    return value


def part(row: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Give an object inside the row; empty when absent or null."""
    value = row.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadRow(f"{name} is not an object")
    return value


def parts(row: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """Give a list of objects inside the row; empty when absent or null."""
    value = row.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise BadRow(f"{name} is not a list of objects")
    return value


def text(row: Mapping[str, Any], name: str) -> str:
    """Give a text that must be there and not be blank."""
    value = maybe_text(row, name)
    if not value.strip():
        raise BadRow(f"{name} is missing")
    return value


def maybe_text(row: Mapping[str, Any], name: str) -> str:
    """Give a text; "" when absent or null."""
    value = row.get(name)
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    raise BadRow(f"{name} is not text")


def maybe_flag(row: Mapping[str, Any], name: str) -> bool | None:
    """Give a boolean, also where it came as "True"; None when absent or null."""
    value = row.get(name)
    match value:
        case None | bool():
            return value
        case str() if value.lower() in {"true", "false"}:
            return value.lower() == "true"
    raise BadRow(f"{name} is not true or false")


def number(row: Mapping[str, Any], name: str) -> Decimal | int | None:
    """Give a finite number, also where it came as text; None when absent, null or empty."""
    value = row.get(name)
    if value is None:
        return None
    match value:
        case "":
            return None
        case bool():
            pass
        case int() if abs(value) < 10**DIGITS_MAX:
            return value
        case Decimal() if _sane(value):
            return value or Decimal(0)
        case str():
            return number({name: _from_text(value)}, name)
    raise BadRow(f"{name} is not a number")


def _from_text(value: str) -> Decimal:
    return _exact(value.strip()) if len(value) <= 4 * DIGITS_MAX else _NOT_A_NUMBER


def _sane(value: Decimal) -> bool:
    exponent = value.as_tuple().exponent
    return isinstance(exponent, int) and (
        not value or (abs(value.adjusted()) < DIGITS_MAX and exponent > -2 * DIGITS_MAX)
    )


def numbers(row: Mapping[str, Any], names: Iterable[str]) -> dict[str, Decimal | int | None]:
    """Give several numbers by their names."""
    return {name: number(row, name) for name in names}


def whole(row: Mapping[str, Any], name: str) -> int | None:
    """Give a whole number (``3`` or ``3.0``); None when absent or null."""
    value = number(row, name)
    if value is not None and value != int(value):
        raise BadRow(f"{name} is not a whole number")
    return None if value is None else int(value)


def texts(row: Mapping[str, Any], name: str) -> list[str]:
    """Give a list of texts that may come as a list, as one comma-separated text, or as null."""
    value = row.get(name)
    match value:
        case None:
            return []
        case str():
            return [one.strip() for one in value.split(",") if one.strip()]
        case list() if all(one is None or isinstance(one, str) for one in value):
            return [one for one in value if one and one.strip()]
    raise BadRow(f"{name} is neither text nor a list of texts")


def free(value: Any, name: str) -> Any:
    """Give a value of any shape, with every number in it checked."""
    match value:
        case dict():
            return {str(key): free(one, name) for key, one in value.items()}
        case list():
            return [free(one, name) for one in value]
        case Decimal() | int() if not isinstance(value, bool):
            return number({name: value}, name)
    return value


def instant(row: Mapping[str, Any], name: str) -> datetime:
    """Give a time that must be there, in UTC."""
    at = maybe_instant(row, name)
    if at is None:
        raise BadRow(f"{name} is missing")
    return at


def maybe_instant(row: Mapping[str, Any], name: str) -> datetime | None:
    """Give a time in UTC; without a zone it is UTC already, as all three providers say.  None when absent or null."""
    value = maybe_text(row, name).strip()
    if not value:
        return None
    try:
        return as_instant(value)
    except ValueError:
        raise BadRow(f"{name} is not a time") from None


def as_instant(value: str) -> datetime:
    """Read ISO 8601 (also with a space, ``/`` or without a zone) as UTC.  Raises ValueError."""
    at = datetime.fromisoformat(value.replace("/", "-"))
    try:
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("outside the calendar") from error


def asked_start(value: str) -> datetime:
    """Read the start of a window that a job asks for.  Raises Refused."""
    try:
        return as_instant(value)
    except ValueError:
        raise Refused("the window that was asked for has a date that does not exist") from None


def asked_end(value: str) -> datetime:
    """Read the end of a window that a job asks for; a plain date includes its whole day.  Raises Refused."""
    return asked_start(f"{value}T23:59:59" if len(value) == len("2026-01-01") else value)


def stamp(at: datetime) -> str:
    """Write a time as ``YYYY-MM-DDTHH:MM:SSZ``."""
    return at.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat() + "Z"


def told(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what says nothing, so that absent, null, "" and [] are one and the same."""
    return {name: value for name, value in fields.items() if value or isinstance(value, int | Decimal)}


def distinct(values: Iterable[str]) -> tuple[str, ...]:
    """Drop repeated and empty texts, keeping the order."""
    return tuple(dict.fromkeys(value for value in values if value))


def one_of(names: Sequence[str]) -> dict[str, Any]:
    """JSON Schema of one word out of these."""
    return {"enum": list(names)}


def params(properties: Mapping[str, Any], *required: str) -> dict[str, Any]:
    """JSON Schema of a job's parameters: nothing that is not named here."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }
