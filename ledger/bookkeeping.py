"""Book what was posted: the rows that came at the end go on from where the books are, a late row or a reversal books
again from the checkpoint before it.  What comes out otherwise than was told replaces it, visibly.

Part of the transaction that posted; the posting's lock makes this the only writer of the user's books.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from psycopg import AsyncCursor
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger import kept_runs, replays, run_stage
from ledger.beside import beside
from ledger.booking import Oversell, Oversold
from ledger.entries import Key, NewEntry, Transfer
from ledger.kept_runs import Change
from ledger.lots import Method, Order
from ledger.moves import PoolBy, pools_of
from ledger.numbers import money_decimal, money_text, quantity_text
from ledger.posting import Outcome, post
from ledger.replays import Kept, connected
from ledger.runs import Books, Policy, Results, no_books, read
from ledger.snapshots import UnknownForm
from ledger.tenancy import acting_for, driver_cursor, one_writer
from ledger.trades import CASH, Trade, from_body

Cause = Literal["arrival", "backdated", "reversal", "policy", "rebuilt"]
BEGINNING: Order = (datetime(1970, 1, 1, tzinfo=UTC), -1)
END: Order = (datetime(9999, 1, 1, tzinfo=UTC), 0)


@dataclass(frozen=True, slots=True)
class Run:
    """One booking: why, of how many rows, and what each method's realised gains moved by (steps of money)."""

    id: int
    cause: Cause
    rows: int
    gained: Mapping[Method, int]


@dataclass(slots=True)
class Shelf:
    """The books of the users who traded last, ready to go on; what is stale is found out by its run and read again."""

    size_max: int = 64
    _books: OrderedDict[str, Books] = field(default_factory=OrderedDict)

    def take(self, user: str) -> Books | None:
        """Take a user's books off the shelf; whoever does not put them back has lost them, which does no harm."""
        return self._books.pop(user, None)

    def put(self, user: str, books: Books) -> None:
        """Put books back."""
        self._books[user] = books
        while len(self._books) > self.size_max:
            self._books.popitem(last=False)


async def post_and_book(
    conn: AsyncConnection, user: str, entries: Sequence[NewEntry], shelf: Shelf, *, now: datetime
) -> list[Outcome]:
    """Post one user's entries and book what they touch; one answer for each entry, in order.

    Where the user's policy rejects sales of more than is there, such a row is refused; so is one because of which a
    later sale would lack something.
    """
    work = _Work(user, shelf, now)
    await one_writer(conn, user)
    async with acting_for(conn, user), driver_cursor(conn) as cursor:
        policy = await work.policy(cursor)
    if policy.oversell is Oversell.ZERO_BASIS:
        return await _post_and_book(conn, work, entries)
    # In order of time, so that a sale finds what was bought before it in the same delivery.
    places = sorted(range(len(entries)), key=lambda n: entries[n].happened_at)
    told = await _all_that_can_be(conn, work, [entries[n] for n in places])
    return [one for _, one in sorted(zip(places, told, strict=True), key=lambda pair: pair[0])]


async def _all_that_can_be(conn: AsyncConnection, work: _Work, entries: Sequence[NewEntry]) -> list[Outcome]:
    """Post what leaves no sale uncovered: all of it, or else all that can be of each half."""
    try:
        async with conn.begin_nested():
            return await _post_and_book(conn, work, entries)
    except Oversold as error:
        if len(entries) == 1:
            return [Outcome("refused", reason=_uncovered(entries[0], error))]
    half = len(entries) // 2
    return [
        *await _all_that_can_be(conn, work, entries[:half]),
        *await _all_that_can_be(conn, work, entries[half:]),
    ]


def _uncovered(entry: NewEntry, error: Oversold) -> str:
    """Say in one line what is missing: for the row itself, or for a later one because of it."""
    at, lacks = error.trade.happened_at.isoformat(), f"{quantity_text(error.missing)} {error.pool.coin}"
    own = error.trade.body() | {"trade_id": entry.body.get("trade_id")} == entry.body
    if own:
        return f"{entry.key} takes out {lacks} more than there is at {at}: post the missing acquisition first"
    return f"because of {entry.key} the {error.trade.kind} of {error.trade.base} at {at} would lack {lacks}"


async def _post_and_book(conn: AsyncConnection, work: _Work, entries: Sequence[NewEntry]) -> list[Outcome]:
    outcomes = await post(conn, work.user, entries, now=work.now)
    undone = {one.touched.id: one.touched for one in outcomes if one.touched is not None and one.status == "new"}
    arrived = [
        _trade(one.id, one.seq, entry.body)
        for entry, one in zip(entries, outcomes, strict=True)
        if one.status == "new" and one.id is not None and entry.kind != "reversal" and one.id not in undone
    ]
    late = [_trade(held.id, held.seq, held.body) for held in undone.values() if held.seq]
    if arrived or late:
        await _book(conn, work, arrived, late)
    return outcomes


async def set_policy(conn: AsyncConnection, user: str, policy: Policy, shelf: Shelf, *, now: datetime) -> Run | None:
    """Keep a user's books in another way from now on, and book the whole history again; None where it is so already.

    Errors: ``booking.Oversold`` where more is to be rejected than the history has; the caller takes everything back.
    """
    await one_writer(conn, user)
    work = _Work(user, shelf, now)
    async with acting_for(conn, user), driver_cursor(conn) as cursor:
        if await work.policy(cursor) == policy:
            return None
        given = {"user": user, "now": now, "pool_by": policy.pool_by.value, "allow_short": policy.allow_short}
        await cursor.execute(run_stage.ADD_POLICY, given | {"oversell": policy.oversell.value})
    return await _rebook(conn, work, "policy")


async def rebuild(conn: AsyncConnection, user: str, shelf: Shelf, *, now: datetime) -> Run:
    """Book a user's whole history again from its entries; changes nothing unless something was wrong."""
    await one_writer(conn, user)
    return await _rebook(conn, _Work(user, shelf, now), "rebuilt")


async def _book(conn: AsyncConnection, work: _Work, arrived: Sequence[Trade], undone: Sequence[Trade]) -> Run:
    first = min(trade.order for trade in (*arrived, *undone))
    async with acting_for(conn, work.user), driver_cursor(conn) as cursor:
        books = await work.current(cursor, skipped={trade.trade_id for trade in arrived})
        if not undone and (books.last is None or books.last < first):
            run = await work.go_on(cursor, books, arrived)
        else:
            run = await work.replay(cursor, books, arrived, undone)
    await _post_gains(conn, work, run)
    return run


async def _rebook(conn: AsyncConnection, work: _Work, cause: Cause) -> Run:
    async with acting_for(conn, work.user), driver_cursor(conn) as cursor:
        run = await work.again(cursor, BEGINNING, cause)
    await _post_gains(conn, work, run)
    return run


async def _post_gains(conn: AsyncConnection, work: _Work, run: Run) -> None:
    """Make realised gains an account balance: each run posts what it moved them by, up or down."""
    transfers = [
        Transfer(f"inventory:{method}", f"realised:{method}", CASH, money_decimal(gained))
        if gained > 0
        else Transfer(f"realised:{method}", f"inventory:{method}", CASH, money_decimal(-gained))
        for method, gained in run.gained.items()
        if gained
    ]
    if transfers:
        body = {
            "run": str(run.id),
            "cause": run.cause,
            **{str(m): money_text(gained) for m, gained in run.gained.items()},
        }
        key = Key("sluice", f"run {run.id}")
        await post(conn, work.user, [NewEntry(work.user, key, "gains", work.now, body, transfers)], now=work.now)


@dataclass(slots=True)
class _Work:
    """One booking of one user's books."""

    user: str
    shelf: Shelf
    now: datetime

    async def policy(self, cursor: AsyncCursor[Any]) -> Policy:
        await cursor.execute(run_stage.POLICY, {"user": self.user})
        row = await cursor.fetchone()
        return Policy(PoolBy(row[0]), row[1], Oversell(row[2])) if row else Policy()

    async def current(self, cursor: AsyncCursor[Any], *, skipped: set[str]) -> Books:
        """The books as they are, from the shelf or from the newest checkpoint and the rows after it."""
        await cursor.execute(run_stage.LAST_RUN, {"user": self.user})
        (run,) = await cursor.fetchone() or (None,)
        books = self.shelf.take(self.user)
        if run is None:
            return no_books(await self.policy(cursor))
        if books is None or books.run != run:
            books = await self._restored(cursor, END)
            rows = [trade for trade in await self._rows(cursor, books.last) if trade.trade_id not in skipped]
            kept, books.due = books.kept, sys.maxsize  # what is only read again is no place for a checkpoint
            await _booked(books, rows)
            books.kept, books.due, books.run = kept, 0, run
        return books

    async def go_on(self, cursor: AsyncCursor[Any], books: Books, arrived: Sequence[Trade]) -> Run:
        """Book rows that come after all others."""
        results = await _booked(books, sorted(arrived, key=lambda trade: trade.order))
        change = Change(results.lots, results.disposals, checkpoints=results.checkpoints)
        return await self._keep(cursor, books, change, "arrival", len(arrived))

    async def replay(
        self, cursor: AsyncCursor[Any], books: Books, arrived: Sequence[Trade], undone: Sequence[Trade]
    ) -> Run:
        """Book again the pools that rows touch which came late, or are undone, from the checkpoint before them."""
        moved, pool_by = [*arrived, *undone], books.policy.pool_by
        cause: Cause = "reversal" if undone else "backdated"
        at, seq = first = min(trade.order for trade in moved)
        given = {"user": self.user, "at": at, "seq": seq}
        await cursor.execute(run_stage.CHECKPOINT, given)
        start, before = _placed(await cursor.fetchone())
        await cursor.execute(run_stage.CHECKPOINTS_FROM, given)
        after = [(at.astimezone(UTC), seq, rows, state) for at, seq, rows, state in await cursor.fetchall()]
        touched = {pool for trade in moved for pool in pools_of(trade, pool_by)}
        rows = await self._rows(cursor, start, sorted({pool.coin for pool in touched}))
        pools = connected(rows, touched, pool_by)
        kept: list[Kept] = [
            ((at, seq), count + _until(arrived, (at, seq)) - _until(undone, (at, seq)), state)
            for at, seq, count, state in after
        ]
        try:
            again = await beside(len(rows), replays.replay, rows, pools, books.policy, before, kept)
        except UnknownForm:
            return await self.again(cursor, first, cause)
        replays.put_into(books, again, pools)
        books.rows += len(arrived) - len(undone)
        books.last = max([trade.order for trade in arrived] + ([books.last] if books.last else []), default=None)
        books.kept = kept[-1][1] if kept else books.kept
        books.keep_if_due(again.results)
        await cursor.execute(run_stage.DROP_CHECKPOINTS, given)
        change = await kept_runs.changes(cursor, self.user, start or BEGINNING, again.results, pools)
        return await self._keep(cursor, books, change, cause, len(rows))

    async def again(self, cursor: AsyncCursor[Any], first: Order, cause: Cause) -> Run:
        """Book again everything from ``first`` on, and keep what comes out otherwise than before."""
        self.shelf.take(self.user)
        given = {"user": self.user, "at": first[0], "seq": first[1]}
        books = await self._restored(cursor, first)
        start = books.last or BEGINNING
        await cursor.execute(run_stage.DROP_CHECKPOINTS, given)
        rows = await self._rows(cursor, books.last)
        results = await _booked(books, rows)
        change = await kept_runs.changes(cursor, self.user, start, results)
        return await self._keep(cursor, books, change, cause, len(rows))

    async def _restored(self, cursor: AsyncCursor[Any], before: Order) -> Books:
        policy = await self.policy(cursor)
        await cursor.execute(run_stage.CHECKPOINT, {"user": self.user, "at": before[0], "seq": before[1]})
        row = await cursor.fetchone()
        if row is None:
            return no_books(policy)
        at, seq, rows, state = row
        try:
            books = read(state, policy, (at.astimezone(UTC), seq), rows)
        except UnknownForm:
            return no_books(policy)
        kept = all(booking.rules == policy.rules(method) for method, booking in books.bookings.items())
        return books if kept else no_books(policy)

    async def _rows(
        self, cursor: AsyncCursor[Any], after: Order | None, coins: Sequence[str] | None = None
    ) -> list[Trade]:
        at, seq = after or BEGINNING
        given = {"user": self.user, "at": at, "seq": seq, "coins": coins}
        await cursor.execute(run_stage.ROWS_AFTER if coins is None else run_stage.ROWS_OF_AFTER, given)
        return [_trade(entry, seq, body) for entry, seq, body in await cursor.fetchall()]

    async def _keep(self, cursor: AsyncCursor[Any], books: Books, change: Change, cause: Cause, rows: int) -> Run:
        given = {"user": self.user, "now": self.now, "cause": cause, "rows": rows}
        await cursor.execute(run_stage.ADD_RUN, given)
        (number,) = await cursor.fetchone() or (0,)
        await kept_runs.keep(cursor, self.user, number, change, now=self.now)
        books.run = number
        self.shelf.put(self.user, books)
        return Run(number, cause, rows, change.gained())


async def _booked(books: Books, rows: Sequence[Trade]) -> Results:
    results = Results()
    await beside(len(rows), books.book, rows, results)
    return results


def _placed(row: Sequence[Any] | None) -> tuple[Order | None, bytes | None]:
    """Give the place of a checkpoint and its state."""
    return (None, None) if row is None else ((row[0].astimezone(UTC), row[1]), row[3])


def _until(rows: Sequence[Trade], order: Order) -> int:
    return sum(trade.order <= order for trade in rows)


def _trade(entry: UUID | None, seq: int, body: Mapping[str, Any]) -> Trade:
    """Read a row for booking: lots are named for the entry that brought them."""
    return from_body({**body, "trade_id": str(entry)}, seq=seq)
