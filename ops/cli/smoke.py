"""``sluice smoke``: is a running system all right, from outside?"""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from pathlib import Path

import click
from yarl import URL

from ledger import migrate
from ops.cli.opening import CannotDo
from ops.cli.options import SPAN, as_json
from ops.cli.output import plain, show_json, show_table
from ops.settings import Settings
from ops.smoke import Check, Plan, examined

SIGNS = {"ok": "ok", "failed": "FAILED", "skipped": "skipped"}


@click.command()
@click.argument("url")
@click.option("--user", default="smoke", show_default=True, help="Who logs in; the probe trades go to these books.")
@click.option("--password-stdin", is_flag=True, help="Read the password from the standard input.")
@click.option("--within", type=SPAN, default="30s", show_default=True, help="How long a job may take to its end.")
@click.option("--schema", help="The revision that the database must be at; default: the newest that this program has.")
@click.option("--ca", type=click.Path(path_type=Path), help="Trust the authorities in this file, not the system's.")
@as_json
def smoke(
    *, url: str, user: str, password_stdin: bool, within: timedelta, schema: str | None, ca: Path | None, as_json: bool
) -> None:
    """Look at the system at URL as its users would; exit 1 where anything is not as it must be.

    Name, certificate, health, schema, secrets; then it logs in, has a job done by a worker, posts a trade and takes it
    back, and logs out.  Make a user for it once, whose books nobody reads: `sluice user add smoke`.  The password is
    asked for, or comes from --password-stdin or SLUICE_SMOKE_PASSWORD.

    \b
    Examples:
      sluice smoke https://sluice.example.com --user smoke
      sluice smoke http://127.0.0.1:8080 --password-stdin --json < smoke.password
    """
    at = _address(url)
    plan = Plan(
        url=at,
        user=user,
        password=_password(user, password_stdin=password_stdin),
        schema=schema or migrate.head(),
        within_s=within.total_seconds(),
        ca=str(ca) if ca else None,
    )
    checks = asyncio.run(examined(plan))
    well = all(check.state != "failed" for check in checks)
    if as_json:
        show_json({"url": str(at), "well": well, "checks": checks})
    else:
        show_table(("", "check", "found", "seconds"), map(_row, checks))
    if not well:
        raise SystemExit(1)


def _row(check: Check) -> tuple[str, str, str, str]:
    return SIGNS[check.state], check.name, plain(check.detail, 160), f"{check.seconds:.3f}"


def _address(text: str) -> URL:
    try:
        url = URL(text)
    except ValueError:
        url = URL()
    if url.scheme not in ("http", "https") or not url.host or url.user or url.path not in ("", "/"):
        raise CannotDo("this is no address of a system: write it as https://sluice.example.com")
    return url.origin()


def _password(user: str, *, password_stdin: bool) -> str:
    if password_stdin:
        given = sys.stdin.readline().rstrip("\r\n")
    elif (known := Settings.from_env().smoke_password) is not None:
        given = known.reveal()
    elif sys.stdin.isatty():
        given = click.prompt(f"Password of {user}", hide_input=True)
    else:
        raise CannotDo("there is no terminal to ask for a password: use --password-stdin or SLUICE_SMOKE_PASSWORD")
    if not given:
        raise CannotDo("the password is empty")
    return str(given)


COMMANDS = (smoke,)
