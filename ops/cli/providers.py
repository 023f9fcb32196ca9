"""``sluice providers``: who may be called, what is left to spend, and how well they answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import click
from sqlalchemy.ext.asyncio import AsyncConnection

from broker import pauses, views
from broker import providers as rows
from broker.limiter import LimiterUnreachable, open_limiter
from broker.messages import fetch_queue
from broker.pauses import Pause
from broker.providers import Standing
from broker.verdicts import ProviderStatus
from broker.views import CallShare, health
from ops.bootstrap import configured_providers, server
from ops.cli.jobs import tell_paused
from ops.cli.opening import CannotDo, opened, transact
from ops.cli.options import SPAN, Listing, as_json
from ops.cli.output import percent, plain, show_lines, show_table, told, utc_now, when
from ops.cli.processes import started
from ops.settings import Settings
from workers.http import token_variable
from workers.items import Provider

DAY = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class ProviderView:
    """How one provider stands; ``limits`` None while Redis does not answer."""

    provider: Provider
    standing: Standing
    limits: ProviderStatus | None
    calls: CallShare | None

    @property
    def share(self) -> float | None:
        """The share of the last day's calls that went well."""
        return self.calls.share if self.calls else None


@click.group(cls=Listing)
def providers() -> None:
    """Who may be called, what is left to spend, how well they answer: list (the default), enable, pause.

    \b
    Examples:
      sluice providers --json
      sluice providers pause nansen --for 2h --reason 'the plan is being changed'
    """


@providers.command("list")
@as_json
def list_(as_json: bool) -> None:
    """List providers; calls are those of the last 24 hours: healthy from 95 % good ones, degraded from 80 %.

    --json prints JSON lines, with the JSON Schema of each dataset's params.

    \b
    Example: sluice providers list --json
    """
    found = asyncio.run(_look(started()))
    if as_json:
        show_lines(_row(one) for one in found)
        return
    show_table(
        ("provider", "stands", "until", "spent", "left now", "credits left", "calls 24 h", "good", "health", "why"),
        (
            (
                one.provider.name,
                one.standing.state,
                when(one.standing.until),
                _spent(one.limits),
                _left(one.limits),
                one.standing.remaining,
                one.calls.calls if one.calls else 0,
                percent(one.share),
                health(one.share),
                plain(one.standing.reason or _closed(one.limits), 100),
            )
            for one in found
        ),
    )


@providers.command()
@click.argument("name")
def enable(name: str) -> None:
    """Call a provider again: somebody has mended what was wrong, or a pause is over.

    One that is disabled for want of a key needs it here too.

    \b
    Example: sluice providers enable nansen
    """
    settings = started()
    provider = _known(settings, name)
    given = settings.providers.get(name)
    has_key = given is not None and given.key is not None

    async def work() -> None:
        async with AsyncExitStack() as stack:
            database = await stack.enter_async_context(opened(settings))
            standing = await transact(database, settings, lambda conn: rows.standing(conn, name))
            if not has_key and _lacks_key(standing):
                raise CannotDo(f"{name} has no key: set {token_variable(name)} and start the workers again")
            limiter = await stack.enter_async_context(
                open_limiter(server(settings.redis_url), {name: provider.limits}, _never_asked)
            )
            await limiter.reopen(name)
            await transact(database, settings, lambda conn: rows.stand(conn, name, "ok", reason=None, now=utc_now()))

    asyncio.run(work())
    click.echo(f"{name}: enabled")


@providers.command()
@click.argument("name")
@click.option("--reason", default="paused from the command line", show_default=True, help="Why, for others to read.")
@click.option("--for", "span", type=SPAN, help="For how long, such as 2h; default: until it is enabled again.")
def pause(name: str, reason: str, span: timedelta | None) -> None:
    """Stop calling a provider; its jobs wait, nothing is lost.

    \b
    Example: sluice providers pause nansen --for 2h --reason 'the plan is being changed'
    """
    settings = started()
    _known(settings, name)
    until = utc_now() + span if span else None

    async def work() -> None:
        async with opened(settings) as database:
            await transact(
                database,
                settings,
                lambda conn: rows.stand(conn, name, "paused", reason=reason, until=until, now=utc_now()),
            )

    asyncio.run(work())
    click.echo(f"{name}: paused" + (f" until {when(until)}" if until else ""))


def _known(settings: Settings, name: str) -> Provider:
    known = configured_providers(settings)
    if name not in known:
        raise CannotDo(f"there is no provider {name!r}; there are {', '.join(sorted(known))}")
    return known[name]


def _lacks_key(standing: Standing) -> bool:
    # A start without the key, and a call that found none, name the variable to set; nobody else knows it.
    return standing.state == "disabled" and token_variable(standing.name) in (standing.reason or "")


async def _never_asked(provider: str, since: datetime) -> int:
    raise AssertionError(f"reopening {provider} asks for nothing, since {since}")


async def _look(settings: Settings) -> list[ProviderView]:
    known = configured_providers(settings)

    async def rows_of(conn: AsyncConnection) -> tuple[list[Standing], dict[str, CallShare], list[Pause]]:
        shares = await views.call_shares(conn, since=utc_now() - DAY)
        return await rows.standings(conn), shares, await pauses.listed(conn)

    async with opened(settings) as database:
        stand, calls, paused = await transact(database, settings, rows_of)
        tell_paused([one for one in paused if one.queue in map(fetch_queue, known)])

        async def spent_since(provider: str, since: datetime) -> int:
            return await transact(database, settings, lambda conn: rows.spent_since(conn, provider, since))

        limits: Mapping[str, ProviderStatus] = {}
        try:
            all_limits = {name: provider.limits for name, provider in known.items()}
            async with open_limiter(server(settings.redis_url), all_limits, spent_since) as limiter:
                limits = {name: await limiter.status(name) for name in known}
        except LimiterUnreachable as error:
            click.echo(f"sluice: {error}", err=True)
    standing = {one.name: one for one in stand}
    return [
        ProviderView(
            provider,
            standing.get(name) or Standing(name, "ok", None, None, None),
            limits.get(name),
            calls.get(name),
        )
        for name, provider in sorted(known.items())
    ]


def _spent(limits: ProviderStatus | None) -> str:
    if limits is None:
        return "unknown"
    return f"{limits.spent} of {limits.budget}" if limits.budget else "no budget"


def _left(limits: ProviderStatus | None) -> str:
    if limits is None or limits.allowed is None or limits.spent is None:
        return ""
    return str(max(0, limits.allowed - limits.spent))


def _closed(limits: ProviderStatus | None) -> str:
    if limits is None:
        return ""
    if limits.closed_until:
        return f"{limits.closed_reason}: wait until {when(limits.closed_until)}"
    return f"circuit open until {when(limits.breaker_until)}" if limits.breaker_until else ""


def _row(one: ProviderView) -> dict[str, Any]:
    datasets = {
        name: {"params": dataset.params, "interval_s": dataset.interval_s, "snapshot": dataset.snapshot}
        for name, dataset in one.provider.datasets.items()
    }
    return told(
        one.standing,
        limits=one.limits,
        calls_24h=one.calls.calls if one.calls else 0,
        good_share=one.share,
        health=health(one.share),
        datasets=datasets,
    )


COMMANDS = (providers,)
