"""Make a backup of a database that is in use: everything as it stood at one moment."""

from __future__ import annotations

import shutil
from datetime import UTC
from pathlib import Path

import psycopg

from ledger.tenancy import AUDITOR
from ops.backups.contents import contents, guarded, sequences
from ops.backups.manifest import BOOKS, WORKS, Manifest, file_of, written
from ops.backups.programs import BackupTrouble, found, run

TIMEOUT_S = 6 * 3600.0


def back_up(url: str, folder: Path) -> Manifest:
    """Write a backup into a folder that is not there yet, whole or not at all; raises BackupTrouble."""
    if folder.exists():
        raise BackupTrouble(f"{folder} is there already: a backup goes into a folder of its own")
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise BackupTrouble(f"{unfinished}: {error.strerror}") from None
    try:
        manifest = _dumped(url, unfinished)
        unfinished.rename(folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return manifest


def _dumped(url: str, folder: Path) -> Manifest:
    with psycopg.connect(url, connect_timeout=10, application_name="sluice backup") as conn:
        major = conn.info.server_version // 10_000
        program = found("pg_dump", major)
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        conn.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        told = conn.execute("SELECT pg_export_snapshot(), now(), to_regclass('alembic_version')").fetchone()
        assert told is not None
        snapshot, taken_at, migrated = told
        if migrated is None:
            raise BackupTrouble("this database is empty: there is nothing to back up")
        books = guarded(conn)
        common = ["--format=custom", f"--snapshot={snapshot}", "--no-owner", "--lock-wait-timeout=60s"]
        without = [f"--exclude-table-data={name}" for name in books]
        only = [f"--table={name}" for name in books]
        counters = [f"--exclude-table-data={name}" for name in sequences(conn)]  # the first dump has them
        # What runs on this snapshot sees one moment, as the manifest does.
        run(program, url, [*common, f"--file={folder / WORKS}", *without], timeout_s=TIMEOUT_S)
        audited = [f"--role={AUDITOR}", "--enable-row-security", "--data-only", *counters]
        run(program, url, [*common, *audited, f"--file={folder / BOOKS}", *only], timeout_s=TIMEOUT_S)
        seen = contents(conn)
    files = {name: file_of(folder / name) for name in (WORKS, BOOKS)}
    manifest = Manifest(taken_at.astimezone(UTC), major, seen, files)
    written(folder, manifest)
    return manifest
