"""The book as JSON values in the form of the golden cases: numbers as text, times in UTC with microseconds.

One object for one method: ``pools``, ``users``, ``open_lots`` (not under AVERAGE, which has none), ``open_shorts``
(where shorts are allowed), ``disposals``, ``statistics``; ``windows``, ``as_of``, ``after_arrival`` where asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ledger.booking import Booking, Disposal, Pool, Rules, book
from ledger.figures import (
    State,
    Sums,
    after_arrival,
    as_of,
    in_order_of_keys,
    statistics,
    windows,
)
from ledger.lots import Inventory, Method
from ledger.marks import Mark, total_unrealised, worth
from ledger.moves import PoolBy, PoolKey
from ledger.numbers import money_text, quantity_text, ratio_text
from ledger.trades import Trade, in_order, unique

_LEGS = ("base", "quote", "fee")


@dataclass(frozen=True, slots=True)
class Asked:
    """What is wanted beside the book itself."""

    marks: Mapping[str, Mark] = field(default_factory=dict)
    windows: Sequence[tuple[datetime, datetime]] | None = None
    as_of: Sequence[datetime] | None = None
    after_arrival: bool = False


def report(deliveries: Sequence[Trade], rules: Rules, asked: Asked) -> dict[str, Any]:
    """Book deliveries, given in order of arrival, and tell everything.

    Errors: ``trades.OtherBody``, ``booking.Oversold``.
    """
    trades = in_order(unique(deliveries))
    booking, disposals = book(trades, rules)
    told: dict[str, Any] = {
        "pools": [pool_told(pool, asked.marks) for pool in in_order_of_keys(booking)],
        "users": users_told(booking, asked.marks),
    }
    if rules.method is not Method.AVERAGE:
        told["open_lots"] = open_lots_told(booking)
    if rules.allow_short:
        told["open_shorts"] = open_shorts_told(booking, rules.pool_by)
    told["disposals"] = disposals_told(disposals)
    told["statistics"] = {user: sums_told(sums) for user, sums in sorted(statistics(trades, disposals).items())}
    if asked.windows is not None:
        told["windows"] = _windows_told(disposals, asked.windows)
    if asked.as_of is not None:
        states = dict(as_of(trades, rules, asked.as_of))
        told["as_of"] = [
            {"ts": time_told(at), "pools": [_key_told(state.pool) | _state_told(state) for state in states[at]]}
            for at in asked.as_of
        ]
    if asked.after_arrival:
        told["after_arrival"] = list(_arrivals_told(deliveries, rules))
    return told


def pool_told(pool: Pool, marks: Mapping[str, Mark]) -> dict[str, Any]:
    """Tell one pool's sums; without a mark what it is worth is null."""
    now = worth(pool, marks.get(pool.key.coin))
    return _key_told(pool.key) | {
        "realised": money_text(pool.realised),
        "proceeds": money_text(pool.proceeds),
        "cost_of_sold": money_text(pool.cost_of_sold),
        "income": money_text(pool.income),
        "expense": money_text(pool.expense),
        "missing_qty": quantity_text(pool.missing_qty),
        "open_qty": quantity_text(pool.open_qty),
        "open_cost": money_text(pool.open_cost),
        "market_value": _or_null(now.market_value),
        "unrealised": _or_null(now.unrealised),
    }


def users_told(booking: Booking, marks: Mapping[str, Mark]) -> dict[str, Any]:
    """Sum pools by user."""
    mine: dict[str, list[Pool]] = {}
    for pool in in_order_of_keys(booking):
        mine.setdefault(pool.key.user, []).append(pool)
    return {
        user: {
            "realised": money_text(sum(pool.realised for pool in pools)),
            "income": money_text(sum(pool.income for pool in pools)),
            "expense": money_text(sum(pool.expense for pool in pools)),
            "unrealised": _or_null(total_unrealised(pools, marks)),
        }
        for user, pools in mine.items()
    }


def open_lots_told(booking: Booking) -> list[dict[str, Any]]:
    """List open lots by pool, oldest first; pieces of one lot in one pool are one lot."""
    return [
        _key_told(pool.key)
        | {"lot": lot, "acquired": time_told(at), "qty": quantity_text(qty), "cost": money_text(cost)}
        for pool in in_order_of_keys(booking)
        for lot, at, qty, cost in _whole_lots(pool.lots)
    ]


def open_shorts_told(booking: Booking, pool_by: PoolBy) -> list[dict[str, Any]]:
    """List what is owed, oldest first, with the proceeds that it brought."""
    return [
        _short_key_told(pool.key, pool_by) | {"lot": lot, "qty": quantity_text(qty), "proceeds": money_text(proceeds)}
        for pool in in_order_of_keys(booking)
        for lot, _, qty, proceeds in _whole_lots(pool.shorts)
    ]


def disposals_told(disposals: Iterable[Disposal]) -> list[dict[str, Any]]:
    """List disposals in booking order, each with the lots that it used."""
    ordered = sorted(disposals, key=lambda one: (one.at, one.seq, _LEGS.index(one.leg)))
    return [
        {
            "trade_id": one.trade_id,
            "leg": one.leg,
            "side": one.side.value,
            **_key_told(one.pool),
            "ts": time_told(one.at),
            "qty": quantity_text(one.qty),
            "proceeds": money_text(one.proceeds),
            "cost": money_text(one.cost),
            "gain": money_text(one.gain),
            "missing_qty": quantity_text(one.missing),
            "matches": [
                {"lot": match.lot, "qty": quantity_text(match.qty), "cost": money_text(match.cost)}
                for match in one.matches
            ],
        }
        for one in ordered
    ]


def sums_told(sums: Sums) -> dict[str, Any]:
    """Tell statistics; what is not defined without sales, wins or losses is null."""
    return {
        "sales": sums.sales,
        "wins": sums.wins,
        "losses": sums.losses,
        "win_rate": ratio_text(sums.wins, sums.sales) if sums.sales else None,
        "total_profit": money_text(sums.profit),
        "total_loss": money_text(sums.loss),
        "profit_factor": ratio_text(sums.profit, -sums.loss) if sums.loss else None,
        "largest_win": _or_null(sums.largest_win),
        "largest_loss": _or_null(sums.largest_loss),
        "average_win": _mean(sums.profit, sums.wins),
        "average_loss": _mean(sums.loss, sums.losses),
        "volume": money_text(sums.volume),
        "fees": money_text(sums.fees),
    }


def time_told(at: datetime) -> str:
    """Write a time as ``2024-02-05T10:00:00.000000Z``."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _windows_told(disposals: Iterable[Disposal], spans: Sequence[tuple[datetime, datetime]]) -> list[dict[str, Any]]:
    return [
        {
            "from": time_told(window.start),
            "to": time_told(window.end),
            "realised": [
                _key_told(key) | {"realised": money_text(gain)}
                for key, gain in sorted(window.realised.items(), key=lambda item: _sortable(item[0]))
            ],
        }
        for window in windows(disposals, spans)
    ]


def _arrivals_told(deliveries: Sequence[Trade], rules: Rules) -> Iterable[dict[str, Any]]:
    for trade, states in zip(deliveries, after_arrival(deliveries, rules), strict=True):
        pools = [
            _short_key_told(state.pool, rules.pool_by)
            | _state_told(state)
            | {"missing_qty": quantity_text(state.missing_qty)}
            for state in states
        ]
        yield {"seq": trade.seq, "pools": pools}


def _whole_lots(lots: Inventory) -> list[tuple[str, datetime, int, int]]:
    whole: list[tuple[str, datetime, int, int]] = []
    for lot in lots.open():
        qty, cost = lot.left, lot.rest
        if whole and whole[-1][0] == lot.id:
            _, _, more, dearer = whole.pop()
            qty, cost = qty + more, cost + dearer
        whole.append((lot.id, lot.order[0], qty, cost))
    return whole


def _state_told(state: State) -> dict[str, str]:
    return {
        "realised": money_text(state.realised),
        "open_qty": quantity_text(state.open_qty),
        "open_cost": money_text(state.open_cost),
    }


def _key_told(key: PoolKey) -> dict[str, Any]:
    return {"user": key.user, "account": key.account, "coin": key.coin}


def _short_key_told(key: PoolKey, pool_by: PoolBy) -> dict[str, Any]:
    """Leave out the account where none has a pool of its own."""
    told = _key_told(key)
    return told if pool_by is PoolBy.USER_ACCOUNT_COIN else {"user": key.user, "coin": key.coin}


def _sortable(key: PoolKey) -> tuple[str, str, str]:
    return (key.user, key.account or "", key.coin)


def _or_null(steps: int | None) -> str | None:
    return None if steps is None else money_text(steps)


def _mean(total: int, count: int) -> str | None:
    return ratio_text(total, count * 10**18) if count else None
