"""A second opinion on booking: fractions, plain lists, every lot looked at for every sale.  Slow, and short.

It shares no code with ``ledger``.  Property tests compare the ledger with it on histories that hypothesis makes up, and

    python -m tests.pnl_reference

writes the answers beside the cases in ``tests/fixtures/pnl`` (they are kept, so that a change of mind shows in a diff).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "fixtures" / "pnl"
METHODS = ("FIFO", "LIFO", "HIFO", "AVERAGE")
Row = Mapping[str, str]
ZERO = Fraction(0)


@dataclass
class Lot:
    """Units bought together."""

    id: str
    order: tuple[str, int]
    qty: Fraction
    cost: Fraction
    unit: Fraction


@dataclass
class Pool:
    """Lots and sums of one user and coin."""

    lots: list[Lot] = field(default_factory=list)
    shorts: list[Lot] = field(default_factory=list)
    sums: dict[str, Fraction] = field(default_factory=dict)

    def add(self, name: str, amount: Fraction) -> None:
        self.sums[name] = self.sums.get(name, ZERO) + amount


Key = tuple[str, str | None, str]


@dataclass
class Reference:
    """A whole history, booked by one method."""

    method: str
    by_account: bool = False
    allow_short: bool = False
    pools: dict[Key, Pool] = field(default_factory=dict)
    disposals: list[dict[str, Any]] = field(default_factory=list)

    def book(self, rows: Iterable[Row]) -> Reference:
        """Book rows in any order; an id counts once."""
        once = {(row["user"], row["trade_id"]): row for row in reversed(list(rows))}
        for row in sorted(once.values(), key=order):
            self._row(row)
        return self

    def pool(self, row: Row, coin: str, account: str = "") -> Pool:
        key = (row["user"], (account or row["account"]) if self.by_account else None, coin)
        return self.pools.setdefault(key, Pool())

    def _row(self, row: Row) -> None:
        kind, base, quote = row["kind"], row["base"], row["quote"]
        qty, price, rate = (Fraction(row[name]) for name in ("qty", "price", "quote_rate"))
        fee, coin = Fraction(row["fee_qty"] or 0), row["fee_coin"]
        value, in_base, in_quote = qty * price * rate, fee * (coin == base), fee * (coin == quote)
        worth = fee_worth(row) if not in_base else ZERO
        if kind in {"buy", "income"}:
            self._acquire(row, "base", base, qty - in_base, value + worth)
        if kind in {"sell", "spend"}:
            self._dispose(row, "base", base, qty + in_base, value - worth)
        if kind == "income":
            self.pool(row, base).add("income", value)
        if kind == "spend":
            self.pool(row, base).add("expense", value)
        if kind == "buy" and quote != "USDT":
            self._dispose(row, "quote", quote, qty * price + in_quote, (qty * price + in_quote) * rate)
        if kind == "sell" and quote != "USDT":
            self._acquire(row, "quote", quote, qty * price - in_quote, (qty * price - in_quote) * rate)
        if kind == "transfer" and self.by_account:
            self._carry(row, base, qty)
        if fee and coin not in {"USDT", base, quote}:
            self._dispose(row, "fee", coin, fee, worth)

    def _acquire(self, row: Row, leg: str, coin: str, qty: Fraction, cost: Fraction) -> None:
        pool, whole = self.pool(row, coin), qty
        pool.add("acquired", cost)
        owed = sum((lot.qty for lot in pool.shorts), ZERO)
        if covered := min(qty, owed):
            used = self._take(pool.shorts, covered, "AVERAGE" if self.method == "AVERAGE" else "FIFO")
            proceeds = sum((lot.cost for lot in used), ZERO)
            self._told(row, (leg, "cover"), coin, (covered, proceeds, cost * covered / whole, ZERO), used)
            cost, qty = cost - cost * covered / whole, qty - covered
        if qty:
            pool.lots.append(Lot(row["trade_id"], order(row), qty, cost, cost / qty))

    def _dispose(self, row: Row, leg: str, coin: str, qty: Fraction, proceeds: Fraction) -> None:
        pool = self.pool(row, coin)
        held = sum((lot.qty for lot in pool.lots), ZERO)
        missing = max(ZERO, qty - held)
        if missing and self.allow_short:
            brought = proceeds * missing / qty
            pool.shorts.append(Lot(row["trade_id"], order(row), missing, brought, brought / missing))
            qty, proceeds, missing = held, proceeds - brought, ZERO
            if not qty:
                return
        used = self._take(pool.lots, qty - missing, self.method)
        cost = sum((lot.cost for lot in used), ZERO)
        self._told(row, (leg, "sell"), coin, (qty, proceeds, cost, missing), used)

    def _carry(self, row: Row, coin: str, qty: Fraction) -> None:
        here, there = self.pool(row, coin), self.pool(row, coin, row["to_account"])
        missing = max(ZERO, qty - sum((lot.qty for lot in here.lots), ZERO))
        there.lots += self._take(here.lots, qty - missing, self.method)
        if missing:
            here.add("missing_qty", missing)
            there.lots.append(Lot(row["trade_id"], order(row), missing, ZERO, ZERO))

    def _take(self, lots: list[Lot], qty: Fraction, method: str) -> list[Lot]:
        if method == "AVERAGE" and lots:
            qtys, costs = (sum((getattr(lot, name) for lot in lots), ZERO) for name in ("qty", "cost"))
            lots[:] = [Lot("pool", lots[-1].order, qtys, costs, ZERO)]
        keys = {
            "LIFO": lambda lot: max(lots, key=lambda other: other.order).order != lot.order,
            "HIFO": lambda lot: (-lot.unit, lot.order),
        }
        used: list[Lot] = []
        while qty:
            lot = min(lots, key=keys.get(method, lambda lot: lot.order))
            taken = min(qty, lot.qty)
            cost = lot.cost * taken / lot.qty
            if used and used[-1].id == lot.id:
                used[-1] = Lot(lot.id, lot.order, used[-1].qty + taken, used[-1].cost + cost, lot.unit)
            else:
                used.append(Lot(lot.id, lot.order, taken, cost, lot.unit))
            qty, lot.qty, lot.cost = qty - taken, lot.qty - taken, lot.cost - cost
            lots[:] = [one for one in lots if one.qty]
        return used

    def _told(
        self,
        row: Row,
        leg_side: tuple[str, str],
        coin: str,
        flow: tuple[Fraction, Fraction, Fraction, Fraction],
        used: Sequence[Lot],
    ) -> None:
        pool = self.pool(row, coin)
        qty, proceeds, cost, missing = flow
        leg, side = leg_side
        for name, amount in (("proceeds", proceeds), ("cost_of_sold", cost), ("missing_qty", missing)):
            pool.add(name, amount)
        self.disposals.append(
            {
                "trade_id": row["trade_id"],
                "leg": leg,
                "side": side,
                "user": row["user"],
                "account": row["account"] if self.by_account else None,
                "coin": coin,
                "ts": row["ts"],
                "qty": qty,
                "proceeds": proceeds,
                "cost": cost,
                "gain": proceeds - cost,
                "missing_qty": missing,
                "matches": [{"lot": lot.id, "qty": lot.qty, "cost": lot.cost} for lot in used],
            }
        )


def order(row: Row) -> tuple[str, int]:
    """What rows are sorted by; all times of the cases are written alike."""
    return (row["ts"], int(row["seq"]))


def fee_worth(row: Row) -> Fraction:
    """A fee in USDT."""
    fee, coin = Fraction(row["fee_qty"] or 0), row["fee_coin"]
    price, rate = Fraction(row["price"]), Fraction(row["quote_rate"])
    known = {row["base"]: fee * price * rate, row["quote"]: fee * rate, "USDT": fee}
    return known[coin] if coin in known else Fraction(row["fee_value"] or 0)


def pool_rows(done: Reference, marks: Mapping[str, str]) -> list[dict[str, Any]]:
    """The sums of every pool."""
    told = []
    for (user, account, coin), pool in sorted(done.pools.items(), key=lambda item: [part or "" for part in item[0]]):
        held = sum((lot.qty for lot in pool.lots), ZERO) - sum((lot.qty for lot in pool.shorts), ZERO)
        paid = sum((lot.cost for lot in pool.lots), ZERO) - sum((lot.cost for lot in pool.shorts), ZERO)
        value = held * Fraction(marks[coin]) if coin in marks else None
        sums = {name: pool.sums.get(name, ZERO) for name in ("proceeds", "cost_of_sold", "income", "expense")}
        told.append(
            {"user": user, "account": account, "coin": coin, **sums}
            | {"realised": sums["proceeds"] - sums["cost_of_sold"], "missing_qty": pool.sums.get("missing_qty", ZERO)}
            | {"open_qty": held, "open_cost": paid, "market_value": value}
            | {"unrealised": None if value is None else value - paid}
        )
    return told


def method_object(case: Mapping[str, Any], rows: Sequence[Row], method: str) -> dict[str, Any]:
    """Everything that is asked of one case by one method."""

    def booked(some: Iterable[Row]) -> Reference:
        return Reference(method, case["pool_by"] == "user_account_coin", case["allow_short"]).book(some)

    done = booked(rows)
    pools = pool_rows(done, case["marks"])
    told: dict[str, Any] = {"pools": pools, "disposals": done.disposals}
    if method != "AVERAGE":
        told["open_lots"] = [
            {"user": user, "account": account, "coin": coin, "lot": lot.id, "acquired": lot.order[0]}
            | {"qty": lot.qty, "cost": lot.cost}
            for (user, account, coin), pool in done.pools.items()
            for lot in pool.lots
        ]
    told["windows"] = [
        {"from": start, "to": end, "realised": _gains(done.disposals, start, end)} for start, end in case["windows"]
    ]
    told["as_of"] = [
        {"ts": at, "pools": states(booked(row for row in rows if row["ts"] <= at))} for at in case["as_of"]
    ]
    told["after_arrival"] = [
        {"seq": int(row["seq"]), "pools": states(booked(rows[: n + 1]), brief=not done.by_account)}
        for n, row in enumerate(rows)
    ]
    return told


def states(done: Reference, *, brief: bool = False) -> list[dict[str, Any]]:
    """Where every pool stands; ``brief`` leaves out the account where there is but one pool for all."""
    names = ("user", *(() if brief else ("account",)), "coin", "realised", "open_qty", "open_cost")
    return [{name: row[name] for name in names} for row in pool_rows(done, {})]


def _gains(disposals: Iterable[Mapping[str, Any]], start: str, end: str) -> list[dict[str, Any]]:
    sums: dict[Key, Fraction] = {}
    for one in disposals:
        if start <= one["ts"] < end:
            key = (one["user"], one["account"], one["coin"])
            sums[key] = sums.get(key, ZERO) + one["gain"]
    return [{"user": key[0], "account": key[1], "coin": key[2], "realised": gain} for key, gain in sums.items()]


def text(value: Any) -> Any:
    """Fractions as decimal text: exact where that ends, else thirty places."""
    match value:
        case Fraction():
            scaled = round(value * 10**30)
            whole, part = divmod(abs(scaled), 10**30)
            told = f"{whole}.{part:030d}".rstrip("0").rstrip(".")
            return f"-{told}" if scaled < 0 else told
        case dict():
            return {name: text(part) for name, part in value.items()}
        case list():
            return [text(part) for part in value]
    return value


def read_rows(file: Path) -> list[dict[str, str]]:
    """The rows of a case."""
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def main() -> None:
    """Write the answers of every case anew."""
    for file in sorted(FOLDER.glob("*.case.json")):
        case = json.loads(file.read_text())
        rows = read_rows(file.with_name(file.name.replace(".case.json", ".trades.csv")))
        told = {name: part for name, part in case.items() if name not in {"windows", "as_of"}}
        told["methods"] = {method: text(method_object(case, rows, method)) for method in case.get("only", METHODS)}
        answers = file.with_name(file.name.replace(".case.json", ".expected.json"))
        answers.write_text(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
