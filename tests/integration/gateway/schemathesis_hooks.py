"""What Schemathesis loads: data that fits is sent as our clients would send it."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import schemathesis

KEY = "Idempotency-Key"


@schemathesis.hook
def before_call(_: object, case: Any, __: object) -> None:
    """Give a request a key of its own, where it has any, and write whole numbers as such.

    The same key with another body is refused, and no schema can say so; 61.0 is a whole number to JSON Schema alone.
    """
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if case.headers and KEY in case.headers:
        case.headers[KEY] = uuid4().hex
    if isinstance(case.body, dict | list):
        case.body = whole(case.body)


def whole(value: Any) -> Any:
    """Write 61 for 61.0, at any depth."""
    if isinstance(value, dict):
        return {name: whole(part) for name, part in value.items()}
    if isinstance(value, list):
        return [whole(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
