"""Child processes by name: born in the nursery, killed at will, born again; each is stopped by its own process id."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

NURSERY = Path(__file__).with_name("nursery.py")
STOP_S = 20.0


@dataclass(slots=True)
class Child:
    """One life of a process: ``worker-a.3`` is the third of ``worker-a``."""

    name: str
    pid: int
    exited: asyncio.Future[int]

    def signal(self, what: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if not self.exited.done():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, what)


@dataclass(slots=True)
class Nursery:
    """A running nursery process, and the children that it has told us of."""

    process: asyncio.subprocess.Process
    births: asyncio.Queue[int] = field(default_factory=asyncio.Queue)
    exits: dict[int, asyncio.Future[int]] = field(default_factory=dict)
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def bear(self, name: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> Child:
        """Fork a child that runs ``sluice`` with these arguments."""
        order = {"arguments": list(arguments), "environment": dict(environment), "log": str(log)}
        assert self.process.stdin is not None
        async with self.asking:
            self.process.stdin.write(json.dumps(order).encode() + b"\n")
            pid = await self.births.get()
        return Child(name, pid, self.exits[pid])

    async def listen(self) -> None:
        """Take down births and deaths until the nursery closes."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            told = json.loads(line)
            if "born" in told:
                self.exits[told["born"]] = asyncio.get_running_loop().create_future()
                self.births.put_nowait(told["born"])
            else:
                self.exits[told["pid"]].set_result(told["exit"])


@asynccontextmanager
async def open_nursery() -> AsyncIterator[Nursery]:
    """Start a nursery; at the end it goes, and whoever is still in it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, NURSERY, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(NURSERY.parents[2])},
    )  # fmt: skip
    nursery = Nursery(process)
    listening = asyncio.create_task(nursery.listen())
    try:
        yield nursery
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
        await listening


async def stop(child: Child) -> None:
    """Ask it to end, and make it end when it does not."""
    child.signal(signal.SIGTERM)
    await asyncio.wait({child.exited}, timeout=STOP_S)
    child.signal(signal.SIGKILL)
    await child.exited
