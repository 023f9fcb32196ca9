"""Prometheus' own checker: the one on PATH, else the one in Debian's package, taken out of it without installing."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "var" / "promtool"
INSIDE = "./usr/bin/promtool"


class Absent(Exception):
    """There is no promtool here, and none can be had; the message says why."""


def promtool() -> Path:
    """Find promtool, or take it out of the package ``prometheus``; raises Absent."""
    found = os.environ.get("PROMTOOL") or shutil.which("promtool")
    if found:
        return Path(found)
    kept = FOLDER / "promtool"
    if not kept.exists():
        _extract(kept)
    return kept


def _extract(to: Path) -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise Absent("no promtool on PATH, and this is no Debian to take it from")
    FOLDER.mkdir(parents=True, exist_ok=True)
    got = subprocess.run(["apt-get", "download", "prometheus"], cwd=FOLDER, capture_output=True, check=False)
    package = next(FOLDER.glob("prometheus_*.deb"), None)
    if got.returncode != 0 or package is None:
        raise Absent("no promtool on PATH, and Debian's package prometheus cannot be downloaded")
    files = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], capture_output=True, check=True).stdout
    with tarfile.open(fileobj=BytesIO(files)) as archive:
        member = archive.extractfile(INSIDE)
        assert member is not None, f"the package holds no {INSIDE}"
        beside = to.with_suffix(".new")
        beside.write_bytes(member.read())
    beside.chmod(0o755)
    beside.rename(to)
    package.unlink()
