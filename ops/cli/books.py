"""``sluice import``, ``verify``, ``statement``: trades in, and the books proved and told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import rich.progress
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger import proof
from ledger.bookview import FOREVER, View, When, view
from ledger.csvfile import BadFile
from ledger.lots import Method
from ledger.proof import Finding
from ledger.statement import NoStatement, as_beancount, as_csv
from ops.bootstrap import configured_providers, open_hints
from ops.cli.opening import CannotDo, ask, opened, said_clearly
from ops.cli.options import MOMENT, as_json
from ops.cli.output import console, plain, show_json, show_table, utc_now
from ops.cli.processes import started
from ops.cli.whose import owner_of, reader
from ops.importing import Account, FileRow, Format, bring_in, read_rows, rehearse
from ops.settings import Settings

SHOWN_ROWS = 20
METHOD = click.option(
    "--method", type=click.Choice([one.value for one in Method]), default=Method.FIFO.value, show_default=True
)
USER = click.option("--user", required=True, help="Whose books: a user's name, or what they are kept under.")


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--user", help="Whose books; without it, the file's own column says.")
@click.option(
    "--format", "form", type=click.Choice(["golden", "hyperliquid"]), default="golden", show_default=True,
    help="golden: the columns of `sluice pnl book`; hyperliquid: fills as its users export them.",
)  # fmt: skip
@click.option("--source", help="Who gave the rows their ids; default: the format.")
@click.option("--dry-run", is_flag=True, help="Say what would happen, and do nothing.")
@as_json
def import_(*, file: Path, user: str | None, form: Format, source: str | None, dry_run: bool, as_json: bool) -> None:
    """Post a CSV FILE of trades.  Good rows are posted, each bad one is named with its reason; then the exit is 1.

    The same file again changes nothing.

    \b
    Examples:
      sluice import trades.csv --dry-run
      sluice import fills.csv --format hyperliquid --user alice
    """
    settings, source = started(), source or form
    rows = _read(file, form, user and owner_of(settings, user))
    account = asyncio.run(_import(settings, rows, source, file.name, dry_run=dry_run))
    if as_json:
        refused = [{"row": number, "reason": reason} for number, reason in account.refused]
        told = {"file": str(file), "dry_run": dry_run, "rows": account.rows, "new": account.new}
        show_json(told | {"duplicate": account.duplicate, "jobs": account.jobs, "refused": refused})
    else:
        _tell(account, dry_run=dry_run)
    if account.refused:
        raise SystemExit(1)


def _read(file: Path, form: Format, user: str | None) -> list[FileRow]:
    shown = console(stderr=True)
    try:
        with rich.progress.open(
            file, "r", encoding="utf-8", newline="", console=shown, transient=True, disable=not shown.is_terminal
        ) as lines:
            return list(read_rows(lines, form, user=user, now=utc_now()))
    except BadFile as error:
        raise CannotDo(f"{file}: {error}") from None
    except OSError as error:
        raise CannotDo(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CannotDo(f"{file}: this is not UTF-8 text") from None


async def _import(settings: Settings, rows: Sequence[FileRow], source: str, name: str, *, dry_run: bool) -> Account:
    async with opened(settings) as database:
        with said_clearly(settings):
            if dry_run:
                return await rehearse(database, rows, source)
            shown = console(stderr=True)
            async with open_hints(settings, configured_providers(settings)) as producer:
                with rich.progress.Progress(console=shown, transient=True, disable=not shown.is_terminal) as bar:
                    task = bar.add_task("rows", total=len(rows))
                    return await bring_in(
                        database, producer, rows, source=source, file=name, clock=utc_now,
                        show=lambda done: bar.advance(task, done),
                    )  # fmt: skip


def _tell(account: Account, *, dry_run: bool) -> None:
    would = "would be " if dry_run else ""
    click.echo(
        f"{account.rows} rows: {account.new} {would}new, {account.duplicate} there already,"
        f" {len(account.refused)} {would}refused"
    )
    for number, reason in account.refused[:SHOWN_ROWS]:
        click.echo(f"row {number}: {plain(reason, 300)}", err=True)
    if len(account.refused) > SHOWN_ROWS:
        click.echo(f"... and {len(account.refused) - SHOWN_ROWS} more: --json lists them all", err=True)


@click.command()
@click.option("--user", help="Whose books; without it, everybody's.")
@as_json
def verify(*, user: str | None, as_json: bool) -> None:
    """Prove the books: hash chains, balances, lots booked a second way, gains; exit 1 where anything differs.

    \b
    Example: sluice verify --user alice
    """

    async def prove(conn: AsyncConnection) -> list[Finding]:
        found: list[Finding] = []
        for one in [await reader(conn, user)] if user is not None else await proof.users(conn):
            found += await proof.verify(conn, one)
        return found

    findings = ask(prove)
    if as_json:
        fields = ("user", "check", "rows", "diverges")
        show_json([{name: getattr(one, name) for name in fields} for one in findings])
    else:
        rows = ([one.user, one.check, one.rows, one.diverges or "agrees"] for one in findings)
        show_table(("user", "check", "rows", "found"), rows, none="There are no books.")
    if any(one.diverges for one in findings):
        raise SystemExit(1)


@click.command()
@USER
@METHOD
@click.option("--format", "form", type=click.Choice(["csv", "beancount"]), default="csv", show_default=True)
@click.option("--as-of", type=MOMENT, help="Only what had happened by then.")
@click.option("--known-at", type=MOMENT, help="As it was believed then.")
def statement(*, user: str, method: str, form: str, as_of: datetime | None, known_at: datetime | None) -> None:
    """Print a statement: every disposal with its lots as CSV, or all of it as a file that Beancount books itself.

    \b
    Examples:
      sluice statement --user alice > alice.csv
      sluice statement --user alice --method HIFO --format beancount > alice.beancount
    """

    async def read(conn: AsyncConnection) -> View:
        return await view(conn, await reader(conn, user), Method(method), moments(as_of, known_at))

    seen = ask(read)
    try:
        click.echo(as_csv(seen) if form == "csv" else as_beancount(seen), nl=False)
    except NoStatement as error:
        raise CannotDo(str(error)) from None


def moments(as_of: datetime | None, known_at: datetime | None) -> When:
    """Two moments as they were given; what was not given leaves nothing out."""
    return When(as_of or FOREVER, known_at or FOREVER)


def jsonable(rows: Sequence[Any]) -> list[dict[str, Any]]:
    """Give rows of a query as JSON objects."""
    return [dict(row._mapping) for row in rows]


COMMANDS = (import_, verify, statement)
