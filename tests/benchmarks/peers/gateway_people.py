"""What every gateway of the benchmark is given (where Redis is, whose token is whose), and how it says it serves."""

from __future__ import annotations

import json
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATH = "/api/v1/hello"


@dataclass(frozen=True, slots=True)
class Given:
    """``people`` by the whole Authorization header; ``minute`` and ``hour`` are the limits of each."""

    redis_url: str
    people: dict[str, str]
    minute: int
    hour: int
    more: dict[str, Any]


def given() -> Given:
    """Read the file that the command line names."""
    told = json.loads(Path(sys.argv[1]).read_text())
    people = {f"Bearer {one['token']}": one["user"] for one in told["people"]}
    return Given(told["redis_url"], people, told["minute"], told["hour"], told)


def listening() -> socket.socket:
    """Take a free port of the loopback."""
    taken = socket.create_server(("127.0.0.1", 0), backlog=512)
    taken.setblocking(False)
    return taken


def ready(port: int) -> None:
    """Say where; the benchmark waits for this line."""
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
