"""Every command that the readable page shows works as it stands, once its reader has named what only a reader knows."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from gateway.auth import users
from gateway.auth.audit import Origin
from gateway.docspage import curl
from tests.integration.gateway.accounts import CHEAP, House
from tests.integration.gateway.asking import look
from tests.integration.gateway.conftest import Gateway

pytestmark = [
    pytest.mark.usefixtures("no_guesses"),
    pytest.mark.skipif(shutil.which("curl") is None, reason="the page shows commands for curl"),
]

ASKED_FIRST = ("add_stream", "add_user", "make_key", "cancel_job")
ASKED_LAST = ("revoke_key", "remove_stream", "change_password", "logout")
"""They take away what the others need."""
NOT_THERE = {"get_item": 404, "get_story": 404, "explain_disposal": 404, "refresh": 401}
"""Nothing was collected here, and the token of the example is not one."""


@dataclass(frozen=True)
class Shown:
    """One operation: its command and the status of its good answer."""

    name: str
    command: str
    status: int


def shown(document: Mapping[str, Any]) -> list[Shown]:
    """Every command, in an order in which they work."""
    found = [
        Shown(one["operationId"], curl(path, method.upper(), one), min(map(int, one["responses"])))
        for path, methods in document["paths"].items()
        for method, one in methods.items()
    ]

    def place(one: Shown) -> int:
        return 2 + ASKED_LAST.index(one.name) if one.name in ASKED_LAST else one.name not in ASKED_FIRST

    return sorted(found, key=place)


async def status(command: str, known: Mapping[str, str]) -> int:
    """Type a command, and give the status of its answer."""
    words = command.replace("curl ", "curl -sS -o /dev/null -w '%{http_code}' ", 1)
    running = await asyncio.create_subprocess_exec(
        "sh", "-c", words, env={**os.environ, **known}, stdout=asyncio.subprocess.PIPE
    )
    told, _ = await running.communicate()
    assert running.returncode == 0, command
    return int(told)


async def test_every_command_of_the_page_works(gateway: Gateway, house: House) -> None:
    document = (await house.ask("GET", "openapi.json")).body
    login = document["paths"]["/api/v1/login/access-token"]["post"]["requestBody"]["content"]
    form = next(iter(login.values()))["example"]
    async with house.database.begin() as conn:
        kept, now = CHEAP.hash(form["password"]), house.clock()
        await users.add(conn, Origin("operator"), form["username"], "admin", kept, now=now)
    token = (await house.log_in(form["username"], form["password"])).body["access_token"]

    async def job() -> str:
        asked, key = {"kind": "probe"}, {"Idempotency-Key": str(uuid4())}
        return str((await house.ask("POST", "jobs", token, json=asked, headers=key)).body["id"])

    # Whoever else works through the examples on these servers has made the same two.
    await look(gateway.parts.database, "UPDATE users SET name = left(id::text, 30) WHERE name = 'grace'")
    await look(gateway.parts.database, "UPDATE streams SET name = left(id::text, 30) WHERE name = 'btc-posts'")
    key = await house.ask("POST", "auth/api-keys", token, json={"name": "a", "scopes": ["jobs:read"]})
    known = {
        "HOST": house.url,
        "TOKEN": token,
        "JOB_ID": await job(),
        "KEY_ID": key.body["key"]["id"],
        "USER_ID": str((await house.add()).id),
        "STREAM_ID": "btc-posts",
        "PROVIDER_ID": "cryptopanic",
        "ITEM_ID": "9007199254740991",
        "STORY_ID": "9007199254740991",
        "DISPOSAL_ID": "none",
    }
    ended = await job()
    await look(gateway.parts.database, "UPDATE jobs SET state = 'failed', finished_at = now() WHERE id = :id", id=ended)
    mine = {"follow_job": ended, "get_dead": ended}
    wrong = []
    for one in shown(document):
        told = await status(one.command, known | {"KEY": one.name, "JOB_ID": mine.get(one.name, known["JOB_ID"])})
        if told != NOT_THERE.get(one.name, one.status):
            wrong.append(f"{told} {one.command}")
    assert wrong == []
