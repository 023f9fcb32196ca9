"""``sluice user``: who may ask.  Works with the database alone, so that the first administrator needs no gateway."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from datetime import timedelta
from secrets import token_urlsafe
from typing import TypeVar, cast, get_args

import click
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.auth import apikeys, users
from gateway.auth.apikeys import ApiKey
from gateway.auth.audit import Origin
from gateway.auth.passwords import LONGEST, SHORTEST, Passwords, refusal
from gateway.auth.users import NoUser, User
from gateway.principal import Role
from ops.cli.opening import CannotDo, ask
from ops.cli.options import SPAN, Listing, as_json
from ops.cli.output import show_json, show_lines, show_table, told, utc_now, when
from ops.cli.processes import started
from ops.signing import master_of

OPERATOR = Origin("operator")
R = TypeVar("R")
Command = Callable[..., None]
ROLE = click.Choice(get_args(Role))


def password_options(command: Command) -> Command:
    """Add the ways to give a password; never as an argument, where every user of the machine could read it."""
    command = click.option("--generate", is_flag=True, help="Make one up and print it, once.")(command)
    return click.option("--password-stdin", is_flag=True, help="Read it from the standard input.")(command)


@click.group(cls=Listing)
def user() -> None:
    """Who may ask: list (the default), add, disable, enable, role, password, logout; key, keys, revoke for programs.

    \b
    Examples:
      sluice user add alice --role admin
      sluice user list
    """


@user.command("list")
@as_json
def list_(*, as_json: bool) -> None:
    """List users.  --json prints JSON lines.

    \b
    Example: sluice user list --json
    """
    found = ask(users.listed)
    if as_json:
        show_lines(_shown(one) for one in found)
        return
    show_table(
        ("name", "role", "state", "last login", "added", "id"),
        ((one.name, one.role, _state(one), when(one.last_login_at), when(one.created_at), one.id) for one in found),
        none="No users. Make the first: sluice user add NAME --role admin",
    )


@user.command()
@click.argument("name")
@click.option("--role", type=ROLE, default="user", show_default=True)
@password_options
@as_json
def add(*, name: str, role: str, password_stdin: bool, generate: bool, as_json: bool) -> None:
    """Add a user; the password is asked for.  A service needs none: it has API keys.

    \b
    Examples:
      sluice user add alice --role admin
      sluice user add importer --role service
    """
    wanted = password_stdin or generate or role != "service"
    password = _password(name, password_stdin=password_stdin, generate=generate) if wanted else None
    kept = _hash(password) if password is not None else None
    made = ask(lambda conn: users.add(conn, OPERATOR, name, cast(Role, role), kept, now=utc_now()))
    _tell(f"{made.name} is {made.role}", made, password if generate else None, as_json=as_json)


@user.command()
@click.argument("name")
@as_json
def disable(*, name: str, as_json: bool) -> None:
    """Let a user in no more: sessions end within a second, API keys are refused.

    \b
    Example: sluice user disable alice
    """
    made = _changed(name, lambda conn, one: users.disable(conn, OPERATOR, one.id, now=utc_now()))
    _tell(f"{made.name} is disabled and logged out everywhere", made, None, as_json=as_json)


@user.command()
@click.argument("name")
@as_json
def enable(*, name: str, as_json: bool) -> None:
    """Let a user in again.

    \b
    Example: sluice user enable alice
    """
    made = _changed(name, lambda conn, one: users.enable(conn, OPERATOR, one.id))
    _tell(f"{made.name} is enabled", made, None, as_json=as_json)


@user.command()
@click.argument("name")
@click.argument("role", type=ROLE)
@as_json
def role(*, name: str, role: str, as_json: bool) -> None:
    """Change a user's role; it holds within a second.

    \b
    Example: sluice user role alice admin
    """
    made = _changed(name, lambda conn, one: users.set_role(conn, OPERATOR, one.id, cast(Role, role)))
    _tell(f"{made.name} is {made.role}", made, None, as_json=as_json)


@user.command()
@click.argument("name")
@password_options
@as_json
def password(*, name: str, password_stdin: bool, generate: bool, as_json: bool) -> None:
    """Set a user's password, which is asked for; all sessions end.

    \b
    Example: sluice user password alice --generate
    """
    new = _password(name, password_stdin=password_stdin, generate=generate)
    kept = _hash(new)

    async def change(conn: AsyncConnection, one: User) -> User:
        await users.set_password(conn, OPERATOR, one.id, kept, now=utc_now())
        return one

    made = _changed(name, change)
    _tell(
        f"{made.name} has a new password and is logged out everywhere", made, new if generate else None, as_json=as_json
    )


@user.command()
@click.argument("name")
@as_json
def logout(*, name: str, as_json: bool) -> None:
    """End all sessions of a user; API keys stay.

    \b
    Example: sluice user logout alice
    """

    async def end(conn: AsyncConnection, one: User) -> tuple[User, int]:
        return one, await users.logout_everywhere(conn, OPERATOR, one.id, now=utc_now())

    made, ended = _changed(name, end)
    _tell(f"{made.name} is logged out everywhere: {ended} sessions", made, None, as_json=as_json)


@user.command()
@click.argument("name")
@click.option("--name", "called", required=True, help="What the key is for.")
@click.option(
    "--scope", "scopes", multiple=True, help="What it may do, such as jobs:write; all the role may. Many times."
)
@click.option("--expires", type=SPAN, help="How long it lasts, such as 90d; without, until it is revoked.")
@as_json
def key(*, name: str, called: str, scopes: Sequence[str], expires: timedelta | None, as_json: bool) -> None:
    """Make an API key for a program, and print it once.

    \b
    Example: sluice user key importer --name nightly --scope jobs:write --scope jobs:read --expires 90d
    """
    pepper, now = master_of(started()).key("api keys"), utc_now()

    async def make(conn: AsyncConnection, one: User) -> tuple[ApiKey, str]:
        return await apikeys.create(
            conn,
            OPERATOR,
            one.id,
            name=called,
            scopes=scopes or apikeys.scopes_of_keys(one.role),
            expires_at=now + expires if expires else None,
            pepper=pepper,
            now=now,
        )

    made, text = _changed(name, make)
    if as_json:
        show_json(told(made, api_key=text))
    else:
        click.echo(text)
        click.echo("It is shown this once: keep it where programs keep secrets.", err=True)


@user.command()
@click.argument("name")
@as_json
def keys(*, name: str, as_json: bool) -> None:
    """List a user's API keys, without their secrets.

    \b
    Example: sluice user keys importer
    """
    found = _changed(name, lambda conn, one: apikeys.listed(conn, one.id))
    if as_json:
        show_lines(told(one) for one in found)
        return
    rows = (
        (one.id, one.name, " ".join(one.scopes), when(one.expires_at), when(one.last_used_at), when(one.revoked_at))
        for one in found
    )
    show_table(("key", "for", "scopes", "expires", "last used", "revoked"), rows, none="No keys.")


@user.command()
@click.argument("name")
@click.argument("key")
def revoke(*, name: str, key: str) -> None:
    """Revoke an API key by its id: no gateway takes it a second later.

    \b
    Example: sluice user revoke importer 0a1b2c3d4e5f6071
    """
    if not _changed(name, lambda conn, one: apikeys.withdraw(conn, OPERATOR, one.id, key, now=utc_now())):
        raise CannotDo(f"{name} has no key {key}")
    click.echo(f"{key} is revoked")


def _changed(name: str, change: Callable[[AsyncConnection, User], Awaitable[R]]) -> R:
    async def work(conn: AsyncConnection) -> R:
        found = await users.by_name(conn, name)
        if found is None:
            raise NoUser(f"there is no user {name}: sluice user list")
        return await change(conn, found)

    return ask(work)


def _password(name: str, *, password_stdin: bool, generate: bool) -> str:
    if password_stdin and generate:
        raise click.UsageError("--password-stdin or --generate, not both")
    if generate:
        return token_urlsafe(18)
    if password_stdin:
        given = sys.stdin.readline().rstrip("\r\n")
    elif sys.stdin.isatty():
        given = click.prompt(
            f"Password ({SHORTEST} to {LONGEST} characters)", hide_input=True, confirmation_prompt=True
        )
    else:
        raise CannotDo("there is no terminal to ask for a password: use --password-stdin or --generate")
    if why := refusal(given, [name]):
        raise CannotDo(why)
    return given


def _hash(password: str) -> str:
    with closing(Passwords(threads=1)) as passwords:
        return asyncio.run(passwords.hash(password))


def _tell(said: str, one: User, generated: str | None, *, as_json: bool) -> None:
    if as_json:
        show_json(_shown(one) | ({"password": generated} if generated else {}))
        return
    click.echo(said)
    if generated:
        click.echo(f"password: {generated}")


def _shown(one: User) -> dict[str, object]:
    return {name: value for name, value in told(one).items() if name not in ("password_hash", "epoch")}


def _state(one: User) -> str:
    return "enabled" if one.enabled else "disabled"


COMMANDS = (user,)
