"""What a delivery has to be before an actor sees it: an envelope, for an actor of this queue, with arguments that fit.

Nothing here raises: what does not fit is addressed to the ``unreadable`` actor, with the reason, and becomes a failed
job that a person can read.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import dramatiq
from dramatiq import Message
from dramatiq.encoder import MessageData

from broker.envelope import UNREADABLE, Envelope, addressed, turned_away, unreadable

_ENVELOPE = Envelope()


@dataclass(frozen=True, slots=True)
class Part:
    """An actor as the engine plays it.  ``run`` gives an awaitable where ``is_async``; ``limit_s`` is its time limit.

    ``needs`` names the arguments that it cannot do without, ``knows`` all of them (None: it takes any).
    """

    run: Callable[..., Any]
    is_async: bool
    priority: int
    limit_s: float | None
    needs: frozenset[str]
    knows: frozenset[str] | None


def part(actor: dramatiq.Actor[..., Any], limit_s: float | None) -> Part:
    """Look at an actor once.  Dramatiq wraps coroutines to block a thread: what it wrapped is what we run."""
    inner = inspect.unwrap(actor.fn, stop=asyncio.iscoroutinefunction)
    is_async = asyncio.iscoroutinefunction(inner)
    own = actor.options.get("time_limit")
    takes = inspect.signature(actor.fn).parameters.values()
    named = [one for one in takes if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    others = any(one.kind == one.VAR_KEYWORD for one in takes)
    return Part(
        run=cast("Callable[..., Awaitable[object]]", inner) if is_async else actor.fn,
        is_async=is_async,
        priority=actor.priority,
        limit_s=limit_s if own is None else own / 1000,
        needs=frozenset(one.name for one in named if one.default is one.empty),
        knows=None if others else frozenset(one.name for one in named),
    )


def admitted(body: bytes, queue: str, actors: Mapping[str, object], parts: Mapping[str, Part]) -> Message[Any]:
    """Make a message of a delivery's body; its queue is the one that it was taken from, whatever it says itself."""
    fields = _ENVELOPE.decode(body)
    try:
        message: Message[Any] = addressed(_message(fields), queue, actors)
    except Exception as error:  # noqa: BLE001  what it holds comes from anybody
        refused = unreadable(body, f"not a message: {type(error).__name__}: {error}"[:300])
        message = Message(**{**refused, "queue_name": queue})
    if message.args or message.actor_name == UNREADABLE:
        return message
    why = _misfit(message.kwargs, parts[message.actor_name])
    return message if why is None else turned_away(message, why)


def _message(fields: MessageData) -> Message[Any]:
    """Make a message of all its fields.  Its own constructor calls the object seven times to set what is frozen."""
    message: Message[Any] = object.__new__(Message)
    message.__dict__.update(fields, args=tuple(fields["args"]))
    return message


def _misfit(kwargs: Mapping[str, Any], one: Part) -> str | None:
    given = kwargs.keys()
    if not given >= one.needs:
        return f"the arguments lack {', '.join(sorted(one.needs - given))}"
    if one.knows is None or given <= one.knows:
        return None
    return f"unknown arguments: {', '.join(sorted(map(str, given - one.knows)))[:200]}"
