"""What may travel, a class for each message.

All but one are hints to look at a row: losing one costs time, never work, for the dispatcher looks at the rows and says
it again.  The exception is AcceptJob, a job that has no row yet.  Each travels as a Dramatiq envelope, so that any
Dramatiq worker can serve these queues; what else is accepted from other hands is in ``docs/messages.md``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from dramatiq import Message

JOBS, LEDGER, DEDUP, POST, PROBE = "jobs", "ledger", "dedup", "post", "probe"


def fetch_queue(provider: str) -> str:
    """Name the queue of a provider: each has its own, so that one slow provider holds up nobody."""
    return f"fetch.{provider}"


def queues(providers: Sequence[str]) -> tuple[str, ...]:
    """Name every queue of a system with these providers."""
    return (JOBS, *map(fetch_queue, providers), LEDGER, DEDUP, POST, PROBE)


@dataclass(frozen=True, slots=True)
class WorkOnJob:
    """A job of ``queue`` is due.  Which one is for the row to say: the worker claims the most urgent."""

    queue: str

    def message(self) -> Message[None]:
        return _message(self.queue, {})


@dataclass(frozen=True, slots=True)
class DedupPage:
    """A page has landed."""

    page: UUID

    def message(self) -> Message[None]:
        return _message(DEDUP, {"page": str(self.page)})


@dataclass(frozen=True, slots=True)
class PostPage:
    """A page was read, and has something for the ledger.  What it says is not in the message but in the page's row."""

    page: UUID

    def message(self) -> Message[None]:
        return _message(POST, {"page": str(self.page)})


@dataclass(frozen=True, slots=True)
class AcceptJob:
    """Somebody who has only an AMQP client asks for a job (``docs/messages.md``)."""

    kind: str
    args: Mapping[str, Any]
    idempotency_key: str | None = None
    priority: int = 0

    def message(self) -> Message[None]:
        return _message(
            JOBS,
            {
                "kind": self.kind,
                "args": dict(self.args),
                "idempotency_key": self.idempotency_key,
                "priority": self.priority,
            },
        )


Hint = WorkOnJob | DedupPage | PostPage | AcceptJob


def _message(queue: str, kwargs: dict[str, Any]) -> Message[None]:
    # An actor has the name of its queue: one name to look for, in the broker's console and in the code.
    return Message(queue_name=queue, actor_name=queue, args=(), kwargs=kwargs, options={})
