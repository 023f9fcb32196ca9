"""Follow jobs until they end: a bar where somebody looks at a terminal, a line for each change where not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol
from uuid import UUID

import click
from rich.progress import Progress
from sqlalchemy.ext.asyncio import AsyncEngine

from broker.views import JobView, get_jobs
from ops.cli.opening import CannotDo, transact
from ops.cli.output import console, plain
from ops.settings import Settings

LOOK_EVERY_S = 0.3


class Watcher(Protocol):
    """Is shown all jobs at each look."""

    def __call__(self, jobs: Sequence[JobView]) -> None: ...


async def follow(
    settings: Settings, database: AsyncEngine, wanted: Sequence[UUID], *, timeout: timedelta | None = None
) -> list[JobView]:
    """Wait until all of these jobs have ended, and give them; raise CannotDo when that takes longer than allowed."""
    with Progress(console=console(stderr=True), transient=True, disable=not console(stderr=True).is_terminal) as bar:
        watcher: Watcher = _on_a_bar(bar) if not bar.disable else _Lines()
        try:
            async with asyncio.timeout(timeout.total_seconds() if timeout else None):
                while True:
                    jobs = await transact(database, settings, lambda conn: get_jobs(conn, wanted))
                    watcher(jobs)
                    if all(job.ended for job in jobs):
                        return jobs
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError:
            raise CannotDo("not ended in the time given; they go on: `sluice jobs watch` follows them") from None


def _on_a_bar(bar: Progress) -> Watcher:
    task = bar.add_task("jobs", total=None)

    def show(jobs: Sequence[JobView]) -> None:
        pages, known = sum(job.posted for job in jobs), [job.pages_total for job in jobs]
        if len(jobs) == 1 and known[0]:
            bar.update(task, total=known[0], completed=min(pages, known[0]), description=plain(line(jobs[0]), 80))
        else:
            new = sum(job.new for job in jobs)
            ended = sum(job.ended for job in jobs)
            bar.update(task, total=len(jobs), completed=ended, description=f"{pages} pages posted, {new} new; jobs")

    return show


class _Lines:
    def __init__(self) -> None:
        self._told: dict[UUID, str] = {}

    def __call__(self, jobs: Sequence[JobView]) -> None:
        for job in jobs:
            if self._told.get(job.id) != (now := line(job)):
                self._told[job.id] = now
                click.echo(f"{job.id}  {now}", err=True)


def line(job: JobView) -> str:
    """Say in one line how a job stands."""
    what = " ".join(filter(None, (job.kind, job.args.get("provider"), job.args.get("dataset"))))
    stands = job.outcome or job.waits or job.state
    error = f": {job.last_error}" if job.state == "failed" and job.last_error else ""
    return plain(f"{what}: {stands}{error}, {job.progress}", 300)
