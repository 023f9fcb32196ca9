"""What is done to what belongs to others, or to all, is written down with it: no record, no deed."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.auth.audit import Outcome, record
from gateway.call import Call

OBJECT_CHARS_MAX = 5000
"""Room for a hundred ids, the most that one request names, and a reason."""


async def note(call: Call, conn: AsyncConnection, action: str, thing: object, *, outcome: Outcome = "done") -> None:
    """Write down that the asker did ``action`` to ``thing``, in the transaction that does it."""
    await record(
        conn,
        actor=call.principal.user,
        action=action,
        object=str(thing)[:OBJECT_CHARS_MAX],
        outcome=outcome,
        request_id=call.request_id,
        address=call.address,
    )


async def note_refusal(call: Call, action: str, thing: object) -> None:
    """Write down that something was tried and refused; in a transaction of its own, as there is no deed."""
    async with call.parts.database.begin() as conn:
        await note(call, conn, action, thing, outcome="refused")
