"""Where children are born quickly: one process imports ``sluice`` once, and forks a child for each line it reads.

A worker that is killed ten times would otherwise spend most of a run on importing.  It runs as a program of its own,
reads ``{"arguments": [...], "environment": {...}, "log": path}`` lines, and answers each with the child's process id;
when a child has ended it says ``{"pid": ..., "exit": ...}``.  Nothing is drawn, opened or connected before a fork.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import NoReturn


def serve() -> None:
    """Fork until the other end hangs up, then kill the children that are left."""
    main = _imported()
    wake, poke = os.pipe()
    os.set_blocking(poke, False)
    signal.set_wakeup_fd(poke)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the test, which stops the children in order
    living: set[int] = set()
    while True:
        ready, _, _ = select.select([sys.stdin, wake], [], [])
        if wake in ready:
            os.read(wake, 1024)
            _bury(living)
        if sys.stdin in ready:
            line = sys.stdin.readline()
            if not line:
                break
            pid = os.fork()
            if pid == 0:
                _live(main, (wake, poke), **json.loads(line))
            living.add(pid)
            _say({"born": pid})
    for pid in living:
        os.kill(pid, signal.SIGKILL)


def _imported() -> Callable[[], None]:
    """Import what the commands import only when they run."""
    for name in ("ops.cli.processes", "ops.worker", "sqlalchemy.dialects.postgresql.psycopg"):
        import_module(name)
    from ops.cli import main
    from workers.providers import load_providers

    load_providers()
    return main


def _bury(living: set[int]) -> None:
    for pid in sorted(living):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            living.discard(pid)
            _say({"pid": pid, "exit": os.waitstatus_to_exitcode(status)})


def _live(
    main: Callable[[], None], pipes: Sequence[int], *, arguments: list[str], environment: dict[str, str], log: str
) -> NoReturn:
    signal.set_wakeup_fd(-1)
    for signum in (signal.SIGCHLD, signal.SIGINT):
        signal.signal(signum, signal.SIG_DFL)
    for pipe in pipes:
        os.close(pipe)
    os.environ.clear()
    os.environ.update(environment)
    with Path(log).open("ab") as output, Path(os.devnull).open() as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    sys.argv = ["sluice", *arguments]
    code = 1
    try:
        main()
        code = 0
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _say(what: dict[str, int]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    serve()
