"""PostgreSQL restarts and crashes while clients ask: they are told to come again, and each thing is done once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import uuid4

import pytest
from aiohttp import ClientSession

from gateway.api import AREAS
from gateway.app import make_app
from gateway.edge.server import serving
from ledger import migrate
from ops.embedded.postgres import Postgres
from tests.integration.gateway.asking import PROBE, Told, ask, enqueue, look
from tests.integration.gateway.conftest import ALICE, Gateway, client_of, open_parts
from tests.integration.gateway.standins import CountingLimiter, WordAuthenticator, principal
from tests.workshop import Mailbox, eventually

CLIENTS = 4
MORE = 12  # jobs between one blow and the next


@pytest.fixture
def server(var: Path) -> Iterator[Postgres]:
    """A PostgreSQL of this test's own: it is taken down."""
    server = Postgres(var / "restarts", durable=False).start()
    yield server
    server.stop()


@asynccontextmanager
async def gateway_on(url: str, redis_url: str) -> AsyncIterator[Gateway]:
    """A gateway over that database, where nobody has too many jobs."""
    people = {"alice-token": principal(ALICE, "user")}
    async with open_parts(url, redis_url) as opened:
        parts = replace(opened, jobs_max=1_000_000, producer=Mailbox())
        limiter = CountingLimiter()
        app = make_app(
            parts,
            areas=AREAS,
            authenticator=WordAuthenticator(people),
            limiter=limiter,
            probes={},
            log=lambda *_: None,
            keys=lambda: {"keys": []},
        )
        async with serving(app, "127.0.0.1", 0, log=lambda *_: None) as port:
            yield Gateway(f"http://127.0.0.1:{port}", app, parts, people, limiter)


@dataclass
class Load:
    """Clients that ask for jobs, each with its key until it is answered, and read in between."""

    client: ClientSession
    made: dict[str, str] = field(default_factory=dict)
    statuses: Counter[int] = field(default_factory=Counter)
    untold: list[Told] = field(default_factory=list)
    stop: bool = False

    async def run(self) -> None:
        while not self.stop:
            await eventually(self._asker(str(uuid4())), within_s=60)
            self._heard(await ask(self.client, "GET", "jobs", query={"limit": "5"}))

    def _asker(self, key: str) -> Callable[[], Awaitable[object]]:
        async def asked() -> bool:
            told = await enqueue(self.client, PROBE, key=key)
            self._heard(told)
            if told.status == 202:
                self.made[key] = told.body["id"]
            return told.status == 202

        return asked

    def _heard(self, told: Told) -> None:
        self.statuses[told.status] += 1
        if told.status not in (200, 202, 409) and (told.code != "unavailable" or "Retry-After" not in told.headers):
            self.untold.append(told)

    async def goes_on(self) -> None:
        """Wait until so many more jobs were made."""
        goal = len(self.made) + MORE

        async def there() -> bool:
            return len(self.made) >= goal

        await eventually(there, within_s=60)


@pytest.mark.timeout(120)
async def test_a_database_that_restarts_and_crashes_under_load_loses_and_doubles_no_job(
    server: Postgres, gateway_redis_url: str
) -> None:
    migrate.upgrade(server.url)
    async with gateway_on(server.url, gateway_redis_url) as gateway, client_of(gateway, "alice-token") as client:
        load = Load(client)
        async with asyncio.TaskGroup() as clients:
            for _ in range(CLIENTS):
                clients.create_task(load.run())
            await load.goes_on()
            await asyncio.to_thread(server.restart)
            await load.goes_on()
            await asyncio.to_thread(server.kill)
            await eventually(lambda: _refused(load), within_s=60)
            await asyncio.to_thread(server.start)
            await load.goes_on()
            load.stop = True
        assert load.untold == []
        assert load.statuses.keys() <= {200, 202, 409, 503}, load.statuses
        assert load.statuses[503] > 0
        rows = await look(gateway.parts.database, "SELECT id::text FROM jobs")
        assert sorted(job for (job,) in rows) == sorted(load.made.values())
        key, job = next(iter(load.made.items()))
        again = await enqueue(client, PROBE, key=key)
        assert (again.body["id"], again.headers["Idempotency-Replayed"]) == (job, "true")


async def _refused(load: Load) -> bool:
    return load.statuses[503] > 0
