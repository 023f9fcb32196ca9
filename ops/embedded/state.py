"""What is remembered of one server between runs: its port, its passwords and the process that serves it."""

from __future__ import annotations

import json
import os
import secrets
import socket
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

# Below the range that systems take for outgoing connections (32768 up), so that a kept port stays free between runs.
PORTS = range(20_000, 32_000)


@dataclass(slots=True)
class State:
    """One file in ``var/run``, readable by its owner alone.

    ``ports`` are TCP ports on loopback by purpose, ``passwords`` are by role; ``pid`` and ``started`` (seconds since
    the epoch, as the system tells it) name the process, and are None while the server is stopped on purpose.
    """

    ports: dict[str, int] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict)
    pid: int | None = None
    started: float | None = None

    @classmethod
    def load(cls, path: Path) -> State:
        """The kept state, or an empty one where there is none or the file was cut short by a crash."""
        try:
            kept: dict[str, Any] = json.loads(path.read_text())
            return cls(**kept)
        except (FileNotFoundError, ValueError, TypeError):
            return cls()

    def save(self, path: Path) -> None:
        """Write whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_secret(path.with_suffix(".new"), json.dumps(asdict(self)))
        path.with_suffix(".new").replace(path)

    def port(self, purpose: str) -> int:
        """The port kept for this purpose; a free one is chosen the first time."""
        return self.ports.setdefault(purpose, free_port(but=set(self.ports.values())))

    def password(self, role: str) -> str:
        """The password kept for this role; made the first time."""
        return self.passwords.setdefault(role, secrets.token_urlsafe(24))


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner may read, from its first byte on."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def free_port(*, but: set[int]) -> int:
    """A loopback port that nobody listens on; chosen by chance, so that two checkouts seldom want the same one."""
    for _ in range(200):
        port = secrets.choice(PORTS)
        if port not in but and is_free(port):
            return port
    raise OSError(f"no free port found between {PORTS.start} and {PORTS.stop - 1} on 127.0.0.1")


def is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
