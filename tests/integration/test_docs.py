"""The documentation is executed: what it tells people to type works.

A block opts out with the reason right before it, ``<!-- not executed: it needs a paid key -->``; the status of commands
that end with another than 0 stands there as well, ``<!-- exits 1 -->``.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ops.embedded.server import wait_for
from tests.documents import PAGES, TOP, Block, blocks, targets

EXECUTED = [block for page in PAGES for block in blocks(page) if block.reason is None]
RUNBOOK = TOP / "docs" / "runbook"
NEVER_LINKED = (".git", ".venv", "var")  # a reader's own, and not this checkout's
READY = "Ctrl-C"
COMMAND_S = 90
pytestmark = pytest.mark.timeout(2 * COMMAND_S + 20)  # the first command of all waits for the system as well


def in_language(language: str) -> list[Block]:
    return [block for block in EXECUTED if block.language == language]


def typed_commands() -> Iterator[tuple[Block, str]]:
    """Every command of a console block, in the order in which a reader types them.

    The runbook comes last.  What it repeats, on many pages, is executed once, but for what follows a command of its
    block that is new.
    """
    told = sorted(in_language("console"), key=lambda block: RUNBOOK in block.page.parents)  # a stable sort
    seen: set[str] = set()
    for block in told:
        begun = RUNBOOK not in block.page.parents
        for command in block.commands:
            begun = begun or bare(command) not in seen
            seen.add(bare(command))
            if begun:
                yield block, command


def bare(command: str) -> str:
    """Give a command without the comment that may follow it."""
    return re.split(r" +#", command)[0]


# -- a checkout of the reader's own ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkout() -> Iterator[Path]:
    """A folder that looks like the checkout after ``make setup``, so that nothing is written into this one."""
    folder = Path(tempfile.mkdtemp(prefix="sluice-docs-"))
    for entry in TOP.iterdir():
        if entry.name not in NEVER_LINKED:
            (folder / entry.name).symlink_to(entry)
    (folder / ".venv").symlink_to(sys.prefix)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """A reader who has set nothing, on a machine where others use the usual port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ours = {
        name: value for name, value in os.environ.items() if not name.startswith("SLUICE_") and "_API_KEY" not in name
    }
    return ours | {"SLUICE_PORT": str(port)}


@dataclass
class System:
    """What ``make up`` starts and leaves running; a reader has one terminal for it."""

    checkout: Path
    environment: dict[str, str]
    words: list[str] = field(default_factory=list)
    running: subprocess.Popen[bytes] | None = None

    @property
    def told(self) -> Path:
        return self.checkout / "up.log"

    def up(self, words: list[str] | None = None) -> None:
        """Start it, anew where it is to run in another way; without words, any way that it runs is good."""
        if self.running is not None and words in (None, self.words):
            assert self.running.poll() is None, self.told.read_text()
            return
        self.down()
        self.words = words or []
        with self.told.open("wb") as log:
            command = [".venv/bin/sluice", "up", *self.words]
            self.running = subprocess.Popen(
                command, cwd=self.checkout, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        process = self.running
        wait_for(lambda: process.poll() is not None or READY in self.told.read_text(), within_s=COMMAND_S)
        assert process.poll() is None, self.told.read_text()
        assert READY in self.told.read_text()
        wait_for(lambda: process.poll() is not None or self.answers(), within_s=COMMAND_S)

    def answers(self) -> bool:
        """Whether the gateway takes connections: it is the last to be there."""
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", int(self.environment["SLUICE_PORT"]))) == 0

    def down(self) -> None:
        """Stop it as Ctrl-C does; nothing may go wrong on the way out."""
        if self.running is not None:
            self.running.send_signal(signal.SIGINT)
            status = self.running.wait(COMMAND_S)
            self.running = None
            assert status == 0, self.told.read_text()


@pytest.fixture(scope="module")
def system(checkout: Path, environment: dict[str, str]) -> Iterator[System]:
    """It runs from the first command that needs it to the end of this file."""
    system = System(checkout, environment)
    yield system
    system.down()


def execute(words: list[str], block: Block, system: System, typed: str | None = None) -> None:
    """Run one command as a reader would; it must end as the page says, and in time."""
    process = subprocess.Popen(
        words,
        cwd=system.checkout,
        env=system.environment,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        told, _ = process.communicate(typed, timeout=COMMAND_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    assert process.returncode == block.exits, f"{block}: {words[-1]}\n{told}"


def said(block: Block, command: str) -> str:
    return f"{block}: {bare(command)}"


@pytest.mark.parametrize(("block", "command"), [pytest.param(*typed, id=said(*typed)) for typed in typed_commands()])
def test_a_command_ends_as_the_page_says(block: Block, command: str, system: System) -> None:
    words = shlex.split(command, comments=True)
    if words[0] != "make":
        system.up()
        execute(["sh", "-c", command], block, system)
        return
    target, arguments = words[1], dict(word.split("=", 1) for word in words[2:])
    assert target in targets(), command
    if target == "up":  # never make within make: what the other targets do has tests of its own
        system.up(shlex.split(arguments.get("ARGS", "")))


@pytest.mark.parametrize("block", in_language("python"), ids=str)
def test_python_examples_run(block: Block, system: System) -> None:
    system.up()
    execute([".venv/bin/python", "-W", "error", "-"], block, system, block.text)
