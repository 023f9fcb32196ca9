"""Post entries: new, already there, or the same key with another body.  Nothing that was posted is ever changed.

Each call is part of the caller's transaction, for one user whose only writer it becomes until the end of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from psycopg import AsyncCursor
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from ledger import posting_stage as stage
from ledger.entries import GENESIS, Key, NewEntry, Quote, Transfer, chained, leaf, leaf_head
from ledger.numbers import plain
from ledger.tenancy import acting_for, driver_cursor, one_writer
from ledger.trades import shown


@dataclass(frozen=True, slots=True)
class Held:
    """What the books hold under a key."""

    id: UUID
    kind: str
    body_hash: str
    body: Mapping[str, Any]
    coins: Sequence[str]
    happened_at: datetime
    seq: int  # 0: it came in the same call
    reversed: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one entry: ``new`` and ``there`` have an id, ``refused`` has the reason.

    ``seq`` of a new entry tells when it came; ``touched`` is the entry that a new reversal undid.
    """

    status: Literal["new", "there", "refused"]
    id: UUID | None = None
    seq: int = 0
    reason: str = ""
    touched: Held | None = None


async def post(conn: AsyncConnection, user: str, entries: Sequence[NewEntry], *, now: datetime) -> list[Outcome]:
    """Write what is new, one answer for each entry in the same order; ``now`` becomes ``recorded_at``."""
    assert conn.in_transaction(), "post is part of the caller's transaction"
    assert all(entry.user == user for entry in entries), "one user's books at a time"
    if not entries:
        return []
    await one_writer(conn, user)
    async with acting_for(conn, user), driver_cursor(conn) as cursor:
        work = _Work(cursor, user, now)
        return await work.post(entries)


async def known(conn: AsyncConnection, user: str, keys: Iterable[Key]) -> dict[Key, Held]:
    """Tell what the user's books hold under these keys, in one question."""
    asked = list(dict.fromkeys(keys))
    if not asked:
        return {}
    async with acting_for(conn, user), driver_cursor(conn) as cursor:
        return await _known(cursor, user, asked)


def conflict(entry: NewEntry, held: Mapping[str, Any]) -> str:
    """Say in one line what is in the books and what came instead, where they differ."""
    names = sorted({name for name in (*held, *entry.body) if held.get(name) != entry.body.get(name)})
    tell = [", ".join(f"{name} {shown(str(body.get(name)))}" for name in names) for body in (held, entry.body)]
    return f"{entry.key} is in the books as {tell[0]}, and now told as {tell[1]}"


async def post_prices(conn: AsyncConnection, quotes: Sequence[Quote], *, now: datetime) -> list[Outcome]:
    """Write prices that are new; the same moment, coin and source with another price is refused."""
    if not quotes:
        return []
    given: dict[str, Any] = {
        "coins": [quote.coin for quote in quotes],
        "times": [quote.happened_at for quote in quotes],
        "sources": [quote.source for quote in quotes],
        "prices": [quote.price for quote in quotes],
        "pages": [quote.page for quote in quotes],
        "positions": [quote.position for quote in quotes],
        "now": now,
    }
    async with driver_cursor(conn) as cursor:
        await cursor.execute(stage.ADD_PRICES, given)
        added = set(await cursor.fetchall())
        await cursor.execute(stage.PRICES_AT, given)
        there = {(coin, at, source): price for coin, at, source, price in await cursor.fetchall()}
    told: list[Outcome] = []
    for quote in quotes:
        place = (quote.coin, quote.happened_at, quote.source)
        if there[place] != quote.price:
            both = f"is in the books as {plain(there[place])}, and now told as {plain(quote.price)}"
            told.append(Outcome("refused", reason=f"the price of {quote.coin} at {quote.happened_at} {both}"))
        else:
            told.append(Outcome("new" if place in added else "there"))
            added.discard(place)
    return told


_Fresh = tuple[UUID, NewEntry, UUID | None]
"""A new entry: its id, and the id of what it reverses."""


@dataclass(slots=True)
class _Work:
    """One call of ``post``."""

    cursor: AsyncCursor[Any]
    user: str
    now: datetime

    async def post(self, entries: Sequence[NewEntry]) -> list[Outcome]:
        asked = {entry.key for entry in entries} | {entry.undoes for entry in entries if entry.undoes is not None}
        held = await _known(self.cursor, self.user, list(asked))
        outcomes: dict[int, Outcome] = {}
        fresh: dict[Key, _Fresh] = {}
        places: list[tuple[int, UUID, Held | None]] = []
        for n, entry in enumerate(entries):
            there = held.get(entry.key) or _held(fresh.get(entry.key))
            if there is not None:
                outcomes[n] = _judged(entry, there)
                continue
            undone = None
            if entry.undoes is not None:
                undone = held.get(entry.undoes) or _held(fresh.get(entry.undoes))
                if undone is None or undone.reversed or undone.kind in {"reversal", "gains"}:
                    outcomes[n] = Outcome("refused", reason=_irreversible(entry.undoes, undone))
                    continue
                held[entry.undoes] = replace(undone, reversed=True)
            new = uuid7()
            fresh[entry.key] = (new, entry, undone.id if undone else None)
            places.append((n, new, undone))
        if fresh:
            seqs = await self._write(list(fresh.values()))
            for n, new, undone in places:
                outcomes[n] = Outcome("new", new, seqs[new], touched=undone)
        return [outcomes[n] for n in range(len(entries))]

    async def _write(self, fresh: Sequence[_Fresh]) -> dict[UUID, int]:
        """Write entries and what goes with them; the server takes rows in while their hashes are worked out here."""
        cursor = self.cursor
        transfers = await self._transfers(fresh)
        await cursor.execute(stage.LAST_BATCH, {"user": self.user})
        number, previous = await cursor.fetchone() or (0, GENESIS)
        given: dict[str, Any] = {"user": self.user, "now": self.now, "entries": len(fresh), "batch": number + 1}
        accounts = await self._accounts(transfers)
        await cursor.execute(stage.PREPARE)
        async with cursor.copy(stage.COPY_ENTRIES) as copy:
            for new, entry, undone in fresh:
                await copy.write_row(_staged(new, entry, undone))
        _, (leaves, lines) = await asyncio.gather(
            cursor.execute(stage.ADD_ENTRIES, given), self._worked_out(fresh, transfers, accounts)
        )
        seqs: dict[UUID, int] = dict(await cursor.fetchall())
        async with cursor.copy(stage.COPY_TRANSFERS) as copy:
            await copy.write(lines)
        await cursor.execute(stage.ADD_TRANSFERS, given)
        await cursor.execute(stage.MOVE_BALANCES, given)
        given |= {"previous": previous, "leaves": b"".join(leaves), "hash": chained(previous, leaves)}
        await cursor.execute(stage.ADD_BATCH, given)
        return seqs

    async def _accounts(self, transfers: Mapping[UUID, Sequence[Transfer]]) -> dict[tuple[str, str], int]:
        """Give the id of each account that is moved, by name and asset; open those that are not there."""
        moved = {(name, one.asset) for some in transfers.values() for one in some for name in (one.debit, one.credit)}
        given = {"user": self.user, "now": self.now}
        ids: dict[tuple[str, str], int] = {}
        for statement in (stage.ACCOUNTS, stage.OPEN_ACCOUNTS):
            if wanted := sorted(moved - ids.keys()):
                names, assets = ([place[n] for place in wanted] for n in (0, 1))
                await self.cursor.execute(statement, given | {"names": names, "assets": assets})
                ids |= {(name, asset): id_ for name, asset, id_ in await self.cursor.fetchall()}
        return ids

    async def _worked_out(
        self, fresh: Sequence[_Fresh], transfers: Mapping[UUID, Sequence[Transfer]], ids: Mapping[tuple[str, str], int]
    ) -> tuple[list[bytes], str]:
        """Hash each entry, and write its transfers down as COPY reads them."""
        leaves: list[bytes] = []
        lines: list[str] = []
        escaped = {asset: asset.replace("\\", "\\\\") for _, asset in ids}
        recorded = self.now.astimezone(UTC).isoformat()
        for new, entry, undone in fresh:
            moved = [(one.debit, one.credit, one.asset, plain(one.amount)) for one in transfers[new]]
            times = (entry.happened_at.astimezone(UTC).isoformat(), recorded)
            head = leaf_head(new, self.user, entry.key, entry.kind, times)
            leaves.append(leaf(head, undone, entry.told, moved))
            lines += [
                f"{head[0]}\t{n}\t{ids[debit, asset]}\t{ids[credit, asset]}\t{escaped[asset]}\t{amount}\n"
                for n, (debit, credit, asset, amount) in enumerate(moved)
            ]
        return leaves, "".join(lines)

    async def _transfers(self, fresh: Sequence[_Fresh]) -> dict[UUID, Sequence[Transfer]]:
        """Give each new entry its transfers; those of a reversal are those that it undoes, turned round."""
        told: dict[UUID, Sequence[Transfer]] = {new: entry.transfers for new, entry, _ in fresh}
        older = [undone for _, _, undone in fresh if undone is not None and undone not in told]
        undoing: dict[UUID, list[Transfer]] = {}
        if older:
            await self.cursor.execute(stage.TRANSFERS_OF, {"user": self.user, "entries": older})
            for entry, *moved in await self.cursor.fetchall():
                undoing.setdefault(entry, []).append(Transfer(*moved))
        for new, _, undone in fresh:
            if undone is not None:
                told[new] = [moved.back() for moved in undoing.get(undone) or told.get(undone, [])]
        return told


async def _known(cursor: AsyncCursor[Any], user: str, keys: Sequence[Key]) -> dict[Key, Held]:
    given = {
        "user": user,
        "sources": [key.source for key in keys],
        "ids": [key.external_id for key in keys],
        "occurrences": [key.occurrence for key in keys],
    }
    await cursor.execute(stage.KNOWN, given)
    return {
        Key(source, external_id, occurrence): Held(id_, kind, hash_, body, coins, at, seq, undone)
        for source, external_id, occurrence, id_, hash_, kind, body, coins, at, seq, undone in await cursor.fetchall()
    }


def _held(fresh: _Fresh | None) -> Held | None:
    """Give what came in the same call as the books will hold it."""
    if fresh is None:
        return None
    new, one, _ = fresh
    return Held(new, one.kind, one.body_hash, one.body, one.coins, one.happened_at, 0, reversed=False)


def _judged(entry: NewEntry, there: Held) -> Outcome:
    if there.body_hash == entry.body_hash:
        return Outcome("there", there.id)
    return Outcome("refused", there.id, reason=conflict(entry, there.body))


def _irreversible(key: Key, undone: Held | None) -> str:
    if undone is None:
        return f"there is no {key} to reverse"
    return f"{key} has been reversed before" if undone.reversed else f"{key} is a {undone.kind} and cannot be reversed"


def _staged(new: UUID, entry: NewEntry, undone: UUID | None) -> tuple[Any, ...]:
    key = entry.key
    return (
        new,
        key.source,
        key.external_id,
        key.occurrence,
        entry.body_hash,
        entry.kind,
        entry.happened_at,
        undone,
        entry.page,
        entry.position,
        list(entry.coins),
        entry.told.decode(),
    )
