"""The parsers over answers that the providers really gave; skipped where the recordings are not at hand."""

from __future__ import annotations

import ast
import csv
import json
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ledger.model import Item
from workers.items import Page, Parsed, Pull
from workers.providers import load_providers

RECORDED = Path(__file__).parents[3] / "shared" / "providers" / "recorded"
pytestmark = pytest.mark.skipif(not RECORDED.is_dir(), reason="the recorded answers are not beside this checkout")
PROVIDERS = load_providers()
NOW = datetime(2026, 8, 18, 1, 5, tzinfo=UTC)


def parse(provider: str, dataset: str, params: dict[str, Any], body: bytes, cursor: str | None = None) -> Parsed:
    return PROVIDERS[provider].parse(Page(body, Pull(dataset, params, "backfill", until=NOW), cursor, NOW, NOW))


def files(folder: str) -> list[Path]:
    return sorted((RECORDED / folder).iterdir())


def by_key(pages: list[Parsed]) -> dict[str, list[Item]]:
    found: dict[str, list[Item]] = defaultdict(list)
    for item in (item for page in pages for item in page.items):
        found[item.key].append(item)
    return found


def triples(endpoint: str) -> list[tuple[dict[str, Any], bytes]]:
    """Give (params, body) of every recorded call of an endpoint."""
    found = []
    for path in sorted((RECORDED / "nansen" / "triples" / endpoint).glob("*.response.json")):
        payload = json.loads(path.with_name(path.name.replace("response", "request")).read_bytes())["payload"] or {}
        params = {name: value for name, value in payload.items() if name not in {"pagination", "order_by"}}
        found.append((params, path.read_bytes()))
    return found


def test_ten_snapshots_of_2025_are_140_posts_and_only_votes_moved() -> None:
    pages = [parse("cryptopanic", "posts", {}, path.read_bytes()) for path in files("cryptopanic/v1_2025-03")]
    found = by_key(pages)
    assert sum(len(page.items) for page in pages) == 200
    assert not any(page.rejected for page in pages)
    assert len(found) == 140
    assert all(len({item.fingerprint for item in items}) == 1 for items in found.values())
    moved = [key for key, items in found.items() if len({json.dumps(item.observed["votes"]) for item in items}) > 1]
    assert len(moved) == 4


def test_posts_of_2018_with_html_and_microseconds_are_read() -> None:
    pages = [parse("cryptopanic", "posts", {}, path.read_bytes()) for path in files("cryptopanic/v1_2018-01")]
    assert sum(len(page.items) for page in pages) == 60
    assert not any("<span" in item.title for page in pages for item in page.items)


@pytest.mark.parametrize(("file", "rows"), [("articles_a.csv", 236), ("articles_b.csv", 575)])
def test_v2_articles_of_2021_are_all_read_under_their_own_keys(file: str, rows: int) -> None:
    csv.field_size_limit(10_000_000)
    with (RECORDED / "newscatcher" / "v2_2021-08" / file).open(newline="", encoding="utf-8-sig") as lines:
        articles = [_article(row) for row in csv.DictReader(lines, delimiter=";")]
    body = json.dumps({"status": "ok", "total_hits": rows, "total_pages": 1, "articles": articles}).encode()
    parsed = parse("newscatcher", "search", {"q": "x", "api": "v2"}, body)
    assert parsed.rejected == ()
    assert len(by_key([parsed])) == rows


def _article(row: dict[str, str]) -> dict[str, Any]:
    """Undo what its author's spreadsheet did: empty for null, and lists as Python writes them."""
    given: dict[str, Any] = {name: value or None for name, value in row.items()}
    if str(given["authors"]).startswith("["):
        given["authors"] = ast.literal_eval(row["authors"])
    return given


def test_the_recorded_v3_article_is_read() -> None:
    (path,) = files("newscatcher/v3_2023-09")
    parsed = parse("newscatcher", "search", {"q": "x"}, path.read_bytes())
    assert (len(parsed.items), parsed.rejected, parsed.pages_total) == (1, (), 70)


def test_the_same_hours_asked_three_times_are_the_same_but_for_restated_balances() -> None:
    pages = [parse("nansen", "tgm/flows", params, body) for params, body in triples("tgm__flows")]
    assert [page.skipped for page in pages] == [1] * 6
    assert not any(page.rejected for page in pages)
    again = {key: items for key, items in by_key(pages).items() if len(items) > 1 and "|smart_money|" in key}
    finished = [items for items in again.values() if not any(item.provisional for item in items)]
    assert len(finished) == 23
    assert all(len({item.fingerprint for item in items}) == 1 for items in finished)


def test_no_zero_bucket_of_an_exchange_is_kept() -> None:
    for params, body in triples("tgm__flows"):
        if params["label"] == "exchange":
            items = parse("nansen", "tgm/flows", params, body).items
            assert all(item.body["total_inflows_count"] != 0 for item in items)


def test_1326_historical_holdings_on_two_pages_have_their_own_keys() -> None:
    (params, first), (_, second) = triples("smart-money__historical-holdings")
    pages = [parse("nansen", "smart-money/historical-holdings", params, body) for body in (first, second)]
    assert [page.next for page in pages] == ["0|2", None]
    assert len(by_key(pages)) == 1326


def test_the_recorded_screeners_are_read_whole() -> None:
    for params, body in triples("token-screener"):
        parsed = parse("nansen", "token-screener", params, body)
        assert parsed.rejected == ()
        assert len(by_key([parsed])) == len(json.loads(body)["data"])


@pytest.mark.parametrize(
    ("file", "dataset", "rows"),
    [
        ("netflow_page1_excerpt_21_rows", "smart-money/netflow", 21),
        ("dex_trades_page1_excerpt_6_rows", "smart-money/dex-trades", 6),
        ("holdings_page1_excerpt_last_9_rows", "smart-money/holdings", 9),
    ],
)
def test_recorded_smart_money_pages_are_read(file: str, dataset: str, rows: int) -> None:
    kept = json.loads((RECORDED / "nansen" / "smart_money_2026-09" / f"{file}.json").read_bytes())
    parsed = parse("nansen", dataset, {"chains": ["all"]}, json.dumps(kept["body"]).encode())
    assert parsed.rejected == ()
    assert len(by_key([parsed])) == rows


def test_the_recorded_accounts_tell_their_credits() -> None:
    left = [parse("nansen", "account", {}, body).usage for _, body in triples("account")]
    assert sorted(usage.remaining for usage in left if usage and usage.remaining) == [90, 50064]
