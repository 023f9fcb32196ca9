"""Golden cases through the database: rows to jobs, to pages, to tables, and from there to every figure."""

from __future__ import annotations

import csv
import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ledger.bookkeeping import set_policy
from ledger.bookview import When, told, view
from ledger.lots import Method
from ledger.marks import Mark
from ledger.moves import PoolBy
from ledger.runs import Policy
from tests.bookshop import Desk
from tests.workshop import Workshop

GOLDEN = Path(__file__).parents[3] / "shared" / "pnl" / "golden"
CASES: list[str | None] = [*sorted(path.name.removesuffix(".trades.csv") for path in GOLDEN.glob("*.trades.csv"))] or [
    None
]
TOTAL, SINGLE = Decimal("1e-12"), Decimal("1e-15")
COLUMNS = ("account", "kind", "base", "qty", "quote", "price", "fee_qty", "fee_coin", "fee_value", "to_account")
EXACT = {"qty", "open_qty", "missing_qty"}


def rows_of(case: str) -> dict[str, list[dict[str, str]]]:
    """The rows of a case by user, as jobs bring them."""
    by_user: dict[str, list[dict[str, str]]] = {}
    with (GOLDEN / f"{case}.trades.csv").open(newline="") as lines:
        for line in csv.DictReader(lines):
            row = {name: line[name] for name in COLUMNS}
            told_row = row | {"trade_id": line["trade_id"], "happened_at": line["ts"], "rate": line["quote_rate"]}
            by_user.setdefault(line["user"], []).append(told_row)
    return by_user


def alike(found: Any, wanted: Any, place: str, limit: Decimal = TOTAL) -> None:
    """Quantities exactly, amounts within the tolerance, everything else equal."""
    if isinstance(wanted, dict):
        for name, value in wanted.items():
            assert name in found, f"{place}/{name} is not told"
            alike_number = name in EXACT and value is not None
            alike(found[name], value, f"{place}/{name}", Decimal(0) if alike_number else limit)
    elif isinstance(wanted, list):
        assert len(found) == len(wanted), f"{place}: {len(found)} for {len(wanted)}"
        for n, (one, other) in enumerate(zip(found, wanted, strict=True)):
            alike(one, other, f"{place}/{n}", SINGLE if place.endswith("matches") else limit)
    elif isinstance(wanted, str) and isinstance(found, str) and found != wanted:
        assert abs(Decimal(found) - Decimal(wanted)) <= limit, f"{place}: {found} for {wanted}"
    else:
        assert found == wanted, place


def mine(expected: dict[str, Any], user: str, named: str) -> dict[str, Any]:
    """What a case says about one user, under the name that the test gave that user."""
    only: dict[str, Any] = {}
    for part in ("pools", "open_lots", "open_shorts", "disposals"):
        if part in expected:
            only[part] = [one | {"user": named} for one in expected[part] if one["user"] == user]
    for part in ("users", "statistics"):
        only[part] = {named: expected[part][user]} if user in expected.get(part, {}) else {}
    return only


@pytest.mark.parametrize("case", CASES)
async def test_a_golden_case_comes_out_of_the_tables(case: str | None, shop: Workshop) -> None:
    if case is None:
        pytest.skip("../shared/pnl/golden is not here")
    expected = json.loads((GOLDEN / f"{case}.expected.json").read_text())
    prices = {coin: Mark(Decimal(price)) for coin, price in expected["marks"].items()}
    policy = Policy(PoolBy(expected["pool_by"]), expected["allow_short"])
    for user, rows in rows_of(case).items():
        desk = Desk(shop)
        async with shop.database.begin() as conn:
            await set_policy(conn, desk.user, policy, shop.pipeline.bookkeeper.shelf, now=shop.clock())
        job = await desk.give(rows)
        assert (job.state, job.rejected) == ("succeeded", 0)
        for method, wanted in expected["methods"].items():
            async with shop.database.begin() as conn:
                found = told(await view(conn, desk.user, Method(method)), prices)
            alike(found, mine(wanted, user, desk.user), f"{case} {method}")
            for moment in wanted.get("as_of", ()):
                at = datetime.fromisoformat(moment["ts"])
                async with shop.database.begin() as conn:
                    states = told(await view(conn, desk.user, Method(method), When(as_of=at)), {})["pools"]
                there = [one | {"user": desk.user} for one in moment["pools"] if one["user"] == user]
                alike(states, there, f"{case} {method} as of {at}")


async def test_states_after_each_arrival_are_what_was_believed_then(shop: Workshop) -> None:
    if None in CASES:
        pytest.skip("../shared/pnl/golden is not here")
    expected = json.loads((GOLDEN / "09_backdated.expected.json").read_text())
    desk, moments = Desk(shop), []
    ((user, rows),) = rows_of("09_backdated").items()
    for one in rows:
        shop.clock.now = shop.clock.now.replace(microsecond=shop.clock.now.microsecond + 1)
        await desk.give([one])
        moments.append(shop.clock())
    for method, wanted in expected["methods"].items():
        for at, after in zip(moments, wanted["after_arrival"], strict=True):
            async with shop.database.begin() as conn:
                found = told(await view(conn, desk.user, Method(method), When(known_at=at)), {})["pools"]
            there = [pool | {"user": desk.user} for pool in after["pools"] if pool.get("user", user) == user]
            alike(found, there, f"{method} after arrival {after['seq']}")
