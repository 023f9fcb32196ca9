"""Jobs that arrive as messages: each gets its row, or becomes a failed job with the reason."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import structlog
from uuid_utils.compat import uuid7

from broker import jobs
from broker.jobs import NewJob
from broker.kinds import UnfitJobError, check, queue_of
from broker.messages import JOBS, AcceptJob, WorkOnJob
from workers.database import AWAY, is_away, transact
from workers.items import Provider
from workers.plan import misfit
from workers.works import Works, say

log = structlog.get_logger(__name__)

WRITTEN_WITHIN_S = 240.0  # less than a message may take: what hangs for so long has to be given back before


class Inbox:
    """The queue ``jobs``, which anybody with an AMQP client may write to."""

    def __init__(self, works: Works) -> None:
        self.works = works

    async def accept(
        self, kind: str, args: Mapping[str, Any], idempotency_key: str | None = None, priority: int = 0
    ) -> None:
        """Give a job that arrived as a message its row; one that does not fit becomes a failed job with the reason.

        While the database is away the message goes back to the end of its queue.  Raises BrokerUnreachableError where
        the broker does not take it.
        """
        asked = AcceptJob(kind, args, idempotency_key, priority)
        try:
            new = accepted(kind, args, idempotency_key, priority)
            _check_provider(self.works.providers, kind, args)
            created = await self._write(new)
        except (UnfitJobError, jobs.KeyReusedError) as error:
            await self.refuse(_told(kind, args, idempotency_key, priority), str(error))
        except AWAY as error:
            if not is_away(error):
                raise
            # Published anew, and not just refused: a queue counts deliveries, and after a few the message would be a
            # dead letter, however long the database is away.
            await self.works.producer.send([asked])
            log.warning("message_given_back", error=type(error).__name__)
        else:
            if created:
                await say(self.works, WorkOnJob(new.queue))

    async def _write(self, new: NewJob) -> bool:
        now, once = self.works.clock(), replace(new, id=uuid7())  # one id, however often the commit is tried
        async with asyncio.timeout(WRITTEN_WITHIN_S):
            receipts = await transact(self.works.database, lambda conn: jobs.enqueue(conn, [once], now=now))
        return receipts[0].created

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


def _told(kind: Any, args: Any, idempotency_key: Any = None, priority: Any = 0) -> dict[str, Any]:
    """Give what a message said, as it is kept of one that cannot become a job."""
    more = {"idempotency_key": idempotency_key, "priority": priority}
    return {"kind": kind, "args": args} | {name: value for name, value in more.items() if value}


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
