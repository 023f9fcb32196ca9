"""A terminal for tests: ``sluice`` commands as processes with their own environment, input, output and exit.

They are forked from a clean process that has imported the commands once: importing takes longer than most commands.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.cli import MODULES, main
from workers.providers import load_providers

COMMAND_S = 120.0
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    [
        *sorted({f"ops.cli.{module}" for module in MODULES.values()}),
        "ops.cli.people",
        *(f"workers.providers.{name}" for name in load_providers()),
        "tests.terminal",
    ]
)


@dataclass(frozen=True, slots=True)
class Shell:
    """A terminal with its environment."""

    environment: Mapping[str, str]

    def given(self, **variables: str) -> Shell:
        """The same terminal with more variables."""
        return Shell({**self.environment, **variables})

    def run(self, *words: str, exits: int = 0, typed: str = "") -> str:
        """Type a command; give what it printed."""
        return self.both(*words, exits=exits, typed=typed)[0]

    def fails(self, *words: str, exits: int = 2) -> str:
        """Type a command that cannot be done; give the one line that says why."""
        _, said = self.both(*words, exits=exits)
        assert "Traceback" not in said
        assert len(said.splitlines()) == 1, said
        return said

    def one(self, *words: str) -> Any:
        """Give the one JSON document that a command prints."""
        return json.loads(self.run(*words, "--json"))

    def lines(self, *words: str) -> list[Any]:
        """Give the JSON lines that a command prints."""
        return [json.loads(line) for line in self.run(*words, "--json").splitlines()]

    def both(self, *words: str, exits: int = 0, typed: str = "") -> tuple[str, str]:
        """Give what a command printed, and what it said on the standard error."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "0").write_text(typed)
            process = PROCESSES.Process(target=_type, args=(words, dict(self.environment), folder))
            process.start()
            process.join(COMMAND_S)
            if process.exitcode is None:
                process.kill()
                process.join()
            told, said = (folder / "1").read_text(), (folder / "2").read_text()
        assert process.exitcode == exits, f"{words}: exit {process.exitcode}\n{told}\n{said}"
        return told, said


def bare(var: Path) -> Shell:
    """A terminal of somebody who has set nothing but where data go."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SLUICE_")}
    kept = {name: value for name, value in kept.items() if not name.endswith("_API_KEY")}
    return Shell({**kept, "SLUICE_VAR": str(var), "SLUICE_LOG_LEVEL": "error", "COLUMNS": "240"})


def _type(words: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
    os.environ.clear()
    os.environ.update(environment)
    for number, flags in ((0, os.O_RDONLY), (1, os.O_WRONLY | os.O_CREAT), (2, os.O_WRONLY | os.O_CREAT)):
        os.dup2(os.open(folder / str(number), flags, 0o600), number)
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(n, "r" if n == 0 else "w", closefd=False) for n in range(3))
    sys.argv = ["sluice", *words]
    main()
