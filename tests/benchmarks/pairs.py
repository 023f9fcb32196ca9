"""Ours and theirs, measured in turns in one run: medians, the ratio of each pair, and its spread.

A busy machine slows both halves of a pair, so ratios are worth more than rates.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

Way = Callable[[], Awaitable[float]]


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the table: what both did, pair by pair, and the ratio ours / theirs that is wanted.

    ``at_most``: a ratio under the target is good (times, memory); otherwise one over it is.  Without a target the line
    is for information.
    """

    name: str
    unit: str
    peer: str
    ours: Sequence[float]
    theirs: Sequence[float]
    target: float | None = None
    at_most: bool = False
    ratios: Sequence[float] = field(init=False)

    def __post_init__(self) -> None:
        ratios = [mine / other for mine, other in zip(self.ours, self.theirs, strict=True)]
        object.__setattr__(self, "ratios", ratios)

    @property
    def ratio(self) -> float:
        """The median of the pairs' ratios."""
        return statistics.median(self.ratios)

    @property
    def met(self) -> bool | None:
        """Whether the median reaches the target; None without one."""
        if self.target is None:
            return None
        return self.ratio <= self.target if self.at_most else self.ratio >= self.target

    def row(self) -> dict[str, Any]:
        """Give the line as data."""
        return {
            "name": self.name,
            "unit": self.unit,
            "peer": self.peer,
            "ours": statistics.median(self.ours),
            "theirs": statistics.median(self.theirs),
            "ratio": self.ratio,
            "ratio_min": min(self.ratios),
            "ratio_max": max(self.ratios),
            "target": self.target,
            "at_most": self.at_most,
            "met": self.met,
        }


async def interleaved(ways: Mapping[str, Way], repeats: int) -> dict[str, list[float]]:
    """Run each way once per round, the order turned by one each time; give the results by name, round by round."""
    names = list(ways)
    results: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(repeats):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            results[name].append(await ways[name]())
    return results


HEAD = ("what", "unit", "ours", "theirs", "against", "ratio (min-max)", "target", "met")


def cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Write a row's figures as people read them, in the order of ``HEAD``."""
    sign = "<=" if row["at_most"] else ">="
    return (
        row["name"],
        row["unit"],
        figure(row["ours"]),
        figure(row["theirs"]),
        row["peer"],
        f"{row['ratio']:.2f} ({row['ratio_min']:.2f}-{row['ratio_max']:.2f})",
        "" if row["target"] is None else f"{sign} {row['target']:g}",
        {True: "yes", False: "no", None: ""}[row["met"]],
    )


def table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Lay the rows out for a person."""
    shown = Table(*HEAD)
    for row in rows:
        shown.add_row(*cells(row))
    return shown


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Lay the rows out for a document (``docs/benchmarks.md``)."""
    lines = [HEAD, ("---", "---", "--:", "--:", "---", "---", "---", "---"), *map(cells, rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def figure(value: float) -> str:
    """Write a number with about three digits that count."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def parser(about: str | None, *, repeats: int) -> argparse.ArgumentParser:
    """Make the command line that all benchmarks share."""
    made = argparse.ArgumentParser(description=(about or "").split("\n", maxsplit=1)[0])
    made.add_argument("--json", action="store_true", help="print the rows as JSON, for a machine")
    made.add_argument("--repeats", type=int, default=repeats, help="rounds; every way runs once in each")
    return made


def show(measuring: Awaitable[Sequence[Line]], *, as_json: bool) -> None:
    """Measure, and print the table or its JSON."""

    async def measured() -> Sequence[Line]:
        return await measuring

    rows = [line.row() for line in asyncio.run(measured())]
    if as_json:
        sys.stdout.write(json.dumps(rows) + "\n")
    else:
        Console(width=150).print(table(rows))
