"""Rows that users give: from a job to a page, to entries, to lots and gains."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from broker.messages import AcceptJob
from tests.bookshop import Desk, row
from tests.workshop import Workshop


@pytest.fixture
def desk(shop: Workshop) -> Desk:
    return Desk(shop)


async def test_a_trade_becomes_a_page_an_entry_transfers_a_lot_and_a_gain(desk: Desk) -> None:
    bought = row("buy", "2", "100", fee_qty="1", fee_coin="USDT", trade_id="t1", line=2)
    sold = row("sell", "1", "150", day=2, trade_id="t2", line=3)
    job = await desk.give([bought, sold], source="desk", file="fills.csv")
    assert (job.state, job.found, job.new, job.rejected, job.calls) == ("succeeded", 2, 2, 0, 0)
    assert "rows" not in job.args
    (page,) = await desk.shop.pages(job.id)
    assert (page.provider, page.dataset, page.state) == ("user", "trades", "posted")
    assert page.request == {"user": desk.user, "source": "desk", "file": "fills.csv"}
    entries = await desk.read("SELECT * FROM entries ORDER BY seq")
    assert [(one.kind, one.external_id, one.page_id, one.position) for one in entries[:2]] == [
        ("buy", "t1", page.id, 0),
        ("sell", "t2", page.id, 1),
    ]
    lines = await desk.read(
        "SELECT account, asset, amount FROM transfer_lines WHERE entry_id = :entry ORDER BY n, amount",
        entry=entries[0].id,
    )
    assert [(one.account, one.asset, one.amount) for one in lines] == [
        ("market", "BTC", Decimal(-2)),
        ("wallet:main", "BTC", Decimal(2)),
        ("wallet:main", "USDT", Decimal(-200)),
        ("market", "USDT", Decimal(200)),
        ("wallet:main", "USDT", Decimal(-1)),
        ("fees", "USDT", Decimal(1)),
    ]
    assert await desk.realised() == dict.fromkeys(["FIFO", "LIFO", "HIFO", "AVERAGE"], Decimal("49.5"))
    (left,) = await desk.read("SELECT * FROM open_lots WHERE method = 'FIFO'")
    assert (left.coin, left.entry_id, left.qty, left.cost) == ("BTC", entries[0].id, Decimal(1), Decimal("100.5"))


async def test_a_bad_row_is_reported_with_its_position_and_reason_and_the_others_are_posted(desk: Desk) -> None:
    bad: list[Any] = [
        row("buy", "NaN", "1"),
        row("buy", "Infinity", "1"),
        row("buy", "-1", "1"),
        row("buy", "0", "1"),
        row("buy", "0." + "1" * 30, "1"),
        row("buy", "1" + "0" * 20, "1"),
        row("lend", "1", "1"),
        row("buy", "1", "1", happened_at="2024-01-01T10:00:00"),
        row("buy", "1", "1", happened_at="2999-01-01T10:00:00Z"),
        row("buy", "1", "1", happened_at="yesterday"),
        row("buy", "1", "1", trade_id="x" * 10_000),
        row("buy", 1.5, "1"),  # type: ignore[arg-type]
        row("buy", "1", "1", colour="red"),
        row("buy", "1", "1", user="bob"),
        row("buy", "2", "99999999999999999999"),
        row("buy", "1"),
        row("buy", "1", "1", fee_qty="1", fee_coin="BNB"),
        row("transfer", "1", to_account="main"),
        row("reversal", "", trade_id="r1", reverses="nothing") | {"base": None, "qty": None},
        ["a list"],
        None,
        7,
    ]
    rows = [row("buy", "1", "100", trade_id="good-1"), *bad, row("sell", "1", "110", day=3, trade_id="good-2")]
    job = await desk.give(rows)
    assert (job.state, job.found, job.new, job.rejected) == ("succeeded", len(rows), 2, len(bad))
    rejects = await desk.rejects()
    assert [position for position, _ in rejects] == list(range(1, len(bad) + 1))
    assert all(reason for _, reason in rejects)
    assert (await desk.realised())["FIFO"] == Decimal(10)


async def test_delivering_again_changes_nothing_and_another_body_is_refused_with_both(desk: Desk) -> None:
    rows = [row("buy", "1", "100", trade_id="t1"), row("sell", "1", "110", day=2, trade_id="t2")]
    await desk.give(rows)
    before = await desk.read("SELECT * FROM entries ORDER BY seq")
    again = await desk.give(rows)
    assert (again.new, again.duplicate, again.rejected) == (0, 2, 0)
    other = await desk.give([row("buy", "2", "100", trade_id="t1"), rows[1]])
    assert (other.new, other.duplicate, other.rejected) == (0, 1, 1)
    assert await desk.rejects() == [(0, "api t1 is in the books as qty '1', and now told as qty '2'")]
    assert await desk.read("SELECT * FROM entries ORDER BY seq") == before


async def test_rows_without_an_id_are_told_apart_by_counting_equal_ones(desk: Desk) -> None:
    rows = [row("buy", "1", "100"), row("buy", "1", "100"), row("buy", "1", "101")]
    first = await desk.give(rows)
    assert (first.new, first.duplicate) == (3, 0)
    again = await desk.give([*rows, row("buy", "1", "100")])
    assert (again.new, again.duplicate) == (1, 3)


async def test_a_reversal_restores_the_books_and_its_gains(desk: Desk) -> None:
    await desk.give([row("buy", "2", "100", trade_id="t1"), row("sell", "1", "150", day=3, trade_id="t2")])
    before = await desk.realised()
    await desk.give([row("buy", "1", "10", day=1, trade_id="wrong")])
    await desk.give([row("sell", "1", "50", day=2, trade_id="wrong too")])
    assert await desk.realised() != before
    await desk.give(
        [
            {"kind": "reversal", "trade_id": "r1", "reverses": "wrong"},
            {"kind": "reversal", "trade_id": "r2", "reverses": "wrong too"},
            {"kind": "reversal", "trade_id": "r3", "reverses": "wrong"},
        ],
    )
    assert await desk.realised() == before
    assert await desk.rejects() == [(2, "api wrong has been reversed before")]
    assert await desk.balances() == {"market": Decimal(-1), "wallet:main": Decimal(1)}


async def test_a_late_row_books_again_and_says_what_it_changed(desk: Desk) -> None:
    await desk.give([row("buy", "1", "100", day=2), row("sell", "1", "150", day=3), row("buy", "1", "120", day=4)])
    desk.shop.clock.now = desk.shop.clock.now.replace(hour=12)
    await desk.give([row("buy", "1", "90", day=1)])
    told = await desk.read("SELECT * FROM adjustments WHERE method = 'FIFO'")
    assert [(one.before, one.after, one.difference) for one in told] == [(Decimal(50), Decimal(60), Decimal(10))]
    assert told[0].recorded_at == desk.shop.clock()
    assert told[0].happened_at.day == 3


async def test_the_largest_amounts_that_may_be_told_can_be_booked(desk: Desk) -> None:
    most = "99999999999999999999"
    dear = row("buy", "1", most, fee_qty=most, fee_coin="USDT")
    assert (await desk.give([dear, dear, row("sell", "2", "1", day=2)])).new == 3
    assert (await desk.realised())["AVERAGE"] == 2 - 4 * Decimal(most)


async def test_prices_are_posted_once_and_another_price_is_refused(desk: Desk) -> None:
    rows = [{"coin": "BTC", "happened_at": "2024-01-01T00:00:00Z", "price": "42000.5"}, {"coin": "BTC"}]
    first = await desk.give(rows, kind="ledger.prices", source="desk")
    assert (first.new, first.rejected) == (1, 1)
    again = await desk.give([rows[0], rows[0] | {"price": "1"}], kind="ledger.prices", source="desk")
    assert (again.new, again.duplicate, again.rejected) == (0, 1, 1)
    assert await desk.shop.value("SELECT price FROM prices WHERE source = 'desk'") == Decimal("42000.5")


async def test_trades_may_come_as_a_message_from_any_producer(desk: Desk) -> None:
    rows = [row("buy", "1", "100"), row("sell", "1", "101", day=2)]
    await desk.shop.mailbox.send([AcceptJob("ledger.trades", {"user": desk.user, "rows": rows}, "morning")])
    await desk.shop.mailbox.send([AcceptJob("ledger.trades", {"user": desk.user, "rows": rows}, "morning")])
    await desk.shop.mailbox.send([AcceptJob("ledger.trades", {"user": desk.user, "rows": []})])
    await desk.shop.run()
    assert (await desk.realised())["LIFO"] == 1
    states = await desk.shop.rows("SELECT kind, state FROM jobs ORDER BY id")
    assert [tuple(one) for one in states] == [("ledger.trades", "succeeded"), ("unreadable", "failed")]
