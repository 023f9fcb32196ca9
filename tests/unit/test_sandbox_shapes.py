"""Invented rows have the fields of recorded ones; skipped where no folder of recordings lies beside the checkout."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ops.sandbox import articles, posts, tokens
from ops.sandbox.articles import Article
from ops.sandbox.news import Telling, story_times, tellings
from ops.sandbox.posts import Post
from ops.sandbox.trades import invented_trade

RECORDED = Path(__file__).parents[3] / "shared/providers/recorded"
NOW = datetime(2026, 3, 1, 12, 17, tzinfo=UTC)
TOKEN = tokens.invented_tokens(1, 40, NOW.date())[0]

pytestmark = pytest.mark.skipif(not RECORDED.is_dir(), reason="no folder of recordings beside this checkout")


def told() -> list[Telling]:
    return [one for number, at in enumerate(story_times(60, NOW)) for one in tellings(1, number, at, NOW)]


def recorded(path: str) -> Any:
    (found, *_) = sorted(RECORDED.glob(path))
    return json.loads(found.read_text(encoding="utf-8"))


def types(rows: list[dict[str, Any]]) -> dict[str, set[str]]:
    """Give the JSON types of each field; whole numbers may stand where others do."""
    found: dict[str, set[str]] = {}
    for row in rows:
        for name, value in row.items():
            kind = "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__
            found.setdefault(name, set()).add(kind)
    return found


def test_v1_posts_have_the_recorded_fields_and_types() -> None:
    real = [
        row
        for page in sorted(RECORDED.glob("cryptopanic/v1_2025-03/*.json"))
        for row in json.loads(page.read_text())["results"]
    ]
    made = [posts.v1_row(1, Post(number, telling), NOW) for number, telling in enumerate(told())]
    assert types(made) == types(real)
    assert any("currencies" not in row for row in made)
    sources = ([row["source"] for row in rows] for rows in (made, real))
    assert len({str(sorted(types(rows).items(), key=str)) for rows in sources}) == 1


def test_v2_posts_have_the_documented_fields() -> None:
    documented = recorded("cryptopanic/composed/v2_enterprise_page_1.json")["results"][0]
    made = [posts.enterprise_row(1, Post(number, telling), NOW, panic=True) for number, telling in enumerate(told())]
    assert set(types(made)) == set(documented)
    coins = [coin for row in made for coin in row.get("instruments") or []]
    assert set(types(coins)) == set(documented["instruments"][0])
    free = posts.developer_row(1, Post(1, told()[0]), NOW)
    assert set(free) == set(recorded("cryptopanic/composed/v2_developer_page.json")["results"][0])


def article(telling: Telling) -> Article:
    published, precision = articles.told(1, telling)
    return Article(1, f"{telling.story}-{telling.number}", "old", telling, published, telling.listed, precision)


def test_v3_articles_have_every_recorded_field() -> None:
    real = recorded("newscatcher/v3_2023-09/*.json")["articles"][0]
    made = types([articles.v3_row(article(one)) | {"nlp": articles.nlp(article(one))} for one in told()])
    # what is asked for extra, or came with that customer's plan
    assert set(real) - set(made) <= {"title_translated_en", "content_translated_en", "parse_date", "new_embedding"}
    for name in ("title", "link", "domain_url", "id", "rank", "score", "published_date"):
        assert types([real])[name] == made[name]
    assert made["authors"] == {"list", "str", "NoneType"}


def test_v2_articles_have_every_recorded_field() -> None:
    header = (RECORDED / "newscatcher/v2_2021-08/articles_a.csv").read_text(encoding="utf-8").split("\n", 1)[0]
    assert set(articles.v2_row(article(told()[0]))) == {name for name in header.strip().split(";") if name} - {
        "used_params"
    }


@pytest.mark.parametrize(
    ("path", "made"),
    [
        ("smart_money_2026-09/netflow_*", tokens.netflow_row(TOKEN, NOW)),
        ("smart_money_2026-09/holdings_*", tokens.holdings_row(TOKEN, NOW)),
        ("smart_money_2026-09/dex_trades_*", invented_trade(1, 1, NOW, tokens.invented_tokens(1, 40, NOW.date())).row),
        ("triples/token-screener/00.response.json", tokens.screener_row(TOKEN, NOW, "24h", "sm")),
        (
            "triples/smart-money__historical-holdings/page_1.response.json",
            tokens.historical_row(TOKEN, NOW.date(), (), False),
        ),
        (
            "triples/tgm__flows/00.response.json",
            tokens.flow_row(TOKEN, "smart_money", NOW, timedelta(hours=1), whole=True, first=False, restated=False),
        ),
    ],
)
def test_nansens_rows_have_the_recorded_fields_in_the_recorded_order(path: str, made: dict[str, Any]) -> None:
    answer = recorded(f"nansen/{path}")
    assert list(made) == list(answer.get("body", answer)["data"][0])
