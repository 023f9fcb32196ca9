"""Reading what arrives on a queue, whoever wrote it, without ever raising.

A stock Dramatiq worker loses a thread to a wrong ``queue_name`` and dead-letters what it cannot decode without saying
why.  Here every delivery becomes a message that some actor takes: what does not fit goes to ``unreadable``, with the
reason and the text, and ends as a failed job.  On ``jobs`` a bare ``{"kind": ..., "args": ...}`` is enough.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast
from uuid import uuid4

import orjson
from dramatiq import Message
from dramatiq.encoder import Encoder, MessageData

from broker.messages import JOBS

UNREADABLE = "unreadable"
BODY_KEPT_MAX = 4000
_REQUIRED = frozenset({"queue_name", "actor_name", "args", "kwargs", "options"})
_KNOWN = _REQUIRED | {"message_id", "message_timestamp"}


class Envelope(Encoder):
    """JSON as Dramatiq writes it; what cannot be read comes out addressed to ``unreadable`` instead of as an error."""

    def encode(self, data: MessageData) -> bytes:
        return orjson.dumps(data)

    def decode(self, data: bytes) -> MessageData:
        try:
            fields = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            return unreadable(data, f"not JSON: {error}")
        if isinstance(fields, dict) and "kind" in fields:
            return _addressed(JOBS, JOBS, fields)
        if (why := _misfit(fields)) is not None:
            return unreadable(data, why)
        if len(fields) < len(_KNOWN):
            return {"message_id": str(uuid4()), "message_timestamp": _now_ms(), **fields}
        return cast("MessageData", fields)


def addressed(message: Message[Any], queue: str, actors: Mapping[str, object]) -> Message[Any]:
    """Make a message safe to dispatch: its queue is the consumer's, and its actor is known and at home there.

    No option of a stranger's stays: an ``eta`` in the far future would keep the message, and its place among those
    that a worker may hold, until then.
    """
    if message.queue_name == queue == message.actor_name and queue in actors and not message.options:
        return message
    # By this one Redis acknowledges.
    options = {name: value for name, value in message.options.items() if name == "redis_message_id"}
    safe = replace(message, queue_name=queue, options=options)
    if message.actor_name not in actors:
        return turned_away(safe, f"there is no actor named {message.actor_name!r}")
    if message.actor_name not in (queue, UNREADABLE):
        return turned_away(safe, f"actor {message.actor_name!r} does not serve queue {queue!r}")
    return safe


def unreadable(body: bytes, reason: str) -> dict[str, Any]:
    """Wrap what nobody can read, cut to a length that a person reads."""
    kept = body[:BODY_KEPT_MAX].decode("utf-8", "replace").replace("\x00", "\ufffd")
    return _addressed(JOBS, UNREADABLE, {"body": kept, "reason": reason})


def turned_away(message: Message[Any], reason: str) -> Message[Any]:
    """Address a message to ``unreadable``, with the reason, on the queue that it came from."""
    kwargs = unreadable(message.encode(), reason)["kwargs"]
    return replace(message, actor_name=UNREADABLE, args=(), kwargs=kwargs)


def _addressed(queue: str, actor: str, kwargs: dict[str, Any]) -> dict[str, Any]:
    return {
        "queue_name": queue,
        "actor_name": actor,
        "args": [],
        "kwargs": kwargs,
        "options": {},
        "message_id": str(uuid4()),
        "message_timestamp": _now_ms(),
    }


def _misfit(fields: object) -> str | None:
    if not isinstance(fields, dict):
        return "an envelope is a JSON object"
    given = fields.keys()
    if not given >= _REQUIRED:
        return f"the envelope lacks {', '.join(sorted(_REQUIRED - given))}"
    if not given <= _KNOWN:
        return f"the envelope has unknown keys: {', '.join(sorted(map(str, given - _KNOWN)))[:200]}"
    if not isinstance(fields["kwargs"], dict) or not isinstance(fields["options"], dict):
        return "kwargs and options are JSON objects"
    if not isinstance(fields["args"], list):
        return "args is a JSON array"
    if not isinstance(fields["queue_name"], str) or not isinstance(fields["actor_name"], str):
        return "queue_name and actor_name are text"
    return None


def _now_ms() -> int:
    return int(time.time() * 1000)
