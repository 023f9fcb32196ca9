"""The road of rows that users give: a job brings them, they are kept as a page, what is new is posted and booked.

The same three steps as for what providers tell, and the same commits: a page is kept before anything is done with it,
and entries, bookings, page state and job counts are one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from broker import pages
from broker.jobs import Claimed
from broker.kinds import GIVEN
from broker.pages import Counts, Decision, LandedPage, LostLeaseError, NewPage
from ledger import posting
from ledger.bookkeeping import Shelf, post_and_book
from ledger.entries import NewEntry, Quote
from ledger.posting import Outcome
from workers.database import transact
from workers.observer import found_out
from workers.rules import GIVEN_BY_USERS, Given, read_given
from workers.together import Together
from workers.works import Works

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Rows:
    """What one page has for the books."""

    page: UUID
    entries: Sequence[NewEntry] = ()
    quotes: Sequence[Quote] = ()

    def __len__(self) -> int:
        return len(self.entries) + len(self.quotes)


class Bookkeeper:
    """Lands, reads and posts rows over one process's open services; keeps the books of busy users at hand."""

    def __init__(self, works: Works) -> None:
        self.works = works
        self.shelf = Shelf()
        self._posts: Together[Rows, None] = Together(self._post, size_max=64)

    async def land(self, job: Claimed) -> UUID | None:
        """Keep the rows that a job brought; None where somebody else has the job by now."""
        now = self.works.clock()
        given = {name: job.args[name] for name in ("user", "source", "file") if name in job.args}
        new = NewPage(
            provider=GIVEN_BY_USERS,
            dataset=GIVEN[job.kind],
            request=given,
            body=orjson.dumps(job.args["rows"]),
            fetched_at=now,
            answered_at=now,
            cost=0,
        )
        try:
            landed = await transact(self.works.database, lambda conn: pages.land_given(conn, job, new, now=now))
        except LostLeaseError:
            log.warning("lease_lost")
            return None
        self.works.observer.page("landed")
        return landed

    async def read(self, page: LandedPage) -> Rows:
        """Judge every row, leave out what the books know, and give the rest for post."""
        given = read_given(page, orjson.loads(page.body))

        async def decide(conn: AsyncConnection) -> tuple[Decision, Rows]:
            fresh, refused = await _unknown(conn, given)
            decided = _decision(page, given, refused)
            await pages.decide(conn, [decided], now=self.works.clock())
            return decided, Rows(page.id, fresh, given.quotes)

        decided, rows = await transact(self.works.database, decide)
        found_out(self.works.observer, page.provider, decided, len(rows))
        return rows

    def read_again(self, page: LandedPage) -> Rows:
        """Give the rows of a page that was judged before; what the books know by now, post will tell."""
        given = read_given(page, orjson.loads(page.body))
        refused = {bad["position"] for bad in page.rejects}
        return Rows(page.id, [one for one in given.entries if one.position not in refused], given.quotes)

    async def post(self, rows: Rows) -> None:
        """Post and book a page's rows, together with the other posts of this moment."""
        await self._posts(rows)

    async def _post(self, ready: Sequence[Rows]) -> list[None]:
        now = self.works.clock()

        async def post(conn: AsyncConnection) -> list[tuple[Rows, Counts, datetime]]:
            waiting = await pages.lock_landed(conn, [rows.page for rows in ready])
            batch = [rows for rows in {rows.page: rows for rows in ready}.values() if rows.page in waiting]
            told = await _post_entries(conn, batch, self.shelf, now)
            told += await _post_quotes(conn, batch, now)
            counts = [_counts(rows.page, told) for rows in batch]
            await pages.posted(conn, counts, now=now)
            return [(rows, one, waiting[rows.page]) for rows, one in zip(batch, counts, strict=True)]

        for rows, counted, since in await transact(self.works.database, post):
            self._tell(rows, counted, now - since)
        return [None] * len(ready)

    def _tell(self, rows: Rows, counted: Counts, waited: timedelta) -> None:
        observer, refused = self.works.observer, len(counted.refused)
        observer.page("posted")
        observer.posted(max(0.0, waited.total_seconds()))
        observer.rows(GIVEN_BY_USERS, "new", counted.new)
        observer.rows(GIVEN_BY_USERS, "rejected", refused)
        observer.rows(GIVEN_BY_USERS, "duplicate", len(rows) - counted.new - refused)


_Told = list[tuple[UUID, int, Outcome]]
"""Page and position of a row, and what became of it."""


async def _post_entries(conn: AsyncConnection, batch: Sequence[Rows], shelf: Shelf, now: datetime) -> _Told:
    by_user: dict[str, list[NewEntry]] = {}
    for rows in batch:
        for entry in rows.entries:
            by_user.setdefault(entry.user, []).append(entry)
    told: _Told = []
    for user in sorted(by_user):  # everybody takes the users' locks in this order
        outcomes = await post_and_book(conn, user, by_user[user], shelf, now=now)
        told += [(_page(entry), entry.position, one) for entry, one in zip(by_user[user], outcomes, strict=True)]
    return told


async def _post_quotes(conn: AsyncConnection, batch: Sequence[Rows], now: datetime) -> _Told:
    quotes = [quote for rows in batch for quote in rows.quotes]
    outcomes = await posting.post_prices(conn, quotes, now=now)
    return [(_page(quote), quote.position, one) for quote, one in zip(quotes, outcomes, strict=True)]


def _page(row: NewEntry | Quote) -> UUID:
    assert row.page is not None, "what travels comes from a page"
    return row.page


async def _unknown(conn: AsyncConnection, given: Given) -> tuple[list[NewEntry], list[dict[str, Any]]]:
    held = await posting.known(conn, given.user, [entry.key for entry in given.entries]) if given.entries else {}
    fresh: list[NewEntry] = []
    refused: list[dict[str, Any]] = []
    for entry in given.entries:
        there = held.get(entry.key)
        if there is None:
            fresh.append(entry)
        elif there.body_hash != entry.body_hash:
            refused.append({"position": entry.position, "reason": posting.conflict(entry, there.body)})
    return fresh, refused


def _decision(page: LandedPage, given: Given, refused: Sequence[dict[str, Any]]) -> Decision:
    rejects = [{"position": bad.position, "reason": bad.reason} for bad in given.rejected]
    times = [entry.happened_at for entry in given.entries] + [quote.happened_at for quote in given.quotes]
    return Decision(
        page=page.id,
        found=len(given.entries) + len(given.quotes) + len(rejects),
        rejected=len(rejects) + len(refused),
        skipped=0,
        rejects=sorted([*rejects, *refused], key=lambda bad: int(str(bad["position"]))),
        warnings=(),
        complete=None,
        newest=max(times, default=None),
        pages_total=1,
        next=None,
    )


def _counts(page: UUID, told: _Told) -> Counts:
    mine = [(position, one) for told_page, position, one in told if told_page == page]
    refused = [{"position": position, "reason": one.reason} for position, one in mine if one.status == "refused"]
    return Counts(page, sum(one.status == "new" for _, one in mine), 0, 0, refused)
