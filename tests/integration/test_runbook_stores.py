"""SQL and Redis commands of the runbook run as they stand, on a database and a Redis like those in production."""

from __future__ import annotations

import psycopg
import pytest
import redis

from tests.documents import PAGES, Block, blocks

BLOCKS = [block for page in PAGES if "runbook" in page.parts for block in blocks(page) if block.reason is None]


def in_language(language: str) -> list[Block]:
    found = [block for block in BLOCKS if block.language == language]
    assert found
    return found


@pytest.mark.parametrize("block", in_language("sql"), ids=str)
def test_sql_of_the_runbook_runs_as_sluices_own_role(block: Block, ledger_url: str) -> None:
    with psycopg.connect(ledger_url) as conn:
        conn.execute(block.text.encode())


@pytest.mark.parametrize("block", in_language("redis"), ids=str)
def test_redis_commands_of_the_runbook_run(block: Block, redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        for line in block.text.splitlines():
            client.execute_command(*line.split())
