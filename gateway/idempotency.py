"""The same request asked twice is done once: ``Idempotency-Key`` (draft-ietf-httpapi-idempotency-key-header-07).

The answer is kept in the transaction that does what was asked.  So either both are there or neither is, whatever died
in between, and who repeats the request gets the answer that was lost on the way.  A refusal keeps nothing: the request,
mended, may use the same key.  Keys are a user's own and are kept for a day.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from hashlib import sha256
from typing import TypeVar

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from broker.due import ANSWERS_KEPT_FOR
from gateway.call import Call
from gateway.problems import Problem
from gateway.routes import Reply

HEADER, REPLAYED = "Idempotency-Key", "Idempotency-Replayed"
Value = TypeVar("Value")
_KEY = re.compile(r"[\x21-\x7e]{1,200}")

Effect = Callable[[AsyncConnection], Awaitable[Reply[Value]]]
Opened = Callable[[], AbstractAsyncContextManager[AsyncConnection]]


def key_of(call: Call, *, required: bool = False) -> str | None:
    """Read the request's key.  Raises Problem ``idempotency_key_missing``, or ``invalid`` for one that is none."""
    given = call.request.headers.getall(HEADER, [])
    if not given:
        if required:
            raise Problem("idempotency_key_missing", "send a key of your own, such as a UUID, for each thing you ask")
        return None
    if len(given) > 1 or not _KEY.fullmatch(given[0]):
        raise Problem("invalid", f"{HEADER}: one value of 1 to 200 visible ASCII characters", field=HEADER)
    return given[0]


async def once(
    call: Call, asked: object, effect: Effect[Value], *, opened: Opened | None = None, required: bool = False
) -> Reply[Value]:
    """Do ``effect`` in one transaction, unless the same key did so before: then give the answer of that time.

    ``asked`` is what the request says beside its path; ``opened`` opens the transaction (default: the asker's rows).
    Raises Problem ``idempotency_key_in_use`` while the first is under way, ``idempotency_key_reused`` for another
    request with the key.
    """
    key = key_of(call, required=required)
    async with (opened or call.rows)() as conn:
        if key is None:
            return await effect(conn)
        asker, route = call.principal.user, f"{call.request.method} {call.request.path}"
        body_hash = sha256(msgspec.json.encode(asked, order="deterministic", enc_hook=str)).hexdigest()
        if not (await conn.execute(_LOCK, {"name": f"idempotency {asker} {key}"})).scalar_one():
            raise Problem("idempotency_key_in_use", headers={"Retry-After": "1"})
        fresh = call.parts.now() - ANSWERS_KEPT_FOR
        row = (await conn.execute(_FIND, {"owner": asker, "key": key, "fresh": fresh})).one_or_none()
        if row is not None:
            if (row.route, row.body_hash) != (route, body_hash):
                raise Problem("idempotency_key_reused")
            return Reply(row.answer, status=row.status, headers={REPLAYED: "true"})
        reply = await effect(conn)
        answer = msgspec.json.encode(reply.value, enc_hook=str).decode()
        kept = {"owner": asker, "key": key, "route": route, "hash": body_hash, "status": reply.status or 200}
        await conn.execute(_FORGET, {"owner": asker, "key": key})
        await conn.execute(_KEEP, kept | {"answer": answer, "now": call.parts.now()})
        return reply


_LOCK = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 0))")
_FIND = text(
    """SELECT route, body_hash, status, answer FROM idempotency
    WHERE owner = :owner AND key = :key AND created_at > :fresh"""
)
_FORGET = text("DELETE FROM idempotency WHERE owner = :owner AND key = :key")  # one of another day, if any
_KEEP = text(
    """INSERT INTO idempotency (owner, key, route, body_hash, status, answer, created_at)
    VALUES (:owner, :key, :route, :hash, :status, CAST(:answer AS json), :now)"""
)
