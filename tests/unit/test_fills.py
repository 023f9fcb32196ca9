"""Fills of a perpetuals exchange: what a row becomes, what is missing between rows, and the exchange's own gains."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from ledger.booking import Booking, Oversell, Rules
from ledger.fills import NEEDED, Fill, Gap, Refused, gaps, position_told, read_fills
from ledger.lots import Method
from ledger.moves import PoolBy
from ledger.numbers import money_decimal, quantity_decimal
from ledger.trades import Kind
from tests.golden import TOP

NOW = datetime(2026, 1, 1, tzinfo=UTC)
REAL = TOP.parent / "shared" / "trades" / "hyperliquid_fills_2_accounts.csv"
HEADER = ",".join((*NEEDED, "Transaction Hash"))
RULES = Rules(Method.AVERAGE, PoolBy.USER_ACCOUNT_COIN, Oversell.REJECT, allow_short=True)


def fills(*rows: str) -> list[Fill | Refused]:
    """Rows of one account: coin, price, size, side, start, direction, closed, fee."""
    lines = [HEADER]
    for row in rows:
        coin, price, size, side, start, direction, closed, fee = row.split()
        lines.append(f"0xaa,{coin},{price},{size},{side},02-03-2025 1:05,{start},{direction},{closed},{fee},0xhash")
    return list(read_fills(lines, user="ann", now=NOW))


def good(found: Iterable[Fill | Refused]) -> list[Fill]:
    """Those that are fills."""
    return [one for one in found if isinstance(one, Fill)]


def test_a_fill_becomes_a_trade_at_its_time_in_utc() -> None:
    (fill,) = good(fills("SOL 150.5 2 SELL 0 Open 0 0.05"))
    assert fill.trade.kind is Kind.SELL
    assert fill.trade.happened_at == datetime(2025, 3, 1, 19, 35, tzinfo=UTC)
    assert (fill.trade.fee_qty, fill.trade.fee_coin) == (Decimal("0.05"), "USDT")
    assert fill.end_position == Decimal(-2)


def test_the_fee_of_a_spot_buy_is_taken_in_the_bought_coin() -> None:
    buy, sell = good(fills("@107 8 10 BUY 0 Buy 0 0.003", "@107 9 5 SELL 9.997 Sell 4.9 0.02"))
    assert buy.spot
    assert (buy.trade.fee_coin, sell.trade.fee_coin) == ("@107", "USDT")


def test_equal_fills_stay_two_and_a_second_delivery_brings_none() -> None:
    row = "SOL 150.5 2 BUY 0 Open 0 0"
    first, second = good(fills(row, row))
    assert first.trade.trade_id != second.trade.trade_id
    assert [fill.trade for fill in good(fills(row, row))] == [first.trade, second.trade]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("SOL 150 2 HOLD 0 Open 0 0", "neither BUY nor SELL"),
        ("SOL 150 -2 BUY 0 Open 0 0", "must be above 0"),
        ("SOL nan 2 BUY 0 Open 0 0", "Execution Price is not a number"),
        ("SOL 150 2 BUY 0 Open 0 NaN", "Fee is not a number"),
    ],
)
def test_a_bad_row_is_refused_with_its_number_and_the_others_are_read(row: str, reason: str) -> None:
    before, bad, after = fills("SOL 1 1 BUY 0 Open 0 0", row, "SOL 1 1 BUY 1 Open 0 0")
    assert isinstance(bad, Refused)
    assert bad.row == 2
    assert reason in bad.reason
    assert isinstance(before, Fill)
    assert isinstance(after, Fill)


def test_a_lost_fill_is_seen_in_the_position_and_told() -> None:
    found = good(fills("SOL 1 2 BUY 0 Open 0 0", "BTC 1 9 BUY 0 Open 0 0", "SOL 1 1 SELL 5 Close 0 0"))
    assert gaps(found) == [Gap("0xaa", "SOL", 1, 3, Decimal(3))]
    assert "rows 1 and 3 do not join, 3 is missing" in position_told(gaps(found)[0])


def test_the_side_flips_at_the_price_of_the_fill_that_flips_it() -> None:
    booking = Booking(RULES)
    gains = []
    for fill in good(fills("X 10 2 BUY 0 L 0 0", "X 12 5 SELL 2 F 4 0", "X 11 3 BUY -3 C 3 0", "X 7 1 BUY 0 L 0 0")):
        gains.append(sum(one.gain for one in booking.book(fill.trade)))
        assert money_decimal(gains[-1]) == fill.closed_pnl


def closings(chain: Sequence[Fill]) -> int:
    """Book a chain before fees, compare each closing with the exchange's, and count them.

    The exchange computed with more digits of the price than it printed, so a step of the last printed digit is allowed.
    """
    booking, count = Booking(RULES), 0
    for fill in chain:
        done = booking.book(replace(fill.trade, fee_qty=Decimal(0), fee_coin=""))
        places = fill.trade.price.as_tuple().exponent
        assert isinstance(places, int)
        allowed = fill.trade.qty * Decimal(10) ** places
        gain = money_decimal(sum(one.gain for one in done))
        assert abs(gain - fill.closed_pnl) <= allowed, f"row {fill.row}: {gain} is not {fill.closed_pnl}"
        (pool,) = booking.pools.values()
        assert quantity_decimal(pool.open_qty) == fill.end_position
        count += bool(done)
    return count


@pytest.mark.skipif(not REAL.is_file(), reason="no folder ../shared/trades beside the checkout")
def test_average_cost_before_fees_is_the_exchanges_own_closed_pnl(capsys: pytest.CaptureFixture[str]) -> None:
    with REAL.open(newline="") as lines:
        found = good(read_fills(lines, user="ann", now=NOW))
    assert len(found) == 12_799
    broken = {(gap.account, gap.coin) for gap in gaps(found)}
    assert [gap.after for gap in gaps(found)] == [2564, 4564, 6599, 8564, 10564, 12564]
    chains: dict[tuple[str, str], list[Fill]] = defaultdict(list)
    for fill in found:
        if not fill.spot:
            chains[fill.trade.account, fill.trade.base].append(fill)
    compared = {key: closings(chain) for key, chain in chains.items() if key not in broken}
    until = {key: min(gap.after for gap in gaps(found) if (gap.account, gap.coin) == key) for key in broken}
    begun = {key: closings([fill for fill in chains[key] if fill.row < until[key]]) for key in broken}
    with capsys.disabled():
        for counts, where in ((compared, "without a gap"), (begun, "up to the first gap")):
            for (account, coin), count in counts.items():
                fills_told = f"{coin} of {account[:6]}, {len(chains[account, coin])} fills"
                sys.stdout.write(f"\n  {fills_told}: {count} closings compared {where}")
    assert {coin: count for (_, coin), count in compared.items()} == {
        "AAVE": 47,
        "AIXBT": 119,
        "DYDX": 0,
        "GMX": 6,
        "HYPE": 321,
    }
    assert min(begun.values()) > 0
