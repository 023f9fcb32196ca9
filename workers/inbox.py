"""Jobs that arrive as messages: each gets its row, or becomes a failed job with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog

from broker import jobs
from broker.jobs import NewJob
from broker.kinds import UnfitJobError, check, queue_of
from broker.messages import JOBS, WorkOnJob
from workers.database import transact
from workers.items import Provider
from workers.plan import misfit
from workers.works import Works, say

log = structlog.get_logger(__name__)


class Inbox:
    """The queue ``jobs``, which anybody with an AMQP client may write to."""

    def __init__(self, works: Works) -> None:
        self.works = works

    async def accept(
        self, kind: str, args: Mapping[str, Any], idempotency_key: str | None = None, priority: int = 0
    ) -> None:
        """Give a job that arrived as a message its row; one that does not fit becomes a failed job with the reason."""
        now = self.works.clock()
        try:
            new = accepted(kind, args, idempotency_key, priority)
            _check_provider(self.works.providers, kind, args)
            receipts = await transact(self.works.database, lambda conn: jobs.enqueue(conn, [new], now=now))
        except (UnfitJobError, jobs.KeyReusedError) as error:
            await self.refuse({"kind": kind, "args": args}, str(error))
            return
        if receipts[0].created:
            await say(self.works, WorkOnJob(new.queue))

    async def refuse(self, body: Any, reason: str) -> None:
        """Keep what nobody can work on as a failed job."""
        now = self.works.clock()
        kept = body if isinstance(body, dict) else {"body": body}
        await transact(
            self.works.database, lambda conn: jobs.refuse(conn, queue=JOBS, error=reason, args=kept, now=now)
        )
        log.warning("message_refused", reason=reason)


def _check_provider(providers: Mapping[str, Provider], kind: str, args: Mapping[str, Any]) -> None:
    """Nobody looks at the queue of a provider that there is not, and RabbitMQ has none for it."""
    if why := misfit(providers)(kind, args):
        raise UnfitJobError(why)


def accepted(kind: str, args: Mapping[str, Any], idempotency_key: str | None, priority: int) -> NewJob:
    """Check what a message asks for; raise UnfitJobError with the reason."""
    if not isinstance(kind, str) or not isinstance(args, dict):
        raise UnfitJobError("kind is text and args is a JSON object")
    if idempotency_key is not None and not (isinstance(idempotency_key, str) and 0 < len(idempotency_key) <= 200):
        raise UnfitJobError("idempotency_key is text of 1 to 200 characters")
    if "\x00" in (idempotency_key or ""):
        raise UnfitJobError("idempotency_key holds a NUL")
    if not isinstance(priority, int) or isinstance(priority, bool) or not -100 <= priority <= 100:
        raise UnfitJobError("priority is a whole number from -100 to 100")
    check(kind, args)
    return NewJob(kind, queue_of(kind, args), args, owner="amqp", idempotency_key=idempotency_key, priority=priority)
