"""``sluice pnl``: gains, and the lots behind them.  ``book`` works on a file, in memory, without a server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import reduce
from importlib import import_module
from json import JSONDecodeError, loads
from pathlib import Path
from typing import IO, Any

import click
import rich.progress

from ledger.booking import Oversell, Oversold, Rules
from ledger.csvfile import BadFile, read_trades
from ledger.lots import Method
from ledger.marks import Mark
from ledger.moves import PoolBy
from ledger.report import Asked, report
from ledger.trades import InvalidTrade, Trade, number
from ops.cli.options import as_json
from ops.cli.output import console, show_json, show_table, utc_now

FROM_MARKS = "those of the marks file"
_POOL = ("user", "account", "coin")
_FIGURES = ("realised", "income", "expense", "open_qty", "open_cost", "missing_qty", "market_value", "unrealised")
Command = Callable[..., None]


class Refused(click.ClickException):
    """The file cannot be booked; the text says why, in one line.

    An exception of its own: the one of ``ops.cli.opening`` brings every library of the servers with it, and a command
    that needs none of them should begin at once.
    """

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the line as every command prints it."""
        click.echo(f"sluice: {self.message}", file=file, err=file is None)


class Lazily(click.Group):
    """A group whose other commands, which need the books, are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        import_module("ops.cli.pnl_books")
        return super().list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.commands:
            import_module("ops.cli.pnl_books")
        return super().get_command(ctx, cmd_name)


@click.group(cls=Lazily)
def pnl() -> None:
    """Gains and losses, and the lots that they come from.

    \b
    Example: sluice pnl book trades.csv --method HIFO --json
    """


def booking_rules(command: Command) -> Command:
    """Add the options that say under what conventions to book."""
    options = (
        click.option(
            "--method", type=click.Choice([one.value for one in Method]), default=Method.FIFO.value, show_default=True
        ),
        click.option(
            "--pool-by",
            type=click.Choice([one.value for one in PoolBy]),
            default=PoolBy.USER_COIN.value,
            show_default=True,
        ),
        click.option(
            "--oversell",
            type=click.Choice([one.value for one in Oversell]),
            default=Oversell.REJECT.value,
            show_default=True,
            help="A sale of more than is there: refuse it, or count the rest as bought for nothing, and tell it.",
        ),
        click.option("--allow-short", is_flag=True, help="A sale of more than is there opens a short."),
    )
    return reduce(lambda made, option: option(made), reversed(options), command)


@pnl.command()
@click.argument("file", type=click.Path(path_type=Path))
@booking_rules
@click.option("--marks", type=click.Path(path_type=Path), help='JSON with {"marks": {"BTC": "51000"}}: prices now.')
@click.option(
    "--windows",
    is_flag=False,
    flag_value=FROM_MARKS,
    help="Gains in [from, to): FROM/TO, more after commas, or a JSON file; without a value: of the marks file.",
)
@click.option(
    "--as-of",
    is_flag=False,
    flag_value=FROM_MARKS,
    help="The state after all rows up to TIME, more after commas, or a JSON file; without a value: of the marks file.",
)
@click.option("--after-arrival", is_flag=True, help="The state after each row, in the order in which they arrived.")
@as_json
def book(
    *,
    file: Path,
    method: str,
    pool_by: str,
    oversell: str,
    allow_short: bool,
    marks: Path | None,
    windows: str | None,
    as_of: str | None,
    after_arrival: bool,
    as_json: bool,
) -> None:
    """Book a file of trades in memory and print the lots, the disposals and the figures.

    FILE is CSV: trade_id, user, account, ts, kind, base, qty, quote, price, quote_rate, fee_qty, fee_coin, fee_value,
    to_account, and seq and tag where there are any.  A row that is none ends it: one line says which, and why.

    \b
    Examples:
      sluice pnl book trades.csv --method HIFO
      sluice pnl book trades.csv --windows 2026-01-01/2027-01-01 --json
    """
    rules = Rules(Method(method), PoolBy(pool_by), Oversell(oversell), allow_short)
    told = _document(marks) if marks is not None else None
    asked = Asked(
        marks=_marks(told or {}),
        windows=_windows(_given("--windows", windows, told), rules.method),
        as_of=_as_of(_given("--as-of", as_of, told), rules.method),
        after_arrival=after_arrival,
    )
    deliveries, rows = _read(file)
    try:
        done = report(deliveries, rules, asked)
    except Oversold as error:
        raise Refused(f"{file}: row {rows[error.trade.key]}: {error}") from None
    if as_json:
        show_json(done)
        return
    told_rows = ([pool[name] for name in (*_POOL, *_FIGURES)] for pool in done["pools"])
    show_table(
        (*_POOL, *_FIGURES), told_rows, title=f"{rules.method}, {len(done['disposals'])} disposals", none="No rows."
    )


def _read(file: Path) -> tuple[list[Trade], dict[tuple[str, str], int]]:
    """Give all deliveries in order of arrival, and the row in which each trade stood first."""
    deliveries: list[Trade] = []
    rows: dict[tuple[str, str], int] = {}
    shown = console(stderr=True)
    try:
        with rich.progress.open(
            file, "r", encoding="utf-8", newline="", console=shown, transient=True, disable=not shown.is_terminal
        ) as lines:
            for row in read_trades(lines, now=utc_now()):
                if row.trade is None:
                    raise Refused(f"{file}: row {row.number}: {row.refused}")
                rows.setdefault(row.trade.key, row.number)
                deliveries.append(replace(row.trade, seq=row.seq) if row.again else row.trade)
    except BadFile as error:
        raise Refused(f"{file}: {error}") from None
    except OSError as error:
        raise Refused(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Refused(f"{file}: this is not UTF-8 text") from None
    return deliveries, rows


def _document(file: Path) -> Mapping[str, Any]:
    try:
        told = loads(file.read_bytes(), parse_float=Decimal, parse_int=Decimal)
    except OSError as error:
        raise Refused(f"{file}: {error.strerror}") from None
    except (JSONDecodeError, UnicodeDecodeError) as error:
        raise Refused(f"{file}: this is not JSON: {error}") from None
    if not isinstance(told, dict):
        raise Refused(f"{file}: a JSON object is needed")
    return told


def _marks(told: Mapping[str, Any]) -> dict[str, Mark]:
    """Read {"marks": {coin: price}}, prices as text or numbers."""
    marks = told.get("marks", {})
    if not isinstance(marks, dict):
        raise Refused('marks are an object such as {"BTC": "51000"}')
    try:
        return {coin: Mark(number(f"the mark of {coin}", str(price))) for coin, price in marks.items()}
    except InvalidTrade as error:
        raise Refused(str(error)) from None


def _given(option: str, value: str | None, told: Mapping[str, Any] | None) -> str | Mapping[str, Any] | None:
    """Give the document that an option points to, or the text that it holds."""
    if value is None:
        return None
    if value == FROM_MARKS:
        if told is None:
            raise Refused(f"{option} needs a value, or --marks with a file that has them")
        return told
    return _document(Path(value)) if value.endswith(".json") else value


def _windows(given: str | Mapping[str, Any] | None, method: Method) -> list[tuple[datetime, datetime]] | None:
    if given is None:
        return None
    if isinstance(given, str):
        pairs = [one.replace("..", "/").partition("/")[::2] for one in given.split(",")]
    else:
        pairs = [(start, end) for start, end in _listed(given, method, "windows", "from", "to")]
    spans = [(_moment(start), _moment(end)) for start, end in pairs]
    if any(end < start for start, end in spans):
        raise Refused("a window ends before it begins")
    return spans


def _as_of(given: str | Mapping[str, Any] | None, method: Method) -> list[datetime] | None:
    if given is None:
        return None
    if isinstance(given, str):
        return [_moment(one) for one in given.split(",")]
    return [_moment(at) for (at,) in _listed(given, method, "as_of", "ts")]


def _listed(told: Mapping[str, Any], method: Method, name: str, *fields: str) -> list[list[str]]:
    """Find a list of objects at the top of a document, or as a golden case has it, under its method."""
    try:
        by_method: Mapping[str, Any] = told.get("methods", {})
        under: Mapping[str, Any] = by_method.get(method.value) or next(iter(by_method.values()), {})
        return [[str(one[field]) for field in fields] for one in told.get(name, under.get(name, ()))]
    except (AttributeError, KeyError, TypeError):
        raise Refused(f"{name} are a list of objects with {' and '.join(fields)}") from None


def _moment(told: str) -> datetime:
    """Read a time; one that names no zone is UTC, a date is its midnight."""
    try:
        at = datetime.fromisoformat(told.strip())
    except ValueError:
        raise Refused(f"{told!r} is no time: write it as 2026-08-17 or 2026-08-17T12:00Z") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


COMMANDS = (pnl,)
