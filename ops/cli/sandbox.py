"""``sluice sandbox``: the three providers, invented, on this machine."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click

from ops.cli.opening import CannotDo
from ops.cli.options import MOMENT, SPAN, as_json
from ops.cli.output import show_json, show_table
from ops.cli.processes import stop_signal
from ops.demo import sandbox_variables
from ops.sandbox import SandboxConfig, running_sandbox
from ops.sandbox.config import Allowance
from ops.sandbox.faults import PROVIDERS, parse_fault
from ops.settings import Settings


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=8900, show_default=True, help="0 takes a free one.")
@click.option("--seed", type=int, default=1, show_default=True, help="Another seed invents another world.")
@click.option("--size", type=click.IntRange(1, 1_000_000), default=600, show_default=True, help="About so much news.")
@click.option("--recorded", type=click.Path(path_type=Path), help="Serve recorded answers from this folder instead.")
@click.option("--now", type=MOMENT, help="Freeze its clock at this time.")
@click.option("--reach", type=click.IntRange(1), default=200, show_default=True, help="Posts CryptoPanic's list shows.")
@click.option("--grow-every", type=click.IntRange(1), help="One new story before each n-th call for news.")
@click.option("--fault", multiple=True, metavar="[PROVIDER:]KIND=…", help="Such as 429=0.1, nansen:cut='every 5'.")
@click.option("--quota", multiple=True, metavar="PROVIDER=N", help="Calls or credits a month.")
@click.option("--per-second", multiple=True, metavar="PROVIDER=N", help="Calls a second.")
@click.option("--per-minute", multiple=True, metavar="PROVIDER=N", help="Calls a minute.")
@click.option("--concurrency", multiple=True, metavar="PROVIDER=N", help="Calls at once.")
@click.option("--key", multiple=True, metavar="PROVIDER=TOKEN", help="A token it accepts; default: any.")
@click.option("--every", type=SPAN, help="Show the calls this often, such as 10s; they are always shown at the end.")
@as_json
def sandbox(*, host: str, port: int, every: timedelta | None, as_json: bool, **given: Any) -> None:
    """Serve CryptoPanic, NewsCatcher and Nansen as an invented world, until Ctrl-C.

    Faults are 408, 429, 500, 502, 503, 504, html, slow, hang, truncated, cut, reordered, repeated and growing, each
    with a probability or "every N", and options behind commas: slow=0.5,ms=300.

    --json prints JSON lines: {"url", "variables"} first, then calls and credits by endpoint as {"endpoints", ...}.

    \b
    Example: sluice sandbox --port 8900 --fault 429=0.05 --fault 'nansen:cut=every 20' --quota nansen=500
    """
    asyncio.run(_serve(sandbox_config(given), host, port, every, as_json))


def sandbox_config(given: dict[str, Any]) -> SandboxConfig:
    """Make the configuration from what was typed; raise BadParameter or CannotDo with what is wrong."""
    recorded: Path | None = given["recorded"]
    if recorded is not None and not recorded.is_dir():
        raise CannotDo(f"--recorded {recorded}: there is no such folder")
    now: datetime | None = given["now"]
    try:
        faults = tuple(parse_fault(one) for one in given["fault"])
    except ValueError as error:
        raise click.BadParameter(f"--fault: {error}") from None
    quota, second, minute, at_once = (
        _numbers(f"--{name.replace('_', '-')}", given[name])
        for name in ("quota", "per_second", "per_minute", "concurrency")
    )
    keys = _texts("--key", given["key"])
    allowances = {
        name: Allowance(
            keys=frozenset(keys[name]) if name in keys else None,
            per_second=second.get(name),
            per_minute=minute.get(name),
            concurrency=at_once.get(name),
            quota=quota.get(name),
        )
        for name in PROVIDERS
    }
    return SandboxConfig(
        seed=given["seed"],
        size=given["size"],
        recorded=recorded,
        faults=faults,
        now=now,
        reach=given["reach"],
        grow_every=given["grow_every"],
        **allowances,
    )


def _texts(option: str, given: Sequence[str]) -> dict[str, list[str]]:
    read: dict[str, list[str]] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or not value or name not in PROVIDERS:
            raise click.BadParameter(f"{option}: write PROVIDER=…, with one of {', '.join(PROVIDERS)}")
        read.setdefault(name, []).append(value)
    return read


def _numbers(option: str, given: Sequence[str]) -> dict[str, int]:
    read = {name: values[-1] for name, values in _texts(option, given).items()}
    if bad := [value for value in read.values() if not (value.isascii() and value.isdigit())]:
        raise click.BadParameter(f"{option}: {bad[0]!r} is no whole number")
    return {name: int(value) for name, value in read.items()}


async def _serve(config: SandboxConfig, host: str, port: int, every: timedelta | None, as_json: bool) -> None:
    stop = stop_signal()
    try:
        async with running_sandbox(config, host=host, port=port) as server:
            _announce(server.url, as_json)
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(every.total_seconds() if every else None):
                        await stop.wait()
                _show_calls(server.state.counts.report(), as_json)
    except (OSError, ValueError) as error:
        raise CannotDo(f"the sandbox cannot be served: {error}") from None


def _announce(url: str, as_json: bool) -> None:
    variables = sandbox_variables(Settings.from_env({}), url)
    if as_json:
        show_json({"url": url, "variables": variables})
        return
    click.echo(f"The sandbox answers at {url}; to use it:")
    for name, value in variables.items():
        click.echo(f"export {name}={value}")


def _show_calls(report: dict[str, Any], as_json: bool) -> None:
    if as_json:
        show_json({name: report[name] for name in ("endpoints", "statuses", "faults")})
        return
    show_table(
        ("provider", "endpoint", "calls", "credits"),
        ((one["provider"], one["endpoint"], one["calls"], one["cost"]) for one in report["endpoints"]),
        none="No calls yet.",
    )


COMMANDS = (sandbox,)
