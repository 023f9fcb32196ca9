"""The known answers: every case by every method, through the functions and through ``sluice pnl book``."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from ledger.booking import Booking, Oversell, Oversold, Rules, book
from ledger.csvfile import read_trades
from ledger.lots import Method
from ledger.marks import Mark
from ledger.moves import PoolBy
from ledger.report import Asked, report
from ledger.snapshots import restore, snapshot
from ledger.trades import Trade, in_order, number, unique
from ops.cli import sluice
from tests.golden import OWN, Case, assert_equal, cases

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def deliveries(case: Case) -> list[Trade]:
    """All rows of a case, in order of arrival."""
    with case.trades.open(newline="") as lines:
        rows = list(read_trades(lines, now=NOW))
    assert [row.refused for row in rows if row.trade is None] == []
    return [row.trade for row in rows if row.trade is not None]


def rules(case: Case) -> Rules:
    """The conventions of a case."""
    told = case.told
    return Rules(Method(case.method), PoolBy(told["pool_by"]), Oversell(told["oversell"]), told["allow_short"])


def conserved(booking: Booking) -> bool:
    """Whether what was paid is what was sold and what is left, to the last step."""
    return all(
        pool.acquired + pool.carried_in - pool.carried_out == pool.cost_of_sold + pool.lots.cost
        for pool in booking.pools.values()
    )


@pytest.mark.parametrize("case", cases())
def test_the_functions_give_the_known_answers(case: Case) -> None:
    marks = {coin: Mark(number(coin, price)) for coin, price in case.told["marks"].items()}
    told = report(deliveries(case), rules(case), Asked(marks=marks))
    assert_equal(told, {name: case.answers[name] for name in case.answers if name in told})


@pytest.mark.parametrize("case", cases())
def test_the_command_gives_the_known_answers(case: Case) -> None:
    told = case.told
    asked = [f"--{name.replace('_', '-')}" for name in ("windows", "as_of", "after_arrival") if name in case.answers]
    words = ["--method", case.method, "--pool-by", told["pool_by"], "--oversell", told["oversell"]]
    short = ["--allow-short"] if told["allow_short"] else []
    line = ["pnl", "book", str(case.trades), *words, *short, "--marks", str(case.expected), *asked, "--json"]
    done = CliRunner().invoke(sluice, line, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert_equal(json.loads(done.stdout), case.answers)


@pytest.mark.parametrize("case", cases())
def test_cost_acquired_is_cost_sold_and_cost_left_to_the_last_step(case: Case) -> None:
    booking, _ = book(in_order(unique(deliveries(case))), rules(case))
    assert case.told["allow_short"] or conserved(booking)


@pytest.mark.parametrize("case", cases())
def test_a_snapshot_anywhere_goes_on_as_if_nothing_had_happened(case: Case) -> None:
    trades = in_order(unique(deliveries(case)))
    whole, disposals = book(trades, rules(case))
    for cut in range(0, len(trades), max(1, len(trades) // 12)):
        begun, before = book(trades[:cut], rules(case))
        resumed = restore(json.loads(json.dumps(snapshot(begun))))
        after = [one for trade in trades[cut:] for one in resumed.book(trade)]
        assert before + after == disposals
        assert snapshot(resumed) == snapshot(whole)


def test_a_sale_beyond_what_is_there_is_refused_with_the_missing_quantity_and_changes_nothing() -> None:
    case = next(one.values[0] for one in cases() if one.id == "more_than_there_is-FIFO")
    rows = in_order(unique(deliveries(case)))
    booking = Booking(Rules())
    with pytest.raises(Oversold, match=r"takes out 1 SOL more than eve has .*zero_basis"):
        booking.book(rows[0])
    assert booking.pools == {}
    booking.book(rows[1])
    before = snapshot(booking)
    with pytest.raises(Oversold, match=r"takes out 1\.5 SOL"):
        booking.book(rows[2])
    assert snapshot(booking) == before


def test_the_command_names_file_row_and_reason_of_a_sale_it_refuses() -> None:
    file = OWN / "more_than_there_is.trades.csv"
    done = CliRunner().invoke(sluice, ["pnl", "book", str(file), "--json"])
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"sluice: {file}: row 1: trade d1 takes out 1 SOL more than eve has")
