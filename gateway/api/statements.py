"""Statements: files to keep, to hand to an accountant, or to let Beancount check."""

from __future__ import annotations

import asyncio

from gateway.api.book_shapes import Booked, ByMethod, when
from gateway.call import Call
from gateway.problems import Problem
from gateway.routes import Reply, Routes
from ledger.bookview import View, view
from ledger.lots import Method
from ledger.statement import NoStatement, as_beancount, as_csv

routes = Routes("statements")


@routes.get("/statements", needs="ledger:read", media_type="text/csv")
async def statement_csv(call: Call, query: ByMethod) -> Reply[str]:
    """A statement as CSV: one row for each disposal, with the lots that it used."""
    written = await asyncio.to_thread(as_csv, await _seen(call, query))
    return Reply(written, headers=_named(query, "csv"))


@routes.get("/statements/beancount", needs="ledger:read", media_type="text/plain")
async def statement_beancount(call: Call, query: Booked) -> Reply[str]:
    """A statement as a Beancount file, which Beancount itself books to the same figures; it does not have AVERAGE.

    422 for books with a pool per account.
    """
    try:
        written = await asyncio.to_thread(as_beancount, await _seen(call, query))
    except NoStatement as error:
        raise Problem("invalid", str(error)) from None
    return Reply(written, headers=_named(query, "beancount"))


async def _seen(call: Call, query: ByMethod | Booked) -> View:
    async with call.books() as conn:
        return await view(conn, call.principal.user, Method(query.method), when(query))


def _named(query: ByMethod | Booked, ending: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="statement-{query.method.lower()}.{ending}"'}
