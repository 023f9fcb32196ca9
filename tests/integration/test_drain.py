"""Draining: no new call to a provider, and what is in hand comes to its end; resuming takes back only that."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from broker import providers
from broker.messages import DEDUP, POST, fetch_queue
from ops import draining
from ops.draining import InHand
from tests.terminal import Shell, bare
from tests.workshop import Workshop

NOWHERE = "redis://127.0.0.1:9/0"
pytestmark = pytest.mark.timeout(300)  # each command is a process of its own


@pytest.fixture
def shell(ledger_url: str, tmp_path: Path) -> Shell:
    return bare(tmp_path).given(SLUICE_DATABASE_URL=ledger_url, SLUICE_REDIS_URL=NOWHERE, SLUICE_BROKER_URL=NOWHERE)


async def test_a_drained_provider_is_not_called_and_its_jobs_wait(shop: Workshop, shell: Shell) -> None:
    told = shell.one("drain", "fetch.cryptopanic", "--reason", "a new plan")
    assert (told["providers"], told["drained"], told["in_hand"]) == (["cryptopanic"], True, {"jobs": 0, "pages": 0})
    job = await shop.ask()
    await shop.run()
    assert shop.calls("cryptopanic") == 0
    waiting = await shop.job(job)
    assert (waiting.state, "a new plan" in waiting.reason) == ("waiting", True)
    async with shop.database.begin() as conn:
        assert await draining.resume(conn, ["cryptopanic"], now=shop.clock()) == ["cryptopanic"]
    await shop.settle()
    assert (await shop.job(job)).state == "succeeded"


async def test_what_is_in_hand_is_waited_for_and_not_for_ever(shop: Workshop, shell: Shell) -> None:
    await shop.ask()
    await shop.deliver(fetch_queue("cryptopanic"))
    told = json.loads(shell.run("drain", "--all", "--within", "1s", "--json", exits=1))
    assert (told["drained"], told["in_hand"]["pages"]) == (False, 1)
    assert "1 pages are still in hand" in shell.run("drain", "cryptopanic", "--within", "1s", exits=1)
    while shop.mailbox.waiting().keys() & {DEDUP, POST}:
        await shop.deliver(next(iter(shop.mailbox.waiting().keys() & {DEDUP, POST})))
    assert "nothing is in hand" in shell.run("drain", "--all", "--within", "1s")
    assert "resumed: " in shell.run("drain", "--all", "--resume")
    assert "none of them was drained" in shell.run("drain", "--all", "--resume")


async def test_a_job_counts_as_in_hand_while_its_lease_is_alive(shop: Workshop) -> None:
    job, now = await shop.ask(), shop.clock()
    async with shop.database.begin() as conn:
        await conn.exec_driver_sql("UPDATE jobs SET state = 'running', lease_until = %s WHERE id = %s", (now, job))
    async with shop.database.connect() as conn:
        before, after = datetime(2020, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)
        assert await draining.in_hand(conn, ["cryptopanic"], now=before) == InHand(1, 0)
        assert await draining.in_hand(conn, None, now=before) == InHand(1, 0)
        assert await draining.in_hand(conn, ["nansen"], now=before) == InHand(0, 0)
        assert await draining.in_hand(conn, None, now=after) == InHand(0, 0)


async def test_what_others_have_stopped_stays_stopped(shop: Workshop) -> None:
    async with shop.database.begin() as conn:
        await providers.stand(conn, "nansen", "disabled", reason="no key", now=shop.clock())
        await providers.stand(conn, "newscatcher", "paused", reason="by hand", now=shop.clock())
        names = ("cryptopanic", "nansen", "newscatcher")
        others = await draining.stop(conn, names, reason="window", now=shop.clock())
        assert {one.name: one.state for one in others} == {"nansen": "disabled", "newscatcher": "paused"}
        assert await draining.stop(conn, names, reason="again", now=shop.clock()) == others
        assert await draining.resume(conn, names, now=shop.clock()) == ["cryptopanic"]
        assert [(await providers.standing(conn, name)).state for name in names] == ["ok", "disabled", "paused"]


def test_what_to_drain_must_be_said(shell: Shell) -> None:
    assert "name providers, or say --all" in shell.fails("drain")
    assert "name providers, or say --all" in shell.fails("drain", "nansen", "--all")
    assert "there is no provider 'nasdaq'" in shell.fails("drain", "nasdaq")
