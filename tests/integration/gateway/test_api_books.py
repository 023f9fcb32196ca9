"""The books over HTTP: trades go in as a client pushes them, figures come out under the names that users know."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import ClientSession

from gateway.api import AREAS
from gateway.app import make_app
from gateway.edge.server import serving
from gateway.edge.settings import EdgeSettings
from gateway.principal import Role
from tests.integration.gateway.asking import Told, ask, enqueue, every_page
from tests.integration.gateway.conftest import Gateway
from tests.integration.gateway.standins import CountingLimiter, WordAuthenticator, principal
from tests.workshop import Workshop

BUY = {"kind": "buy", "base": "BTC", "qty": "2", "price": "100", "happened_at": "2024-01-02T10:00:00Z", "tag": "grid"}
DEAR = BUY | {"qty": "1", "price": "130", "happened_at": "2024-01-03T10:00:00Z", "trade_id": "dear"}
SELL = {"kind": "sell", "base": "BTC", "qty": "1", "price": "150", "happened_at": "2024-02-05T10:00:00Z"}
SOLD = SELL | {"trade_id": "sold", "fee_qty": "1.5", "fee_coin": "USDT", "tag": "grid"}
TRADES = {"source": "desk", "trades": [BUY | {"trade_id": "first"}, DEAR, SOLD]}
PRICES = {"prices": [{"coin": "BTC", "happened_at": "2024-02-06T00:00:00Z", "price": "200"}]}


@dataclass(frozen=True)
class Desk:
    """A gateway over a worker's own database: what is pushed is worked on when the test says so."""

    shop: Workshop
    alice: ClientSession
    bob: ClientSession
    admin: ClientSession

    async def push(self, client: ClientSession, path: str, body: Any, key: str = "one") -> Told:
        """Push rows, and let the worker post them."""
        told = await ask(client, "POST", path, body, headers={"Idempotency-Key": key})
        await self.shop.run()
        return told

    async def read(self, path: str, client: ClientSession | None = None, **query: str) -> Any:
        """Ask, as alice unless somebody else is named, and expect an answer."""
        told = await ask(client or self.alice, "GET", path, query=query)
        assert told.status == 200, told.body
        return told.body


@pytest.fixture
async def desk(gateway: Gateway, shop: Workshop) -> AsyncIterator[Desk]:
    # Books are never emptied, so each test has users of its own.
    roles: Mapping[str, Role] = {"alice": "user", "bob": "user", "admin": "admin"}
    people = {f"{name}-token": principal(str(uuid4()), role) for name, role in roles.items()}
    parts = replace(gateway.parts, database=shop.database, producer=shop.mailbox, now=shop.clock)
    app = make_app(
        parts,
        areas=AREAS,
        authenticator=WordAuthenticator(people),
        limiter=CountingLimiter(),
        probes={},
        log=lambda *_: None,
        keys=lambda: {"keys": []},
        settings=EdgeSettings(),
    )
    async with serving(app, "127.0.0.1", 0, log=lambda *_: None) as port:
        base = f"http://127.0.0.1:{port}/api/v1/"
        sessions = [ClientSession(base, headers={"Authorization": f"Bearer {token}"}) for token in people]
        async with sessions[0] as alice, sessions[1] as bob, sessions[2] as admin:
            yield Desk(shop, alice, bob, admin)


@pytest.fixture
async def traded(desk: Desk) -> Desk:
    """Alice bought 2 at 100 and 1 at 130, and sold 1 at 150; a coin is worth 200 now."""
    assert (await desk.push(desk.alice, "trades", TRADES)).status == 202
    assert (await desk.push(desk.admin, "prices", PRICES)).status == 202
    return desk


async def test_pushed_trades_are_a_job_that_can_be_followed_to_its_rows(traded: Desk) -> None:
    jobs = await traded.read("jobs")
    job = jobs["data"][0]
    assert (job["kind"], job["state"], job["counts"]["new"]) == ("ledger.trades", "succeeded", 3)
    rows = (await traded.read("trades"))["data"]
    assert [row["trade_id"] for row in rows] == ["sold", "dear", "first"]
    pages = (await traded.read(f"jobs/{job['id']}/pages"))["data"]
    assert {row["page_id"] for row in rows} == {pages[0]["id"]}


async def test_the_summary_has_the_names_and_the_figures_of_the_books(traded: Desk) -> None:
    told = await traded.read("pnl/summary")
    assert told == {
        "total_pnl": "218.5", "realized_pnl": "48.5", "unrealized_pnl": "170", "income": "0", "expense": "0",
        "total_trades": 3, "winning_trades": 1, "losing_trades": 0, "win_rate": "100", "profit_factor": None,
        "average_win": "48.5", "average_loss": None, "largest_win": "48.5", "largest_loss": None, "max_drawdown": "0",
        "sharpe_ratio": told["sharpe_ratio"], "total_volume": "480", "total_fees": "1.5", "missing_trades": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("method", "realized"), [("FIFO", "48.5"), ("LIFO", "18.5"), ("HIFO", "18.5"), ("AVERAGE", "38.5")]
)
async def test_every_method_books_side_by_side(traded: Desk, method: str, realized: str) -> None:
    assert (await traded.read("pnl/summary", method=method))["realized_pnl"] == realized
    listed = (await traded.read("pnl/realized", method=method))["data"]
    assert [row["gain"] for row in listed] == [realized]
    held = await traded.read("positions", method=method)
    assert [(row["coin"], row["qty"], row["market_value"]) for row in held] == [("BTC", "2", "400")]


async def test_figures_split_by_coin_algorithm_and_period(traded: Desk) -> None:
    assert [row["coin"] for row in await traded.read("pnl/by-coin")] == ["BTC"]
    assert [(row["algorithm"], row["realized_pnl"]) for row in await traded.read("pnl/by-algorithm")] == [
        ("grid", "48.5")
    ]
    months = await traded.read("pnl/history", step="month")
    assert [(row["from"][:7], row["realized_pnl"], row["realized_total"]) for row in months] == [
        ("2024-01", "0", "0"), ("2024-02", "48.5", "48.5"),
    ]  # fmt: skip


async def test_a_gain_is_explained_down_to_the_kept_row(traded: Desk) -> None:
    (told,) = await traded.read("pnl/explain/sold")
    assert (told["gain"], told["lots"][0]["lot"]) == ("48.5", "first")
    assert "of page" in told["came_from"]
    assert (await ask(traded.bob, "GET", "pnl/explain/sold")).code == "not_found"


async def test_the_past_is_told_as_it_was(traded: Desk) -> None:
    told = await traded.read("pnl/unrealized", as_of="2024-01-02T12:00:00Z")
    assert (told["positions"][0]["qty"], told["unrealized_pnl"]) == ("2", None)
    assert told["warnings"] == ["no price of BTC"]
    old = await traded.read("pnl/unrealized", price_age_max="1")
    assert old["unrealized_pnl"] is None
    assert "too old" in old["warnings"][0]


async def test_lists_page_by_keyset_and_miss_nothing(traded: Desk) -> None:
    for path in ("trades", "lots", "pnl/realized", "prices"):
        whole = (await traded.read(path))["data"]
        assert await every_page(traded.alice, path, {"limit": "1"}) == whole


async def test_the_same_push_twice_counts_once_and_another_body_is_refused(traded: Desk) -> None:
    again = await traded.push(traded.alice, "trades", TRADES)
    assert (again.status, again.headers["Idempotency-Replayed"]) == (202, "true")
    told_again = await traded.push(traded.alice, "trades", TRADES, key="two")
    assert (await traded.read(f"jobs/{told_again.body['id']}"))["counts"]["duplicate"] == 3
    other = {"source": "desk", "trades": [SOLD | {"price": "151"}]}
    refused = await traded.push(traded.alice, "trades", other, key="three")
    (page,) = (await traded.read(f"jobs/{refused.body['id']}/pages"))["data"]
    assert len(page["rejects"]) == 1
    assert (await traded.read("pnl/summary"))["realized_pnl"] == "48.5"


async def test_case_03_nobody_reads_anybody_elses_books(traded: Desk) -> None:
    for path in ("trades", "pnl/realized", "lots"):
        assert (await traded.read(path, traded.bob))["data"] == []
    assert await traded.read("positions", traded.bob) == []
    assert (await traded.read("pnl/summary", traded.bob))["total_trades"] == 0
    for path in ("pnl/summary", "trades", "positions"):
        refused = await ask(traded.bob, "GET", path, query={"user": "alice"})
        assert (refused.status, refused.code) == (422, "invalid")
    foreign = {"kind": "ledger.trades", "args": {"user": "somebody else", "rows": [BUY]}}
    assert (await enqueue(traded.bob, foreign)).code == "forbidden"


async def test_prices_are_for_administrators_to_say(desk: Desk) -> None:
    refused = await desk.push(desk.alice, "prices", PRICES)
    assert (refused.status, refused.code) == (403, "insufficient_scope")


@pytest.mark.parametrize(
    "row",
    [BUY | {"user": "bob"}, BUY | {"qty": 2}, BUY | {"kind": "steal"}, BUY | {"tag": "a\nb"}, {"base": "BTC"}],
    ids=["unknown field", "number", "kind", "line end", "no kind"],
)
async def test_a_row_that_is_not_text_by_the_table_is_refused_before_it_is_a_job(desk: Desk, row: Any) -> None:
    refused = await desk.push(desk.alice, "trades", {"trades": [row]})
    assert (refused.status, refused.code) == (422, "invalid")
    assert (await desk.read("jobs"))["data"] == []


async def test_statements_are_files(traded: Desk) -> None:
    async with traded.alice.get("statements", params={"method": "FIFO"}) as answer:
        assert answer.content_type == "text/csv"
        assert 'filename="statement-fifo.csv"' in answer.headers["Content-Disposition"]
        assert "sold" in await answer.text()
    async with traded.alice.get("statements/beancount") as answer:
        assert answer.content_type == "text/plain"
        assert (await answer.text()).startswith("option")
    assert (await ask(traded.alice, "GET", "statements/beancount", query={"method": "AVERAGE"})).code == "invalid"
