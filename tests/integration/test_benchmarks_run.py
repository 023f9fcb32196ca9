"""Every benchmark runs, at sizes that measure nothing: what is shown to people must not be broken when they ask."""

from __future__ import annotations

import asyncio

import pytest

from ops.embedded import Stack
from tests.benchmarks.__main__ import QUICK, run
from tests.benchmarks.peers.run import PEERS, installed
from tests.benchmarks.system import LENT


@pytest.fixture(autouse=True)
def servers(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lend them the session's servers: each would start its own."""
    for server in stack.servers:
        server.start()
    monkeypatch.setenv(LENT, str(stack.var))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", sorted(QUICK.keys() - {"jobs"}))
async def test_each_benchmark_gives_its_lines(name: str) -> None:
    rows = await asyncio.to_thread(run, name, QUICK[name])
    assert rows
    assert all(row["ours"] > 0 and row["theirs"] > 0 for row in rows)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("peer", PEERS)
async def test_jobs_are_measured_beside_each_peer_that_is_installed(peer: str) -> None:
    if not installed(peer):
        pytest.skip(f"{peer} is not installed: make setup-bench")
    rows = await asyncio.to_thread(run, "jobs", [*QUICK["jobs"], "--peers", peer])
    assert [row["peer"] for row in rows] == [peer, peer]
