"""The books prove themselves, name what was tampered with, and are booked to the same figures by Beancount."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import NullPool, create_engine

from ledger import migrate
from ledger.bookkeeping import set_policy
from ledger.bookview import view
from ledger.engine import database_url
from ledger.lots import Method
from ledger.moves import PoolBy
from ledger.proof import CHECKS, Finding, users, verify
from ledger.runs import Policy
from ledger.statement import NoStatement, as_beancount, as_csv
from ops.embedded import Stack
from tests.bookshop import Desk, Row, row
from tests.workshop import Workshop

TESTS = Path(__file__).parents[1]


@pytest.fixture
def desk(shop: Workshop) -> Desk:
    return Desk(shop)


@pytest.fixture
def as_superuser(stack: Stack, shop: Workshop) -> Callable[[str], None]:
    """Do with the tables what no session of ours may."""
    database = shop.database.url.database
    address = stack.postgres.admin_url.rsplit("/", 1)[0] + f"/{database}"

    def do(sql: str) -> None:
        with psycopg.connect(address, autocommit=True) as admin:
            assert admin.execute(sql.encode()).rowcount > 0, sql

    return do


def history(rows: int, seed: int = 1) -> list[Row]:
    """A seeded history that never sells what is not there, with fees in three coins."""
    rng, held, made = random.Random(seed), 0, list[Row]()
    for n in range(rows):
        sells = held > 3 and rng.random() < 0.5
        qty = rng.randint(1, min(held, 7)) if sells else rng.randint(1, 7)
        held += -qty if sells else qty
        fee: Row = rng.choice([{}, {"fee_qty": "0.31", "fee_coin": "USDT"}])
        price = f"{rng.randint(9000, 11000)}.{rng.randint(0, 99):02}"
        at = f"2024-01-{1 + n // 20:02}T{n % 20:02}:00:00Z"
        made.append(row("sell" if sells else "buy", f"{qty}.000000000000000000", price, happened_at=at, **fee))
    return made


async def proved(desk: Desk) -> dict[str, Finding]:
    async with desk.shop.database.begin() as conn:
        return {one.check: one for one in await verify(conn, desk.user)}


async def test_untouched_books_agree_in_every_check(desk: Desk) -> None:
    await desk.give(history(120))
    await desk.give([row("sell", "1000000", "5", day=30), row("transfer", "1", day=30, to_account="cold")])
    found = await proved(desk)
    assert tuple(found) == CHECKS
    assert all(one.diverges is None and one.rows > 0 for one in found.values()), found
    async with desk.shop.database.begin() as conn:
        assert desk.user in await users(conn)


async def test_shorts_and_pools_per_account_agree_too(desk: Desk) -> None:
    async with desk.shop.database.begin() as conn:
        policy = Policy(PoolBy.USER_ACCOUNT_COIN, allow_short=True)
        await set_policy(conn, desk.user, policy, desk.shop.pipeline.bookkeeper.shelf, now=desk.shop.clock())
    await desk.give(
        [
            row("buy", "3", "100"),
            row("transfer", "2", day=2, to_account="cold", fee_qty="0.1", fee_coin="BTC"),
            row("sell", "1", "120", day=3, account="cold"),
            row("sell", "5", "130", day=4),
            row("buy", "6", "90", day=5),
        ]
    )
    assert {check: one.diverges for check, one in (await proved(desk)).items()} == dict.fromkeys(CHECKS)


@pytest.mark.parametrize("method", Method)
async def test_a_wrong_lot_is_found_by_every_method_also_where_lots_were_carried(
    method: Method, desk: Desk, as_superuser: Callable[[str], None]
) -> None:
    """Two disposals of one method exchange their lots: all sums stay, only who used what is wrong."""
    async with desk.shop.database.begin() as conn:
        shelf = desk.shop.pipeline.bookkeeper.shelf
        await set_policy(conn, desk.user, Policy(PoolBy.USER_ACCOUNT_COIN), shelf, now=desk.shop.clock())
    buys = [row("buy", "2", price, day=n + 1, trade_id=f"b{n}") for n, price in enumerate(("10", "30", "20"))]
    await desk.give([*buys, row("transfer", "5", day=5, to_account="cold")])
    await desk.give([row("sell", "1", "40", day=day, account="cold") for day in (6, 7, 8, 9)])
    assert {check: one.diverges for check, one in (await proved(desk)).items()} == dict.fromkeys(CHECKS)
    of = f"SELECT id FROM disposals WHERE user_id = '{desk.user}' AND method = '{method}' AND side = 'sell'"
    first, last = (f"({of} ORDER BY seq {way} LIMIT 1)" for way in ("", "DESC"))
    as_superuser(
        f"UPDATE matches SET cost = cost + CASE disposal_id WHEN {first} THEN 1 ELSE -1 END"
        f" WHERE user_id = '{desk.user}' AND disposal_id IN ({first}, {last})"
    )
    as_superuser(
        f"UPDATE disposals SET cost = cost + CASE id WHEN {first} THEN 1 ELSE -1 END"
        f" WHERE user_id = '{desk.user}' AND id IN ({first}, {last})"
    )
    found = {check: one.diverges for check, one in (await proved(desk)).items() if one.diverges}
    assert set(found) == {"methods"}, found
    assert str(method) in str(found["methods"])


TAMPERINGS = {
    "UPDATE entries SET body = jsonb_set(body, '{price}', '\"1\"') WHERE user_id = '{user}' AND kind = 'buy'": "chain",
    "UPDATE transfers SET amount = amount + 1 WHERE user_id = '{user}' AND n = 0": "chain",
    "UPDATE entries SET recorded_at = recorded_at - interval '1 day' WHERE user_id = '{user}'": "chain",
    "UPDATE batches SET hash = previous WHERE user_id = '{user}' AND n = 1": "chain",
    """UPDATE batches SET previous = sha256('x'), hash = sha256(sha256('x') || leaves) WHERE user_id = '{user}'
         AND n = (SELECT max(n) FROM batches WHERE user_id = '{user}')""": "chain",  # right by itself, follows nothing
    "UPDATE balances SET amount = amount + 0.000000000000000001 WHERE user_id = '{user}'": "balances",
    "UPDATE matches SET cost = cost + 0.01 WHERE user_id = '{user}' AND n = 0": "lots",
    "UPDATE matches SET qty = qty + 0.5 WHERE user_id = '{user}' AND n = 0": "lots",
    "UPDATE lots SET qty = qty * 2 WHERE user_id = '{user}'": "lots",
    "UPDATE matches SET cost = cost + 0.01 WHERE user_id = '{user}' AND lot_entry IS NULL": "methods",
    "UPDATE lots SET cost = cost + 1 WHERE user_id = '{user}'": "methods",
    "UPDATE disposals SET cost = cost - 1 WHERE user_id = '{user}' AND method = 'HIFO'": "matches",
    "UPDATE disposals SET missing_qty = missing_qty + 1 WHERE user_id = '{user}' AND method = 'LIFO'": "matches",
    "UPDATE disposals SET proceeds = proceeds + 1 WHERE user_id = '{user}' AND method = 'LIFO'": "gains",
}


@pytest.mark.parametrize(("tampering", "check"), TAMPERINGS.items())
async def test_tampering_is_found_and_the_first_row_that_differs_is_named(
    tampering: str, check: str, desk: Desk, as_superuser: Callable[[str], None]
) -> None:
    await desk.give(history(40))
    as_superuser(tampering.replace("{user}", desk.user))
    found = (await proved(desk))[check]
    assert found.diverges


async def test_books_posted_before_a_migration_still_prove_themselves_after_it(
    desk: Desk, ledger_url: str, as_superuser: Callable[[str], None]
) -> None:
    """The hashes moved from entries to batches with revision 0008."""
    await desk.give(history(40))
    await desk.give(
        [row("buy", "1", "5", day=20, trade_id="x"), {"kind": "reversal", "trade_id": "r", "reverses": "x"}]
    )
    await asyncio.to_thread(downgrade, ledger_url, "0007")
    await asyncio.to_thread(migrate.upgrade, ledger_url)
    assert {check: one.diverges for check, one in (await proved(desk)).items()} == dict.fromkeys(CHECKS)
    as_superuser(f"UPDATE entries SET coins = coins, body = '{{}}' WHERE user_id = '{desk.user}' AND kind = 'buy'")
    assert "is not what was posted" in str((await proved(desk))["chain"].diverges)


def downgrade(url: str, revision: str) -> None:
    """Take a database back to an older revision."""
    engine = create_engine(database_url(url), poolclass=NullPool)
    with engine.connect() as connection:
        config = Config(Path(migrate.__file__).with_name("alembic.ini"))
        config.attributes["connection"] = connection
        command.downgrade(config, revision)
        connection.commit()


async def test_a_row_that_vanished_is_missed(desk: Desk, as_superuser: Callable[[str], None]) -> None:
    await desk.give([row("income", "1", "5", base="USDT")])
    as_superuser(f"DELETE FROM transfers WHERE user_id = '{desk.user}'")
    as_superuser(f"DELETE FROM entries WHERE user_id = '{desk.user}'")
    assert (await proved(desk))["chain"].diverges == "batch 1 has 0 entries and was posted with 1"


@pytest.mark.parametrize("method", [Method.FIFO, Method.LIFO, Method.HIFO])
async def test_beancount_books_the_statement_to_the_same_lots_and_gains(
    method: Method, desk: Desk, tmp_path: Path
) -> None:
    await desk.give(history(100))
    await desk.give(
        [row("sell", "1000", "5", day=20), row("buy", "3", "0.7", day=21, base="@107", quote="BTC", rate="9")]
    )
    await desk.give(
        [row("buy", "0.000000000000000007", "10000.01", day=22), row("sell", "0.000000000000000003", "9", day=23)]
    )
    async with desk.shop.database.begin() as conn:
        seen = await view(conn, desk.user, method)
    file = tmp_path / "statement.beancount"
    file.write_text(as_beancount(seen))
    command = [sys.executable, str(TESTS / "beancount_reads.py"), str(file)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["errors"] == []
    gains = sum(Decimal(one.gain).scaleb(-18) for one in seen.disposals)
    assert abs(Decimal(found["posted"]) - gains) < Decimal("1e-12")
    assert abs(Decimal(found["booked"]) - gains) < Decimal("1e-12")
    ours = {
        lot.id: (Decimal(lot.left).scaleb(-36), Decimal(lot.rest).scaleb(-18))
        for pool in seen.booking.pools.values()
        for lot in pool.lots.open()
    }
    theirs = {label: lot for held in found["lots"].values() for label, lot in held.items()}
    assert set(ours) == set(theirs)
    for label, (units, cost) in ours.items():
        assert Decimal(theirs[label][0]) == units
        assert abs(Decimal(theirs[label][1]) - cost) < Decimal("1e-12")


async def test_a_statement_tells_every_disposal_with_its_lots(desk: Desk) -> None:
    await desk.give([row("buy", "2", "10", trade_id="a"), row("sell", "1", "15", day=2, trade_id="b", tag="grid")])
    async with desk.shop.database.begin() as conn:
        seen = await view(conn, desk.user, Method.FIFO)
        average = await view(conn, desk.user, Method.AVERAGE)
    assert as_csv(seen).splitlines()[1] == "2024-01-02T10:00:00.000000Z,b,base,sell,,BTC,1,15,10,5,0,grid,a 1 10"
    with pytest.raises(NoStatement, match="AVERAGE"):
        as_beancount(average)
