"""What a call costs: counted once and exactly, whatever the answer says and wherever its worker is cut short."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from tests.workshop import Workshop

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    "header",
    [
        {"x-nansen-credits-used": "3000000000"},
        {"x-nansen-credits-remaining": "1e40"},
        {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1e18"},
    ],
)
async def test_an_answer_is_kept_whatever_its_headers_claim(shop: Workshop, header: dict[str, str]) -> None:
    fetch, cost = shop.works.fetcher.fetch, 5

    async def claiming(*asked: Any, **how: Any) -> Any:
        answer = await fetch(*asked, **how)
        told = {name: value for name, value in answer.headers.items() if "credits" not in name}
        return dataclasses.replace(answer, headers=told | header)

    shop.works.fetcher.fetch = claiming  # type: ignore[method-assign]
    job = await shop.ask("nansen", "smart-money/netflow", {"chains": ["ethereum"]}, pages_max=1)
    await shop.run()
    row, (page,) = await shop.job(job), await shop.pages(job)
    assert (row.state, page.state, page.cost, shop.calls("nansen")) == ("succeeded", "posted", cost, 1)
