"""Run every benchmark, print one table: ``python -m tests.benchmarks [--quick] [--only NAME] [--json|--markdown]``."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from tests.benchmarks.pairs import markdown, table
from tests.benchmarks.system import ROOT, machine

QUICK = {
    "jobs": ["--jobs", "200", "--repeats", "1"],
    "items": ["--items", "300", "--singles", "30", "--repeats", "1"],
    "engine": ["--messages", "400", "--fetches", "50", "--repeats", "1", "--peers", "socket"],
    "fetch": ["--fetches", "50", "--repeats", "1"],
    "publish": ["--messages", "500", "--repeats", "1"],
    "gateway": ["--requests", "300", "--decisions", "2000", "--paced-s", "0.5", "--repeats", "1"],
    "endurance": ["--minutes", "0.03"],
    "memory": ["--pages", "100", "--rows", "5"],
}
"""Every benchmark that gives lines, and sizes that only show that it runs."""


def run(name: str, words: Sequence[str]) -> list[dict[str, Any]]:
    """Run one benchmark in a process of its own and give its rows."""
    command = [sys.executable, "-m", f"tests.benchmarks.bench_{name}", "--json", *words]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True)
    rows: list[dict[str, Any]] = json.loads(done.stdout.strip().splitlines()[-1])
    return rows


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that everything runs, measures nothing")
    parser.add_argument("--only", choices=QUICK, nargs="*", default=list(QUICK))
    told = parser.add_mutually_exclusive_group()
    told.add_argument("--json", action="store_true")
    told.add_argument("--markdown", action="store_true", help="the table as docs/benchmarks.md has it")
    args = parser.parse_args()
    console, rows = Console(stderr=True), []
    for name in args.only:
        began = time.monotonic()
        console.print(f"{name} ...", end=" ")
        rows += run(name, QUICK[name] if args.quick else [])
        console.print(f"{time.monotonic() - began:.0f} s")
    if args.json:
        sys.stdout.write(json.dumps({"machine": machine(), "rows": rows}) + "\n")
    elif args.markdown:
        sys.stdout.write(f"{markdown(rows)}\n{machine()}\n")
    else:
        Console(width=150).print(table(rows))
        Console().print(machine())


if __name__ == "__main__":
    main()
