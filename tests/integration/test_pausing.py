"""One process that follows the rows of closed queues: what it closes, opens and holds, also while nothing answers."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from broker import pauses
from broker.pauses import Pause
from ops import pausing
from ops.pausing import Pausing
from tests.workshop import START, empty, eventually


@dataclass
class Tap:
    """A queue in the test's hands; ``looks`` counts how often it was asked whether it is shut."""

    closed: bool = False
    shut: bool = False
    looks: int = 0
    why: list[str] = field(default_factory=list)

    def close(self, why: str) -> None:
        self.closed = True
        self.why.append(why)

    def open(self) -> None:
        self.closed = self.shut = False

    def is_shut(self) -> bool:
        self.looks += 1
        return self.shut


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pausing, "LOOK_EVERY_S", 0.02)


async def close(database: AsyncEngine, *queues: str) -> None:
    async with database.begin() as conn:
        await pauses.pause(conn, queues, who="olga", reason="a look", now=START)


async def held(database: AsyncEngine, *queues: str) -> list[str]:
    async with database.connect() as conn:
        return [queue for queue, names in (await pauses.holders(conn, queues)).items() if names]


async def test_a_queue_is_held_until_nothing_is_taken_from_it_and_nothing_of_it_is_in_hand(ledger: AsyncEngine) -> None:
    await empty(ledger)
    taps, in_hand = {"dedup": Tap(), "post": Tap()}, {"post"}
    async with Pausing(ledger, taps, in_hand.__contains__).followed():
        assert await held(ledger, *taps) == ["dedup", "post"]
        await close(ledger, "post")
        await eventually(lambda: _true(taps["post"].closed))
        assert taps["post"].why == ["olga: a look"]
        taps["post"].shut = True
        looks = taps["post"].looks
        await eventually(lambda: _true(taps["post"].looks > looks + 1))
        assert await held(ledger, "post") == ["post"]  # a message of it is still worked on
        in_hand.clear()
        await eventually(lambda: _nobody_holds(ledger, "post"))
        assert (await held(ledger, "dedup"), taps["dedup"].closed) == (["dedup"], False)
        async with ledger.begin() as conn:
            await pauses.resume(conn, ["post"])
        await eventually(lambda: _true(not taps["post"].closed))
        assert await held(ledger, "post") == ["post"]
    await eventually(lambda: _nobody_holds(ledger, "dedup", "post"))  # the locks go with the connection


async def test_a_queue_stays_as_it_was_while_the_rows_cannot_be_read(
    ledger: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = 0

    async def fail(_: AsyncConnection) -> list[Pause]:
        nonlocal failures
        failures += 1
        raise SQLAlchemyError("the database is away")

    await empty(ledger)
    tap = Tap(shut=True)
    await close(ledger, "post")
    async with Pausing(ledger, {"post": tap}, lambda _: False).followed():
        assert tap.closed
        with monkeypatch.context() as patched:
            patched.setattr(pauses, "listed", fail)
            async with ledger.begin() as conn:
                await pauses.resume(conn, ["post"])
            await eventually(lambda: _true(failures > 1))
            assert tap.closed
        await eventually(lambda: _true(not tap.closed))


async def _true(value: bool) -> bool:
    return value


async def _nobody_holds(database: AsyncEngine, *queues: str) -> bool:
    return not await held(database, *queues)
