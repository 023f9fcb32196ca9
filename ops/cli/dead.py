"""``sluice dead``: dead letters; read them, mend the cause, replay or purge them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

import click
import orjson
from rich.progress import Progress
from sqlalchemy.ext.asyncio import AsyncConnection

from broker import dead as letters
from broker import views
from broker.dead import Replayed
from broker.views import JobView, PageView
from ops.cli.jobs import job_row, what
from ops.cli.opening import CannotDo, ask, hint, opened, transact
from ops.cli.options import Listing, as_json, ids, yes
from ops.cli.output import console, plain, redactor, show_json, show_lines, show_pairs, show_table, utc_now, when
from ops.cli.processes import started
from ops.settings import Settings

EXCERPT = 1200
AT_ONCE = 25


@click.group(cls=Listing)
def dead() -> None:
    """Dead letters, jobs, pages or messages that failed: list (the default), show, replay, purge.

    \b
    Examples:
      sluice dead list
      sluice dead replay --error 'the parser failed' --limit 100
    """


@dead.command("list")
@click.option("--jobs", "single", is_flag=True, help="List single jobs instead of groups.")
@click.option("--error", help="Only those whose error holds this text (with --jobs).")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@as_json
def list_(single: bool, error: str | None, limit: int, as_json: bool) -> None:
    """List dead letters, grouped by error: numbers and ids in an error count as equal.  --json prints JSON lines.

    \b
    Example: sluice dead list --jobs --error timeout
    """
    if single or error:
        _list_jobs(error, limit, as_json)
        return
    found = ask(lambda conn: letters.groups(conn, limit=limit))
    if as_json:
        show_lines(found)
        return
    show_table(
        ("jobs", "dead pages", "kind", "provider", "error", "last", "for example"),
        (
            (one.jobs, one.dead_pages, one.kind, one.provider, plain(one.error, 100), when(one.last_at), one.example)
            for one in found
        ),
        none="No dead letters.",
    )


def _list_jobs(error: str | None, limit: int, as_json: bool) -> None:
    async def look(conn: AsyncConnection) -> list[JobView]:
        return await views.get_jobs(conn, await letters.find(conn, error=error, limit=limit))

    found = ask(look)
    if as_json:
        show_lines(job_row(job) for job in found)
        return
    rows = ((job.id, when(job.finished_at), what(job), plain(job.last_error or "", 120)) for job in found)
    show_table(("job", "failed", "what", "error"), rows, none="No such dead letters.")


@dead.command()
@click.argument("job")
@as_json
def show(job: str, as_json: bool) -> None:
    """Show a dead letter: what was asked, why it failed, and the beginning of its dead page.  --json: one document.

    \b
    Example: sluice dead show 01992c1e-7b3a-7c11-9d5e-0a1b2c3d4e5f
    """
    wanted, settings = ids([job])[0], started()
    clean = redactor(settings.secrets())

    async def look(conn: AsyncConnection) -> tuple[JobView | None, list[tuple[PageView, str]]]:
        bad = [page for page in await views.pages_of(conn, wanted) if page.state in ("dead", "malformed")]
        return await views.get_job(conn, wanted), [(page, await _excerpt(conn, page.id)) for page in bad]

    found, pages = ask(look)
    if found is None or found.state != "failed":
        raise CannotDo(f"{wanted} is no dead letter: `sluice dead list --jobs` names those there are")
    if as_json:
        shown = [{"id": page.id, "reason": page.reason, "excerpt": clean(text)} for page, text in pages]
        show_json(job_row(found) | {"pages": shown})
        return
    show_pairs(
        [
            ("job", found.id),
            ("what", what(found)),
            ("reason", clean(found.last_error or "")),
            ("payload", clean(orjson.dumps(dict(found.args)).decode())),
            ("asked", when(found.created_at)),
            ("failed", when(found.finished_at)),
        ]
    )
    for page, text in pages:
        click.echo(f"\n{page.state} page {page.id} of {when(page.fetched_at)}: {plain(page.reason or '')}")
        click.echo(plain(clean(text)))


async def _excerpt(conn: AsyncConnection, page: UUID) -> str:
    body = await views.body_of(conn, page) or b""
    text = body[:EXCERPT].decode("utf-8", "replace")
    return f"{text}… ({len(body)} bytes)" if len(body) > EXCERPT else text


@dead.command()
@click.argument("job", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All that can be replayed.")
@click.option("--error", help="Those whose error holds this text, as `sluice dead list` shows it.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=1000, show_default=True)
@click.option("--per-second", type=click.FloatRange(0.1, 1000), default=50.0, show_default=True)
@as_json
def replay(
    *, job: Sequence[str], everything: bool, error: str | None, limit: int, per_second: float, as_json: bool
) -> None:
    """Ask again for dead letters, slowly; pages that are there are read again and not paid for again.

    --json prints one document: {"replayed", "left"}; left: messages that never were jobs.

    \b
    Example: sluice dead replay --error 'the parser failed' --limit 100 --per-second 10
    """
    if sum((bool(job), everything, bool(error))) != 1:
        raise click.UsageError("name jobs, or give --error, or --all: one of the three")
    settings = started()
    wanted = ids(job) if job else ask(lambda conn: letters.find(conn, error=error, limit=limit))
    done = asyncio.run(_replay(settings, wanted, per_second))
    if as_json:
        show_json({"replayed": len(done.queues), "left": done.left})
    else:
        click.echo(
            f"{len(done.queues)} replayed, {done.left} left: {_LEFT}" if done.left else f"{len(done.queues)} replayed"
        )
    if job and done.left:
        raise SystemExit(1)


_LEFT = "unreadable messages must be sent again, mended; purge them"


async def _replay(settings: Settings, wanted: Sequence[UUID], per_second: float) -> Replayed:
    queues: list[str] = []
    shown = console(stderr=True)
    chunk = max(1, min(AT_ONCE, int(per_second)))

    async def replay(part: Sequence[UUID]) -> None:
        done = await transact(database, settings, lambda conn: letters.replay(conn, part, now=utc_now()))
        queues.extend(done.queues)
        if done.queues and (warning := await hint(settings, done.queues)):
            click.echo(f"sluice: {warning}", err=True)

    async with opened(settings) as database:
        with Progress(console=shown, transient=True, disable=not shown.is_terminal) as bar:
            for start in bar.track(range(0, len(wanted), chunk), description="replaying"):
                if start:
                    await asyncio.sleep(chunk / per_second)
                await replay(wanted[start : start + chunk])
    return Replayed(queues, len(wanted) - len(queues))


@dead.command()
@click.argument("job", nargs=-1)
@click.option("--all", "everything", is_flag=True)
@click.option("--error", help="Those whose error holds this text.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=1000, show_default=True)
@yes
def purge(*, job: Sequence[str], everything: bool, error: str | None, limit: int, yes: bool) -> None:
    """Forget dead letters that paid for nothing; those with kept pages stay.

    \b
    Example: sluice dead purge --error 'not JSON' --yes
    """
    if sum((bool(job), everything, bool(error))) != 1:
        raise click.UsageError("name jobs, or give --error, or --all: one of the three")
    wanted = ids(job) if job else ask(lambda conn: letters.find(conn, error=error, limit=limit))
    if not wanted:
        click.echo("No such dead letters.")
        return
    if not yes:
        click.confirm(f"Forget {len(wanted)} dead letters for ever?", abort=True)
    gone = ask(lambda conn: letters.purge(conn, wanted))
    kept = len(wanted) - gone
    click.echo(
        f"{gone} forgotten" + (f", {kept} kept: they have pages that were paid for, or are not dead" if kept else "")
    )


COMMANDS = (dead,)
