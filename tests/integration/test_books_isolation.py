"""One user's session attacks another's books: every table and view, by reading, writing and pointing at them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from hashlib import sha256
from typing import Any

import orjson
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.bookkeeping import Shelf, post_and_book
from ledger.entries import Key, entry_of
from ledger.tenancy import acting_for
from tests.bookshop import Desk, row
from tests.workshop import Workshop
from workers.rules import trade_of

OWNED = """SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'user_id'
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v', 'p', 'm')
      AND has_table_privilege('sluice_app', c.oid, :privilege) = :held ORDER BY 1"""


@pytest.fixture
async def victim(shop: Workshop) -> Desk:
    """A user with a row in every table: a late row, a reversal, a policy, enough rows for a checkpoint."""
    desk = Desk(shop)
    many = [row("buy", "1", "100", happened_at=f"2024-01-02T10:{n // 60:02}:{n % 60:02}Z") for n in range(1000)]
    await desk.give(many)
    await desk.give([row("sell", "1", "150", day=3, trade_id="t2")])
    await desk.give([row("buy", "1", "90", day=1, trade_id="late")])
    await desk.give([{"kind": "reversal", "trade_id": "r", "reverses": "t2"}])
    async with shop.database.begin() as conn, acting_for(conn, desk.user):
        await conn.execute(text("INSERT INTO policies VALUES (:user, now(), 'user_coin', false)"), {"user": desk.user})
    return desk


@pytest.fixture
async def tables(shop: Workshop) -> list[str]:
    """What a session can read and has a user_id, from the server's own catalogue: a new table is attacked as well."""
    return [one.relname for one in await shop.rows(OWNED, privilege="SELECT", held=True)]


@asynccontextmanager
async def session(shop: Workshop, user: str) -> AsyncIterator[AsyncConnection]:
    """A user's session; what it does is rolled back."""
    async with shop.database.connect() as conn:
        await conn.begin()
        async with acting_for(conn, user):
            yield conn
        await conn.rollback()


async def refused(conn: AsyncConnection, sql: str, **params: Any) -> str:
    """Run a statement that must fail, and give the SQLSTATE."""
    with pytest.raises(DBAPIError) as refusal:
        async with conn.begin_nested():
            await conn.execute(text(sql), params)
    state: str = getattr(refusal.value.orig, "sqlstate", "")
    return state


async def test_every_table_and_view_shows_a_user_only_their_own_rows(victim: Desk, tables: list[str]) -> None:
    assert len(tables) >= 14
    for table in tables:
        assert await victim.read(f"SELECT user_id FROM {table} LIMIT 1"), f"{table} has nothing to be stolen"
        async with session(victim.shop, "thief") as conn:
            assert (await conn.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one() == 0, table
        # Without saying who asks, nobody sees anything: not even the owner of the tables.
        assert await victim.shop.value(f"SELECT count(*) FROM {table}") == 0, table


async def test_tables_that_are_closed_to_sessions_are_closed_to_every_act(victim: Desk) -> None:
    closed = [one.relname for one in await victim.shop.rows(OWNED, privilege="SELECT", held=False)]
    async with session(victim.shop, "thief") as conn:
        for table in closed:
            for sql in (
                f"SELECT user_id FROM {table}",
                f"UPDATE {table} SET user_id = user_id",
                f"DELETE FROM {table}",
            ):
                assert await refused(conn, sql) == "42501", sql


async def test_nothing_of_another_user_can_be_written_changed_or_deleted(victim: Desk, tables: list[str]) -> None:
    async with session(victim.shop, "thief") as conn:
        for table in tables:
            for sql in (f"UPDATE {table} SET user_id = 'thief'", f"DELETE FROM {table}", f"TRUNCATE {table}"):
                try:
                    async with conn.begin_nested():
                        touched = (await conn.execute(text(sql))).rowcount
                except DBAPIError:
                    continue
                assert touched == 0, sql
    for table in tables:
        if table in ("transfer_lines", "open_lots"):
            continue
        (one,) = await victim.read(f"SELECT row_to_json(t) AS told FROM {table} t LIMIT 1")
        columns = ", ".join(name for name in one.told if name not in ("gain", "difference"))
        async with session(victim.shop, "thief") as conn:
            sql = f"""INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE
                SELECT {columns} FROM json_populate_record(NULL::{table}, CAST(:told AS json))"""
            state = await refused(conn, sql, told=orjson.dumps(one.told).decode())
            assert state == "42501", f"{table}: {state}"


async def test_a_transfer_cannot_point_at_another_users_account_or_entry(victim: Desk) -> None:
    thief = Desk(victim.shop)
    await thief.give([row("buy", "1", "1")])
    (theirs,) = await victim.read("SELECT id FROM accounts WHERE name = 'wallet:main' AND asset = 'BTC'")
    (entry,) = await victim.read("SELECT id FROM entries ORDER BY seq LIMIT 1")
    own = {one.name: one.id for one in await thief.read("SELECT name, id FROM accounts WHERE asset = 'BTC'")}
    (mine,) = await thief.read("SELECT id FROM entries WHERE kind = 'buy'")
    (dollars,) = await thief.read("SELECT id FROM accounts WHERE asset = 'USDT' AND name = 'market'")
    insert = "INSERT INTO transfers VALUES (:user, :entry, 9, :debit, :credit, 'BTC', :amount)"
    good = {"user": thief.user, "entry": mine.id, "debit": own["market"], "credit": own["wallet:main"], "amount": 1}
    attacks: list[tuple[dict[str, Any], str]] = [
        ({"debit": theirs.id}, "23503"),
        ({"credit": theirs.id}, "23503"),
        ({"entry": entry.id}, "23503"),
        ({"debit": dollars.id}, "23503"),  # another asset's account
        ({"debit": own["wallet:main"]}, "23514"),  # to itself
        ({"amount": 0}, "23514"),
        ({"amount": -1}, "23514"),
        ({"amount": Decimal("NaN")}, "23514"),
        ({"user": victim.user}, "42501"),
    ]
    async with session(victim.shop, thief.user) as conn:
        for change, wanted in attacks:
            assert await refused(conn, insert, **(good | change)) == wanted, change
        await conn.execute(text(insert), good)
        # A table of one's own does not stand in for the real one.
        await conn.execute(
            text(f"CREATE TEMPORARY TABLE accounts AS SELECT '{thief.user}' AS user_id, 7::bigint AS id")
        )
        again = insert.replace("9", "10")
        assert await refused(conn, again, **(good | {"debit": theirs.id})) == "23503"


async def test_what_transfers_point_at_can_neither_vanish_nor_be_renamed_even_by_the_owner(victim: Desk) -> None:
    """The checks that stand for foreign keys also hold on the other side."""
    async with victim.shop.database.connect() as conn:
        await conn.begin()
        await conn.execute(text("SELECT set_config('sluice.user_id', :user, true)"), {"user": victim.user})
        for table, column in (("entries", "id = gen_random_uuid()"), ("accounts", "asset = 'DOGE'")):
            assert await refused(conn, f"UPDATE {table} SET {column}") == "23503", table
            # Derived rows point at entries, too: they have foreign keys.
            assert await refused(conn, f"DELETE FROM {table}") == "23503", table
        assert await refused(conn, "UPDATE transfers SET debit = 0") == "23503"
        await conn.rollback()


async def test_an_entry_joins_the_next_batch_and_a_batch_follows_the_last(victim: Desk) -> None:
    (last,) = await victim.read("SELECT n, hash FROM batches ORDER BY n DESC LIMIT 1")
    entry = """INSERT INTO entries (user_id, id, source, external_id, occurrence, body_hash, kind, happened_at,
        recorded_at, position, batch, coins, body)
        VALUES (:user, gen_random_uuid(), 'x', 'x', 0, '', 'buy', now(), now(), 0, :batch, '{}', '{}')"""
    batch = """INSERT INTO batches (user_id, n, entries, previous, leaves, hash, recorded_at)
        VALUES (:user, :n, 1, :previous, :leaves, :hash, now())"""
    leaves = bytes(31) + b"1"
    good = {"user": victim.user, "n": last.n + 1, "previous": last.hash, "leaves": leaves}
    good |= {"hash": sha256(last.hash + leaves).digest()}
    async with session(victim.shop, victim.user) as conn:
        for n in (last.n, last.n + 2, 0):
            assert await refused(conn, entry, user=victim.user, batch=n) == "23503", n
        await conn.execute(text(entry), {"user": victim.user, "batch": last.n + 1})
        for change in ({"n": last.n + 2}, {"previous": bytes(32)}, {"leaves": bytes(32)}, {"leaves": leaves * 2}):
            assert await refused(conn, batch, **(good | change)) == "23514", change
        await conn.execute(text(batch), good)


async def test_what_is_posted_cannot_be_changed_even_by_its_own_user(victim: Desk) -> None:
    async with session(victim.shop, victim.user) as conn:
        for table in ("entries", "transfers", "accounts", "batches", "matches", "adjustments", "policies", "book_runs"):
            for sql in (f"UPDATE {table} SET user_id = user_id", f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE"):
                assert await refused(conn, sql) == "42501", sql
        assert await refused(conn, "UPDATE lots SET qty = 1") == "42501"
        assert await refused(conn, "DELETE FROM disposals") == "42501"


async def test_a_transaction_that_ends_takes_its_user_with_it(victim: Desk) -> None:
    async with victim.shop.database.connect() as conn:
        await conn.begin()
        async with acting_for(conn, victim.user):
            assert (await conn.execute(text("SELECT count(*) FROM entries"))).scalar_one() > 0
        assert (await conn.execute(text("SELECT count(*) FROM entries"))).scalar_one() == 0
        await conn.commit()
        assert (await conn.execute(text("SELECT current_user"))).scalar_one() == "sluice"


async def test_two_users_never_touch(shop: Workshop) -> None:
    one, other = Desk(shop), Desk(shop)
    same = [row("buy", "1", "100", trade_id="t1"), row("sell", "1", "130", day=2, trade_id="t2")]
    await one.give(same)
    before = await one.read("SELECT * FROM transfer_lines")
    assert (await other.give([same[0] | {"qty": "5"}, same[1]])).new == 2
    assert await one.read("SELECT * FROM transfer_lines") == before
    assert (await one.realised(), await other.realised()) == (await one.realised(), await other.realised())
    assert (await one.realised())["FIFO"] == 30


async def test_postings_of_one_user_at_once_are_booked_as_one_after_another(shop: Workshop) -> None:
    desks = [Desk(shop) for _ in range(3)]

    async def post(desk: Desk, n: int) -> None:
        told = dict.fromkeys(("fee_qty", "fee_coin", "fee_value", "to_account", "tag", "rate"), "")
        given = row("buy" if n % 2 == 0 else "sell", "1", str(100 + n), day=1 + n, trade_id=f"t{n}")
        trade = trade_of({**told, "account": "main", "quote": "USDT", **given}, desk.user)
        entry = entry_of(trade, Key("test", trade.trade_id), page=None, position=0)
        async with shop.database.begin() as conn:
            await post_and_book(conn, desk.user, [entry], Shelf(), now=shop.clock())

    await asyncio.gather(*(post(desk, n) for n in range(8) for desk in desks))
    for desk in desks:
        assert set((await desk.realised()).values()) == {Decimal(4)}
        (chain,) = await desk.read("SELECT count(*) AS n, max(n) AS last FROM batches")
        assert chain.n == chain.last


async def test_acting_for_a_user_inside_another_such_block_is_an_error_and_no_open_door(shop: Workshop) -> None:
    async with session(shop, "somebody") as conn:
        with pytest.raises(RuntimeError, match="already"):
            async with acting_for(conn, "somebody"):
                pass
        assert (await conn.execute(text("SELECT current_user"))).scalar_one() == "sluice_app"
