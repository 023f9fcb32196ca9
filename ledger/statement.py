"""Statements of one user's books by one method: as CSV, and as a file that Beancount books to the same figures.  Pure.

In the Beancount file every lot has the label of the trade that made it, and every disposal names the lots that it
used: Beancount checks that they are there, and works their cost out by itself.  It reads dates only, and 28 digits.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Context

from ledger.booking import Disposal, Side
from ledger.bookview import Acquired, View
from ledger.lots import Method
from ledger.moves import PoolBy
from ledger.numbers import money_decimal, money_text, plain, quantity_decimal, quantity_text
from ledger.report import time_told
from ledger.trades import CASH

COLUMNS = (
    "time", "trade_id", "leg", "side", "account", "coin", "qty", "proceeds", "cost", "gain", "missing_qty", "tag",
    "lots",
)  # fmt: skip
_TOLD = Context(prec=28, rounding=ROUND_HALF_EVEN)


class NoStatement(ValueError):
    """These books cannot be told in this form; the text says why."""


def as_csv(seen: View) -> str:
    """One row for each disposal, oldest first; ``lots`` tells lot, quantity and cost of each lot that it used."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(COLUMNS)
    for one in sorted(seen.disposals, key=lambda one: (one.at, one.seq)):
        lots = "; ".join(f"{m.lot} {quantity_text(m.qty)} {money_text(m.cost)}" for m in one.matches)
        amounts = map(money_text, (one.proceeds, one.cost, one.gain))
        head = (time_told(one.at), one.trade_id, one.leg, one.side.value, one.pool.account or "", one.pool.coin)
        table.writerow((*head, quantity_text(one.qty), *amounts, quantity_text(one.missing), one.tag, lots))
    return out.getvalue()


def as_beancount(seen: View) -> str:
    """Raise NoStatement for AVERAGE, which Beancount does not have, and for pools per account."""
    method = seen.booking.rules.method
    if method is Method.AVERAGE:
        raise NoStatement("Beancount has no AVERAGE: take FIFO, LIFO or HIFO")
    if seen.policy.pool_by is not PoolBy.USER_COIN:
        raise NoStatement("a Beancount statement is of books with one pool per coin")
    coins = _commodities(seen)
    times = [lot.order[0] for lot in seen.lots] + [one.at for one in seen.disposals]
    parts = [
        f'option "title" "Sluice, {method.value}"',
        f'option "operating_currency" "{CASH}"',
        'option "inferred_tolerance_default" "*:0.000000000001"',
        'option "tolerance_multiplier" "1000"',
    ]
    if times:
        day = _day(min(times))
        parts += [f'{day} open Assets:Lots:{coins[coin]} {coins[coin]} "STRICT"' for coin in sorted(coins)]
        parts += [f"{day} open {name}" for name in ("Equity:Market", "Income:Gains")]
    parts += [part for _, part in sorted(_transactions(seen, coins), key=lambda pair: pair[0])]
    return "\n\n".join(parts) + "\n"


_Place = tuple[datetime, int, int]


def _transactions(seen: View, coins: dict[str, str]) -> Iterator[tuple[_Place, str]]:
    for lot in seen.lots:
        # What a trade sells leaves before what it buys comes: a crossing of zero closes first.
        yield (*lot.order, 1), _opened(lot, coins[lot.pool.coin])
    for one in seen.disposals:
        yield (one.at, one.seq, 0), _closed(one, coins[one.pool.coin])


def _opened(lot: Acquired, coin: str) -> str:
    sign, back = ("", "-") if lot.side == "long" else ("-", "")
    day, cost, label = _day(lot.order[0]), _money(lot.cost), _label(lot.trade_id)
    return (
        f'{day} * "{label}" "acquired"\n'
        f'  Assets:Lots:{coin}  {sign}{_quantity(lot.qty)} {coin} {{{{{cost} {CASH}, {day}, "{label}"}}}}\n'
        f"  Equity:Market  {back}{cost} {CASH}"
    )


def _closed(one: Disposal, coin: str) -> str:
    day, label = _day(one.at), _label(one.trade_id)
    sign = "-" if one.side is Side.SELL else ""
    lines = [f'{day} * "{label}" "{one.side.value} {one.leg}"']
    if one.missing:
        bare = f"missing {label} {one.leg}"
        qty = _quantity(one.missing)
        lines.append(f'  Assets:Lots:{coin}  {qty} {coin} {{{{0 {CASH}, {day}, "{bare}"}}}}')
        lines.insert(0, f'{day} * "{label}" "missing"\n{lines.pop()}\n')
        lines.append(f'  Assets:Lots:{coin}  -{qty} {coin} {{"{bare}"}}')
    lines += [f'  Assets:Lots:{coin}  {sign}{_quantity(m.qty)} {coin} {{"{_label(m.lot)}"}}' for m in one.matches]
    given = one.proceeds if one.side is Side.SELL else -one.cost
    lines.append(f"  Equity:Market  {_money(given)} {CASH}")
    lines.append(f"  Income:Gains  {_money(-one.gain)} {CASH}")
    return "\n".join(lines)


def _commodities(seen: View) -> dict[str, str]:
    """Give each coin a name that Beancount can read, and no two the same."""
    coins = sorted({lot.pool.coin for lot in seen.lots} | {one.pool.coin for one in seen.disposals})
    named: dict[str, str] = {}
    for coin in coins:
        name = re.sub(r"[^A-Z0-9]", "", coin.upper())[:20]
        name = name if name[:1].isalpha() and len(name) > 1 else f"X{name}X"
        while name in named.values():
            name = f"{name[:18]}X{len(named)}X"
        named[coin] = name
    return named


def _day(at: datetime) -> str:
    return at.strftime("%Y-%m-%d")


def _label(trade_id: str) -> str:
    return trade_id.replace("\\", "/").replace('"', "'")


def _money(steps: int) -> str:
    return plain(_TOLD.plus(money_decimal(steps)))


def _quantity(steps: int) -> str:
    return plain(_TOLD.plus(quantity_decimal(steps)))
