"""``sluice stories merge`` and ``split``: what a person says; ``list`` and ``show`` stand with the items."""

from __future__ import annotations

import getpass

import click
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger import regroup
from ops.cli.items import stories
from ops.cli.opening import CannotDo, ask
from ops.cli.options import ROW_ID, as_json
from ops.cli.output import show_json, utc_now
from workers.stories import telling

by_option = click.option("--by", default=getpass.getuser, show_default="your login", help="Who says so; it is kept.")


@stories.command("merge")
@click.argument("one", type=ROW_ID)
@click.argument("other", type=ROW_ID)
@by_option
@as_json
def merge(one: int, other: int, by: str, as_json: bool) -> None:
    """Make two stories one.  The elder's id stays, and the other goes on to answer.

    \b
    Example: sluice stories merge 7 12
    """

    if one == other:
        raise CannotDo(f"story {one} cannot be merged with itself")

    async def work(conn: AsyncConnection) -> int:
        try:
            return await regroup.merge(conn, one, other, by=by, now=utc_now())
        except regroup.UnknownStoryError as error:
            raise CannotDo(f"{error}: `sluice stories list` names those there are") from None

    kept = ask(work)
    _tell({"story": kept}, f"stories {one} and {other} are now story {kept}", as_json)


@stories.command("split")
@click.argument("item", type=ROW_ID)
@by_option
@as_json
def split(item: int, by: str, as_json: bool) -> None:
    """Take an item out of its story and give it one of its own; the two are not merged again for being alike.

    \b
    Example: sluice stories split 42
    """

    async def work(conn: AsyncConnection) -> int:
        try:
            return await regroup.split(conn, item, tell=telling, by=by, now=utc_now())
        except regroup.UnknownStoryError as error:
            raise CannotDo(f"{error}: `sluice items list` names those there are") from None

    new = ask(work)
    _tell({"story": new}, f"item {item} now tells story {new}", as_json)


def _tell(found: dict[str, int], line: str, as_json: bool) -> None:
    if as_json:
        show_json(found)
    else:
        click.echo(line)


COMMANDS = (stories,)
