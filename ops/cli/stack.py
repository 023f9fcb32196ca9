"""Commands that run everything: demo."""

from __future__ import annotations

import asyncio
import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress as Bar
from rich.table import Table

from ops import demo as main_job
from ops import log
from ops.embedded.stack import BrokerName
from ops.settings import BadSetting, Settings


@click.command()
@click.option("--recorded", type=click.Path(path_type=Path), help="Serve recorded answers from this folder instead.")
@click.option("--fresh", is_flag=True, help="Begin with an empty ledger.")
@click.option("--broker", type=click.Choice(["redis", "rabbitmq"]), default="redis", show_default=True)
@click.option("--json", "only_json", is_flag=True, help="Print the last line of JSON only.")
def demo(recorded: Path | None, fresh: bool, broker: BrokerName, only_json: bool) -> None:
    """Run the main job over three providers, end to end on real servers, and leave nothing running."""
    settings = Settings.from_env()
    log.configure(settings, sys.stderr)
    if recorded is not None and not recorded.is_dir():
        raise BadSetting(f"--recorded {recorded}: there is no such folder")
    console = Console(stderr=True, quiet=only_json)
    account = asyncio.run(_demo(settings, recorded, fresh, broker, console))
    if not only_json:
        _tell(account, Console())
    click.echo(json.dumps(account))
    if account["lost"] or account["trouble"] or not account["verified"]:
        raise SystemExit(1)


async def _demo(
    settings: Settings, recorded: Path | None, fresh: bool, broker: BrokerName, console: Console
) -> dict[str, Any]:
    console.print(
        f"Starting PostgreSQL, {broker.title()}, a sandbox of three providers, a worker, a dispatcher and a gateway ..."
    )
    async with main_job.open_demo(settings, recorded=recorded, fresh=fresh, broker=broker) as opened:
        with Bar(console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task("jobs", total=None)

            def show(progress: main_job.Progress) -> None:
                done = progress.ended + len(progress.waiting)
                text = f"{progress.pages} pages posted, {progress.new} new items; jobs"
                bar.update(task, total=progress.jobs, completed=done, description=text)

            return await main_job.run(opened, show)


def _tell(account: dict[str, Any], console: Console) -> None:
    providers = account["by_provider"]
    table = Table(
        "",
        *providers,
        "all",
        "",
        title="What was asked for, and what came of it",
        title_justify="left",
        box=SIMPLE_HEAD,
    )
    for column in table.columns[1:-1]:
        column.justify = "right"
    for name, meaning in _SHOWN.items():
        counts = [str(one[name]) for one in providers.values()]
        table.add_row(name, *counts, str(account[name]), f"[dim]{meaning}[/]")
    console.print(table)
    known = " Nothing was new: this ledger has seen it all before (--fresh begins anew)." if not account["new"] else ""
    console.print(f"The ledger holds {account['items']} items; this took {account['seconds']} s.{known}")
    _tell_stories(account, console)
    _tell_books(account, console)
    _tell_client(account, console)
    for line in account["trouble"]:
        console.print(f"[bold]not done:[/] {line}", highlight=False)


def _tell_stories(account: dict[str, Any], console: Console) -> None:
    several = account["shared_stories"]
    console.print(f"Of {account['stories']} stories, {several} are told by more than one provider.")
    for example in account["examples"]:
        table = Table("provider", "title", "because of", box=SIMPLE_HEAD, title_justify="left")
        table.title = f"Story {example['story']}"
        for told in example["tellings"]:
            why = told["why"] or {}
            score = f" {why['score']:.2f}" if "score" in why else ""
            table.add_row(told["provider"], escape(told["title"]), f"{why.get('by', '')}{score}")
        console.print(table)


def _tell_books(account: dict[str, Any], console: Console) -> None:
    table = Table("", *account["realized"], box=SIMPLE_HEAD, title_justify="left")
    table.title = f"What {account['trades']} trades came to, in USDT, by four methods of booking"
    for column in table.columns[1:]:
        column.justify = "right"
    for name in ("realized", "unrealized"):
        table.add_row(name, *map(_rounded, account[name].values()))
    console.print(table)
    proved = "The books prove themselves: chains, balances, lots and gains agree."
    console.print(proved if account["verified"] else f"[bold]The books differ:[/] {account['diverges']}")


def _tell_client(account: dict[str, Any], console: Console) -> None:
    """Tell what the client read and met at the gateway."""
    for what, found in account["read"].items():
        if what != "pnl" and found:
            (one,) = found
            title, came_from = one["title"] or " ".join(one["coins"]), f"{one['provider']}, page {one['page']}"
            console.print(f"GET /{what}: {escape(title)} ({came_from})", highlight=False, soft_wrap=True)
    figures = ", ".join(f"{name} {_rounded(value)}" for name, value in account["read"]["pnl"].items())
    console.print(f"GET /pnl/summary: {figures}", highlight=False, soft_wrap=True)
    limit = account["limit"]
    console.print(f"{limit['admitted']} requests of another user at once, to meet the limit on purpose: then 429 with")
    for name, value in limit["headers"].items():
        console.print(f"  {name}: {value}", highlight=False, soft_wrap=True)


def _rounded(value: object) -> str:
    return "unknown" if value is None else f"{Decimal(value):,.2f}" if isinstance(value, str) else str(value)


_SHOWN = {
    "jobs": "what was asked for",
    "pages": "answers kept",
    "calls": "requests paid for",
    "cost": "calls, or credits",
    "found": "rows on those pages",
    "new": "became items",
    "duplicate": "were known",
    "amended": "known, but changed",
    "rejected": "unreadable rows",
    "skipped": "no data, by rule",
    "observed": "votes, prices moved",
    "stories": "told by these items",
    "lost": "not in the ledger",
}
COMMANDS = (demo,)
