"""Book again only what a late row can change: the pools that it touches, and those that share lots with them.  Pure.

A leg changes the pools of its own coin and no others, whatever lies in them; only a transfer takes lots from one pool
to another.  So every other pool stays as it is, in the books at hand and in the checkpoints that come after the row.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import zstandard

from ledger.legs import Act
from ledger.lots import Method, Order
from ledger.moves import PoolBy, PoolKey, pool_key
from ledger.runs import Books, Policy, Results, no_books
from ledger.snapshots import FORM, UnknownForm, pool_snapshot, put_pool, rules_read
from ledger.trades import Trade

Kept = tuple[Order, int, bytes]
"""A checkpoint: after which row, how many rows, and the state."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What came out of booking some pools again: their state now, the rows, and the later checkpoints with it."""

    books: Books
    results: Results


def connected(rows: Iterable[Trade], touched: Collection[PoolKey], pool_by: PoolBy) -> frozenset[PoolKey]:
    """Add to some pools all those that lots were carried to or from: they can only be booked together."""
    ways: dict[PoolKey, set[PoolKey]] = {}
    if pool_by is PoolBy.USER_ACCOUNT_COIN:
        for trade in rows:
            for leg in trade.legs:
                if leg.act is Act.CARRY:
                    here, there = pool_key(trade, leg.coin, pool_by), PoolKey(trade.user, trade.to_account, leg.coin)
                    ways.setdefault(here, set()).add(there)
                    ways.setdefault(there, set()).add(here)
    found, waiting = set(touched), list(touched)
    while waiting:
        fresh = ways.get(waiting.pop(), set()) - found
        found |= fresh
        waiting += fresh
    return frozenset(found)


def replay(
    rows: Sequence[Trade], pools: frozenset[PoolKey], policy: Policy, before: bytes | None, after: Sequence[Kept]
) -> Replay:
    """Book ``rows``, in order, on top of what ``before`` says of these pools; ``after`` are the checkpoints passed.

    Errors: ``snapshots.UnknownForm``: a checkpoint was written by another version, or under another policy.
    """
    books = no_books(policy) if before is None else _part(before, pools, policy)
    results, checkpoints = Results(), list[Kept]()
    waiting = iter(_of_pools(rows, pools, policy.pool_by))
    trade = next(waiting, None)
    for order, count, state in after:
        while trade is not None and trade.order <= order:
            books.book_one(trade, results)
            trade = next(waiting, None)
        checkpoints.append((order, count, _patched(state, books, pools)))
    while trade is not None:
        books.book_one(trade, results)
        trade = next(waiting, None)
    results.checkpoints = checkpoints
    return Replay(books, results)


def put_into(whole: Books, again: Replay, pools: frozenset[PoolKey]) -> None:
    """Replace these pools in the books of a user."""
    for method, booking in whole.bookings.items():
        for key in pools:
            booking.pools.pop(key, None)
        booking.pools.update(again.books.bookings[method].pools)


def _of_pools(rows: Iterable[Trade], pools: frozenset[PoolKey], pool_by: PoolBy) -> Iterator[Trade]:
    """Give each row with only those of its legs that these pools see."""
    for trade in rows:
        legs = tuple(leg for leg in trade.legs if pool_key(trade, leg.coin, pool_by) in pools)
        if len(legs) == len(trade.legs):
            yield trade
        elif legs:
            part = copy.copy(trade)
            object.__setattr__(part, "legs", legs)
            yield part


def _part(state: bytes, pools: frozenset[PoolKey], policy: Policy) -> Books:
    books = no_books(policy)
    for method, told in _by_method(state, policy).items():
        for pool in told["pools"]:
            if PoolKey(*pool["key"]) in pools:
                put_pool(books.bookings[method], pool)
    return books


def _patched(state: bytes, books: Books, pools: frozenset[PoolKey]) -> bytes:
    told = _by_method(state, books.policy)
    for method, one in told.items():
        others = [pool for pool in one["pools"] if PoolKey(*pool["key"]) not in pools]
        one["pools"] = others + [pool_snapshot(pool) for pool in books.bookings[method].pools.values()]
    return zstandard.compress(orjson.dumps(list(told.values())))


def _by_method(state: bytes, policy: Policy) -> Mapping[Method, dict[str, Any]]:
    told: dict[Method, dict[str, Any]] = {}
    for one in orjson.loads(zstandard.decompress(state)):
        if one.get("form") != FORM:
            raise UnknownForm(f"form {one.get('form')!r} is not {FORM}")
        rules = rules_read(one["rules"])
        if rules != policy.rules(rules.method):
            raise UnknownForm("another policy")
        told[rules.method] = one
    return told
