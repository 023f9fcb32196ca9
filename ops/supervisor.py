"""Child processes that stay: started by name, started again when they die, stopped by their own process id.

Used by ``sluice up``, ``sluice demo`` and ``sluice worker --processes N``: one dead child must not end the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import IO, Protocol

import structlog

log = structlog.get_logger(__name__)

RESTART_S, RESTART_S_MAX = 0.5, 15.0
LONG_ENOUGH_S = 60.0


@dataclass(frozen=True, slots=True)
class Child:
    """A ``sluice`` command to keep running, with its environment."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


class Registrar(Protocol):
    """Told of every process that begins and ends."""

    def began(self, pid: int) -> None:
        """It runs."""
        ...

    def ended(self, pid: int, *, asked: bool) -> None:
        """It is gone; ``asked``: it was told to go."""
        ...


@asynccontextmanager
async def kept_running(
    children: Sequence[Child], *, stop_s: float, registrar: Registrar | None = None, output: IO[str] | None = None
) -> AsyncIterator[Callable[[], None]]:
    """Run the children until the block ends, then ask them to stop and, after ``stop_s``, make them.

    What it gives passes a second signal on to those that are still there, for whom it means "now".
    ``output`` takes what they say on standard output, where that is kept for an answer of ours.
    """
    stopping, living = asyncio.Event(), set[asyncio.subprocess.Process]()

    def tell_again() -> None:
        for process in living:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()

    told = _Told(stopping, living, stop_s, registrar, output)
    keepers = [asyncio.create_task(_keep(child, told)) for child in children]
    try:
        yield tell_again
    finally:
        stopping.set()
        await asyncio.gather(*keepers)


@dataclass(frozen=True, slots=True)
class _Told:
    """What all keepers share."""

    stopping: asyncio.Event
    living: set[asyncio.subprocess.Process]
    stop_s: float
    registrar: Registrar | None
    output: IO[str] | None


async def _keep(child: Child, told: _Told) -> None:
    pause_s, stopping, registrar = RESTART_S, told.stopping, told.registrar
    while not stopping.is_set():
        began = asyncio.get_running_loop().time()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "ops.cli", *child.arguments, env=dict(child.environment), stdout=told.output
        )
        told.living.add(process)
        if registrar is not None:
            registrar.began(process.pid)
        code = await _until_exit(process, stopping, told.stop_s)
        told.living.discard(process)
        if registrar is not None:
            registrar.ended(process.pid, asked=stopping.is_set())
        if stopping.is_set():
            return
        lived_s = asyncio.get_running_loop().time() - began
        pause_s = RESTART_S if lived_s > LONG_ENOUGH_S else min(RESTART_S_MAX, pause_s * 2)
        log.warning("child_died", child=child.name, exit=code, again_in_s=pause_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await stopping.wait()


async def _until_exit(process: asyncio.subprocess.Process, stopping: asyncio.Event, stop_s: float) -> int:
    exited, told = asyncio.create_task(process.wait()), asyncio.create_task(stopping.wait())
    await asyncio.wait({exited, told}, return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    if not exited.done():
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(stop_s):
                await asyncio.shield(exited)
    if not exited.done():
        log.error("child_killed", pid=process.pid, after_s=stop_s)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    return await exited
