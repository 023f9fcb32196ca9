"""``sluice queues``: which are open, and who closed the others; pause, drain, resume."""

from __future__ import annotations

import asyncio
import os
import pwd
import socket
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import click
from sqlalchemy.ext.asyncio import AsyncConnection

from broker import messages, pauses
from broker.pauses import Pause
from gateway.auth.audit import Origin, note
from ops.bootstrap import configured_providers, server
from ops.cli.opening import CannotDo, ask, opened, transact
from ops.cli.options import SPAN, Listing, as_json
from ops.cli.output import UNKNOWN, show_json, show_lines, show_table, utc_now, when
from ops.cli.processes import started
from ops.doctor_queues import depths
from ops.settings import Settings

OPERATOR = Origin("operator")
LOOK_EVERY_S = 0.2
QUEUES = click.argument("queue", nargs=-1, required=True)
REASON = click.option("--reason", default="from the command line", show_default=True, help="Why, for others to read.")
WITHIN = click.option(
    "--within", type=SPAN, default="2m", show_default=True, help="How long to wait for what is in hand."
)
Holders = Mapping[str, Sequence[str]]


@click.group(cls=Listing)
def queues() -> None:
    """Which queues are worked on: list (the default), pause, drain (pause, and wait until nothing is in hand), resume.

    A paused queue is left alone by every worker process within two seconds.  Jobs are accepted and hints are sent as
    ever, and wait in the broker.  To stop calls of a provider, whatever its jobs wait for: `sluice providers pause`.

    \b
    Examples:
      sluice queues
      sluice queues drain post --reason 'the database is being looked at' --within 1m
      sluice queues resume post
    """


@queues.command("list")
@as_json
def list_(as_json: bool) -> None:
    """List queues: open or paused, messages that wait, and of paused ones who still has something in hand.

    --json prints JSON lines.

    \b
    Example: sluice queues list --json
    """
    settings = started()
    names = _names(settings)
    stand, hold = ask(lambda conn: _look(conn, names))
    waiting = asyncio.run(_waiting(settings, names))
    rows = [_row(name, stand.get(name), hold[name], waiting.get(name)) for name in names]
    if as_json:
        show_lines(rows)
        return
    show_table(
        ("queue", "stands", "messages", "in hand at", "since", "by", "why"),
        (
            (
                row["queue"], row["stands"], UNKNOWN if row["messages"] is None else row["messages"],
                ", ".join(row["in_hand_at"] or ()), when(row["since"]), row["who"], row["reason"],
            )
            for row in rows
        ),
    )  # fmt: skip


@queues.command()
@QUEUES
@REASON
def pause(queue: Sequence[str], reason: str) -> None:
    """Take nothing more from queues; what is in hand goes on.

    \b
    Example: sluice queues pause dedup post --reason 'a bad release'
    """
    names = _known(started(), queue)
    others = ask(lambda conn: _close(conn, names, reason))
    _tell_others(others)
    click.echo(f"paused: {', '.join(names)}; `sluice queues drain` also waits until nothing is in hand")


@queues.command()
@QUEUES
@REASON
@WITHIN
@as_json
def drain(*, queue: Sequence[str], reason: str, within: timedelta, as_json: bool) -> None:
    """Pause queues, and wait until no worker process has anything of them in hand; exit 1 where one still has.

    \b
    Example: sluice queues drain fetch.nansen --within 1m --reason 'a new parser'
    """
    settings = started()
    names = _known(settings, queue)
    others, busy, took = asyncio.run(_drained(settings, names, reason, within))
    if as_json:
        told = {"queues": names, "drained": not busy, "in_hand_at": busy, "seconds": round(took, 3)}
        show_json(told | {"paused_before": [_paused(one) for one in others]})
    else:
        _tell_others(others)
        for name, processes in busy.items():
            click.echo(f"{name}: after {took:.1f} s something is still in hand at {', '.join(processes)}")
        if not busy:
            click.echo(f"{', '.join(names)}: drained in {took:.1f} s, nothing is in hand")
    if busy:
        raise SystemExit(1)


@queues.command()
@QUEUES
def resume(queue: Sequence[str]) -> None:
    """Work on queues again, whoever paused them.

    \b
    Example: sluice queues resume dedup post
    """
    names = _known(started(), queue)

    async def work(conn: AsyncConnection) -> list[str]:
        again = await pauses.resume(conn, names)
        for name in again:
            await note(conn, OPERATOR, "queue.resume", name)
        return again

    again = ask(work)
    click.echo(f"resumed: {', '.join(again)}" if again else "none of them was paused")


def _names(settings: Settings) -> tuple[str, ...]:
    return messages.queues(sorted(configured_providers(settings)))


def _known(settings: Settings, given: Sequence[str]) -> list[str]:
    known = _names(settings)
    for name in given:
        if name not in known:
            raise CannotDo(f"there is no queue {name!r}; there are {', '.join(known)}")
    return sorted(set(given))


def _who() -> str:
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user need not have a name
        name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"


async def _look(conn: AsyncConnection, names: Sequence[str]) -> tuple[dict[str, Pause], Holders]:
    return {one.queue: one for one in await pauses.listed(conn)}, await pauses.holders(conn, names)


async def _close(conn: AsyncConnection, names: Sequence[str], reason: str) -> list[Pause]:
    """Pause what is open, and give those that others have paused before."""
    closed = await pauses.pause(conn, names, who=_who(), reason=reason, now=utc_now())
    for name in closed:
        await note(conn, OPERATOR, "queue.pause", name)
    return [one for one in await pauses.listed(conn) if one.queue in names and one.queue not in closed]


async def _drained(
    settings: Settings, names: Sequence[str], reason: str, within: timedelta
) -> tuple[list[Pause], dict[str, Sequence[str]], float]:
    began = time.monotonic()
    async with opened(settings) as database:
        others = await transact(database, settings, lambda conn: _close(conn, names, reason))
        while True:
            hold = await transact(database, settings, lambda conn: pauses.holders(conn, names))
            busy = {name: processes for name, processes in hold.items() if processes}
            took = time.monotonic() - began
            if not busy or took >= within.total_seconds():
                return others, busy, took
            await asyncio.sleep(LOOK_EVERY_S)


async def _waiting(settings: Settings, names: Sequence[str]) -> dict[str, int]:
    try:
        return await depths(server(settings.broker_url), names)
    except OSError as error:
        click.echo(f"sluice: {error}", err=True)
        return {}


def _row(name: str, paused: Pause | None, holders: Sequence[str], waiting: int | None) -> dict[str, Any]:
    """Of an open queue every process may have something in hand: that is no news."""
    return {
        "queue": name,
        "stands": "paused" if paused else "open",
        "messages": waiting,
        "in_hand_at": holders if paused else None,
        **({"since": None, "who": None, "reason": None} if paused is None else _paused(paused)),
    }


def _paused(one: Pause) -> dict[str, Any]:
    return {"queue": one.queue, "since": one.since, "who": one.who, "reason": one.reason}


def _tell_others(others: Sequence[Pause]) -> None:
    for one in others:
        click.echo(f"{one.told}, and stays so", err=True)


COMMANDS = (queues,)
