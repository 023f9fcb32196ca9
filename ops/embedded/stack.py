"""The servers of one checkout together: one owner at a time, started side by side, stopped whatever happens."""

from __future__ import annotations

import asyncio
import fcntl
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import IO, Literal, Self

from ops.embedded.postgres import Postgres
from ops.embedded.rabbitmq import RabbitMQ
from ops.embedded.redis import Redis
from ops.embedded.server import CannotStart, Server, wait_for

BrokerName = Literal["redis", "rabbitmq"]
GUARD = "guard"


class AlreadyRunning(RuntimeError):
    """Another process owns this ``var`` folder's servers; the message names it."""


class Owner:
    """The right to start and stop the servers of one ``var`` folder; the system takes it back when its holder dies."""

    def __init__(self, var: Path) -> None:
        self.path = var / "run" / "owner"
        self._file: IO[str] | None = None

    def take(self, name: str, *, within_s: float) -> bool:
        """Try until the time is over; ``name`` tells others who we are."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = self.path.open("a+")
        except PermissionError:
            message = f"{self.path.parent.parent} belongs to another user: run as that user, or set SLUICE_VAR"
            raise CannotStart(message) from None
        if not wait_for(lambda: _locked(file), within_s=within_s):
            file.close()
            return False
        file.truncate(0)
        file.write(name)
        file.flush()
        self._file = file
        return True

    def holder(self) -> str:
        """Who wrote its name last; empty when nobody ever did."""
        try:
            return self.path.read_text()
        except FileNotFoundError:
            return ""

    def is_held(self) -> bool:
        """Whether some living process holds the right."""
        try:
            with self.path.open() as file:
                return not _locked(file)
        except FileNotFoundError:
            return False

    @property
    def is_us(self) -> bool:
        """Whether this very object holds it."""
        return self._file is not None

    def give_back(self) -> None:
        """Let the next one in."""
        if self._file is not None:
            self._file.close()
            self._file = None


class Stack:
    """PostgreSQL, Redis and a broker under one ``var`` folder, as a context manager, plain or asynchronous.

    ``start`` stops what a run that died has left, then starts what this run needs. Should this process be killed, a
    guard process stops the servers in order. ``open`` takes the ownership only, for tests that start servers singly.
    """

    def __init__(self, var: Path, broker: BrokerName = "redis", *, durable: bool = True) -> None:
        """Nothing is started yet; ``durable=False`` lets PostgreSQL skip waiting for the disk."""
        self.var = var.resolve()
        self.broker: BrokerName = broker
        self._owner = Owner(self.var)
        self._guard: subprocess.Popen[bytes] | None = None
        self.postgres = Postgres(self.var, durable=durable)
        self.redis = Redis(self.var)
        self.rabbitmq = RabbitMQ(self.var)

    @property
    def servers(self) -> tuple[Server, ...]:
        """Those that this run needs."""
        needed: tuple[Server, ...] = (self.postgres, self.redis)
        return (*needed, self.rabbitmq) if self.broker == "rabbitmq" else needed

    def open(self) -> Self:
        """Become the owner, and stop what was left behind; raises AlreadyRunning."""
        if not self._owner.take(f"process {os.getpid()}", within_s=1.0):
            self._wait_for_guard()
        try:
            # Read again: what another owner wrote between our making and our turn is what counts.
            self.postgres = Postgres(self.var, durable=self.postgres.durable)
            self.redis, self.rabbitmq = Redis(self.var), RabbitMQ(self.var)
            self._stop_all()
            self._guard = subprocess.Popen(  # noqa: S603  (our own words, no shell)
                [sys.executable, "-m", "ops.embedded.guard", str(self.var)],
                stdin=subprocess.PIPE,
                start_new_session=True,  # it must outlive us, Ctrl-C included
            )
        except BaseException:
            self._owner.give_back()
            raise
        return self

    def start(self) -> Self:
        """Open, then bring up every server needed; on any error what did start is stopped. Raises CannotStart."""
        self.open()
        try:
            _side_by_side([server.start for server in self.servers])
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop every server in order, dismiss the guard, let others in; does nothing where we are not the owner."""
        if not self._owner.is_us:
            return
        try:
            self._stop_all()
        except BaseException:
            self._owner.give_back()  # cut short, by a second Ctrl-C for one: what still runs is the guard's
            self._dismiss_guard(b"")
            raise
        self._dismiss_guard(b"done\n")
        self._owner.give_back()

    def settings_overrides(self) -> dict[str, str]:
        """The three URLs under the names that Settings.from_env reads."""
        return {
            "SLUICE_DATABASE_URL": self.postgres.url,
            "SLUICE_REDIS_URL": self.redis.url,
            "SLUICE_BROKER_URL": self.rabbitmq.url if self.broker == "rabbitmq" else self.redis.database_url(1),
        }

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)

    def _stop_all(self) -> None:
        _side_by_side([server.stop for server in (self.postgres, self.redis, self.rabbitmq)])

    def _dismiss_guard(self, word: bytes) -> None:
        """Wait for its end; without a word it stops the servers first."""
        if self._guard is not None:
            self._guard.communicate(word)
            self._guard = None

    def _wait_for_guard(self) -> None:
        """The guard of a run that died is about to be done; any other owner stays."""
        holder = self._owner.holder()
        if not (holder == GUARD and self._owner.take(f"process {os.getpid()}", within_s=60.0)):
            raise AlreadyRunning(
                f"the servers under {self.var} are in use by {holder or 'another process'}:"
                " use them (they are found by themselves), or stop it first"
            )


def attach(var: Path) -> dict[str, str] | None:
    """The three URLs of the stack that another process runs under this folder now, or None.

    Needs no ownership and starts nothing: this is how every other command finds the servers of ``sluice up``.
    """
    owner = Owner(var.resolve())
    if not owner.is_held() or owner.holder() == GUARD:
        return None
    for broker in _BROKERS:
        stack = Stack(var, broker)
        if all(server.running for server in stack.servers):
            return stack.settings_overrides()
    return None


_BROKERS: tuple[BrokerName, ...] = ("rabbitmq", "redis")  # the one that needs more comes first


def _side_by_side(actions: list[Callable[[], object]]) -> None:
    """Run all at once, wait for all, then raise the first error."""
    with ThreadPoolExecutor(len(actions)) as pool:
        for future in [pool.submit(action) for action in actions]:
            future.result()


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
