"""Nothing lost, nothing doubled, nothing paid for twice: the main job under everything that can go wrong, by a seed."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.embedded import Stack
from ops.sandbox import SandboxConfig

from .accounts import Account, account, check_books, check_equal, check_paid
from .children import Nursery, open_nursery
from .hostile import Chaos
from .system import NOW, System, running_system, until

SIZE = 400
CLEAN_WITHIN_S, FAULTY_WITHIN_S, ALL_WITHIN_S = 90.0, 120.0, 400.0


@pytest.fixture(scope="module")
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """Servers of these tests' own, to be stopped, crashed and emptied; PostgreSQL is as durable as in production.

    Not under pytest's own folder, which each new session closes to the account that PostgreSQL runs under.  The logs of
    a run that failed are kept.
    """
    failed = request.session.testsfailed
    folder = Path(tempfile.mkdtemp(prefix="sluice-chaos-"))
    with Stack(folder, "rabbitmq") as stack:
        yield stack
    if request.session.testsfailed == failed:
        shutil.rmtree(folder)


@pytest.mark.timeout(ALL_WITHIN_S + 60)  # the limits within are nearer, and tell what stands still
async def test_nothing_is_lost_doubled_or_paid_for_twice(chaos_seed: int, chaos_extras: int, stack: Stack) -> None:
    print(f"\nchaos seed {chaos_seed}", flush=True)  # noqa: T201
    chaos, began = Chaos(chaos_seed, chaos_extras), time.monotonic()
    world = SandboxConfig(seed=chaos_seed, size=SIZE, now=NOW)
    for server in stack.servers:
        server.start()  # where a run before this one ended in the middle of a blow
    async with open_nursery() as nursery:
        clean = await without_faults(stack, nursery, world)
        clean_s = time.monotonic() - began
        extra = await with_faults(stack, nursery, world, chaos, clean)
    print(  # noqa: T201
        f"chaos seed {chaos_seed}: {time.monotonic() - began:.0f} s ({clean_s:.0f} s of them without faults),"
        f" {clean.pages} pages, {len(clean.items)} items, {len(chaos.done)} blows, {chaos.kills} kills,"
        f" {sum(chaos.hits.values())} open calls hit, {extra} extra calls, {chaos.doubled} messages delivered again,"
        f" answers spoiled: {', '.join(f'{n} {kind}' for kind, n in sorted(chaos.struck.items()))}",
        flush=True,
    )


async def without_faults(stack: Stack, nursery: Nursery, world: SandboxConfig) -> Account:
    """Run the main job in peace."""
    async with running_system(f"clean_{world.seed}", stack, nursery, world) as system:
        await system.ask()
        await until(system.ended, within_s=CLEAN_WITHIN_S, what="a run without faults to end")
        await check_books(system)
        assert await check_paid(system, {}) == 0
        return await account(system)


async def with_faults(stack: Stack, nursery: Nursery, world: SandboxConfig, chaos: Chaos, clean: Account) -> int:
    """Run it again under every blow of the plan; what is wrong then comes with the seed and the story of the run."""
    async with running_system(f"faulty_{world.seed}", stack, nursery, world) as system:
        try:
            await system.ask()
            async with asyncio.timeout(ALL_WITHIN_S):
                await chaos.unfold(system, clean.pages)
            await system.faults([])
            await until(system.ended, within_s=FAULTY_WITHIN_S, what="every job to end")
            await check_books(system)
            check_equal(await account(system), clean)
            chaos.struck = system.witness.struck()
            return await check_paid(system, chaos.hits)
        except Exception as broken:
            broken.add_note(f"chaos seed {chaos.seed}\n{await _story(system, chaos)}")
            raise


async def _story(system: System, chaos: Chaos) -> str:
    told = [f"logs: {system.stack.var / 'log'}", "blows:", *(f"  {done}" for done in chaos.done), *system.exits]
    if system.stack.postgres.answers():
        jobs = "SELECT state, coalesce(reason, '') AS reason, count(*) AS n FROM jobs GROUP BY 1, 2 ORDER BY n DESC"
        told += [f"  {row.n} jobs {row.state} {row.reason}" for row in await system.rows(jobs)]
    return "\n".join(told)
