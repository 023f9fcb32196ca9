"""How books are kept is their user's setting; and what is booked again is what a row touches, and nothing else."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest

from ledger import runs
from ledger.booking import Oversell, Oversold
from ledger.bookkeeping import set_policy
from ledger.booklists import realized
from ledger.bookview import told, view
from ledger.fills import Fill, gaps, read_fills
from ledger.lots import Method
from ledger.moves import PoolBy
from ledger.proof import verify
from ledger.runs import Policy
from tests.bookshop import Desk, Row, row
from tests.workshop import Workshop

REAL = Path(__file__).parents[3] / "shared" / "trades" / "hyperliquid_fills_2_accounts.csv"


async def keep(desk: Desk, policy: Policy) -> None:
    async with desk.shop.database.begin() as conn:
        await set_policy(conn, desk.user, policy, desk.shop.pipeline.bookkeeper.shelf, now=desk.shop.clock())


async def whole(desk: Desk) -> list[object]:
    """Everything the tables say, by every method, and that it proves itself."""
    async with desk.shop.database.begin() as conn:
        assert [one for one in await verify(conn, desk.user) if one.diverges] == []
        return [told(await view(conn, desk.user, method), {}) for method in Method]


@pytest.fixture
async def strict(shop: Workshop) -> Desk:
    """Somebody whose books refuse sales of more than is there."""
    desk = Desk(shop)
    await keep(desk, Policy(oversell=Oversell.REJECT))
    return desk


async def test_a_sale_of_more_than_is_there_is_refused_alone(strict: Desk) -> None:
    rows = [
        row("sell", "2", "20", day=5, trade_id="too much"),
        row("buy", "3", "10", day=2, trade_id="a"),
        row("sell", "2", "20", day=3, trade_id="b"),
        row("sell", "1", "20", day=4, trade_id="c"),
        row("spend", "0.5", "20", day=6, trade_id="d"),
    ]
    job = await strict.give(rows)
    assert (job.new, job.rejected) == (3, 2)
    reasons = dict(await strict.rejects())
    assert set(reasons) == {0, 4}
    assert "takes out 2 BTC more than there is at 2024-01-05" in reasons[0]
    assert set((await strict.realised()).values()) == {Decimal(30)}
    await whole(strict)


async def test_a_late_row_or_a_reversal_that_would_uncover_a_sale_is_refused_too(strict: Desk) -> None:
    await strict.give([row("buy", "1", "10", day=2, trade_id="a"), row("sell", "1", "20", day=5, trade_id="b")])
    before = await whole(strict)
    job = await strict.give([row("sell", "1", "15", day=3, trade_id="late")])
    assert job.rejected == 1
    ((_, reason),) = await strict.rejects()
    assert "because of" in reason
    assert "would lack 1 BTC" in reason
    job = await strict.give([{"kind": "reversal", "trade_id": "r", "reverses": "a"}])
    assert job.rejected == 1
    assert await whole(strict) == before
    assert (await strict.give([row("buy", "1", "12", day=2, trade_id="c")])).rejected == 0
    assert (await strict.give([row("sell", "1", "15", day=3, trade_id="late")])).rejected == 0


async def test_books_that_lack_something_cannot_become_strict(shop: Workshop) -> None:
    desk = Desk(shop)
    await desk.give([row("sell", "1", "20")])
    with pytest.raises(Oversold):
        await keep(desk, Policy(oversell=Oversell.REJECT))
    assert await desk.read("SELECT * FROM policies") == []
    assert set((await desk.realised()).values()) == {Decimal(20)}


def many(rng: Random, count: int) -> list[Row]:
    """Rows of four coins in two accounts, with swaps between coins, third-coin fees and transfers, in any order."""
    made: list[Row] = []
    for n in range(count):
        base = rng.choice(["BTC", "ETH", "SOL", "ADA"])
        kind = rng.choice(["buy", "buy", "sell", "transfer", "income", "spend"])
        at = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=rng.randint(0, 40 * count))
        account = rng.choice(["main", "cold"])
        more: Row = {"base": base, "account": account, "trade_id": f"t{n}", "happened_at": at.isoformat()}
        if kind == "transfer":
            more["to_account"] = "main" if account == "cold" else "cold"
        if kind in ("buy", "sell") and base != "BTC" and rng.random() < 0.3:
            more |= {"quote": "BTC", "rate": "40000"}
        if rng.random() < 0.3:
            more |= {"fee_qty": "0.1", "fee_coin": "BNB", "fee_value": "30"}
        made.append(row(kind, str(rng.randint(1, 9)), str(rng.randint(1, 50)), **more))
    return made


@pytest.mark.parametrize("pool_by", PoolBy)
async def test_late_rows_are_booked_by_their_pools_alone_to_the_books_of_the_right_order(
    pool_by: PoolBy, shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With checkpoints every seven rows, of which each late row passes many; and with nothing kept at hand, too."""
    monkeypatch.setattr(runs, "CHECKPOINT_ROWS", 7)
    tidy, warm, cold = (Desk(shop) for _ in range(3))
    rows = many(Random(4), 60)
    undone = [{"kind": "reversal", "trade_id": f"r {id_}", "reverses": id_} for id_ in ("t3", "t11", "t59")]
    for desk in (tidy, warm, cold):
        await keep(desk, Policy(pool_by))
    await tidy.give(sorted(rows, key=lambda one: str(one["happened_at"])))
    await tidy.give(undone)
    for some in (*batches(rows, 5), *batches(undone, 1)):
        for desk in (warm, cold):
            if desk is cold:
                shop.pipeline.bookkeeper.shelf.take(desk.user)
            assert {one.status for one in await desk.book(some)} == {"new"}
    wanted = str(await whole(tidy)).replace(tidy.user, "?")
    for desk in (warm, cold):
        assert (await desk.read("SELECT count(*) AS n FROM checkpoints"))[0].n > 0
        assert str(await whole(desk)).replace(desk.user, "?") == wanted


def batches(rows: Sequence[Row], size: int) -> list[Sequence[Row]]:
    return [rows[n : n + size] for n in range(0, len(rows), size)]


async def test_a_late_row_of_one_coin_leaves_the_rows_of_others_unread(shop: Workshop) -> None:
    desk = Desk(shop)
    coins = ("BTC", "ETH", "SOL")
    rows = [row("buy", "1", "10", day=2 + n // 3, trade_id=f"t{n}", base=coins[n % 3]) for n in range(30)]
    await desk.give(rows)
    await desk.give([row("buy", "1", "9", day=1, base="SOL", trade_id="late")])
    (run,) = await desk.read("SELECT cause, rows FROM book_runs ORDER BY id DESC LIMIT 1")
    assert (run.cause, run.rows) == ("backdated", 11)


@pytest.mark.skipif(not REAL.is_file(), reason="no folder ../shared/trades beside the checkout")
async def test_the_exchanges_own_closed_pnl_comes_out_of_the_tables(shop: Workshop) -> None:
    """By average cost before fees, with shorts, of every gap-free perpetual, closing by closing."""
    with REAL.open(newline="") as lines:
        fills = [one for one in read_fills(lines, user="ann", now=shop.clock()) if isinstance(one, Fill)]
    broken = {(gap.account, gap.coin) for gap in gaps(fills)}
    whole = [one for one in fills if not one.spot and (one.trade.account, one.trade.base) not in broken]
    chains = {(one.trade.account, one.trade.base) for one in whole}
    assert {coin for _, coin in chains} == {"AAVE", "AIXBT", "DYDX", "GMX", "HYPE"}
    assert len(chains) == 5  # each coin in one account: one book holds them all apart
    desk = Desk(shop)
    await keep(desk, Policy(allow_short=True))
    job = await desk.give(before_fees(whole))
    assert (job.new, job.rejected) == (len(whole), 0)
    async with shop.database.begin() as conn:
        found = await realized(conn, desk.user, Method.AVERAGE, limit=10_000)
    sold = {one.body["trade_id"] for one in found}
    gains: dict[str, Decimal] = defaultdict(Decimal)
    for one in found:
        gains[one.body["trade_id"]] += Decimal(one.body["gain"])
    closed: Counter[str] = Counter()
    for fill in whole:
        places = fill.trade.price.as_tuple().exponent
        assert isinstance(places, int)
        allowed = fill.trade.qty * Decimal(10) ** places
        assert abs(gains[fill.trade.trade_id] - fill.closed_pnl) <= allowed, fill.row
        closed[fill.trade.base] += fill.trade.trade_id in sold
    assert closed == {"AAVE": 47, "AIXBT": 119, "DYDX": 0, "GMX": 6, "HYPE": 321}


def before_fees(fills: Sequence[Fill]) -> list[Row]:
    """Fills as rows of a job, as if they had cost nothing."""
    names = ("trade_id", "account", "kind", "base", "qty", "price", "happened_at")
    return [{name: fill.trade.body()[name] for name in names} for fill in fills]
