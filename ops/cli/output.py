"""What commands print: tables for people, JSON for programs, times that both can read.

Text that came from outside loses what a terminal would obey.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH_IN_A_FILE = 200
UNKNOWN = "unknown"


def utc_now() -> datetime:
    """Read the system's clock."""
    return datetime.now(UTC)


def plain(text: str, width: int | None = None) -> str:
    """Make a text safe to print in one line, cut to ``width`` characters."""
    told = "".join(sign if sign.isprintable() else " " for sign in text)
    return told if width is None or len(told) <= width else told[: width - 1] + "…"


def when(at: datetime | None) -> str:
    """Write a time: UTC, to the second."""
    return "" if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def span(time: timedelta | None) -> str:
    """Write a span in its two largest units; days count."""
    if time is None:
        return UNKNOWN
    left = int(abs(time.total_seconds()))
    parts: list[str] = []
    for unit, seconds in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, seconds)
        if count or (unit == "s" and not parts):
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])


def percent(share: float | None) -> str:
    """Write a share; without data it is unknown, not 0."""
    return UNKNOWN if share is None else f"{100 * share:.1f} %"


def figure(value: float | None) -> str:
    """Write a figure from 0 to 1."""
    return UNKNOWN if value is None else f"{value:.2f}"


def show_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str = "", none: str = "") -> None:
    """Print a table, or the sentence that says that there is nothing."""
    table = Table(*columns, title=title or None, title_justify="left")
    count = 0
    for row in rows:
        table.add_row(*(Text("" if cell is None else plain(str(cell))) for cell in row))
        count += 1
    if count or not none:
        console().print(table)
    else:
        click.echo(none)


def show_pairs(pairs: Iterable[tuple[str, Any]]) -> None:
    """Print names and values, one in a line; what has no value is left out."""
    given = [(name, value) for name, value in pairs if value not in (None, "")]
    width = max((len(name) for name, _ in given), default=0)
    for name, value in given:
        click.echo(f"{name:<{width}}  {plain(str(value))}")


def show_json(value: Any) -> None:
    """Print one JSON document, in one line."""
    click.echo(orjson.dumps(value, default=_jsonable, option=orjson.OPT_NON_STR_KEYS).decode())


def show_lines(values: Iterable[Any]) -> None:
    """Print JSON lines: one document for each value, nothing where there is none."""
    for value in values:
        show_json(value)


def told(value: Any, **more: Any) -> dict[str, Any]:
    """Give a dataclass as a dictionary with more fields, such as its computed ones."""
    assert is_dataclass(value)
    return {field.name: getattr(value, field.name) for field in fields(value)} | more


def console(*, stderr: bool = False) -> Console:
    """Give a console that does not fold lines where nobody looks at a terminal."""
    made = Console(stderr=stderr, highlight=False, soft_wrap=False)
    return made if made.is_terminal else Console(stderr=stderr, highlight=False, width=WIDTH_IN_A_FILE)


def redactor(secrets: Iterable[str]) -> Callable[[str], str]:
    """Give a function that cuts known secrets out of a text."""
    known = sorted({secret for secret in secrets if secret}, key=len, reverse=True)

    def clean(text: str) -> str:
        for secret in known:
            text = text.replace(secret, "REDACTED")
        return text

    return clean


def _jsonable(value: Any) -> Any:
    match value:
        case timedelta():
            return value.total_seconds()
        case Decimal() | Path():
            return str(value)
        case frozenset() | set():
            return sorted(value)
    return dict(value)  # a read-only mapping; anything else is a fault of ours and raises
