"""``sluice backup`` and ``sluice restore``: everything out at one moment, and back, proved."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click
import psycopg
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from broker import due
from broker.messages import DedupPage, Hint, WorkOnJob
from broker.producer import BrokerUnreachableError
from ledger import migrate
from ledger.engine import open_ledger, unreachable
from ops.backups.access import Access, Closed, close
from ops.backups.making import back_up
from ops.backups.manifest import Manifest, checked
from ops.backups.programs import BackupTrouble
from ops.backups.proving import proved
from ops.backups.restoring import differences, load, redispatch, scratch
from ops.bootstrap import configured_providers, open_hints, server
from ops.cli.opening import CannotDo
from ops.cli.options import as_json
from ops.cli.output import plain, show_json, show_pairs, utc_now, when
from ops.cli.processes import started
from ops.migrating import plain as driver_url
from ops.settings import Settings

AGAIN_AT_ONCE = 2000  # the dispatcher says the rest
LOST_AFTER = timedelta(seconds=30)
MANY_ENTRIES = 20_000  # below, starting more processes takes as long as it saves
FOLDER = click.argument("folder", type=click.Path(path_type=Path))


@dataclass(frozen=True, slots=True)
class Account:
    """What a restore came to; ``wrong`` is empty where every row is there and the books prove themselves."""

    taken_at: datetime
    rpo_s: float
    rto_s: float
    drill: bool
    rows: int
    entries: int
    chains: int
    jobs_due_again: int
    pages_due_again: int
    published: int
    wrong: list[str]
    schema: str
    schema_kept: str
    closed: Closed = field(default_factory=Closed)
    warning: str | None = None


@click.command()
@FOLDER
@as_json
def backup(*, folder: Path, as_json: bool) -> None:
    """Back the database up into FOLDER, which is made; everything as it stands at one moment, while it is in use.

    Two dumps in PostgreSQL's custom format, and manifest.json with checksums, row counts and the ends of the books'
    chains.  Messages are not in it: they are hints, and said again.  Nor is SLUICE_SIGNING_KEY: keep it elsewhere.

    \b
    Example: sluice backup var/backups/monday
    """
    url = driver_url(server(started().database_url))
    began = time.monotonic()
    with _in_one_line(url):
        manifest = back_up(url, folder)
    told = {"folder": folder, "seconds": round(time.monotonic() - began, 3), **_held(manifest)}
    if as_json:
        show_json(told)
    else:
        show_pairs([(name.replace("_", " "), _text(value)) for name, value in told.items()])


@click.command()
@FOLDER
@click.option("--force", is_flag=True, help="Drop everything in the database first.")
@click.option("--drill", is_flag=True, help="Restore into a database made for it, prove it, drop it.")
@click.option(
    "--keep-api-keys", is_flag=True, help="Trust every API key of the backup, also one that was revoked since."
)
@as_json
def restore(*, folder: Path, force: bool, drill: bool, keep_api_keys: bool, as_json: bool) -> None:
    """Restore the backup in FOLDER; exit 1 where the result is not what was backed up.

    Checksums first; then all rows, compared with the manifest; then the books prove themselves (`sluice verify`).
    What was under way is published again, and posts nothing twice.  What was recorded after the backup is lost (RPO);
    how long all of it took is told (RTO).  Stop workers, dispatcher and gateways first; for --drill they may run.

    All sessions end.  API keys stay good that the replaced ledger knew as good; all others are revoked, which is all of
    them where no ledger was there to be asked.  Users that it had disabled, and signing keys that it had dropped, stay
    so.  Passwords and roles are those of the backup.

    \b
    Examples:
      sluice restore var/backups/monday --drill
      sluice restore var/backups/monday --force
    """
    if force and drill:
        raise click.UsageError("--drill touches nothing that --force could drop")
    settings = started()
    account = _restored(settings, folder, force=force, drill=drill, keep_keys=keep_api_keys)
    if as_json:
        show_json(account)
    else:
        _tell(account)
    if account.wrong:
        raise SystemExit(1)


def _restored(settings: Settings, folder: Path, *, force: bool, drill: bool, keep_keys: bool) -> Account:
    url, began, begun_at = driver_url(server(settings.database_url)), time.monotonic(), utc_now()
    with _in_one_line(url), ExitStack() as stack:
        manifest = checked(folder)
        target = stack.enter_context(scratch(url)) if drill else url
        before = load(target, folder, manifest, force=force)
        wrong = differences(target, manifest)
        migrate.upgrade(target)  # what is compared is what was backed up; what goes on is this code's
        proofs = proved(target, processes=None if _entries(manifest) > MANY_ENTRIES else 1)
        wrong += [f"books of {one.user}, {one.check}: {one.diverges}" for one in proofs if one.diverges]
        jobs, pages = redispatch(target)
        closed = Closed() if drill else asyncio.run(_closed(settings, before, keep_keys=keep_keys))
        published, warning = (0, None) if drill else asyncio.run(_begun_again(settings))
        return Account(
            taken_at=manifest.taken_at,
            rpo_s=round((begun_at - manifest.taken_at).total_seconds(), 3),
            rto_s=round(time.monotonic() - began, 3),
            drill=drill,
            rows=sum(one.rows for one in manifest.contents.tables.values()),
            entries=_entries(manifest),
            chains=len(manifest.contents.chains),
            jobs_due_again=jobs,
            pages_due_again=pages,
            published=published,
            wrong=wrong,
            schema=migrate.head(),
            schema_kept=manifest.contents.revision,
            closed=closed,
            warning=warning,
        )


async def _closed(settings: Settings, before: Access, *, keep_keys: bool) -> Closed:
    async with _opened(settings) as database, database.begin() as conn:
        return await close(conn, before, keep_keys=keep_keys, now=utc_now())


async def _begun_again(settings: Settings) -> tuple[int, str | None]:
    """Publish what is due, as the dispatcher would."""
    now = utc_now()
    async with _opened(settings) as database:
        async with database.begin() as conn:
            wanted = await due.jobs(conn, empty=(), now=now, lost_after=LOST_AFTER, limit=AGAIN_AT_ONCE)
            pages = await due.pages(conn, dedup_empty=False, now=now, lost_after=LOST_AFTER, limit=AGAIN_AT_ONCE)
        hints: list[Hint] = [*(WorkOnJob(queue) for _, queue in wanted), *(DedupPage(page) for page in pages)]
        try:
            async with open_hints(settings, configured_providers(settings)) as producer:
                await producer.send(hints)
        except BrokerUnreachableError as error:
            async with database.begin() as conn:
                await due.unsay(conn, [*(job for job, _ in wanted), *pages])
            return 0, f"{error}; nothing is lost: the dispatcher says it when the broker is back"
    return len(hints), None


def _opened(settings: Settings) -> AbstractAsyncContextManager[AsyncEngine]:
    return open_ledger(server(settings.database_url), application_name="sluice restore", pool_size=1)


def _held(manifest: Manifest) -> dict[str, Any]:
    return {
        "taken_at": manifest.taken_at,
        "schema": manifest.contents.revision,
        "rows": sum(one.rows for one in manifest.contents.tables.values()),
        "entries": _entries(manifest),
        "chains": len(manifest.contents.chains),
        "bytes": sum(one.bytes for one in manifest.files.values()),
    }


def _entries(manifest: Manifest) -> int:
    entries = manifest.contents.tables.get("entries")
    return entries.rows if entries else 0


def _text(value: object) -> str:
    return when(value) if isinstance(value, datetime) else str(value)


def _tell(account: Account) -> None:
    show_pairs(
        [
            ("backup of", when(account.taken_at)),
            ("RPO", f"{account.rpo_s:.1f} s: what was recorded since is not in it"),
            ("RTO", f"{account.rto_s:.1f} s: checked, loaded, compared, proved, due again"),
            ("rows", str(account.rows)),
            ("entries", f"{account.entries} in the books of {account.chains}"),
            (
                "due again",
                f"{account.jobs_due_again} jobs, {account.pages_due_again} pages; {account.published} published",
            ),
            ("into", "a database of its own, dropped again" if account.drill else "the ledger"),
            ("schema", _schema(account)),
            ("access", None if account.drill else _access(account.closed)),
            ("verified", "; ".join(plain(one, 200) for one in account.wrong) or "every row is there, the books agree"),
        ]
    )
    if account.warning:
        click.echo(f"sluice: {account.warning}", err=True)
    if account.closed.left:
        click.echo(f"sluice: still enabled, as last administrators: {', '.join(account.closed.left)}", err=True)


def _schema(account: Account) -> str:
    if account.schema == account.schema_kept:
        return account.schema
    return f"{account.schema}; it was {account.schema_kept} when it was backed up, and was migrated"


def _access(closed: Closed) -> str:
    return (
        f"{closed.sessions} sessions ended; API keys: {closed.keys_revoked} revoked, {closed.keys_good} good;"
        f" disabled {closed.users_disabled} users, dropped {closed.signing_keys_dropped} signing keys again"
    )


@contextmanager
def _in_one_line(url: str) -> Iterator[None]:
    """Say in one line what a database or a backup has against it."""
    try:
        yield
    except BackupTrouble as error:
        raise CannotDo(str(error)) from None
    except psycopg.OperationalError as error:
        raise unreachable(make_url(url), error) from None


COMMANDS = (backup, restore)
