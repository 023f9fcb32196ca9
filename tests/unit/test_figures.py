"""Figures over a booked history: by period, by algorithm, in windows, as of a time, and what is held now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from ledger.booking import Rules, book
from ledger.figures import Step, after_arrival, as_of, by_tag, history, period_end, period_start, statistics, windows
from ledger.marks import Mark, total_unrealised, worth
from ledger.moves import PoolKey
from ledger.numbers import money_text
from ledger.report import Asked, report
from ledger.trades import Kind, Trade

AT = datetime(2025, 1, 31, 22, 30, tzinfo=UTC)
BTC = PoolKey("ann", None, "BTC")


def row(n: int, kind: str, qty: str, price: str, hours: float = 0, **more: Any) -> Trade:
    """The n-th row, so many hours after the evening of a last of January."""
    return Trade(
        trade_id=f"t{n}",
        user="ann",
        account="desk",
        happened_at=AT + timedelta(hours=hours),
        kind=Kind(kind),
        base=more.pop("base", "BTC"),
        qty=Decimal(qty),
        price=Decimal(price),
        seq=n,
        **more,
    )


FEE: dict[str, Any] = {"fee_qty": Decimal("0.5"), "fee_coin": "USDT"}
ROWS = [
    row(1, "buy", "2", "100", tag="trend", **FEE),
    row(2, "sell", "1", "130", hours=1, tag="mean"),
    row(3, "income", "1", "120", hours=3),
    row(4, "sell", "0.5", "90", hours=3, tag="trend", **FEE),
    row(5, "spend", "0.5", "110", hours=24 * 35),
]


def test_the_basis_of_a_window_is_the_history_before_it_and_its_end_belongs_to_the_next() -> None:
    _, disposals = book(ROWS, Rules())
    second, third = AT + timedelta(hours=1), AT + timedelta(hours=3)
    before, inside, after = windows(disposals, [(AT, second), (second, third), (third, third + timedelta(hours=1))])
    assert before.realised == {}
    assert money_text(inside.realised[BTC]) == "29.75"
    assert money_text(after.realised[BTC]) == "-5.625"


def test_the_state_as_of_a_time_holds_what_happened_at_it_and_nothing_later() -> None:
    times = [AT + timedelta(hours=3), AT - timedelta(seconds=1), AT]
    told = dict(as_of(ROWS, Rules(), times))
    assert told[times[1]] == []
    assert [money_text(state.open_cost) for state in told[AT]] == ["200.5"]
    assert [money_text(state.realised) for state in told[times[0]]] == ["24.125"]


def test_history_has_no_holes_and_sums_to_the_whole() -> None:
    _, disposals = book(ROWS, Rules())
    for step in Step:
        periods = history(ROWS, disposals, step)
        assert [one.end for one in periods[:-1]] == [one.start for one in periods[1:]]
        assert sum(one.sums.trades for one in periods) == len(ROWS)
        assert sum(one.sums.realised for one in periods) == periods[-1].realised_total == sum(d.gain for d in disposals)
    months = history(ROWS, disposals, Step.MONTH)
    assert [(one.start.month, money_text(one.sums.realised)) for one in months] == [
        (1, "29.75"),
        (2, "-5.625"),
        (3, "4.875"),
    ]
    assert money_text(months[2].sums.expense) == "55"
    assert history([], [], Step.DAY) == []


@pytest.mark.parametrize(
    ("step", "start", "end"),
    [
        (Step.HOUR, datetime(2025, 1, 31, 22, tzinfo=UTC), datetime(2025, 1, 31, 23, tzinfo=UTC)),
        (Step.DAY, datetime(2025, 1, 31, tzinfo=UTC), datetime(2025, 2, 1, tzinfo=UTC)),
        (Step.WEEK, datetime(2025, 1, 27, tzinfo=UTC), datetime(2025, 2, 3, tzinfo=UTC)),
        (Step.MONTH, datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 2, 1, tzinfo=UTC)),
    ],
)
def test_a_period_begins_and_ends_where_the_calendar_says(step: Step, start: datetime, end: datetime) -> None:
    assert period_start(AT, step) == start
    assert period_end(start, step) == end


def test_a_gain_belongs_to_the_algorithm_that_sold() -> None:
    _, disposals = book(ROWS, Rules())
    told = {tag: sums for (_, tag), sums in by_tag(ROWS, disposals).items()}
    assert {tag: money_text(sums.realised) for tag, sums in told.items()} == {
        "trend": "-5.625",
        "mean": "29.75",
        "": "4.875",
    }
    assert {tag: money_text(sums.fees) for tag, sums in told.items()} == {"trend": "1", "mean": "0", "": "0"}


def test_wins_and_losses_are_of_sales_alone() -> None:
    _, disposals = book(ROWS, Rules())
    mine = statistics(ROWS, disposals)["ann"]
    assert (mine.sales, mine.wins, mine.losses) == (2, 1, 1)
    assert [money_text(one) for one in (mine.profit, mine.loss, mine.volume)] == ["29.75", "-5.625", "375"]
    assert money_text(mine.net) == "94"


def test_without_a_sale_no_rate_is_told() -> None:
    told = report(ROWS[:1], Rules(), Asked())["statistics"]["ann"]
    assert (told["sales"], told["win_rate"], told["profit_factor"], told["largest_win"]) == (0, None, None, None)


def test_what_has_no_price_is_unknown_and_so_is_every_sum_with_it() -> None:
    rows = [*ROWS, row(6, "buy", "1", "5", hours=900, base="SOL")]
    booking, _ = book(rows, Rules())
    marks = {"BTC": Mark(Decimal(150))}
    assert money_text(worth(booking.pools[BTC], marks["BTC"]).unrealised or 0) == "30"
    unknown = worth(booking.pools[PoolKey("ann", None, "SOL")], None)
    assert (unknown.market_value, unknown.unrealised, unknown.why) == (None, None, "no price of SOL")
    assert total_unrealised(booking.pools.values(), marks) is None
    told = report(rows, Rules(), Asked(marks=marks))
    assert [pool["unrealised"] for pool in told["pools"]] == ["30", None]
    assert told["users"]["ann"]["unrealised"] is None


def test_a_pool_that_holds_nothing_makes_no_sum_unknown() -> None:
    booking, _ = book([row(1, "buy", "1", "5"), row(2, "sell", "1", "6", hours=1)], Rules())
    assert total_unrealised(booking.pools.values(), {}) == 0


def test_a_price_older_than_its_limit_is_not_used_and_said_to_be() -> None:
    booking, _ = book(ROWS, Rules())
    pool, limit = booking.pools[BTC], timedelta(hours=1)
    fresh = worth(pool, Mark(Decimal(150), AT), now=AT + limit, age_max=limit)
    stale = worth(pool, Mark(Decimal(150), AT), now=AT + limit * 2, age_max=limit)
    undated = worth(pool, Mark(Decimal(150)), now=AT, age_max=limit)
    assert fresh.unrealised is not None
    assert (stale.unrealised, undated.unrealised) == (None, None)
    assert "is from 2025-01-31T22:30:00+00:00, older than 1:00:00" in stale.why
    assert "says no time" in undated.why


def test_each_arrival_shows_the_book_as_it_was_believed_then() -> None:
    arrivals = [ROWS[1], ROWS[0]]
    states = [
        [(money_text(one.realised), one.missing_qty > 0) for one in told] for told in after_arrival(arrivals, Rules())
    ]
    assert states == [[("130", True)], [("29.75", False)]]


def test_what_a_quote_coin_or_a_fee_realised_is_no_sale() -> None:
    """ETH is bought with BTC that has gained, the fee paid in BNB that has lost: realised, and neither win nor loss."""
    fee: dict[str, Any] = {"fee_qty": Decimal(1), "fee_coin": "BNB", "fee_value": Decimal(3)}
    rows = [
        row(1, "buy", "1", "100"),
        row(2, "buy", "1", "4", base="BNB"),
        row(3, "buy", "10", "0.1", base="ETH", quote="BTC", rate=Decimal(130), **fee),
    ]
    sums = statistics(rows, book(rows, Rules())[1])["ann"]
    assert (sums.sales, sums.wins, sums.losses, sums.largest_win, sums.largest_loss) == (0, 0, 0, None, None)
    assert money_text(sums.realised) == "29"
