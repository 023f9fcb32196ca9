"""Files of trades: what a dry run tells, what importing does, and which rows are named."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pytest

from ledger.csvfile import BadFile
from ledger.explain import NoDisposal, explain
from ledger.lots import Method
from ledger.proof import verify
from ops.importing import Account, FileRow, bring_in, read_rows, rehearse
from tests.bookshop import Desk
from tests.workshop import Workshop

HEADER = "trade_id,user,account,ts,kind,base,qty,quote,price,quote_rate,fee_qty,fee_coin,fee_value,to_account\n"
GOOD = [
    "a,{user},main,2024-01-01T00:00:00Z,buy,BTC,2,USDT,100,1,0.5,USDT,,\n",
    "b,{user},main,2024-01-02T00:00:00Z,sell,BTC,1,USDT,150,1,,,,\n",
]
BAD = "c,{user},main,2024-01-03T00:00:00Z,sell,BTC,NaN,USDT,150,1,,,,\n"


@pytest.fixture
def desk(shop: Workshop) -> Desk:
    return Desk(shop)


def rows(desk: Desk, *lines: str) -> list[FileRow]:
    told = [HEADER, *(line.format(user=desk.user) for line in lines)]
    return list(read_rows(told, "golden", user=None, now=desk.shop.clock()))


async def imported(desk: Desk, given: Sequence[FileRow]) -> Account:
    """Import while the workshop's worker works."""
    shop = desk.shop
    bringing = asyncio.create_task(
        bring_in(shop.database, shop.mailbox, given, source="golden", file="f.csv", clock=shop.clock)
    )
    while not bringing.done():
        await shop.run()
        await asyncio.sleep(0)
    return await bringing


async def test_a_dry_run_tells_what_importing_then_does(desk: Desk) -> None:
    given = rows(desk, GOOD[0], BAD, GOOD[1], GOOD[0])
    would = await rehearse(desk.shop.database, given, "golden")
    assert await desk.shop.value("SELECT count(*) FROM jobs") == 0
    done = await imported(desk, given)
    assert (would.rows, would.new, would.duplicate) == (done.rows, done.new, done.duplicate) == (4, 2, 1)
    assert would.refused == done.refused == [(2, "qty is not a number: 'NaN'")]
    again = await imported(desk, given)
    assert (again.new, again.duplicate) == (0, 3)


async def test_another_body_under_a_known_id_is_named_with_its_row(desk: Desk) -> None:
    await imported(desk, rows(desk, *GOOD))
    other = rows(desk, GOOD[1], GOOD[0].replace(",2,", ",3,"))
    would = await rehearse(desk.shop.database, other, "golden")
    done = await imported(desk, other)
    assert would.refused == done.refused == [(2, "golden a is in the books as qty '2', and now told as qty '3'")]


async def test_a_gain_is_explained_down_to_the_row_of_the_file(desk: Desk) -> None:
    await imported(desk, rows(desk, *GOOD))
    async with desk.shop.database.begin() as conn:
        (found,) = await explain(conn, desk.user, "b", Method.FIFO)
        (average,) = await explain(conn, desk.user, "b", Method.AVERAGE)
        with pytest.raises(NoDisposal, match="no disposal 'a'"):
            await explain(conn, desk.user, "a", Method.FIFO)
        with pytest.raises(NoDisposal):
            await explain(conn, "thief", found["id"], Method.FIFO)
    (page,) = [one.id for one in await desk.shop.rows("SELECT id FROM pages")]
    assert found["came_from"] == f"row 2 of f.csv (row 2 of page {page})"
    (lot,) = found["lots"]
    assert (lot["lot"], lot["cost"], lot["unit_cost"]) == ("a", "100.25", "100.25")
    assert (lot["fee"], lot["came_from"]) == ("fee 0.5 USDT", f"row 1 of f.csv (row 1 of page {page})")
    assert found["gain"] == average["gain"] == "49.75"


def test_users_are_never_mixed_and_fills_need_one() -> None:
    now = datetime.fromisoformat("2024-02-01T00:00:00Z")
    two = [HEADER, GOOD[0].format(user="alice"), GOOD[1].format(user="bob")]
    with pytest.raises(BadFile, match="row 2 is bob's"):
        list(read_rows(two, "golden", user="carol", now=now))
    with pytest.raises(BadFile, match="--user"):
        list(read_rows([], "hyperliquid", user=None, now=now))


async def test_real_fills_are_posted_once_and_prove_themselves(desk: Desk) -> None:
    file = Path(__file__).parents[3] / "shared" / "trades" / "hyperliquid_fills_2_accounts.csv"
    if not file.exists():
        pytest.skip("../shared/trades is not here")
    with file.open(newline="") as lines:
        given = list(read_rows(lines, "hyperliquid", user=desk.user, now=desk.shop.clock()))[:2000]
    done = await imported(desk, given)
    assert (done.new, done.duplicate, done.refused) == (2000, 0, [])
    assert (await imported(desk, given)).duplicate == 2000
    async with desk.shop.database.begin() as conn:
        assert [one for one in await verify(conn, desk.user) if one.diverges] == []
