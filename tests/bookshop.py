"""What tests of the books share: rows as users write them, and a desk where one user trades."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text

from broker import jobs
from broker.jobs import NewJob
from broker.messages import LEDGER, WorkOnJob
from broker.pages import LandedPage
from ledger.bookkeeping import post_and_book
from ledger.posting import Outcome
from ledger.tenancy import acting_for
from tests.workshop import Workshop
from workers.rules import read_given

Row = dict[str, Any]
BTC = "BTC"


def row(kind: str, qty: str, price: str = "", day: int = 1, **more: Any) -> Row:
    """A row about BTC at ten o'clock of a day in January 2024."""
    told: Row = {"kind": kind, "base": BTC, "qty": qty, "happened_at": f"2024-01-{day:02}T10:00:00+00:00"}
    return told | ({"price": price} if price else {}) | more


@dataclass
class Desk:
    """One user of a workshop, whose books nobody else has touched."""

    shop: Workshop
    user: str = field(default_factory=lambda: f"user-{uuid4().hex[:12]}")

    async def give(self, rows: Sequence[Any], *, kind: str = "ledger.trades", **args: Any) -> Any:
        """Enqueue one job with these rows, let the worker take it to its end, and give the job's row."""
        await self.ask(rows, kind=kind, **args)
        await self.shop.run()
        return await self.shop.job(self.asked)

    async def ask(self, rows: Sequence[Any], *, kind: str = "ledger.trades", **args: Any) -> UUID:
        """Enqueue one job with these rows."""
        whose = {} if kind == "ledger.prices" else {"user": self.user}
        new = NewJob(kind, LEDGER, {**whose, **args, "rows": list(rows)}, owner=self.user)
        async with self.shop.database.begin() as conn:
            self.asked = (await jobs.enqueue(conn, [new], now=self.shop.clock()))[0].id
        await self.shop.mailbox.send([WorkOnJob(LEDGER)])
        return self.asked

    async def book(self, rows: Sequence[Row]) -> Sequence[Outcome]:
        """Post and book rows as the worker does, with no job and no page: quicker where those are not the subject."""
        now = self.shop.clock()
        page = LandedPage(
            id=uuid4(), job_id=uuid4(), seq=1, provider="", dataset="trades", cursor=None, body=b"", fetched_at=now,
            polled_at=now, deliveries=1, sends=1, kind="ledger.trades", args={"user": self.user}, queue=LEDGER,
            started_at=now, found=0, rejects=(),
        )  # fmt: skip
        given = read_given(page, rows)
        assert not given.rejected
        async with self.shop.database.begin() as conn:
            return await post_and_book(conn, self.user, given.entries, self.shop.pipeline.bookkeeper.shelf, now=now)

    async def rejects(self) -> list[tuple[int, str]]:
        """Positions and reasons of the rows of the last job that were refused."""
        (page,) = await self.shop.pages(self.asked)
        return [(bad["position"], bad["reason"]) for bad in page.rejects]

    async def read(self, sql: str, **params: Any) -> list[Any]:
        """Read with the user's own session."""
        async with self.shop.database.begin() as conn, acting_for(conn, self.user):
            return list((await conn.execute(text(sql), params)).all())

    async def realised(self) -> Mapping[str, Decimal]:
        """What each method has realised, from the tables."""
        sql = """SELECT method, sum(gain) AS gain FROM disposals WHERE superseded IS NULL AND side <> 'carry'
            GROUP BY method"""
        return {one.method: one.gain for one in await self.read(sql)}

    async def balances(self, asset: str = BTC) -> dict[str, Decimal]:
        """What stands on each account that holds anything of an asset."""
        sql = """SELECT a.name, b.amount FROM balances b JOIN accounts a ON a.id = b.account_id
            WHERE a.asset = :asset AND b.amount <> 0"""
        return {one.name: one.amount for one in await self.read(sql, asset=asset)}
