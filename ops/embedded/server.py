"""One server process: started, watched, paused, killed, stopped. What differs is in postgres, redis and rabbitmq."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from ops.embedded.state import State, is_free

POLL_S = 0.02
TRIES = 3
LOG_BYTES_MAX = 10_000_000


class CannotStart(RuntimeError):
    """A server did not come up; the message ends with the last lines of its log."""


class Missing(CannotStart):
    """The server's program is not on this machine; the message says how to get it."""


@dataclass(frozen=True, slots=True)
class Command:
    """What to run: program and arguments, environment (nothing is inherited), and the account when it is not ours."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None


class Server(ABC):
    """A server with its data in ``var/<name>``, its log and its state in ``var/log`` and ``var/run``.

    Only a process that was started from this folder is ever signalled: its pid, its start time and its data folder
    must all be those that were written down.
    """

    name: str
    stop_signal = signal.SIGTERM
    ready_within_s = 60.0
    stop_within_s = 30.0

    def __init__(self, var: Path) -> None:
        """Remember where; nothing is started."""
        self.var = var.resolve()
        self.data = self.var / self.name
        self.log = self.var / "log" / f"{self.name}.log"
        self.state_path = self.var / "run" / f"{self.name}.json"
        self.state = State.load(self.state_path)
        self._child: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """Where clients connect, password included."""

    @abstractmethod
    def prepare(self) -> None:
        """Make the data folder and settings files; called before every start."""

    @abstractmethod
    def command(self) -> Command:
        """The process to run in the foreground."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether this server, and not another on its port, serves a client now."""

    def started(self) -> None:  # noqa: B027  (most servers have nothing left to do)
        """Do what must be done once the server answers."""

    @property
    def process(self) -> psutil.Process | None:
        """The living process that was started from this data folder, or None."""
        if self.state.pid is None or self.state.started is None:
            return None
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.state.pid)
            same = abs(process.create_time() - self.state.started) < 2.0  # the clock may be set between two readings
            if same and not has_ended(process) and self._is_ours(process):
                return process
        return None

    @property
    def running(self) -> bool:
        """Whether the process lives (it may be paused)."""
        return self.process is not None

    def start(self) -> Self:
        """Start and wait until clients are served; does nothing when it already serves.

        A process left behind by a run that died is stopped first. Ports are chosen anew when somebody else took them.
        Raises CannotStart.
        """
        if self._child is not None and self.running and self.answers():
            return self
        self.stop()
        for _ in range(TRIES):
            if not self._ports_free():
                self.state.ports.clear()
            try:
                self._launch()
                break
            except CannotStart:
                if self._ports_free():  # else somebody was faster on a port that we chose
                    raise
        else:
            raise CannotStart(f"{self.name} lost its port to another program {TRIES} times in a row; start again")
        return self

    def restart(self) -> None:
        """Stop and start on the same port and data."""
        self.stop()
        self._launch()

    def stop(self) -> None:
        """Stop in good order, else by force; does nothing when it is stopped."""
        process = self.process
        if process is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)
                process.send_signal(self.stop_signal)
            wait_for(lambda: has_ended(process), within_s=self.stop_within_s)
        self.kill()
        if self.state.pid is not None:
            self.state.pid = self.state.started = None
            self.state.save(self.state_path)

    def kill(self) -> None:
        """End it at once, with its children, as a crash would; data and port stay."""
        if (process := self.process) is not None:
            family = [process, *process.children(recursive=True)]
            for member in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.kill()
            wait_for(lambda: all(map(has_ended, family)), within_s=self.stop_within_s)
        self._reap()

    def pause(self) -> None:
        """Freeze it: connections stay open and nothing answers."""
        self._signal_family(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on."""
        self._signal_family(signal.SIGCONT)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _ports_free(self) -> bool:
        return all(map(is_free, self.state.ports.values()))

    def _launch(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.prepare()
        self._spawn()
        try:
            self._await_ready()
            self.started()
        except BaseException:
            self.stop()
            raise

    def _spawn(self) -> None:
        command = self.command()
        self.state.save(self.state_path)
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES_MAX:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(  # noqa: S603  (our own words, no shell)
                command.argv,
                cwd=self.data,
                env=dict(command.env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                user=command.user,
                group=command.user,
                extra_groups=None if command.user is None else [],
                start_new_session=True,  # Ctrl-C is for us: we stop it, in order
            )
        self.state.pid = self._child.pid
        self.state.started = psutil.Process(self._child.pid).create_time()
        self.state.save(self.state_path)

    def _await_ready(self) -> None:
        assert self._child is not None
        child = self._child
        done = wait_for(lambda: child.poll() is not None or self.answers(), within_s=self.ready_within_s)
        if child.poll() is not None:
            raise CannotStart(f"{self.name} ended with status {child.returncode} while starting; {self._log_tail()}")
        if not done:
            raise CannotStart(f"{self.name} did not answer within {self.ready_within_s:.0f} s; {self._log_tail()}")

    def _log_tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-8:]
        return f"its log {self.log} ends with:\n" + "\n".join(lines)

    def _is_ours(self, process: psutil.Process) -> bool:
        """Its command line or its working folder is our data folder (the second is not readable for every account)."""
        try:
            return any(str(self.data) in part for part in process.cmdline()) or Path(process.cwd()) == self.data
        except psutil.AccessDenied:
            return False

    def _signal_family(self, what: signal.Signals) -> None:
        if (process := self.process) is not None:
            for member in (process, *process.children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.send_signal(what)

    def _reap(self) -> None:
        if self._child is not None:
            self._child.wait(self.stop_within_s)
            self._child = None


def has_ended(process: psutil.Process) -> bool:
    """Whether it is gone, or only its parent has not asked yet how it ended."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_for(condition: Callable[[], bool], *, within_s: float) -> bool:
    """Ask until the answer is yes; False when the time is over."""
    return any(condition() for _ in _ticks(within_s))


def _ticks(within_s: float) -> Iterator[None]:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        yield
        time.sleep(POLL_S)
