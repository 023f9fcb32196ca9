"""The workshop, for every test here that follows a job from its row to the ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from ops.embedded import Stack
from tests.workshop import Workshop, open_workshop


@pytest.fixture(scope="session")
def limiter_url(stack: Stack) -> str:
    """A database of the session's Redis that a test may empty."""
    return stack.redis.start().database_url(7)


@pytest.fixture
async def shop(ledger: AsyncEngine, limiter_url: str) -> AsyncIterator[Workshop]:
    """A worker that has never worked, beside a sandbox of about 200 stories."""
    async with open_workshop(ledger, limiter_url) as opened:
        yield opened
