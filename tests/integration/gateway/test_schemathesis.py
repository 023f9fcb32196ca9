"""Schemathesis asks everything the OpenAPI document offers, with data that fits and data that does not.

All its checks are on.  What fits must also be taken (``positive_data_acceptance``), but for what ``BEYOND`` names with
the reason why no schema can say it.  Here it has a small budget; ``python -m pytest
tests/integration/gateway/test_schemathesis.py --api-thorough`` takes minutes and goes through the whole coverage of
every schema.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.integration.gateway.accounts import forget_guesses, open_house
from tests.integration.gateway.conftest import Gateway

HOOKS = Path(__file__).with_name("schemathesis_hooks.py")
QUICK = ("--phases", "examples,fuzzing", "--max-examples", "3", "--max-time", "8")
THOROUGH = ("--phases", "examples,coverage,fuzzing,stateful", "--max-examples", "10", "--max-time", "75")
LEFT_OUT = ("--exclude-path", "/api/v1/auth/logout", "--exclude-path-regex", "/events$")
"""Logging out would end the run; an event stream never ends."""

ALWAYS = ("2xx", "401", "403", "404", "409", "429")
"""Refusals that say nothing about the data: who asks, what is there, how much was asked."""
BEYOND: Mapping[str, tuple[str, str]] = {
    "ask_for_jobs": ("422", "args fit the schema of their kind, and the datasets that this installation has"),
    "add_stream": (
        "422",
        "providers, datasets and parameters are those that this installation has; cron has a calendar",
    ),
    "schedule_stream": ("422", "cron has a calendar: there is no 31st of April"),
    "add_user": ("422", "a password must not be one that everybody guesses"),
    "change_password": ("422", "the same"),
    "pause_provider": ("422", "until when: a moment that is not over"),
    "login": ("422", "scopes that the user's role has"),
}
"""Operations that refuse data that fits: how, and what of it no schema says."""
SIGNED = ("400", "a cursor is signed: only those of an earlier page are one")
"""The same of every list."""


def exceptions(document: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Every operation that may refuse what fits, with the status and the reason."""
    operations = {one["operationId"]: one for methods in document["paths"].values() for one in methods.values()}
    assert BEYOND.keys() <= operations.keys()
    for name, (status, reason) in BEYOND.items():
        yield name, status, reason
    for name, one in operations.items():
        if any(parameter["name"] == "cursor" for parameter in one["parameters"]):
            yield name, *SIGNED


def configured(document: Mapping[str, Any]) -> str:
    """Write Schemathesis's configuration."""
    check = "checks.positive_data_acceptance.expected-statuses"
    parts = [f"{check} = {list(ALWAYS)}", f"hooks = {str(HOOKS)!r}"]
    for name, status, reason in exceptions(document):
        parts.append(f"[[operations]]  # {reason}\ninclude-operation-id = {name!r}\n{check} = {[*ALWAYS, status]}")
    return "\n".join(parts)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("role", ["user", "admin"])
async def test_schemathesis_finds_nothing(
    gateway: Gateway, role: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    budget = THOROUGH if request.config.getoption("--api-thorough", default=False) else QUICK
    await forget_guesses(gateway.parts.redis)
    async with open_house(gateway.parts) as house:
        token = (await house.tokens(await house.add("admin" if role == "admin" else "user")))["access_token"]
        config = tmp_path / "schemathesis.toml"
        config.write_text(configured((await house.ask("GET", "openapi.json")).body))
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run"]
        where = [f"{house.url}/api/v1/openapi.json", "--url", house.url, "--header", f"Authorization: Bearer {token}"]
        how = ["--no-color", "--continue-on-failure", "--request-timeout", "30", "--generation-database", "none"]
        running = await asyncio.create_subprocess_exec(
            *command,
            *where,
            *how,
            *LEFT_OUT,
            *budget,
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        told, _ = await running.communicate()
    assert running.returncode == 0, told.decode()
    assert b" passed" in told
