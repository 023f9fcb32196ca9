"""``sluice streams``: what is asked for again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import click
from sqlalchemy.ext.asyncio import AsyncConnection

from broker import jobs, views
from broker import streams as rows
from broker.jobs import Receipt
from broker.measured import StreamQuality, quality
from broker.reparse import Reparse, reparse
from broker.streams import NewStream, Stream
from broker.timetable import BadScheduleError, cron_after, pull_job
from broker.views import JobView
from ops.bootstrap import configured_providers
from ops.cli.following import follow, line
from ops.cli.opening import CannotDo, ask, hint, opened, transact
from ops.cli.options import JSON_OBJECT, MOMENT, SPAN, Listing, as_json, pairs, yes
from ops.cli.output import figure, plain, show_json, show_lines, show_table, span, told, utc_now, when
from ops.cli.processes import started
from workers.items import Dataset, Refused
from workers.plan import provider_of


@click.group(cls=Listing)
def streams() -> None:
    """What is asked for again and again: list (the default), add, pause, resume, run, reparse, remove.

    \b
    Examples:
      sluice streams add btc-posts --provider cryptopanic --dataset posts --param currencies=BTC --every 5m
      sluice streams list
    """


@streams.command("list")
@as_json
def list_(as_json: bool) -> None:
    """List streams: schedule, next run, how far they are, what the last run did, how good they are.

    --json prints JSON lines.

    \b
    Example: sluice streams list --json
    """
    found = ask(_listed)
    if as_json:
        show_lines(
            told(stream, last_job=last and told(last, outcome=last.outcome), score=good.figures.score)
            for stream, last, good in found
        )
        return
    show_table(
        ("stream", "what", "every", "next run", "read up to", "last run", "score"),
        (
            (
                stream.name,
                f"{stream.provider} {stream.dataset}",
                every(stream),
                when(stream.next_run_at) if stream.enabled else f"paused: {plain(stream.pause_reason or '', 60)}",
                when(stream.watermark),
                last and (last.outcome or last.waits or last.state),
                figure(good.figures.score),
            )
            for stream, last, good in found
        ),
        none="No streams. Make one: sluice streams add --help",
    )


async def _listed(conn: AsyncConnection) -> list[tuple[Stream, JobView | None, StreamQuality]]:
    good = {one.stream: one for one in await quality(conn, now=utc_now())}
    listed = []
    for stream in await rows.listed(conn):
        last = await views.list_jobs(conn, stream=stream.name, limit=1)
        listed.append((stream, last[0] if last else None, good[stream.name]))
    return listed


def every(stream: Stream) -> str:
    """Say when a stream is due, in words."""
    return f"cron {stream.cron}" if stream.cron else span(timedelta(seconds=stream.interval_s or 0))


@streams.command()
@click.argument("name")
@click.option("--provider", required=True, help="Whom to ask, such as cryptopanic.")
@click.option("--dataset", required=True, help="Which of its lists; sluice providers --json names them.")
@click.option("--param", multiple=True, metavar="NAME=VALUE", help="What to ask; a value may be JSON. Many times.")
@click.option("--params", type=JSON_OBJECT, help="What to ask, as one JSON object.")
@click.option("--every", "interval", type=SPAN, help="How often, such as 5m; default: what suits the dataset.")
@click.option("--cron", help="Instead: minute hour day month weekday, in UTC, such as '0 6 * * 1-5'.")
@click.option("--overlap", type=SPAN, help="How far behind its last pull it reads; default: what suits the dataset.")
@click.option("--priority", type=click.IntRange(-100, 100), default=0, show_default=True, help="Higher goes first.")
@as_json
def add(
    *,
    name: str,
    provider: str,
    dataset: str,
    param: Sequence[str],
    params: Mapping[str, Any] | None,
    interval: timedelta | None,
    cron: str | None,
    overlap: timedelta | None,
    priority: int,
    as_json: bool,
) -> None:
    """Add a stream, or change the one of that name; it is due at once.  --json prints one document.

    \b
    Example: sluice streams add eth-flows --provider nansen --dataset smart-money/netflow
               --params '{"chains": ["ethereum"]}' --every 15m
    """
    if interval is not None and cron is not None:
        raise click.UsageError("give --every or --cron, not both")
    settings, given = started(), {**(params or {}), **pairs(param)}
    try:
        _, known = provider_of(
            {"provider": provider, "dataset": dataset, "params": given}, configured_providers(settings)
        )
        if cron is not None:
            cron_after(cron, utc_now())
    except (Refused, BadScheduleError) as error:
        raise CannotDo(str(error)) from None
    new = NewStream(
        name,
        provider,
        dataset,
        given,
        interval_s=None if cron else _interval_s(interval, known),
        cron=cron,
        overlap_s=int((known.overlap if overlap is None else overlap).total_seconds()),
        priority=priority,
    )
    made = ask(lambda conn: rows.add(conn, new, now=utc_now()))
    if as_json:
        show_json(made)
    else:
        click.echo(f"{made.name}: {every(made)}; next run {when(made.next_run_at)}")


def _interval_s(interval: timedelta | None, dataset: Dataset) -> int:
    return dataset.interval_s if interval is None else int(interval.total_seconds())


@streams.command()
@click.argument("name")
@click.option("--reason", default="paused from the command line", show_default=True, help="Why, for others to read.")
def pause(name: str, reason: str) -> None:
    """Stop asking; jobs that are under way go on.

    \b
    Example: sluice streams pause btc-posts --reason 'the plan is being changed'
    """
    if not ask(lambda conn: rows.pause(conn, name, reason=reason)):
        raise missing(name)
    click.echo(f"{name}: paused")


@streams.command()
@click.argument("name")
def resume(name: str) -> None:
    """Ask again, from now on.

    \b
    Example: sluice streams resume btc-posts
    """
    if not ask(lambda conn: rows.resume(conn, name, now=utc_now())):
        raise missing(name)
    click.echo(f"{name}: due now")


@streams.command()
@click.argument("name")
@click.option("--backfill", is_flag=True, help="Read the whole list to its end, known or not.")
@click.option("--wait", is_flag=True, help="Stay until it has ended; exit 1 if it failed.")
@click.option("--timeout", type=SPAN, help="With --wait: stay no longer than this, such as 10m.")
@as_json
def run(*, name: str, backfill: bool, wait: bool, timeout: timedelta | None, as_json: bool) -> None:
    """Run a stream now, also a paused one.  --json prints one document: the job.

    \b
    Example: sluice streams run btc-posts --wait
    """
    settings = started()

    async def enqueue(conn: AsyncConnection) -> tuple[Receipt, str]:
        stream = await existing(conn, name)
        last = await views.list_jobs(conn, stream=name, limit=1)
        if last and not last[0].ended:
            raise CannotDo(f"{name} is under way already: `sluice jobs watch {last[0].id}` follows it")
        job = pull_job(stream, kind="backfill" if backfill else "fetch")
        return (await jobs.enqueue(conn, [job], now=utc_now()))[0], job.queue

    async def work() -> JobView:
        async with opened(settings) as database:
            receipt, queue = await transact(database, settings, enqueue)
            if warning := await hint(settings, [queue]):
                click.echo(f"sluice: {warning}", err=True)
            if wait:
                return (await follow(settings, database, [receipt.id], timeout=timeout))[0]
            return (await transact(database, settings, lambda conn: views.get_jobs(conn, [receipt.id])))[0]

    job = asyncio.run(work())
    if as_json:
        show_json(told(job, outcome=job.outcome))
    else:
        click.echo(f"{job.id}  {line(job)}" if job.ended else f"{job.id}  enqueued")
    if job.state == "failed":
        raise SystemExit(1)


@streams.command("reparse")
@click.argument("name")
@click.option("--since", type=MOMENT, help="Only pages fetched from this time on: 2026-08-17, or 24h for a day ago.")
@click.option("--until", type=MOMENT, help="Only pages fetched before this time.")
@click.option("--malformed", is_flag=True, help="Also pages that the parser refused.")
@click.option("--wait", is_flag=True, help="Stay until it has ended; exit 1 if a page could not be read.")
@as_json
def reparse_(
    *, name: str, since: datetime | None, until: datetime | None, malformed: bool, wait: bool, as_json: bool
) -> None:
    """Read a stream's kept pages again, with the parser as it is now; nothing is paid.

    --json prints one document: {"pages", "jobs"}.

    \b
    Example: sluice streams reparse btc-posts --since 7d --wait
    """
    settings = started()

    async def again(conn: AsyncConnection) -> Reparse:
        stream = await existing(conn, name)
        return await reparse(conn, stream.id, since=since, until=until, malformed=malformed, now=utc_now())

    async def work() -> tuple[Reparse, list[JobView]]:
        async with opened(settings) as database:
            made = await transact(database, settings, again)
            return made, await follow(settings, database, made.jobs) if wait and made.jobs else []

    made, ended = asyncio.run(work())
    if as_json:
        show_json(made)
    elif not made.pages:
        click.echo(f"{name} has no kept pages of that time.")
    else:
        counts = ", ".join(f"{sum(getattr(job, what) for job in ended)} {what}" for what in _COUNTS)
        click.echo(
            f"{made.pages} pages of {len(made.jobs)} jobs" + (f": {counts}" if ended else " are being read again")
        )
    if any(job.state != "succeeded" for job in ended):
        raise CannotDo("not every page could be read: `sluice dead list` says why")


_COUNTS = ("found", "new", "duplicate", "amended", "rejected")


@streams.command()
@click.argument("name")
@yes
def remove(name: str, yes: bool) -> None:
    """Forget a stream's schedule; what it collected stays.

    \b
    Example: sluice streams remove btc-posts --yes
    """
    ask(lambda conn: existing(conn, name))
    if not yes:
        click.confirm(f"Forget the schedule of {name}?", abort=True)
    if not ask(lambda conn: rows.remove(conn, name)):
        raise missing(name)
    click.echo(f"{name}: removed")


async def existing(conn: AsyncConnection, name: str) -> Stream:
    """Read a stream; raise CannotDo where there is none of that name."""
    stream = await rows.named(conn, name)
    if stream is None:
        raise missing(name)
    return stream


def missing(name: str) -> CannotDo:
    """Say that there is no such stream."""
    return CannotDo(f"there is no stream {name!r}: `sluice streams list` names those there are")


COMMANDS = (streams,)
