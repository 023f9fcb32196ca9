"""``sluice enqueue``: ask for a job, or for a file of jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import IO, Any

import click
import orjson
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from broker import jobs
from broker.jobs import KeyReusedError, NewJob, Receipt
from broker.kinds import UnfitJobError, kinds
from broker.reparse import REPARSE
from broker.views import JobView
from ops.bootstrap import configured_providers
from ops.cli.following import follow
from ops.cli.opening import CannotDo, hint, opened, transact
from ops.cli.options import JSON_OBJECT, MOMENT, SPAN, as_json, pairs
from ops.cli.output import console, plain, show_json, utc_now
from ops.cli.processes import started
from ops.settings import Settings
from workers.inbox import accepted
from workers.items import Provider, Refused
from workers.plan import provider_of

OWNER = "operator"
CHUNK = 500
FIELDS = frozenset({"kind", "args", "idempotency_key", "priority"})
ASKABLE = tuple(kind for kind in kinds() if kind != REPARSE)


@dataclass(frozen=True, slots=True)
class Line:
    """One job of a batch: its place (from 1), and either the job or why there is none."""

    number: int
    job: NewJob | None = None
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a line."""

    line: Line
    receipt: Receipt | None
    fault: str | None

    def as_row(self) -> dict[str, Any]:
        """Give it as a JSON object."""
        made = self.receipt
        row: dict[str, Any] = {"line": self.line.number, "id": made and made.id, "state": made and made.state}
        return row | {"created": bool(made and made.created), "error": self.fault}


@click.command()
@click.argument("kind", type=click.Choice(ASKABLE), required=False)
@click.option("--provider", help="Whom to ask, such as cryptopanic.")
@click.option("--dataset", help="Which of its lists, such as posts (sluice providers --json names them).")
@click.option("--param", multiple=True, metavar="NAME=VALUE", help="What to ask; a value may be JSON. Many times.")
@click.option("--params", type=JSON_OBJECT, help="What to ask, as one JSON object.")
@click.option("--since", type=MOMENT, help="Read back to this time: 2026-08-17, or 24h for a day ago.")
@click.option("--pages-max", type=click.IntRange(1, 100_000), help="Stop after so many pages.")
@click.option("--args", "raw", type=JSON_OBJECT, help="The whole args as JSON, instead of the options above.")
@click.option("--key", help="Idempotency key: asked twice with the same key, it is one job.")
@click.option("--priority", type=click.IntRange(-100, 100), default=0, show_default=True, help="Higher goes first.")
@click.option("--file", "file", type=click.File("rb"), help="A file of JSON lines, or - for the standard input.")
@click.option("--wait", is_flag=True, help="Stay until the jobs have ended; exit 1 if one failed.")
@click.option("--timeout", type=SPAN, help="With --wait: stay no longer than this, such as 10m.")
@as_json
def enqueue(
    *,
    kind: str | None,
    provider: str | None,
    dataset: str | None,
    param: Sequence[str],
    params: Mapping[str, Any] | None,
    since: datetime | None,
    pages_max: int | None,
    raw: Mapping[str, Any] | None,
    key: str | None,
    priority: int,
    file: IO[bytes] | None,
    wait: bool,
    timeout: timedelta | None,
    as_json: bool,
) -> None:
    """Ask for a job of KIND, or with --file for many; it is checked before anything is written.

    A line of a file: {"kind": "fetch", "args": {...}, "idempotency_key": "...", "priority": 0}

    --json prints JSON lines, one for each job: {"line", "id", "state", "created", "error"}.

    \b
    Examples:
      sluice enqueue fetch --provider cryptopanic --dataset posts --param currencies=BTC --since 24h --wait
      sluice enqueue backfill --provider nansen --dataset smart-money/netflow --params '{"chains": ["ethereum"]}'
      sluice enqueue --file jobs.jsonl --wait
    """
    if (kind is None) == (file is None):
        raise click.UsageError("name a kind, or give --file: one of the two")
    if raw is not None and any((provider, dataset, param, params)):
        raise click.UsageError("--args is the whole: --provider, --dataset, --param and --params do not go with it")
    settings = started()
    providers = configured_providers(settings)
    if file is not None:
        lines = list(read_lines(file, providers))
    else:
        args = dict(raw) if raw is not None else _args(provider, dataset, {**(params or {}), **pairs(param)}, kind)
        if since is not None:
            args["since"] = since.isoformat()
        if pages_max is not None:
            args["pages_max"] = pages_max
        fields = {"kind": kind, "args": args, "idempotency_key": key, "priority": priority}
        lines = [read_line(1, fields, providers)]
    failed = asyncio.run(_enqueue(settings, lines, wait=wait, timeout=timeout, as_json=as_json))
    if failed:
        raise SystemExit(1)


def _args(provider: str | None, dataset: str | None, params: Mapping[str, Any], kind: str | None) -> dict[str, Any]:
    given: dict[str, Any] = {"provider": provider, "dataset": dataset, "params": dict(params) or None}
    if kind in ("fetch", "backfill") and None in (provider, dataset):
        raise click.UsageError(f"{kind} needs --provider and --dataset (or --args)")
    return {name: value for name, value in given.items() if value is not None}


def read_lines(file: Iterable[bytes], providers: Mapping[str, Provider]) -> Iterable[Line]:
    """Read a file of JSON lines; empty lines are passed over."""
    for number, text in enumerate(file, start=1):
        if not text.strip():
            continue
        try:
            fields = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            yield Line(number, fault=f"not JSON: {error}")
        else:
            yield read_line(number, fields, providers)


def read_line(number: int, fields: Any, providers: Mapping[str, Provider]) -> Line:
    """Check one job by the schema of its kind, and by that of its dataset."""
    if not isinstance(fields, dict) or "kind" not in fields:
        return Line(number, fault='a JSON object with "kind" and "args" is needed')
    if unknown := fields.keys() - FIELDS:
        return Line(number, fault=f"unknown fields: {', '.join(sorted(unknown))[:200]}")
    args = fields.get("args")
    try:
        job = accepted(
            fields["kind"], {} if args is None else args, fields.get("idempotency_key"), fields.get("priority", 0)
        )
        if "provider" in job.args:
            provider_of(job.args, providers)
    except (UnfitJobError, Refused) as error:
        return Line(number, fault=str(error))
    return Line(number, replace(job, owner=OWNER))


async def _enqueue(
    settings: Settings, lines: Sequence[Line], *, wait: bool, timeout: timedelta | None, as_json: bool
) -> bool:
    """Write, publish, tell, and wait if asked to; say whether anything went wrong."""
    told: list[Told] = []
    async with opened(settings) as database:
        for start in range(0, len(lines), CHUNK):
            told += await _write(settings, database, lines[start : start + CHUNK])
        queues = [one.line.job.queue for one in told if one.line.job and one.receipt and one.receipt.created]
        warning = await hint(settings, queues) if queues else None
        _show(told, alone=len(lines) == 1, as_json=as_json)
        if warning:
            click.echo(f"sluice: {warning}", err=True)
        failed = any(one.fault for one in told)
        wanted = [one.receipt.id for one in told if one.receipt]
        if wait and wanted:
            ended = await follow(settings, database, wanted, timeout=timeout)
            failed = failed or any(job.state != "succeeded" or _all_refused(job) for job in ended)
            for job in ended:
                if as_json:
                    show_json({"id": job.id, "state": job.state, "outcome": job.outcome, "error": job.last_error})
                else:
                    click.echo(f"{job.id}  {plain(job.outcome or '')}" + _because(job.state, job.last_error))
    return failed


def _all_refused(job: JobView) -> bool:
    """Whether rows came and none of them was fit: that is no success to a script."""
    return job.rejected > 0 and job.rejected == job.found


def _because(state: str, error: str | None) -> str:
    return f": {plain(error, 300)}" if state == "failed" and error else ""


async def _write(settings: Settings, database: AsyncEngine, lines: Sequence[Line]) -> list[Told]:
    """Write what fits in one transaction; where a key was used for something else, line by line."""
    fit = [line for line in lines if line.job]
    try:
        receipts = await _rows(settings, database, fit)
    except KeyReusedError as error:
        if len(fit) == 1:
            return [Told(line, None, str(error) if line.job else line.fault) for line in lines]
        return [one for line in lines for one in await _write(settings, database, [line])]
    made = dict(zip((line.number for line in fit), receipts, strict=True))
    return [Told(line, made.get(line.number), line.fault) for line in lines]


async def _rows(settings: Settings, database: AsyncEngine, fit: Sequence[Line]) -> list[Receipt]:
    new = [line.job for line in fit if line.job]
    if not new:
        return []

    async def write(conn: AsyncConnection) -> list[Receipt]:
        return await jobs.enqueue(conn, new, now=utc_now())

    return await transact(database, settings, write)


def _show(told: Sequence[Told], *, alone: bool, as_json: bool) -> None:
    if alone and told[0].fault:
        raise CannotDo(told[0].fault)
    for one in told:
        if as_json:
            show_json(one.as_row())
        elif one.receipt:
            made = "enqueued" if one.receipt.created else f"already there ({one.receipt.state})"
            click.echo(f"{one.receipt.id}  {made}" if alone else f"line {one.line.number}: {one.receipt.id}  {made}")
        else:
            console(stderr=True).print(f"line {one.line.number}: {plain(one.fault or '')}", markup=False)


COMMANDS = (enqueue,)
