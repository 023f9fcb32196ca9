"""``sluice pnl`` over the books: summary, lots, realized, history, explain, policy."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import click
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger import explain as explaining
from ledger.booking import Oversell, Oversold
from ledger.bookkeeping import Run, Shelf, set_policy
from ledger.bookview import View, marks, told, view
from ledger.explain import NoDisposal
from ledger.figures import Step, history
from ledger.lots import Method
from ledger.marks import Mark
from ledger.moves import PoolBy
from ledger.numbers import money_text
from ledger.report import sums_told, time_told
from ledger.runs import Policy
from ops.cli.books import METHOD, USER, moments
from ops.cli.opening import CannotDo, ask
from ops.cli.options import MOMENT, SPAN, as_json
from ops.cli.output import show_json, show_pairs, show_table, utc_now
from ops.cli.pnl import pnl
from ops.cli.whose import owner, reader

AS_OF = click.option("--as-of", type=MOMENT, help="Only what had happened by then.")
KNOWN_AT = click.option("--known-at", type=MOMENT, help="As it was believed then, before what was recorded later.")
_POOL = ("account", "coin", "realised", "income", "expense", "open_qty", "open_cost", "missing_qty", "unrealised")


def _seen(user: str, method: str, as_of: datetime | None, known_at: datetime | None) -> tuple[View, dict[str, Mark]]:
    async def read(conn: AsyncConnection) -> tuple[View, dict[str, Mark]]:
        when = moments(as_of, known_at)
        return await view(conn, await reader(conn, user), Method(method), when), await marks(conn, when)

    return ask(read)


@pnl.command()
@USER
@click.option("--method", type=click.Choice([*(one.value for one in Method), "all"]), default="all", show_default=True)
@AS_OF
@KNOWN_AT
@click.option("--price-age-max", type=SPAN, help="A price older than this is not used, and said to be.")
@as_json
def summary(
    *,
    user: str,
    method: str,
    as_of: datetime | None,
    known_at: datetime | None,
    price_age_max: timedelta | None,
    as_json: bool,
) -> None:
    """Tell what was gained and what is held, by pool; by default by all methods side by side.

    \b
    Example: sluice pnl summary --user alice --as-of 2026-08-21 --known-at 2026-08-24
    """
    at, documents, stale = as_of or utc_now(), dict[str, Any](), set[str]()
    for one in [method] if method != "all" else [each.value for each in Method]:
        seen, prices = _seen(user, one, as_of, known_at)
        if price_age_max is not None:
            old = {coin for coin, mark in prices.items() if mark.at is None or at - mark.at > price_age_max}
            held = {pool.key.coin for pool in seen.booking.pools.values() if pool.open_qty}
            stale |= {f"the price of {coin} is from {prices[coin].at}, too old" for coin in old & held}
            prices = {coin: mark for coin, mark in prices.items() if coin not in old}
        documents[one] = {name: told(seen, prices)[name] for name in ("pools", "users", "statistics")}
    if as_json:
        show_json({"methods": documents, "warnings": sorted(stale)})
        return
    rows = (
        [
            name,
            *(
                pool[field] if pool[field] is not None else "unknown" if field == "unrealised" else ""
                for field in _POOL
            ),
        ]
        for name, document in documents.items()
        for pool in document["pools"]
    )
    show_table(("method", *_POOL), rows, none="There are no books.")
    for warning in sorted(stale):
        click.echo(warning, err=True)


@pnl.command()
@USER
@METHOD
@AS_OF
@KNOWN_AT
@as_json
def lots(*, user: str, method: str, as_of: datetime | None, known_at: datetime | None, as_json: bool) -> None:
    """List open lots, oldest first."""
    seen, prices = _seen(user, method, as_of, known_at)
    rows = told(seen, prices).get("open_lots", [])
    columns = ("account", "coin", "lot", "acquired", "qty", "cost")
    if as_json:
        show_json(rows)
    else:
        show_table(columns, ([row[name] for name in columns] for row in rows), none="Nothing is open.")


@pnl.command()
@USER
@METHOD
@click.option("--since", type=MOMENT, help="From this time on.")
@click.option("--until", type=MOMENT, help="Before this time.")
@KNOWN_AT
@as_json
def realized(
    *,
    user: str,
    method: str,
    since: datetime | None,
    until: datetime | None,
    known_at: datetime | None,
    as_json: bool,
) -> None:
    """List disposals with their gains; `sluice pnl explain TRADE` tells where each comes from."""
    seen, prices = _seen(user, method, None, known_at)
    first, last = since and time_told(since), until and time_told(until)
    rows = [
        one
        for one in told(seen, prices)["disposals"]
        if (first is None or one["ts"] >= first) and (last is None or one["ts"] < last)
    ]
    columns = ("ts", "trade_id", "leg", "side", "coin", "qty", "proceeds", "cost", "gain", "missing_qty")
    if as_json:
        show_json(rows)
    else:
        show_table(columns, ([row[name] for name in columns] for row in rows), none="Nothing was disposed of.")


@pnl.command("history")
@USER
@METHOD
@click.option("--by", "step", type=click.Choice([one.value for one in Step]), default="day", show_default=True)
@KNOWN_AT
@as_json
def history_(*, user: str, method: str, step: str, known_at: datetime | None, as_json: bool) -> None:
    """Tell gains, volume and fees by hour, day, week or month."""
    seen, _ = _seen(user, method, None, known_at)
    periods = history(seen.trades, seen.disposals, Step(step))
    rows = [
        {"from": time_told(one.start), "to": time_told(one.end), "trades": one.sums.trades}
        | {"realised": money_text(one.sums.realised), "realised_total": money_text(one.realised_total)}
        | sums_told(one.sums)
        for one in periods
    ]
    columns = ("from", "trades", "realised", "realised_total", "volume", "fees")
    if as_json:
        show_json(rows)
    else:
        show_table(columns, ([row[name] for name in columns] for row in rows), none="There are no trades.")


@pnl.command()
@click.argument("disposal")
@USER
@METHOD
@as_json
def explain(*, disposal: str, user: str, method: str, as_json: bool) -> None:
    """Say why: the lots, fees and prices of DISPOSAL (a trade's id), and the kept page or file row of each."""

    async def read(conn: AsyncConnection) -> list[dict[str, Any]]:
        return await explaining.explain(conn, await reader(conn, user), disposal, Method(method))

    try:
        found = ask(read)
    except NoDisposal as error:
        raise CannotDo(str(error)) from None
    if as_json:
        show_json(found)
        return
    for one in found:
        show_pairs((name, one[name]) for name in ("trade_id", "leg", "side", "at", "coin", "qty", "proceeds", "cost"))
        show_pairs((name, one[name]) for name in ("gain", "missing_qty", "formula", "came_from"))
        columns = ("lot", "acquired", "qty", "cost", "unit_cost", "fee", "came_from")
        show_table(columns, ([lot[name] for name in columns] for lot in one["lots"]), none="No lot covered it.")


@pnl.command()
@USER
@click.option("--pool-by", type=click.Choice([one.value for one in PoolBy]), default="user_coin", show_default=True)
@click.option("--allow-short", is_flag=True, help="A sale of more than is there opens a short.")
@click.option(
    "--oversell", type=click.Choice([one.value for one in Oversell]), default="zero_basis", show_default=True,
    help="What a sale of more than is there becomes: refused, or booked at cost 0 and told as missing.",
)  # fmt: skip
def policy(*, user: str, pool_by: str, allow_short: bool, oversell: str) -> None:
    """Say how a user's books are to be kept; their whole history is booked again if that is new."""
    wanted = Policy(PoolBy(pool_by), allow_short, Oversell(oversell))

    async def change(conn: AsyncConnection) -> Run | None:
        return await set_policy(conn, await owner(conn, user), wanted, Shelf(), now=utc_now())

    try:
        run = ask(change)
    except Oversold as error:
        raise CannotDo(f"this history cannot be kept so: {error}") from None
    click.echo("nothing changed" if run is None else f"{run.rows} rows were booked again")
