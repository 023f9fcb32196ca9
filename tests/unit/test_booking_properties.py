"""What holds for every history: against a second opinion, in any order of arrival, told any number of times."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.booking import Booking, Oversell, Oversold, Rules, book
from ledger.journal import Journal, Unknown
from ledger.lots import Method
from ledger.moves import PoolBy
from ledger.numbers import MONEY_PLACES, QUANTITY_PLACES
from ledger.snapshots import restore, snapshot
from ledger.trades import Kind, OtherBody, Trade, in_order
from tests.pnl_reference import Reference

AT = datetime(2025, 3, 1, tzinfo=UTC)
COINS = ("BTC", "ETH", "SOL")
RATES = {"USDT": 1, "BTC": 40_000, "ETH": 2_500, "SOL": 100}
ALL_RULES = [
    Rules(method, pool_by, Oversell.ZERO_BASIS, allow_short)
    for method in Method
    for pool_by in PoolBy
    for allow_short in (False, True)
    if not (allow_short and pool_by is PoolBy.USER_ACCOUNT_COIN)
]
RULES = st.sampled_from(ALL_RULES)
MANY = settings(max_examples=60, deadline=None)  # a busy machine is no failure


def decimals(top: int, places: int) -> st.SearchStrategy[Decimal]:
    """Numbers above 0."""
    return st.integers(1, top * 10**places).map(lambda steps: Decimal(steps).scaleb(-places))


@st.composite
def trades(draw: st.DrawFn) -> Trade:
    """Any row: few coins, users, accounts and moments, so that they meet."""
    kind = draw(st.sampled_from(Kind))
    base = draw(st.sampled_from(COINS))
    swap = kind in {Kind.BUY, Kind.SELL}
    quote = draw(st.sampled_from([coin for coin in ("USDT", "USDT", "BTC", "ETH") if coin != base])) if swap else "USDT"
    account = draw(st.sampled_from(("hot", "cold")))
    qty = draw(decimals(5, 8) | decimals(1, 18))
    price = draw(decimals(50_000, 2)) if quote == "USDT" else draw(decimals(2, 6))
    fee_coin = draw(st.sampled_from(("", "", base, quote, "USDT", "BNB"))) if swap else ""
    fee = {"": Decimal(0), base: qty / 10**6, quote: qty * price / 10**3}.get(fee_coin, Decimal("0.0123"))
    return Trade(
        trade_id="t",
        user=draw(st.sampled_from(("ann", "bob"))),
        account=account,
        happened_at=AT + timedelta(hours=draw(st.integers(0, 12))),
        kind=kind,
        base=base,
        qty=qty,
        quote=quote,
        price=price,
        rate=Decimal(RATES[quote]),
        fee_qty=fee.quantize(Decimal("1e-24")),
        fee_coin=fee_coin if fee.quantize(Decimal("1e-24")) else "",
        fee_value=Decimal("0.17") if fee_coin == "BNB" else None,
        to_account=("cold" if account == "hot" else "hot") if kind is Kind.TRANSFER else "",
    )


@st.composite
def histories(draw: st.DrawFn) -> list[Trade]:
    """Rows with ids of their own, numbered as they came, in booking order."""
    made = draw(st.lists(trades(), min_size=1, max_size=25))
    return in_order(replace(one, trade_id=f"t{n}", seq=n) for n, one in enumerate(made, 1))


def as_row(trade: Trade) -> dict[str, str]:
    """A row as a file has it."""
    told = trade.body() | {"seq": str(trade.seq)}
    return told | {"ts": told["happened_at"], "quote_rate": told["rate"]}


def state(booking: Booking) -> list[Any]:
    """Everything that a booking holds, whatever order its pools came in."""
    return sorted(snapshot(booking)["pools"], key=lambda pool: [part or "" for part in pool["key"]])


def journal_of(trades: Sequence[Trade], rules: Rules) -> Journal:
    """A journal to which these arrived, with checkpoints close together."""
    journal = Journal(rules, every=3)
    for trade in trades:
        journal.arrive(trade)
    return journal


@MANY
@given(rules=RULES, history=histories())
def test_the_books_agree_with_a_second_opinion_in_fractions(rules: Rules, history: list[Trade]) -> None:
    by_account = rules.pool_by is PoolBy.USER_ACCOUNT_COIN
    other = Reference(rules.method.value, by_account, rules.allow_short).book(map(as_row, history))
    booking, disposals = book(history, rules)
    assert len(disposals) == len(other.disposals)
    for mine, theirs in zip(disposals, other.disposals, strict=True):
        assert (mine.trade_id, mine.leg, mine.side.value) == (theirs["trade_id"], theirs["leg"], theirs["side"])
        assert [match.lot for match in mine.matches] == [match["lot"] for match in theirs["matches"]]
        qtys = [mine.qty, mine.missing, *(match.qty for match in mine.matches)]
        expected = [theirs["qty"], theirs["missing_qty"], *(match["qty"] for match in theirs["matches"])]
        assert [Fraction(qty, 10**QUANTITY_PLACES) for qty in qtys] == expected
        assert close(mine.proceeds, theirs["proceeds"])
        assert close(mine.cost, theirs["cost"])
    assert {key for key, pool in other.pools.items() if pool.sums or pool.lots} <= set(booking.pools)
    for key, pool in booking.pools.items():
        lots = other.pools[key].lots
        assert Fraction(pool.lots.qty, 10**QUANTITY_PLACES) == sum((lot.qty for lot in lots), Fraction(0))
        assert close(pool.lots.cost, sum((lot.cost for lot in lots), Fraction(0)))


def close(steps: int, exact: Fraction) -> bool:
    """Whether money is within the tolerance of a single match."""
    return abs(Fraction(steps, 10**MONEY_PLACES) - exact) <= Fraction(1, 10**15)


@MANY
@given(rules=RULES, history=histories())
def test_cost_acquired_is_cost_of_sold_and_open_cost_exactly(rules: Rules, history: list[Trade]) -> None:
    booking, disposals = book(history, rules)
    for pool in booking.pools.values():
        mine = [one for one in disposals if one.pool == pool.key]
        short_proceeds = sum(match.cost for one in mine if one.side.value == "cover" for match in one.matches)
        assert pool.acquired + pool.carried_in - pool.carried_out == pool.cost_of_sold + pool.lots.cost
        assert pool.realised == sum(one.gain for one in mine)
        assert short_proceeds == sum(one.proceeds for one in mine if one.side.value == "cover")
        assert min([pool.lots.qty, pool.lots.cost, *(lot.rest for lot in pool.lots.open())]) >= 0
    assert sum(pool.carried_in - pool.carried_out for pool in booking.pools.values()) == 0


@MANY
@given(rules=RULES, history=histories(), seed=st.integers())
def test_the_order_of_arrival_does_not_change_the_book(rules: Rules, history: list[Trade], seed: int) -> None:
    arrived = list(history)
    random.Random(seed).shuffle(arrived)
    journal = journal_of(arrived, rules)
    booking, disposals = book(history, rules)
    assert state(journal.booking) == state(booking)
    assert list(journal.disposals()) == disposals
    assert list(journal.rows) == history


@MANY
@given(history=histories(), again=st.lists(st.integers(0, 24)))
def test_delivering_any_part_again_changes_nothing(history: list[Trade], again: list[int]) -> None:
    journal = journal_of(history, Rules(oversell=Oversell.ZERO_BASIS))
    before = state(journal.booking)
    for n in again:
        known = history[n % len(history)]
        assert not journal.arrive(replace(known, seq=known.seq + 100)).new
    assert state(journal.booking) == before


@MANY
@given(history=histories())
def test_the_same_id_with_another_body_is_refused_and_changes_nothing(history: list[Trade]) -> None:
    journal = journal_of(history, Rules(oversell=Oversell.ZERO_BASIS))
    before = state(journal.booking)
    with pytest.raises(OtherBody):
        journal.arrive(replace(history[0], qty=history[0].qty + 1))
    assert state(journal.booking) == before


@MANY
@given(rules=RULES, history=histories())
def test_two_users_never_touch(rules: Rules, history: list[Trade]) -> None:
    together, disposals = book(history, rules)
    for user in ("ann", "bob"):
        alone, mine = book([one for one in history if one.user == user], rules)
        assert state(alone) == [pool for pool in state(together) if pool["key"][0] == user]
        assert mine == [one for one in disposals if one.pool.user == user]


@MANY
@given(rules=RULES, history=histories(), pick=st.integers(0, 24))
def test_a_reversal_restores_the_book_that_never_had_the_row(rules: Rules, history: list[Trade], pick: int) -> None:
    gone = history[pick % len(history)]
    journal = journal_of(history, rules)
    journal.reverse(gone.user, gone.trade_id)
    without, disposals = book([one for one in history if one is not gone], rules)
    assert state(journal.booking) == state(without)
    assert list(journal.disposals()) == disposals
    assert not journal.arrive(gone).new
    with pytest.raises(Unknown):
        journal.reverse(gone.user, gone.trade_id)


@MANY
@given(rules=RULES, history=histories(), cut=st.integers(0, 25))
def test_a_book_goes_on_from_a_checkpoint_as_if_there_had_been_none(
    rules: Rules, history: list[Trade], cut: int
) -> None:
    whole, disposals = book(history, rules)
    begun, before = book(history[:cut], rules)
    resumed = restore(snapshot(begun))
    after = [one for trade in history[cut:] for one in resumed.book(trade)]
    assert before + after == disposals
    assert state(resumed) == state(whole)


@MANY
@given(method=st.sampled_from(Method), history=histories(), seed=st.integers())
def test_a_refused_arrival_leaves_the_journal_as_it_was(method: Method, history: list[Trade], seed: int) -> None:
    arrived = list(history)
    random.Random(seed).shuffle(arrived)
    journal = Journal(Rules(method, PoolBy.USER_ACCOUNT_COIN), every=3)
    taken: list[Trade] = []
    for trade in arrived:
        before, rows = state(journal.booking), journal.rows
        try:
            journal.arrive(trade)
            taken.append(trade)
        except Oversold:
            assert (state(journal.booking), journal.rows) == (before, rows)
    booking, disposals = book(in_order(taken), journal.booking.rules)
    assert state(journal.booking) == state(booking)
    assert list(journal.disposals()) == disposals
