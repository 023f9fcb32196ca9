"""The smoke test against a real gateway and a real worker; and without the worker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg
import pytest

from ledger import migrate
from ops.embedded import Stack
from ops.settings import environment_with
from tests.benchmarks.system import child, until
from tests.load.system import free_port, ready
from tests.terminal import Shell, bare
from workers.http import token_variable
from workers.providers import load_providers

PASSWORD = "gravel orchid 71 tuba"
pytestmark = pytest.mark.timeout(300)  # each command is a process of its own


@dataclass
class Site:
    """A gateway; its environment, for a worker beside it."""

    url: str
    shell: Shell
    environment: dict[str, str]
    folder: Path


@pytest.fixture
async def site(stack: Stack, ledger_url: str, tmp_path: Path) -> AsyncIterator[Site]:
    redis, port = stack.redis.start(), free_port()
    url = f"http://127.0.0.1:{port}"
    servers = {
        "SLUICE_DATABASE_URL": ledger_url,
        "SLUICE_REDIS_URL": redis.database_url(11),
        "SLUICE_BROKER_URL": redis.database_url(12),
    }
    shell = bare(tmp_path).given(**servers)
    shell.run("user", "add", "smoke", "--role", "admin", "--password-stdin", typed=PASSWORD)
    quiet = {"SLUICE_VAR": str(tmp_path), "SLUICE_LOG_LEVEL": "error", "SLUICE_ACCESS_LOG_PERCENT": "0"}
    keys = {token_variable(name): "a key that nobody asks for" for name in load_providers()}
    environment = environment_with({**servers, **quiet, **keys, "SLUICE_PORT": str(port), "SLUICE_DRAIN_S": "2"})
    async with AsyncExitStack() as opened:
        await opened.enter_async_context(child(["-m", "ops.cli", "serve"], environment, tmp_path))
        await until(partial(ready, url), f"{url} to be ready")
        yield Site(url, shell, environment, tmp_path)


async def test_a_system_at_work_passes_and_one_without_a_worker_does_not(site: Site) -> None:
    words = ("smoke", site.url, "--password-stdin", "--json")
    async with child(["-m", "ops.cli", "worker", "--processes", "1"], site.environment, site.folder):
        said = await asyncio.to_thread(site.shell.run, *words, "--within", "60s", typed=PASSWORD)
    told = json.loads(said)
    states = {check["name"]: check["state"] for check in told["checks"]}
    assert (told["well"], {name for name, state in states.items() if state != "ok"}) == (True, {"name", "certificate"})
    found = {check["name"]: check["detail"] for check in told["checks"]}
    assert found["schema"] == migrate.head()
    assert "no provider is disabled" in found["secrets"]

    with psycopg.connect(site.environment["SLUICE_DATABASE_URL"]) as conn:
        conn.execute("SET ROLE sluice_audit")
        kinds = conn.execute("SELECT kind FROM entries ORDER BY seq").fetchall()
        left = conn.execute("SELECT count(*) FROM balances WHERE amount <> 0").fetchone()
    assert (kinds, left) == ([("buy",), ("reversal",)], (0,))

    said = await asyncio.to_thread(site.shell.run, *words, "--within", "1s", exits=1, typed=PASSWORD)
    bad = [check["name"] for check in json.loads(said)["checks"] if check["state"] == "failed"]
    assert bad == ["follow", "post"]
    shown = await asyncio.to_thread(site.shell.run, *words[:-1], "--within", "1s", exits=1, typed="another one")
    assert "FAILED" in shown
    assert PASSWORD not in shown


def test_what_cannot_be_asked_is_said_in_one_line(tmp_path: Path) -> None:
    shell = bare(tmp_path)
    assert "--password-stdin" in shell.fails("smoke", "http://127.0.0.1:9")
    assert "no address of a system" in shell.fails("smoke", "ftp://example.com")
    assert "no address of a system" in shell.fails("smoke", "https://olga:secret@example.com")
    told, _ = shell.given(SLUICE_SMOKE_PASSWORD=PASSWORD).both("smoke", "http://127.0.0.1:9", exits=1)
    assert "FAILED" in told
