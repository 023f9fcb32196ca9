"""The record of what was allowed, refused and changed.  It only grows: the database refuses everything else.

A record is written in the transaction of what it tells: an action whose record cannot be written does not happen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import structlog
from sqlalchemy import Row, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.auth.metrics import AUDIT_FAILURES
from gateway.auth.tables import audit
from gateway.problems import Problem

log = structlog.get_logger(__name__)

Outcome = Literal["done", "refused"]
ANYBODY = "anonymous"


@dataclass(frozen=True, slots=True)
class Origin:
    """Who does something, in which request, from where; a command on the server has neither."""

    actor: str = ANYBODY
    request_id: str | None = None
    address: str | None = None


async def record(
    conn: AsyncConnection,
    *,
    actor: str,
    action: str,
    object: str,  # noqa: A002  the word of the record
    outcome: Outcome,
    request_id: str | None = None,
    address: str | None = None,
) -> None:
    """Write one record: ``actor`` (a user's id, ``anonymous``, ``operator``) did ``action`` to ``object``.

    The time is the database's.  Works in the caller's transaction, also while it acts for one user.  Raises the problem
    ``unavailable`` where the record cannot be written: the transaction is lost then, with all that it did.
    """
    row = {"actor": actor, "action": action, "object": object, "outcome": outcome}
    try:
        await conn.execute(audit.insert().inline(), row | {"request_id": request_id, "address": address})
    except SQLAlchemyError as error:
        AUDIT_FAILURES.inc()
        log.error("audit_failed", action=action, outcome=outcome, error=type(error).__name__)  # noqa: TRY400  no row in logs
        raise Problem("unavailable", "this cannot be recorded now", headers={"Retry-After": "5"}) from None


async def note(conn: AsyncConnection, origin: Origin, action: str, target: str, *, outcome: Outcome = "done") -> None:
    """Write the same, where who and whence are one value."""
    await record(
        conn,
        actor=origin.actor,
        action=action,
        object=target,
        outcome=outcome,
        request_id=origin.request_id,
        address=origin.address,
    )


async def listed(
    conn: AsyncConnection, *, before: int | None = None, actor: str | None = None, limit: int = 100
) -> Sequence[Row[Any]]:
    """Read records, the newest first: those with an id below ``before``, of one actor where that is said."""
    query = select(audit).order_by(audit.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(audit.c.id < before)
    if actor is not None:
        query = query.where(audit.c.actor == actor)
    return (await conn.execute(query)).all()
