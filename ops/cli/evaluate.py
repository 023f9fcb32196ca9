"""``sluice eval``: how good addresses, pairs of titles and stories are told, on labelled files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from ops import evaluation

_file = click.Path(exists=True, dir_okay=False, path_type=Path)
_json = click.option("--json", "only_json", is_flag=True, help="Print the line of JSON only.")


@click.group("eval")
def evaluate() -> None:
    """Measure on labelled files what the pipeline would say; no label is read before everything is decided."""


@evaluate.command()
@click.argument("file", type=_file)
@_json
def urls(file: Path, only_json: bool) -> None:
    """Join addresses: FILE has columns a, b, same (1 or 0)."""
    _tell("Addresses", lambda: evaluation.urls(file), only_json)


@evaluate.command()
@click.option("--train", type=_file, required=True, help="Where the threshold is chosen.")
@click.option("--test", type=_file, required=True, help="Where it is applied, unchanged.")
@_json
def pairs(train: Path, test: Path, only_json: bool) -> None:
    """Call pairs of headlines the same news: files have columns a, b, score (0 to 5; the same from 4)."""
    _tell("Pairs of headlines", lambda: evaluation.pairs(train, test), only_json)


@evaluate.command()
@click.argument("file", type=_file)
@_json
def stories(file: Path, only_json: bool) -> None:
    """Group titles into stories, in the order of time: FILE has columns ID, TITLE, URL, STORY, TIMESTAMP."""
    _tell("Stories", lambda: evaluation.stories(file), only_json)


def _tell(title: str, measure: Callable[[], dict[str, float]], only_json: bool) -> None:
    try:
        found = measure()
    except evaluation.UnreadableFile as error:
        raise click.ClickException(str(error)) from None
    if not only_json:
        table = Table("measure", "value", title=title)
        for name, value in found.items():
            table.add_row(name.replace("_", " "), f"{value:,}")
        Console().print(table)
    click.echo(json.dumps(found))


COMMANDS = (evaluate,)
