"""What to do when CloudWatch Logs does not take a batch, and how long to wait before."""

from __future__ import annotations

from random import Random
from typing import Literal

from botocore.exceptions import ClientError, ParamValidationError

Remedy = Literal["again", "make_stream", "done", "refused"]

REFUSED = frozenset({"InvalidParameterException", "ValidationException", "SerializationException"})
TOO_LARGE = 413
PAUSE_S, PAUSE_S_MAX, PAUSE_CLOSING_S_MAX = 0.2, 30.0, 0.5


def remedy(error: Exception) -> Remedy:
    """Throttling, 5xx, time-outs, no route and no credentials may pass; what is wrong with the data never does."""
    if isinstance(error, ParamValidationError):
        return "refused"
    if not isinstance(error, ClientError):
        return "again"
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if code == "ResourceNotFoundException":
        return "make_stream"
    if code == "DataAlreadyAcceptedException":
        return "done"
    return "refused" if code in REFUSED or status == TOO_LARGE else "again"


def pause_s(attempt: int, rng: Random, *, closing: bool = False) -> float:
    """How long before the attempt after this one, counted from 0: twice as long each time, never quite the same."""
    most = PAUSE_CLOSING_S_MAX if closing else PAUSE_S_MAX
    return rng.uniform(0.5, 1.0) * min(most, PAUSE_S * 2.0 ** min(attempt, 16))
