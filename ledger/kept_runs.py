"""Keep what a run booked: new lots and disposals, what they replace, and what that changed about gains told before."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from psycopg import AsyncCursor
from uuid_utils.compat import uuid7

from ledger import run_stage as stage
from ledger.lots import AVERAGE_LOT, Match, Method, Order
from ledger.moves import PoolKey
from ledger.numbers import money, money_decimal, money_text, quantity, quantity_text
from ledger.runs import DisposalRow, LotRow, Results


@dataclass(frozen=True, slots=True)
class Told:
    """A disposal that is in the tables; ``gain`` in steps of money."""

    id: UUID
    value: tuple[Any, ...]
    order: Order
    gain: int


@dataclass(frozen=True, slots=True)
class Adjustment:
    """A gain that had been told otherwise: key of the disposal, its time, before and after (steps of money)."""

    key: tuple[Any, ...]
    happened_at: datetime
    before: int
    after: int


@dataclass(slots=True)
class Change:
    """What a run writes."""

    lots: Sequence[LotRow]
    disposals: Sequence[DisposalRow]
    old_lots: Sequence[int] = ()
    old_disposals: Sequence[tuple[tuple[Any, ...], Told]] = ()
    adjustments: Sequence[Adjustment] = ()
    checkpoints: Sequence[tuple[Order, int, bytes]] = field(default_factory=list)

    def gained(self) -> dict[Method, int]:
        """Say what each method's realised gains move by."""
        moved = dict.fromkeys(Method, 0)
        for one in self.disposals:
            moved[one.method] += one.gain
        for key, told in self.old_disposals:
            moved[key[0]] -= told.gain
        return moved


async def changes(
    cursor: AsyncCursor[Any], user: str, start: Order, results: Results, pools: Collection[PoolKey] | None = None
) -> Change:
    """Compare what was booked from ``start`` on with what the tables say; what came out the same stays.

    With ``pools``, only these were booked, and only their rows are compared.
    """
    coins = None if pools is None else sorted({pool.coin for pool in pools})
    booked = None if pools is None else {(pool.coin, pool.account or "") for pool in pools}
    given = {"user": user, "at": start[0], "seq": start[1], "coins": coins}
    await cursor.execute(stage.LOTS_AFTER, given)
    lots: dict[tuple[Any, ...], tuple[int, tuple[int, int]]] = {}
    for id_, method, coin, account, entry, by, side, qty, cost in await cursor.fetchall():
        if booked is None or (coin, account) in booked:
            key = (Method(method) if method else None, coin, account, str(entry), str(by), side)
            lots[key] = (id_, (quantity(qty), money(cost)))
    await cursor.execute(stage.DISPOSALS_AFTER, given)
    told = dict(_told(row) for row in await cursor.fetchall() if booked is None or (row[2], row[3]) in booked)
    newest = max((one.order for one in told.values()), default=start)
    same_lots = {row.key for row in results.lots if row.key in lots and lots[row.key][1] == row.value}
    same = {row.key for row in results.disposals if row.key in told and told[row.key].value == row.value}
    return Change(
        [row for row in results.lots if row.key not in same_lots],
        [row for row in results.disposals if row.key not in same],
        [id_ for key, (id_, _) in lots.items() if key not in same_lots],
        [(key, one) for key, one in told.items() if key not in same],
        _adjustments(results.disposals, told, same, newest),
        results.checkpoints,
    )


def _adjustments(
    booked: Iterable[DisposalRow], told: dict[tuple[Any, ...], Told], same: set[tuple[Any, ...]], newest: Order
) -> list[Adjustment]:
    """List the gains that came out otherwise, or late: at a time about which something had been told before."""
    now = {row.key: row for row in booked if row.key not in same}
    changed = [
        Adjustment(key, row.order[0], told[key].gain if key in told else 0, row.gain)
        for key, row in now.items()
        if key in told or row.order <= newest
    ]
    gone = [
        Adjustment(key, one.order[0], one.gain, 0) for key, one in told.items() if key not in same and key not in now
    ]
    return [one for one in changed + gone if one.before != one.after]


def _told(row: Sequence[Any]) -> tuple[tuple[Any, ...], Told]:
    id_, method, coin, account, entry, leg, side, qty, proceeds, cost, missing, at, seq, *matched = row
    lots, qtys, costs = (part or [] for part in matched)
    used = tuple(
        Match(AVERAGE_LOT if lot is None else str(lot), quantity(part), money(paid))
        for lot, part, paid in zip(lots, qtys, costs, strict=True)
    )
    value = (quantity(qty), money(proceeds), money(cost), quantity(missing), used)
    told = Told(id_, value, (at.astimezone(UTC), seq), money(proceeds) - money(cost))
    return (Method(method), coin, account, str(entry), leg, side), told


async def keep(cursor: AsyncCursor[Any], user: str, run: int, change: Change, *, now: datetime) -> None:
    """Write a run's rows, mark what they replace, and keep the checkpoints that were passed."""
    given: dict[str, Any] = {"user": user, "run": run, "now": now}
    if change.old_lots:
        await cursor.execute(stage.SUPERSEDE_LOTS, {**given, "lots": list(change.old_lots)})
    if change.old_disposals:
        await cursor.execute(
            stage.SUPERSEDE_DISPOSALS, {**given, "disposals": [told.id for _, told in change.old_disposals]}
        )
    if change.lots or change.disposals:
        await _add(cursor, change, given)
    if change.adjustments:
        await cursor.execute(stage.ADD_ADJUSTMENTS, given | _columns(change.adjustments))
    for (at, seq), rows, state in change.checkpoints:
        await cursor.execute(stage.ADD_CHECKPOINT, given | {"at": at, "seq": seq, "rows": rows, "state": state})


async def _add(cursor: AsyncCursor[Any], change: Change, given: dict[str, Any]) -> None:
    await cursor.execute(stage.PREPARE)
    ids = [uuid7() for _ in change.disposals]
    async with cursor.copy(stage.COPY_LOTS) as copy:
        for lot in change.lots:
            at, seq = lot.order
            qty, cost = quantity_text(lot.qty), money_text(lot.cost)
            first = (lot.method, lot.coin, lot.account, lot.entry, lot.booked_by, lot.side, lot.acquired[0])
            await copy.write_row((*first, at, seq, qty, cost))
    async with cursor.copy(stage.COPY_DISPOSALS) as copy:
        for id_, one in zip(ids, change.disposals, strict=True):
            at, seq = one.order
            moved = (quantity_text(one.qty), money_text(one.proceeds), money_text(one.cost), quantity_text(one.missing))
            what = (id_, one.method.value, one.coin, one.account, one.entry, one.leg, one.side)
            await copy.write_row((*what, at, seq, *moved, one.tag))
    async with cursor.copy(stage.COPY_MATCHES) as copy:
        for id_, one in zip(ids, change.disposals, strict=True):
            for n, match in enumerate(one.matches):
                lot_entry = None if match.lot == AVERAGE_LOT else match.lot
                await copy.write_row((id_, n, lot_entry, quantity_text(match.qty), money_text(match.cost)))
    await cursor.execute(stage.ADD_LOTS, given)
    await cursor.execute(stage.ADD_DISPOSALS, given)
    await cursor.execute(stage.ADD_MATCHES, given)


def _columns(adjustments: Sequence[Adjustment]) -> dict[str, Any]:
    methods, coins, accounts, entries, legs, sides = zip(*(one.key for one in adjustments), strict=True)
    return {
        "methods": [str(method) for method in methods],
        "coins": list(coins),
        "accounts": list(accounts),
        "entries": list(entries),
        "legs": list(legs),
        "sides": list(sides),
        "times": [one.happened_at for one in adjustments],
        "befores": [money_decimal(one.before) for one in adjustments],
        "afters": [money_decimal(one.after) for one in adjustments],
    }
