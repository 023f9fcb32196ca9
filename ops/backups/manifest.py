"""The manifest of a backup: what it holds, of when, and the checksum of each file."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from hashlib import file_digest
from pathlib import Path

import msgspec

from ops.backups.contents import Contents
from ops.backups.programs import BackupTrouble

NAME = "manifest.json"
WORKS, BOOKS = "works.dump", "books.dump"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class File:
    """A file beside the manifest."""

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """``taken_at`` is the moment that all of it shows; ``server`` is the major version of the server it came from."""

    taken_at: datetime
    server: int
    contents: Contents
    files: dict[str, File]
    format: int = FORMAT


def file_of(path: Path) -> File:
    """Measure a file."""
    with path.open("rb") as opened:
        return File(path.stat().st_size, file_digest(opened, "sha256").hexdigest())


def written(folder: Path, manifest: Manifest) -> None:
    """Write it beside its files."""
    (folder / NAME).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")


def checked(folder: Path) -> Manifest:
    """Read a backup's manifest and compare every file with it; raises BackupTrouble."""
    try:
        manifest = msgspec.json.decode((folder / NAME).read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise BackupTrouble(f"{folder}: there is no {NAME}: this is no backup, or one that was cut off") from None
    except OSError as error:
        raise BackupTrouble(f"{folder}: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise BackupTrouble(f"{folder / NAME} cannot be read: {error}") from None
    if manifest.format != FORMAT or set(manifest.files) != {WORKS, BOOKS}:
        raise BackupTrouble(f"{folder / NAME} is of another version of this program")
    for name, expected in manifest.files.items():
        if not (folder / name).is_file():
            raise BackupTrouble(f"{folder / name} is missing")
        if file_of(folder / name) != expected:
            raise BackupTrouble(f"{folder / name} is damaged: its checksum is not that of the manifest")
    return manifest
