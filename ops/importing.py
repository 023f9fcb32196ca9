"""A file of trades into the books: read it, say what would happen, or ask for it in jobs and wait until it is so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from broker import jobs
from broker.jobs import NewJob
from broker.messages import LEDGER, WorkOnJob
from broker.producer import Producer
from ledger import posting
from ledger.csvfile import BadFile, read_trades
from ledger.entries import Key, entry_of
from ledger.fills import Refused, read_fills
from ledger.trades import Trade

Format = Literal["golden", "hyperliquid"]
ROWS_A_JOB = 1000
LOOK_EVERY_S = 0.05
ENDED = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class FileRow:
    """One row of the file, numbered from 1 after the header: a trade, or why it is none."""

    number: int
    trade: Trade | None
    refused: str = ""


@dataclass(slots=True)
class Account:
    """What came of a file, or would come of it; ``refused`` names rows and reasons."""

    rows: int = 0
    new: int = 0
    duplicate: int = 0
    jobs: list[UUID] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)


def read_rows(lines: Iterable[str], form: Format, *, user: str | None, now: datetime) -> Iterator[FileRow]:
    """Read every row of a file.  Errors: BadFile for what is no such file, or needs a user who was not named."""
    if form == "hyperliquid":
        if user is None:
            raise BadFile("the file does not say whose fills these are: name the user with --user")
        for fill in read_fills(lines, user=user, now=now):
            if isinstance(fill, Refused):
                yield FileRow(fill.row, None, fill.reason)
            else:
                yield FileRow(fill.row, fill.trade)
        return
    first: str | None = None
    for row in read_trades(lines, now=now):
        trade = row.trade
        if trade is not None and user is not None:
            first = first or trade.user
            if trade.user != first:
                raise BadFile(f"row {row.number} is {trade.user}'s and others are {first}'s: leave --user out")
            trade = replace(trade, user=user)
        yield FileRow(row.number, trade, row.refused)


def given_row(row: FileRow) -> dict[str, Any]:
    """Write a row as a job brings it."""
    assert row.trade is not None
    body: dict[str, Any] = row.trade.body()
    del body["user"]
    return {name: value for name, value in body.items() if value} | {"line": row.number}


async def rehearse(database: AsyncEngine, rows: Sequence[FileRow], source: str) -> Account:
    """Say what importing would do, and do nothing."""
    account = Account(rows=len(rows), refused=[(row.number, row.refused) for row in rows if row.trade is None])
    for user, mine in _by_user(rows).items():
        seen: dict[Key, str] = {}
        for chunk in _chunks(mine):
            entries = [
                (row.number, entry_of(row.trade, Key(source, row.trade.trade_id), page=None, position=row.number))
                for row in chunk
                if row.trade is not None
            ]
            async with database.begin() as conn:
                held = await posting.known(conn, user, [entry.key for _, entry in entries])
            for number, entry in entries:
                there = held.get(entry.key)
                if there is not None and there.body_hash != entry.body_hash:
                    account.refused.append((number, posting.conflict(entry, there.body)))
                elif there is not None or entry.key in seen:
                    account.duplicate += 1
                else:
                    account.new += 1
                seen[entry.key] = entry.body_hash
    account.refused.sort()
    return account


async def bring_in(
    database: AsyncEngine,
    producer: Producer,
    rows: Sequence[FileRow],
    *,
    source: str,
    file: str,
    clock: Callable[[], datetime],
    show: Callable[[int], None] = lambda _: None,
) -> Account:
    """Import rows in jobs, each asked for when the one before it has ended: arrival decides between equal times."""
    account = Account(rows=len(rows), refused=[(row.number, row.refused) for row in rows if row.trade is None])
    show(len(account.refused))
    for user, mine in _by_user(rows).items():
        for chunk in _chunks(mine):
            args = {"user": user, "source": source, "file": file, "rows": [given_row(row) for row in chunk]}
            new = NewJob("ledger.trades", LEDGER, args, owner=user)
            async with database.begin() as conn:
                (receipt,) = await jobs.enqueue(conn, [new], now=clock())
            await producer.send([WorkOnJob(LEDGER)])
            account.jobs.append(receipt.id)
            await _add_outcome(database, receipt.id, chunk, account)
            show(len(chunk))
    account.refused.sort()
    return account


async def _add_outcome(database: AsyncEngine, job: UUID, chunk: Sequence[FileRow], account: Account) -> None:
    while True:
        async with database.connect() as conn:
            row = (await conn.execute(_JOB, {"id": job})).one()
        if row.state in ENDED:
            break
        await asyncio.sleep(LOOK_EVERY_S)
    if row.state != "succeeded":
        account.refused += [(one.number, f"its job {row.state}: {row.last_error}") for one in chunk]
        return
    account.new += row.new
    account.duplicate += row.duplicate
    account.refused += [(chunk[bad["position"]].number, bad["reason"]) for bad in row.rejects or ()]


def _by_user(rows: Sequence[FileRow]) -> Mapping[str, list[FileRow]]:
    by_user: dict[str, list[FileRow]] = {}
    for row in rows:
        if row.trade is not None:
            by_user.setdefault(row.trade.user, []).append(row)
    return by_user


def _chunks(rows: Sequence[FileRow]) -> Iterator[Sequence[FileRow]]:
    for start in range(0, len(rows), ROWS_A_JOB):
        yield rows[start : start + ROWS_A_JOB]


_JOB = text(
    """SELECT state, new, duplicate, last_error, (SELECT rejects FROM pages WHERE job_id = jobs.id LIMIT 1) AS rejects
    FROM jobs WHERE id = :id"""
)
