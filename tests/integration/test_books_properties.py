"""What holds for every history on the database path, whatever is delivered, in whatever order, however often."""

from __future__ import annotations

from decimal import Decimal
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.bookview import told, view
from ledger.lots import Method
from ledger.proof import verify
from tests.bookshop import Desk, Row, row
from tests.workshop import Workshop

FEW = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
QUANTITIES = st.decimals("0.000000000000000001", "1000", places=18, allow_nan=False).filter(lambda told: told > 0)
PRICES = st.decimals("0.01", "100000", places=2)
FEES: list[dict[str, str]] = [
    {},
    {"fee_qty": "0.000000000000000001", "fee_coin": "USDT"},
    {"fee_qty": "0.003", "fee_coin": "BNB", "fee_value": "1.7"},
]


@st.composite
def histories(draw: st.DrawFn) -> list[Row]:
    """Up to fourteen rows at different times, in booking order: all kinds, sales of what is not there among them."""
    rows: list[Row] = []
    for n in range(draw(st.integers(2, 14))):
        kind = draw(st.sampled_from(["buy", "buy", "sell", "income", "spend", "transfer"]))
        more: dict[str, Any] = dict(draw(st.sampled_from(FEES)))
        if kind == "transfer":
            more["to_account"] = "cold"
        if kind in ("buy", "sell") and draw(st.booleans()):
            more |= {"quote": "ETH", "rate": "2000.5"}
        qty, price = (format(draw(one), "f") for one in (QUANTITIES, PRICES))
        rows.append(row(kind, qty, price, day=n + 1, trade_id=f"t{n}", **more))
    return rows


async def books(desk: Desk) -> dict[str, Any]:
    """Everything the tables say, by every method."""
    document: dict[str, Any] = {}
    for method in Method:
        async with desk.shop.database.begin() as conn:
            seen = await view(conn, desk.user, method)
        document[method.value] = told(seen, {})
    return document


def nameless(document: Any, user: str) -> Any:
    """The same without the user's name, to compare the books of two."""
    if isinstance(document, dict):
        return {name.replace(user, "?"): nameless(value, user) for name, value in document.items()}
    if isinstance(document, list):
        return [nameless(value, user) for value in document]
    return document.replace(user, "?") if isinstance(document, str) else document


@pytest.fixture
def bench(shop: Workshop) -> Workshop:
    return shop


@FEW
@given(rows=histories(), seed=st.integers(0, 2**16))
async def test_order_of_arrival_and_redelivery_change_nothing(bench: Workshop, rows: list[Row], seed: int) -> None:
    tidy, wild, rng = Desk(bench), Desk(bench), Random(seed)
    await tidy.give(rows)
    deliveries = [*rows, *rng.sample(rows, len(rows) // 2)]
    rng.shuffle(deliveries)
    while deliveries:
        cut = rng.randint(1, len(deliveries))
        await wild.give(deliveries[:cut])
        deliveries = deliveries[cut:]
    assert nameless(await books(wild), wild.user) == nameless(await books(tidy), tidy.user)
    (entries,) = await wild.read("SELECT count(*) AS n FROM entries WHERE kind <> 'gains'")
    assert entries.n == len(rows)


@FEW
@given(rows=histories())
async def test_every_asset_sums_to_zero_cost_is_kept_and_the_books_prove_themselves(
    bench: Workshop, rows: list[Row]
) -> None:
    desk = Desk(bench)
    await desk.give(rows)
    for one in await desk.read("SELECT asset, sum(amount) AS amount FROM balances GROUP BY asset"):
        assert one.amount == 0, one.asset
    for method in Method:
        async with bench.database.begin() as conn:
            seen = await view(conn, desk.user, method)
        for pool in seen.booking.pools.values():
            assert pool.acquired == pool.cost_of_sold + pool.open_cost
    async with bench.database.begin() as conn:
        assert [one for one in await verify(conn, desk.user) if one.diverges] == []


@FEW
@given(rows=histories(), n=st.integers(0, 13))
async def test_a_reversal_restores_the_state(bench: Workshop, rows: list[Row], n: int) -> None:
    without, undone = Desk(bench), Desk(bench)
    wrong = rows[n % len(rows)]
    await without.give([one for one in rows if one is not wrong] or [rows[0]])
    await undone.give(rows)
    job = await undone.give([{"kind": "reversal", "trade_id": "undo", "reverses": wrong["trade_id"]}])
    assert job.new == 1
    if len(rows) > 1:
        assert nameless(await books(undone), undone.user) == nameless(await books(without), without.user)
    wallets = {name: amount for name, amount in (await undone.balances()).items() if name.startswith("wallet")}
    assert wallets == {name: amount for name, amount in (await without.balances()).items() if name.startswith("wallet")}
    assert sum((await undone.balances()).values()) == Decimal(0)
