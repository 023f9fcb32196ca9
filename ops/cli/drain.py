"""``sluice drain``: take no new work from providers, and wait until nothing is in hand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta

import click
from sqlalchemy.ext.asyncio import AsyncConnection

from broker.providers import Standing
from ops import draining
from ops.bootstrap import configured_providers
from ops.cli.opening import CannotDo, ask, opened, transact
from ops.cli.options import SPAN, as_json
from ops.cli.output import show_json, utc_now, when
from ops.cli.processes import started
from ops.draining import InHand
from ops.settings import Settings

LOOK_EVERY_S = 0.2


@click.command()
@click.argument("providers", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Every provider; wait for all jobs and pages, of whatever kind.")
@click.option("--resume", is_flag=True, help="Call again what a drain has paused.")
@click.option("--within", type=SPAN, default="2m", show_default=True, help="How long to wait until nothing is in hand.")
@click.option("--reason", default="from the command line", show_default=True, help="Why, for others to read.")
@as_json
def drain(
    *, providers: Sequence[str], every: bool, resume: bool, within: timedelta, reason: str, as_json: bool
) -> None:
    """Take no new work from PROVIDERS, and wait until nothing of theirs is in hand; exit 1 where something still is.

    Jobs wait, nothing is lost.  What clients push (trades) goes on being posted: close the gateways to stop that too.
    What is disabled, used up or paused by somebody else stays as it is, also when resumed.  To leave a queue alone
    (dedup, post, ...), whatever is in it: `sluice queues drain`.

    \b
    Examples:
      sluice drain nansen --within 1m
      sluice drain --all --reason 'maintenance window'
      sluice drain --all --resume
    """
    settings = started()
    names = _chosen(settings, providers, every=every)
    if resume:
        again = ask(lambda conn: draining.resume(conn, names, now=utc_now()))
        if as_json:
            show_json({"resumed": again})
        else:
            click.echo(f"resumed: {', '.join(again)}" if again else "none of them was drained")
        return
    left, hand, took = asyncio.run(_drained(settings, names, within, reason, every=every))
    _tell(names, left, hand, took, as_json=as_json)
    if not hand.nothing:
        raise SystemExit(1)


def _chosen(settings: Settings, given: Sequence[str], *, every: bool) -> list[str]:
    known = sorted(configured_providers(settings))
    if every == bool(given):
        raise CannotDo("name providers, or say --all")
    names = known if every else [one.removeprefix("fetch.") for one in given]
    for name in names:
        if name not in known:
            raise CannotDo(f"there is no provider {name!r}; there are {', '.join(known)}")
    return names


async def _drained(
    settings: Settings, names: Sequence[str], within: timedelta, reason: str, *, every: bool
) -> tuple[list[Standing], InHand, float]:
    began = time.monotonic()
    async with opened(settings) as database:
        left = await transact(database, settings, lambda c: draining.stop(c, names, reason=reason, now=utc_now()))

        async def look(conn: AsyncConnection) -> InHand:
            return await draining.in_hand(conn, None if every else names, now=utc_now())

        while True:
            hand = await transact(database, settings, look)
            took = time.monotonic() - began
            if hand.nothing or took >= within.total_seconds():
                return left, hand, took
            await asyncio.sleep(LOOK_EVERY_S)


def _tell(names: Sequence[str], left: Sequence[Standing], hand: InHand, took: float, *, as_json: bool) -> None:
    if as_json:
        others = {one.name: {"state": one.state, "reason": one.reason, "until": one.until} for one in left}
        told = {"providers": names, "left_alone": others, "in_hand": hand, "drained": hand.nothing}
        show_json(told | {"seconds": round(took, 3)})
        return
    for one in left:
        until = f" until {when(one.until)}: it is called again then" if one.until else ""
        click.echo(f"{one.name} stays {one.state.replace('_', ' ')}{until}", err=True)
    if hand.nothing:
        click.echo(f"{', '.join(names)}: drained in {took:.1f} s, nothing is in hand")
    else:
        click.echo(f"{', '.join(names)}: after {took:.1f} s {hand.jobs} jobs and {hand.pages} pages are still in hand")


COMMANDS = (drain,)
