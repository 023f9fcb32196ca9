"""Whatever a provider sends: a page is read or malformed, and a bad row never takes its neighbours along."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.model import storable
from workers.items import Malformed, Page, Parsed, ProviderError, Pull
from workers.providers import load_providers

FIXTURES = Path(__file__).parent.parent / "fixtures"
PROVIDERS = load_providers()
NOW = datetime(2026, 8, 18, 0, 16, tzinfo=UTC)
PARAMS: Mapping[str, Mapping[str, Any]] = {
    "tgm/flows": {"chain": "base", "token_address": "0x1", "label": "whale"},
    "search": {"q": "x"},
}
GOOD = [
    ("cryptopanic", "posts", "v1_page.json", "results"),
    ("cryptopanic", "posts", "v2_page.json", "results"),
    ("newscatcher", "search", "v3_page.json", "articles"),
    ("newscatcher", "search", "v2_page.json", "articles"),
    ("nansen", "smart-money/netflow", "netflow.json", "data"),
    ("nansen", "smart-money/holdings", "holdings.json", "data"),
    ("nansen", "smart-money/historical-holdings", "historical_holdings.json", "data"),
    ("nansen", "smart-money/dex-trades", "dex_trades.json", "data"),
    ("nansen", "token-screener", "screener.json", "data"),
]
DATASETS = sorted((name, dataset) for name, provider in PROVIDERS.items() for dataset in provider.datasets)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def parse(name: str, dataset: str, body: bytes) -> Parsed:
    pull = Pull(dataset, PARAMS.get(dataset, {}), "incremental", until=NOW, since=NOW - timedelta(hours=5))
    return PROVIDERS[name].parse(Page(body, pull, None, NOW, NOW))


def survives(name: str, dataset: str, body: bytes) -> None:
    try:
        parsed = parse(name, dataset, body)
    except Malformed:
        return
    for item in parsed.items:
        json.dumps([item.key, item.title, storable(item.body), storable(item.observed)]).encode()


@pytest.mark.parametrize(("name", "dataset"), DATASETS)
@settings(max_examples=40, deadline=None)
@given(body=st.binary(max_size=60))
def test_any_bytes_are_a_page_or_malformed(name: str, dataset: str, body: bytes) -> None:
    survives(name, dataset, body)


@pytest.mark.parametrize(("name", "dataset"), DATASETS)
@settings(max_examples=40, deadline=None)
@given(envelope=st.dictionaries(st.sampled_from(["results", "articles", "data", "clusters", "next", "x"]), JSON))
def test_any_json_is_a_page_or_malformed(name: str, dataset: str, envelope: Any) -> None:
    survives(name, dataset, json.dumps(envelope).encode())


@pytest.mark.parametrize(("name", "dataset", "file", "rows"), GOOD)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_value_in_any_field_leaves_the_other_rows(
    name: str, dataset: str, file: str, rows: str, data: st.DataObject
) -> None:
    page = json.loads((FIXTURES / name / file).read_bytes())
    page["next"] = None
    whole = parse(name, dataset, json.dumps(page).encode())
    spoiled = dict(page[rows][0])
    spoiled[data.draw(st.sampled_from(sorted(spoiled)))] = data.draw(JSON)
    page[rows].insert(0, spoiled)
    parsed = parse(name, dataset, json.dumps(page).encode())
    assert parsed.items[-len(whole.items) :] == whole.items
    assert len(parsed.items) + len(parsed.rejected) == len(whole.items) + 1


@pytest.mark.parametrize("number", ["1e999999999", "1e-999999999", "9" * 5000, "-1e400"])
@pytest.mark.parametrize(
    ("field", "file", "name", "dataset"),
    [
        ("net_flow_7d_usd", "netflow.json", "nansen", "smart-money/netflow"),
    ],
)
def test_a_number_that_would_fill_the_memory_is_refused_with_its_row(
    number: str, field: str, file: str, name: str, dataset: str
) -> None:
    text = (FIXTURES / name / file).read_text().replace(f'"{field}": -120.5', f'"{field}": {number}')
    assert number in text
    try:
        parsed = parse(name, dataset, text.encode())
    except Malformed:
        assert number.isdigit()  # Python reads no integer of that length
        return
    assert [bad.reason for bad in parsed.rejected] == [f"{field} is not a number"]
    assert len(parsed.items) == 1


def test_text_that_no_database_can_keep_is_mended() -> None:
    row = '{"id": 1, "published_at": "2026-05-05T08:00:00Z", "title": "half a \\ud83d pair and \\u0000"}'
    (item,) = parse("cryptopanic", "posts", f'{{"results": [{row}]}}'.encode()).items
    assert item.title == "half a \ufffd pair and \ufffd"


def test_deep_nesting_is_malformed() -> None:
    with pytest.raises(Malformed):
        parse("cryptopanic", "posts", b'{"results": ' + b"[" * 100_000 + b"]" * 100_000 + b"}")


@pytest.mark.parametrize("name", sorted(PROVIDERS))
@settings(max_examples=80, deadline=None)
@given(
    status=st.integers(201, 599),
    body=st.binary(max_size=80) | JSON.map(lambda value: json.dumps(value).encode()),
    headers=st.dictionaries(
        st.sampled_from(["Retry-After", "Date", "X-RateLimit-Reset", "X-Nansen-Credits-Used"]), st.text(max_size=12)
    ),
)
def test_every_refusal_has_a_remedy(name: str, status: int, body: bytes, headers: dict[str, str]) -> None:
    refusal = PROVIDERS[name].error(status, headers, body)
    assert isinstance(refusal, ProviderError)
    assert str(refusal)
    PROVIDERS[name].usage(headers)


def test_every_file_with_a_provider_is_found_by_its_name() -> None:
    assert sorted(PROVIDERS) == ["cryptopanic", "nansen", "newscatcher"]
    assert all(provider.name == name for name, provider in PROVIDERS.items())
