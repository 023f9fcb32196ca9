"""Book one file of trades with one program, in a process of its own, and print what it took as JSON.

    python -m tests.benchmarks.book_with sluice|rp2|beancount FILE [--method FIFO]

RP2 and Beancount change the process-wide decimal context when they are imported, hence the process.  Each is called
through its own classes, without files: ``build_s`` is making its objects, ``book_s`` booking them, both in seconds of
processor time, for a machine may be busy; ``cost`` is the cost of what was sold, so that all can be seen to have booked
the same.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

Row = dict[str, str]
INI = """[general]
assets = BTC
exchanges = desk
holders = ann
[in_header]
timestamp = 0
asset = 1
[out_header]
timestamp = 0
asset = 1
[intra_header]
timestamp = 0
asset = 1
"""


def with_sluice(rows: list[Row], method: str) -> dict[str, Any]:
    """Ours: from texts to trades, from trades to disposals."""
    from ledger.booking import Rules, book
    from ledger.csvfile import trade_of
    from ledger.lots import Method
    from ledger.numbers import money_text

    rules, now = Rules(Method(method)), datetime.now(UTC)
    begun = time.process_time()
    trades = [trade_of(row, n, now=now) for n, row in enumerate(rows, 1)]
    built = time.process_time()
    booking, disposals = book(trades, rules)
    booked = time.process_time()
    cost = sum(pool.cost_of_sold for pool in booking.pools.values())
    matches = sum(len(one.matches) for one in disposals)
    return {"build_s": built - begun, "book_s": booked - built, "cost": money_text(cost), "matches": matches}


def with_rp2(rows: list[Row], method: str) -> dict[str, Any]:
    """RP2's own classes and its tax engine, as its main program calls them."""
    rp2 = {name: import_module(f"rp2.{name}") for name in ("configuration", "in_transaction", "out_transaction")}
    number = import_module("rp2.rp2_decimal").RP2Decimal
    zero = number("0")
    methods = import_module("prezzemolo.avl_tree").AVLTree()
    methods.insert_node(1970, import_module(f"rp2.plugin.accounting_method.{method.lower()}").AccountingMethod())
    with tempfile.NamedTemporaryFile("w", suffix=".ini") as ini:
        ini.write(INI)
        ini.flush()
        country = import_module("rp2.plugin.country.us").US()
        configuration = rp2["configuration"].Configuration(ini.name, country, allow_negative_balances=True)
    begun = time.process_time()
    kinds = ("IN", "OUT", "INTRA")
    sets = {kind: import_module("rp2.transaction_set").TransactionSet(configuration, kind, "BTC") for kind in kinds}
    for n, row in enumerate(rows, 1):
        qty, price, fee = number(row["qty"]), number(row["price"]), number(row["fee_qty"] or "0")
        where = (configuration, row["ts"], "BTC", "desk", "ann", row["kind"].upper(), price, qty)
        if row["kind"] == "buy":
            sets["IN"].add_entry(rp2["in_transaction"].InTransaction(*where, fiat_fee=fee, row=n))
        else:
            sets["OUT"].add_entry(rp2["out_transaction"].OutTransaction(*where, zero, row=n))
    data = import_module("rp2.input_data").InputData("BTC", sets["IN"], sets["OUT"], sets["INTRA"])
    built = time.process_time()
    engine = import_module("rp2.accounting_engine").AccountingEngine(methods)
    done = import_module("rp2.tax_engine").compute_tax(configuration, engine, data)
    booked = time.process_time()
    gains = [gain for gain in done.gain_loss_set if gain.acquired_lot is not None]
    cost = sum((gain.fiat_cost_basis for gain in gains), zero)
    return {"build_s": built - begun, "book_s": booked - built, "cost": str(cost), "matches": len(gains)}


def with_beancount(rows: list[Row], method: str) -> dict[str, Any]:
    """Beancount's own directives and its booking; a day for each row, since it knows no time of day."""
    data, amount = import_module("beancount.core.data"), import_module("beancount.core.amount").Amount
    missing = import_module("beancount.core.number").MISSING
    spec = import_module("beancount.core.position").CostSpec
    booking, options = import_module("beancount.parser.booking"), import_module("beancount.parser.options")
    held, cash, gains = "Assets:Held", "Assets:Cash", "Income:Gains"

    def posting(account: str, units: Any, cost: Any = None) -> Any:
        return data.Posting(account, units, cost, None, None, {})

    begun = time.process_time()
    first = date(1800, 1, 1)
    entries = [
        data.Open({"filename": "", "lineno": 0}, first, name, None, data.Booking[method] if name == held else None)
        for name in (held, cash, gains)
    ]
    for n, row in enumerate(rows, 1):
        qty, fee = Decimal(row["qty"]), Decimal(row["fee_qty"] or 0)
        value = qty * Decimal(row["price"])
        if row["kind"] == "buy":
            lot = spec(Decimal(0), value + fee, "USDT", None, row["trade_id"], False)
            legs = [posting(held, amount(qty, "BTC"), lot), posting(cash, amount(-value - fee, "USDT"))]
        else:
            any_lot = spec(missing, None, missing, None, None, False)
            legs = [posting(held, amount(-qty, "BTC"), any_lot), posting(cash, amount(value - fee, "USDT"))]
            legs.append(posting(gains, missing))
        meta = {"filename": "", "lineno": n}
        entries.append(
            data.Transaction(meta, first + timedelta(days=n), "*", None, "", data.EMPTY_SET, data.EMPTY_SET, legs)
        )
    built = time.process_time()
    done, errors = booking.book(entries, options.OPTIONS_DEFAULTS.copy())
    booked = time.process_time()
    if errors:
        raise SystemExit(str(errors[:3]))
    sold = [
        leg for entry in done if isinstance(entry, data.Transaction) for leg in entry.postings if leg.units.number < 0
    ]
    parts = [leg for leg in sold if leg.account == held]
    cost = sum((-leg.units.number * leg.cost.number for leg in parts), Decimal(0))
    return {"build_s": built - begun, "book_s": booked - built, "cost": str(cost), "matches": len(parts)}


ENGINES: dict[str, Callable[[list[Row], str], dict[str, Any]]] = {
    "sluice": with_sluice,
    "rp2": with_rp2,
    "beancount": with_beancount,
}


def main() -> None:
    """Book a file and print one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("file", type=Path)
    parser.add_argument("--method", default="FIFO")
    given = parser.parse_args()
    with given.file.open(newline="") as lines:
        rows: list[Row] = list(csv.DictReader(lines))
    told = ENGINES[given.engine](rows, given.method)
    told |= {"engine": given.engine, "method": given.method, "rows": len(rows)}
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
