"""``sluice keys``: the keys that sign access tokens."""

from __future__ import annotations

from datetime import timedelta

import click
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.auth.audit import Origin, note
from gateway.auth.keys import LEAD, KeyRing, add_key, described, drop_key, first_key, read_keys
from gateway.auth.revocations import revoke
from ops.cli.opening import CannotDo, ask
from ops.cli.options import SPAN, Listing, as_json, yes
from ops.cli.output import show_json, show_lines, show_table, utc_now, when
from ops.cli.processes import started
from ops.signing import master_of

OPERATOR = Origin("operator")
SOONEST = timedelta(minutes=1)


@click.group(cls=Listing)
def keys() -> None:
    """The keys that sign access tokens: list (the default), rotate, drop.

    \b
    Example: sluice keys rotate
    """


@keys.command("list")
@as_json
def list_(*, as_json: bool) -> None:
    """List keys: published, signing, verifying what they signed, expired, dropped.  --json prints JSON lines.

    \b
    Example: sluice keys list
    """
    now = utc_now()
    ring = ask(lambda conn: read_keys(conn, None))
    if as_json:
        show_lines(
            {"kid": row.kid, "state": state, "created_at": row.created_at, "signs_from": row.signs_from}
            for row, state in described(ring, now)
        )
        return
    rows = ((row.kid, state, when(row.signs_from), when(row.dropped_at)) for row, state in described(ring, now))
    show_table(
        ("kid", "state", "signs from", "dropped"), rows, none="No keys: the first gateway that starts makes one."
    )


@keys.command()
@click.option(
    "--in", "lead", type=SPAN, default=LEAD, show_default="1d", help="How long it is published before it signs."
)
@click.option("--now", "at_once", is_flag=True, help="It signs at once: who keeps a copy of the key set is behind.")
@as_json
def rotate(*, lead: timedelta, at_once: bool, as_json: bool) -> None:
    """Make a key and publish it; later it signs in place of the one that signs now.  No token dies of it.

    \b
    Example: sluice keys rotate --in 1h
    """
    if not at_once and lead < SOONEST:
        raise CannotDo("publish a key for a minute at least, or say --now")
    master, now = master_of(started()), utc_now()
    signs_from = now if at_once else now + lead

    async def work(conn: AsyncConnection) -> str:
        ring = await first_key(conn, master, now)
        waiting = [row.kid for row, state in described(ring, now) if state == "published"]
        if waiting:
            raise CannotDo(f"{waiting[0]} is published already and does not sign yet: wait for it, or drop it")
        kid = await add_key(conn, master, now=now, signs_from=signs_from)
        await revoke(conn, "keys", kid)
        await note(conn, OPERATOR, "key.rotate", f"signing key:{kid}")
        return kid

    kid = ask(work)
    if as_json:
        show_json({"kid": kid, "signs_from": signs_from})
    else:
        click.echo(f"{kid} signs from {when(signs_from)}")


@keys.command()
@click.argument("kid", required=False)
@click.option(
    "--all", "every", is_flag=True, help="All keys, with all gateways stopped: before SLUICE_SIGNING_KEY is changed."
)
@yes
def drop(*, kid: str | None, every: bool, yes: bool) -> None:
    """Drop a key that somebody else may have: within a second none of its tokens holds.

    Another signs at once where it was the one that signs; sessions go on with their refresh tokens.

    \b
    Example: sluice keys drop KID --yes
    """
    if (kid is None) != every:
        raise click.UsageError("a KID or --all, one of the two")
    if not yes:
        click.confirm(f"All access tokens signed by {kid or 'any key'} die now. Go on?", abort=True)
    click.echo(_drop_all() if kid is None else _drop(kid))


def _drop(kid: str) -> str:
    master, now = master_of(started()), utc_now()

    async def work(conn: AsyncConnection) -> KeyRing:
        await read_keys(conn, master)  # whoever has another secret must not leave keys that nobody can open
        if not await drop_key(conn, kid, now):
            raise CannotDo(f"there is no key {kid} to drop: sluice keys list")
        await _noted(conn, kid)
        return await first_key(conn, master, now)

    return f"{kid} is dropped; {ask(work).signer(now)[0]} signs"


def _drop_all() -> str:
    now = utc_now()

    async def work(conn: AsyncConnection) -> int:
        living = [row.kid for row in (await read_keys(conn, None)).rows if row.dropped_at is None]
        for kid in living:
            await drop_key(conn, kid, now)
            await _noted(conn, kid)
        return len(living)

    return f"{ask(work)} keys are dropped; the first gateway that starts makes one"


async def _noted(conn: AsyncConnection, kid: str) -> None:
    await revoke(conn, "keys", kid)
    await note(conn, OPERATOR, "key.drop", f"signing key:{kid}")


COMMANDS = (keys,)
