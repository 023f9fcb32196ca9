"""Real servers for the tests: one private set per session, started when the first test asks, stopped by their own pid.

A missing server is an error, never a skip.
"""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import cast

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.ext.asyncio import AsyncEngine

from ledger import migrate
from ledger.engine import open_ledger
from ops.embedded import Stack

FOLDERS = ("unit", "contract", "integration", "infra", "chaos", "load", "benchmarks")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test is marked by the folder it lies in (``-m "not chaos"``), and the quick folders go first."""
    for item in items:
        if (folder := folder_of(item)) in FOLDERS:
            item.add_marker(folder)
    items.sort(key=lambda item: FOLDERS.index(folder_of(item)) if folder_of(item) in FOLDERS else -1)


def folder_of(item: pytest.Item) -> str:
    """The folder right under ``tests``, or the file's name where it lies there itself."""
    return item.path.relative_to(Path(__file__).parent).parts[0]


def pytest_configure(config: pytest.Config) -> None:
    """Declare those marks."""
    for folder in FOLDERS:
        config.addinivalue_line("markers", f"{folder}: lies in tests/{folder}")


@pytest.fixture(scope="session")
def var() -> Iterator[Path]:
    """The session's own ``var`` folder, gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="sluice-tests-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def stack(var: Path) -> Iterator[Stack]:
    """The owner of the session's servers; none runs until it is asked for."""
    stack = Stack(var, "rabbitmq", durable=False).open()
    yield stack
    stack.stop()


@pytest.fixture(scope="module")
def postgres_url(stack: Stack) -> Iterator[str]:
    """An empty database for this module, owned by a role that is no superuser: ``postgresql://…``."""
    server = stack.postgres.start()
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(server.admin_url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {} OWNER sluice").format(sql.Identifier(name)))
    yield server.database_url(name)
    with psycopg.connect(server.admin_url, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="module")
def ledger_url(postgres_url: str) -> str:
    """The module's database with the newest schema; shared, so a test takes providers or keys of its own."""
    migrate.upgrade(postgres_url)
    return postgres_url


@pytest.fixture(scope="module")
async def ledger(ledger_url: str) -> AsyncIterator[AsyncEngine]:
    """An open ledger on that database."""
    async with open_ledger(ledger_url) as engine:
        yield engine


@pytest.fixture(scope="session")
def redis_url(stack: Stack) -> str:
    """The session's Redis, database 0; shared, so a test takes keys of its own."""
    return stack.redis.start().url


@pytest.fixture(scope="session")
def rabbitmq_url(stack: Stack) -> str:
    """The session's RabbitMQ; shared, so a test takes queues of its own."""
    return stack.rabbitmq.start().url


@pytest.fixture(scope="session", params=["redis", "rabbitmq"])
def broker_url(request: pytest.FixtureRequest, stack: Stack) -> str:
    """Every broker that production or a laptop may use, for the contract tests."""
    if request.param == "redis":
        return stack.redis.start().database_url(1)
    return cast(str, request.getfixturevalue("rabbitmq_url"))
