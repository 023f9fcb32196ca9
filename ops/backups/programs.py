"""PostgreSQL's own programs: where they are, whether they are new enough; they run without showing a password."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ops.embedded import postgres
from ops.embedded.server import Missing

Program = str


class BackupTrouble(Exception):
    """A backup cannot be made or used; the text is one line and says what to do."""


def found(name: Program, server_major: int) -> Path:
    """Find ``pg_dump`` or ``pg_restore``, beside the embedded server or on PATH, no older than the server."""
    seen = []
    for place in _places(name):
        major = _major(place)
        if major >= server_major:
            return place
        seen.append(f"{place} is {major}")
    there = "; ".join(seen) or f"there is no {name} on PATH"
    raise BackupTrouble(f"{name} {server_major} or newer is needed for this server: {there}")


def run(program: Path, url: str, words: Sequence[str], *, timeout_s: float) -> None:
    """Run a program against a database; raises BackupTrouble with the line that says what went wrong."""
    with _secret(url) as (conninfo, variables):
        try:
            done = subprocess.run(  # noqa: S603  (our own words, no shell)
                [str(program), "--no-password", "--dbname", conninfo, *words],
                env={**postgres.environment(), **variables},
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise BackupTrouble(f"{program.name} was not done within {timeout_s:g} s") from None
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if "error:" in line] or done.stderr.splitlines()
        raise BackupTrouble(lines[0][:300] if lines else f"{program.name} ended with {done.returncode}")


def _places(name: Program) -> Iterator[Path]:
    try:
        if (beside := postgres.programs() / name).exists():
            yield beside
    except Missing:
        pass
    if (on_path := shutil.which(name, path=os.defpath + os.pathsep + "/usr/local/bin")) is not None:
        yield Path(on_path)
    yield from sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)


def _major(program: Path) -> int:
    told = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603
    number = re.search(r"\) (\d+)", told)
    return int(number[1]) if number else 0


@contextmanager
def _secret(url: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Take the password out of an address and into a file that only we may read: a command line is everybody's."""
    parts: dict[str, Any] = dict(conninfo_to_dict(url))
    password = parts.pop("password", None)
    if password is None:
        yield make_conninfo(**parts), {}
        return
    with tempfile.TemporaryDirectory(prefix="sluice-pass-") as folder:
        file = Path(folder) / "pgpass"
        file.touch(mode=0o600)
        escaped = str(password).replace("\\", "\\\\").replace(":", "\\:")
        file.write_text(f"*:*:*:*:{escaped}\n")
        yield make_conninfo(**parts), {"PGPASSFILE": str(file)}
