"""What Schemathesis loads: a request that fits the schemas has a key of its own, or it would be somebody else's."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import schemathesis

KEY = "Idempotency-Key"


@schemathesis.hook
def before_call(_: object, case: Any, __: object) -> None:
    """Give it one, where it has any: the same key with another body is refused, and no schema can say so."""
    if case.meta is not None and case.meta.generation.mode.is_positive and case.headers and KEY in case.headers:
        case.headers[KEY] = uuid4().hex
