"""``sluice jobs``: what was asked for, and how far it is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import click
import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from broker import jobs as rows
from broker import pauses, views
from broker.pauses import Pause
from broker.views import JOB_STATES, CallView, JobView, PageView
from ops.cli.following import follow, line
from ops.cli.opening import CannotDo, ask, hint, opened, transact
from ops.cli.options import SPAN, Listing, as_json, ids
from ops.cli.output import percent, plain, show_json, show_lines, show_pairs, show_table, told, utc_now, when
from ops.cli.processes import started

COUNTS = ("found", "new", "duplicate", "amended", "rejected", "skipped", "observed")


@click.group(cls=Listing)
def jobs() -> None:
    """What was asked for: list (the default), show, cancel, retry, watch.

    \b
    Examples:
      sluice jobs list --state waiting
      sluice jobs show 01992c1e-7b3a-7c11-9d5e-0a1b2c3d4e5f
    """


@jobs.command("list")
@click.option("--state", type=click.Choice(JOB_STATES))
@click.option("--provider")
@click.option("--kind")
@click.option("--stream", help="Only jobs of this stream.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@click.option("--before", help="Go on behind this job, the last of a list.")
@as_json
def list_(
    *,
    state: str | None,
    provider: str | None,
    kind: str | None,
    stream: str | None,
    limit: int,
    before: str | None,
    as_json: bool,
) -> None:
    """List jobs, the newest first.  --json prints JSON lines.

    \b
    Example: sluice jobs list --provider nansen --state failed --limit 20
    """
    behind = ids([before])[0] if before else None

    async def look(conn: AsyncConnection) -> tuple[list[JobView], list[Pause]]:
        found = await views.list_jobs(
            conn, state=state, provider=provider, kind=kind, stream=stream, before=behind, limit=limit
        )
        return found, await pauses.listed(conn)

    found, paused = ask(look)
    tell_paused(paused)
    if as_json:
        show_lines(job_row(job) for job in found)
        return
    show_table(
        ("job", "asked", "what", "state", "progress", "new", "why"),
        (
            (job.id, when(job.created_at), what(job), job.outcome or job.state, job.progress, job.new, why(job))
            for job in found
        ),
        none="No such jobs."
        if any((state, provider, kind, stream, before))
        else "No jobs. Ask for one: sluice enqueue --help",
    )
    if len(found) == limit:
        click.echo(f"More: --before {found[-1].id}", err=True)


@jobs.command()
@click.argument("job")
@as_json
def show(job: str, as_json: bool) -> None:
    """Show one job with its pages and calls.  --json prints one document.

    \b
    Example: sluice jobs show 01992c1e-7b3a-7c11-9d5e-0a1b2c3d4e5f --json
    """
    wanted = ids([job])[0]

    async def look(conn: AsyncConnection) -> tuple[JobView | None, list[PageView], list[CallView], list[Pause]]:
        one, paused = await views.get_job(conn, wanted), await pauses.listed(conn)
        return one, await views.pages_of(conn, wanted), await views.calls_of(conn, wanted), paused

    found, pages, calls, paused = ask(look)
    if found is None:
        raise CannotDo(f"there is no job {wanted}: `sluice jobs list` names those there are")
    if not found.ended:
        tell_paused(paused)
    if as_json:
        show_json(job_row(found) | {"pages": pages, "calls_made": calls})
        return
    _show_job(found)
    _show_pages(pages)
    _show_calls(calls)


@jobs.command()
@click.argument("job", nargs=-1, required=True)
def cancel(job: Sequence[str]) -> None:
    """Stop jobs that have not ended; pages that are paid for are still posted.

    \b
    Example: sluice jobs cancel 01992c1e-7b3a-7c11-9d5e-0a1b2c3d4e5f
    """
    wanted = ids(job)

    async def stop(conn: AsyncConnection) -> list[bool]:
        return [await rows.cancel(conn, one, now=utc_now()) for one in wanted]

    done = ask(stop)
    _tell_each(wanted, done, "cancelled", "has ended already, or does not exist")


@jobs.command()
@click.argument("job", nargs=-1, required=True)
def retry(job: Sequence[str]) -> None:
    """Ask again for jobs that failed, or were cancelled before their first page.

    Nothing that is there is paid for again: a job that a worker still has in hand goes on there.

    \b
    Example: sluice jobs retry 01992c1e-7b3a-7c11-9d5e-0a1b2c3d4e5f
    """
    wanted, settings = ids(job), started()

    async def again(conn: AsyncConnection) -> list[str | None]:
        return [await rows.retry(conn, one, now=utc_now()) for one in wanted]

    async def run() -> list[str | None]:
        async with opened(settings) as database:
            queues = await transact(database, settings, again)
        if warning := await hint(settings, [queue for queue in queues if queue]):
            click.echo(f"sluice: {warning}", err=True)
        return queues

    queues = asyncio.run(run())
    bad = "cannot be asked again: it has not failed, is a message that nobody could read, or does not exist"
    _tell_each(wanted, [queue is not None for queue in queues], "asked again", bad)


@jobs.command()
@click.argument("job", nargs=-1)
@click.option("--timeout", type=SPAN, help="Stay no longer than this, such as 10m.")
def watch(job: Sequence[str], timeout: timedelta | None) -> None:
    """Follow jobs until they have ended, all that are under way unless some are named; exit 1 if one failed.

    \b
    Example: sluice jobs watch --timeout 10m
    """
    settings, wanted = started(), ids(job)

    async def run() -> list[JobView]:
        async with opened(settings) as database:
            known = await transact(database, settings, lambda conn: _under_way(conn, wanted))
            return await follow(settings, database, known, timeout=timeout) if known else []

    ended = asyncio.run(run())
    for one in ended:
        click.echo(f"{one.id}  {line(one)}")
    if not ended:
        click.echo("No job is under way.")
    if any(one.state == "failed" for one in ended):
        raise SystemExit(1)


async def _under_way(conn: AsyncConnection, wanted: Sequence[UUID]) -> list[UUID]:
    if not wanted:
        live = [state for state in JOB_STATES if state not in views.ENDED]
        return [job.id for state in live for job in await views.list_jobs(conn, state=state, limit=1000)]
    known = {job.id for job in await views.get_jobs(conn, wanted)}
    if missing := [str(one) for one in wanted if one not in known]:
        raise CannotDo(f"there is no job {missing[0]}: `sluice jobs list` names those there are")
    return list(wanted)


def job_row(job: JobView) -> dict[str, object]:
    """Give a job as JSON, with its words."""
    return told(job, outcome=job.outcome, progress=job.progress, waits=job.waits)


def tell_paused(paused: Sequence[Pause]) -> None:
    """Say beside an answer which queues an operator keeps closed: what is in them waits, whatever else is told."""
    for one in paused:
        click.echo(f"sluice: {one.told}", err=True)


def what(job: JobView) -> str:
    """Name what a job asks for."""
    return " ".join(filter(None, (job.kind, job.args.get("provider"), job.args.get("dataset"))))


def why(job: JobView) -> str:
    """Say what keeps a job, or what it failed of."""
    return plain(job.waits or (job.last_error if job.state in ("failed", "running") else None) or "", 120)


def _show_job(job: JobView) -> None:
    show_pairs(
        [
            ("job", job.id),
            ("what", what(job)),
            ("state", f"{job.state}, {job.outcome}" if job.state == "succeeded" else job.state),
            ("waits for", job.waits),
            ("progress", job.progress),
            ("rows", ", ".join(f"{getattr(job, name)} {name}" for name in COUNTS)),
            ("calls", f"{job.calls}, cost {job.cost}"),
            ("last error", job.last_error),
            ("asked by", job.owner),
            ("stream", job.stream),
            ("idempotency key", job.idempotency_key),
            ("attempt", job.attempt or None),
            ("args", orjson.dumps(dict(job.args)).decode()),
            ("created", when(job.created_at)),
            ("started", when(job.started_at)),
            ("finished", when(job.finished_at)),
        ]
    )


def _show_pages(pages: Sequence[PageView]) -> None:
    if pages:
        show_table(
            ("page", "no", "state", "fetched", *COUNTS, "complete", "why"),
            (
                (
                    page.id,
                    page.seq,
                    page.state,
                    when(page.fetched_at),
                    *(getattr(page, name) for name in COUNTS),
                    percent(page.complete) if page.complete is not None else "",
                    page.reason or "; ".join(page.warnings),
                )
                for page in pages
            ),
        )


def _show_calls(calls: Sequence[CallView]) -> None:
    if calls:
        show_table(
            ("call", "status", "outcome", "cost", "seconds"),
            ((when(one.at), one.status or "none", one.outcome, one.cost, f"{one.seconds:.2f}") for one in calls),
        )


def _tell_each(wanted: Sequence[UUID], done: Sequence[bool], good: str, bad: str) -> None:
    for one, worked in zip(wanted, done, strict=True):
        click.echo(f"{one}  {good if worked else bad}", err=not worked)
    if not all(done):
        raise SystemExit(1)


COMMANDS = (jobs,)
