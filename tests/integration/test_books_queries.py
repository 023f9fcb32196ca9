"""What is asked of the books: sums against those of the pure figures, lists by keyset, worth with its reasons."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from ledger import booklists, booksums, positions
from ledger.booksums import TooLong
from ledger.bookview import View, When, view
from ledger.figures import Step, Sums, by_tag, grouped
from ledger.figures import history as periods
from ledger.lots import Method
from ledger.performance import sharpe
from ledger.positions import LotPlace, Priced
from ledger.report import sums_told
from tests.bookshop import Desk, Row, row
from tests.workshop import Workshop

NOW = datetime(2024, 3, 1, tzinfo=UTC)
PRICES = Priced(NOW)
NAMES = {
    "realized_pnl": "realised", "winning_trades": "wins", "losing_trades": "losses", "profit_factor": "profit_factor",
    "average_win": "average_win", "average_loss": "average_loss", "largest_win": "largest_win",
    "largest_loss": "largest_loss", "total_volume": "volume", "total_fees": "fees", "income": "income",
    "expense": "expense", "total_trades": "trades",
}  # fmt: skip


def rows(count: int = 90, seed: int = 5) -> list[Row]:
    """Trades of two coins by two algorithms, quoted in USDT and in each other, with income, spends and a third fee."""
    rng, made = random.Random(seed), list[Row]()
    for n in range(count):
        kind = rng.choice(["buy", "buy", "sell", "sell", "income", "spend", "transfer"])
        base = rng.choice(["BTC", "ETH"])
        more: Row = {"base": base, "trade_id": f"t{n}", "tag": rng.choice(["", "grid", "arb"])}
        if kind in ("buy", "sell") and rng.random() < 0.2:
            more |= {"quote": "BTC" if base == "ETH" else "ETH", "rate": "31.7"}
        if rng.random() < 0.4:
            more |= rng.choice([{"fee_qty": "0.3", "fee_coin": "USDT"}, {"fee_qty": "0.01", "fee_coin": base}])
            more |= {} if rng.random() < 0.7 else {"fee_qty": "0.2", "fee_coin": "BNB", "fee_value": "4.4"}
        if kind == "transfer":
            more |= {"to_account": "cold"}
        at = datetime(2023, 12, 20, tzinfo=UTC) + timedelta(hours=7 * n + rng.randint(0, 6))
        made.append(row(kind, f"{rng.randint(1, 50)}", f"{rng.randint(5, 15)}.25", happened_at=at.isoformat(), **more))
    return made


@pytest.fixture
async def desk(shop: Workshop) -> Desk:
    desk = Desk(shop)
    assert (await desk.give(rows())).rejected == 0
    return desk


async def ask(desk: Desk, question: Callable[..., Awaitable[Any]], *words: Any, **more: Any) -> Any:
    """Put a question as this user, in a transaction of its own."""
    async with desk.shop.database.begin() as conn:
        return await question(conn, desk.user, *words, **more)


def same(found: dict[str, Any], sums: Sums) -> None:
    """The figures that SQL summed are those that Python sums."""
    told = sums_told(sums)
    told |= {"trades": sums.trades}
    for name in ("realised", "income", "expense"):
        told[name] = format(Decimal(getattr(sums, name)).scaleb(-18).normalize(), "f")
    for ours, theirs in NAMES.items():
        mine, other = found[ours], told[theirs]
        assert mine == other or Decimal(mine) == Decimal(other), ours
    if told["win_rate"] is None:
        assert found["win_rate"] is None
    else:
        assert abs(Decimal(found["win_rate"]) - 100 * Decimal(told["win_rate"])) < Decimal("1e-25")


def curve(seen: View) -> tuple[Decimal, list[float]]:
    """The deepest fall of realized gains, trade by trade, and what each day realized."""
    gains: dict[tuple[datetime, int, int, str], Decimal] = {}
    base = {trade.trade_id: trade.base for trade in seen.trades}
    for one in seen.disposals:
        place = (one.at, one.seq, int(one.pool.coin != base[one.trade_id]), one.pool.coin)
        gains[place] = gains.get(place, Decimal(0)) + Decimal(one.gain).scaleb(-18)
    height = highest = fall = Decimal(0)
    for _, gain in sorted(gains.items()):
        height += gain
        highest, fall = max(highest, height), min(fall, height - highest)
    first, last = (edge(trade.happened_at.date() for trade in seen.trades) for edge in (min, max))
    days = dict.fromkeys((first + timedelta(days=n) for n in range((last - first).days + 1)), Decimal(0))
    for one in seen.disposals:
        days[one.at.date()] += Decimal(one.gain).scaleb(-18)
    return fall, [float(gain) for gain in days.values()]


@pytest.mark.parametrize("method", Method)
async def test_sums_by_the_database_are_those_of_the_pure_figures(method: Method, desk: Desk) -> None:
    seen: View = await ask(desk, view, method)
    found = await ask(desk, booksums.summary, method, prices=PRICES)
    (whole,) = grouped(seen.trades, seen.disposals, lambda trade: trade.user).values()
    same(found, whole)
    fall, days = curve(seen)
    assert Decimal(found["max_drawdown"]) == fall < 0
    assert found["sharpe_ratio"] == pytest.approx(sharpe(days), rel=1e-9)
    assert found["missing_trades"] == len({one[:2] for one in seen.disposals if one.missing}) > 0
    for one in await ask(desk, booksums.by_algorithm, method):
        same(one, by_tag(seen.trades, seen.disposals)[desk.user, one["algorithm"]])
    for step in Step:
        told = await ask(desk, booksums.history, method, step)
        wanted = periods(seen.trades, seen.disposals, step)
        assert len(told) == len(wanted) > 1
        for one, period in zip(told, wanted, strict=True):
            same(one, period.sums)
            assert datetime.fromisoformat(one["from"]) == period.start
            assert Decimal(one["realized_total"]) == Decimal(period.realised_total).scaleb(-18)


async def test_coins_have_their_own_gains_and_add_up_to_the_whole(desk: Desk) -> None:
    seen: View = await ask(desk, view, Method.HIFO)
    told = {one["coin"]: one for one in await ask(desk, booksums.by_coin, Method.HIFO, prices=PRICES)}
    for state in seen.states:
        assert Decimal(told[state.pool.coin]["realized_pnl"]) == Decimal(state.realised).scaleb(-18)
        alone = await ask(desk, booksums.summary, Method.HIFO, coin=state.pool.coin, prices=PRICES)
        assert alone == {name: value for name, value in told[state.pool.coin].items() if name != "coin"}
    whole = await ask(desk, booksums.summary, Method.HIFO, prices=PRICES)
    for name in ("realized_pnl", "total_volume", "total_fees", "income", "total_trades"):
        assert sum(Decimal(one[name]) for one in told.values()) == Decimal(whole[name])


async def test_windows_are_cut_from_and_before(desk: Desk) -> None:
    edge = datetime(2024, 1, 2, 5, tzinfo=UTC)
    halves = [
        await ask(desk, booksums.summary, Method.FIFO, prices=PRICES, **window)
        for window in ({"until": edge}, {"since": edge})
    ]
    whole = await ask(desk, booksums.summary, Method.FIFO, prices=PRICES)
    for name in ("realized_pnl", "total_volume", "total_trades", "winning_trades"):
        assert sum(Decimal(half[name]) for half in halves) == Decimal(whole[name]), name
    assert all(half["unrealized_pnl"] is None for half in halves)


async def test_what_is_held_is_worth_its_price_or_the_reason_why_not(desk: Desk) -> None:
    seen: View = await ask(desk, view, Method.LIFO)
    nothing = await ask(desk, positions.unrealized, Method.LIFO, prices=PRICES)
    assert nothing["unrealized_pnl"] is None
    assert "no price of BTC" in nothing["warnings"]
    old = [{"coin": coin, "price": "7.5", "happened_at": "2024-02-01T00:00:00Z"} for coin in ("BTC", "ETH", "BNB")]
    await desk.give(old, kind="ledger.prices", source=desk.user)
    told = await ask(desk, positions.unrealized, Method.LIFO, prices=PRICES)
    open_ = {state.pool.coin: state for state in seen.states if state.open_qty}
    assert {one["coin"] for one in told["positions"]} == set(open_)
    for one in told["positions"]:
        qty = Decimal(open_[one["coin"]].open_qty).scaleb(-36)
        cost = Decimal(open_[one["coin"]].open_cost).scaleb(-18)
        assert (Decimal(one["qty"]), Decimal(one["cost"])) == (qty, cost)
        assert Decimal(one["unrealized_pnl"]) == qty * Decimal("7.5") - cost
    summary = await ask(desk, booksums.summary, Method.LIFO, prices=PRICES)
    parts = ("realized_pnl", "income", "unrealized_pnl")
    assert Decimal(summary["total_pnl"]) == sum(Decimal(summary[p]) for p in parts) - Decimal(summary["expense"])
    stale = await ask(desk, positions.unrealized, Method.LIFO, prices=Priced(NOW, timedelta(days=28)))
    assert stale["unrealized_pnl"] is None
    assert any("too old" in warning for warning in stale["warnings"])


async def lot_pages(desk: Desk, method: Method, limit: int, **asked: Any) -> list[Any]:
    """Read open lots a page at a time."""
    found, last = list[Any](), None
    while page := await ask(desk, positions.lots, method, after=last, limit=limit, **asked):
        assert len(page) <= limit
        found += page
        end = page[-1]
        last = LotPlace(datetime.fromisoformat(end["acquired"]), end["lot"], end["coin"], "", end["side"])
    return found


async def test_lots_of_one_moment_are_paged_by_their_names(shop: Workshop) -> None:
    """Of one moment, in two coins, names that a database sorts otherwise than text: capitals, a sign, an accent."""
    desk = Desk(shop)
    names = ["b", "B", "a-1", "a1", "\u00e9", "Z", "_"]
    await desk.give([row("buy", "1", "10", trade_id=name, base=("BTC", "ETH")[n % 2]) for n, name in enumerate(names)])
    found = await lot_pages(desk, Method.LIFO, 2)
    assert [one["lot"] for one in found] == sorted(names)
    assert found == await ask(desk, positions.lots, Method.LIFO)


async def test_open_lots_are_listed_oldest_first_and_the_average_as_one(desk: Desk) -> None:
    seen: View = await ask(desk, view, Method.FIFO)
    held = await ask(desk, positions.lots, Method.FIFO)
    wanted = {
        (pool.key.coin, lot.id): Decimal(lot.left).scaleb(-36)
        for pool in seen.booking.pools.values()
        for lot in pool.lots.open()
    }
    assert {(one["coin"], one["lot"]): Decimal(one["qty"]) for one in held} == wanted
    assert [one["acquired"] for one in held] == sorted(one["acquired"] for one in held)
    assert await lot_pages(desk, Method.FIFO, 3) == held
    btc = [one for one in held if one["coin"] == "BTC"]
    assert 0 < len(btc) < len(held)
    assert await ask(desk, positions.lots, Method.FIFO, coin="BTC") == btc
    assert await lot_pages(desk, Method.FIFO, 2, coin="BTC") == btc
    average = await ask(desk, positions.lots, Method.AVERAGE)
    assert await lot_pages(desk, Method.AVERAGE, 1) == average
    assert {one["lot"] for one in average} == {"pool"}
    assert len(average) == len({one["coin"] for one in held})


@pytest.mark.parametrize("limit", [1, 7, 1000])
async def test_lists_are_paged_by_the_last_row_without_holes_or_repeats(limit: int, desk: Desk) -> None:
    await desk.give([{"kind": "reversal", "trade_id": "r", "reverses": "t80"}])

    async def pages(question: Callable[..., Awaitable[Any]], *words: Any) -> list[Any]:
        found: list[Any] = []
        while page := await ask(desk, question, *words, limit=limit, after=found[-1].place if found else None):
            assert len(page) <= limit
            found += page
        return found

    trades = await pages(booklists.trades)
    assert len(trades) == 91
    by_id = {one.body["trade_id"]: one.body for one in trades}
    assert by_id["t80"]["reversed_by"] == by_id["r"]["id"]
    assert by_id["r"]["reverses"] == by_id["t80"]["id"]
    assert [one.place for one in trades] == sorted((one.place for one in trades), reverse=True)
    seen: View = await ask(desk, view, Method.FIFO)
    realized = await pages(booklists.realized, Method.FIFO)
    assert len({one.body["id"] for one in realized}) == len(realized) == len(seen.disposals)
    gains = sum(Decimal(one.gain).scaleb(-18) for one in seen.disposals)
    assert sum(Decimal(one.body["gain"]) for one in realized) == gains
    for one in realized:
        assert sum(Decimal(lot["cost"]) for lot in one.body["lots"]) == Decimal(one.body["cost"])


async def test_lists_can_be_narrowed_and_read_as_of_then(desk: Desk) -> None:
    grid = await ask(desk, booklists.trades, tag="grid", kind="buy", coin="ETH", limit=100)
    assert grid
    assert all(one.body["tag"] == "grid" and one.body["kind"] == "buy" for one in grid)
    assert await ask(desk, booklists.trades, account="cold", limit=100)
    early = When(known_at=datetime(2001, 1, 1, tzinfo=UTC))
    assert await ask(desk, booklists.trades, when=early) == []
    assert await ask(desk, booklists.realized, Method.FIFO, when=early) == []
    assert (await ask(desk, booksums.summary, Method.FIFO, when=early, prices=PRICES))["total_trades"] == 0
    known = When(known_at=desk.shop.clock())
    assert await ask(desk, booksums.by_algorithm, Method.FIFO, when=known) == await ask(
        desk, booksums.by_algorithm, Method.FIFO
    )


async def test_nobodys_books_are_empty_and_endless_histories_are_refused(desk: Desk) -> None:
    stranger = Desk(desk.shop)
    assert await ask(stranger, booklists.trades) == []
    assert await ask(stranger, positions.positions, Method.FIFO, prices=PRICES) == []
    told = await ask(stranger, booksums.summary, Method.FIFO, prices=PRICES)
    assert (told["total_trades"], told["total_pnl"], told["win_rate"]) == (0, "0", None)
    await desk.give([row("buy", "1", "1", happened_at="1999-01-01T00:00:00Z")])
    with pytest.raises(TooLong, match="2500 times a hour"):
        await ask(desk, booksums.history, Method.FIFO, Step.HOUR)


async def test_prices_are_everybodys_and_paged_too(desk: Desk) -> None:
    coin = f"C{desk.user[-6:].upper()}"
    given = [{"coin": coin, "price": f"{n}.5", "happened_at": f"2024-01-0{n}T00:00:00Z"} for n in range(1, 6)]
    await desk.give(given, kind="ledger.prices", source="test")
    async with desk.shop.database.begin() as conn:
        first = await booklists.prices(conn, coin=coin, limit=3)
        rest = await booklists.prices(conn, coin=coin, limit=3, after=first[-1].place)
    assert [one.body["price"] for one in first + rest] == ["5.5", "4.5", "3.5", "2.5", "1.5"]
