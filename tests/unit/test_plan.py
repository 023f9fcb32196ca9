"""From a job row to a request, and from a parsed page to what happens next."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from broker.pages import LandedPage
from ledger.model import Book, Item
from workers.items import Dataset, Parsed, Refused, Rejected
from workers.plan import completeness, decision, page_of, provider_of, pull_of, with_story_keys
from workers.providers import load_providers

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
SINCE = (NOW - HOUR).isoformat()
POSTS = Dataset(params={})
ARGS = {"provider": "cryptopanic", "dataset": "posts", "params": {}, "since": SINCE}
LANDED = LandedPage(
    id=UUID(int=1),
    job_id=UUID(int=2),
    seq=1,
    provider="cryptopanic",
    dataset="posts",
    cursor=None,
    body=b"{}",
    fetched_at=NOW,
    polled_at=NOW,
    deliveries=1,
    sends=0,
    kind="fetch",
    args=ARGS,
    queue="fetch.cryptopanic",
    started_at=NOW,
    found=0,
    rejects=(),
)


def item(key: str, at: datetime = NOW, **more: Any) -> Item:
    return Item("cryptopanic", key, Book.HUMAN, "news", at, **{"body": {}, **more})


def parsed(*items: Item, following: str | None = "2") -> Parsed:
    return Parsed(items, next=following)


def goes_on(page: Parsed, known: Collection[str] = (), landed: LandedPage = LANDED, dataset: Dataset = POSTS) -> bool:
    return decision(landed, page, dataset, known).next is not None


BEHIND = item("a", NOW - 2 * HOUR)
AHEAD = item("b", NOW)


def test_a_pull_stops_at_a_page_that_is_wholly_known_and_reaches_behind_the_last_pull() -> None:
    assert not goes_on(parsed(AHEAD, BEHIND), {"a", "b"})


def test_a_page_with_one_new_item_leads_on() -> None:
    assert goes_on(parsed(AHEAD, BEHIND), {"a"})


def test_a_known_page_that_does_not_reach_behind_leads_on() -> None:
    assert goes_on(parsed(AHEAD), {"b"})


def test_a_page_that_ends_exactly_where_the_last_pull_ended_reaches_behind() -> None:
    assert not goes_on(parsed(item("a", NOW - HOUR)), {"a"})


def test_a_first_pull_goes_to_the_end_of_the_list() -> None:
    first = replace(LANDED, args={key: value for key, value in ARGS.items() if key != "since"})
    assert goes_on(parsed(BEHIND), {"a"}, first)
    assert not goes_on(parsed(BEHIND, following=None), set(), first)


def test_a_backfill_goes_to_the_end_though_all_is_known() -> None:
    assert goes_on(parsed(BEHIND), {"a"}, replace(LANDED, kind="backfill"))


def test_a_snapshot_never_stops_early() -> None:
    assert goes_on(parsed(BEHIND), {"a"}, dataset=Dataset(params={}, snapshot=True))


def test_a_page_without_rows_but_with_a_next_one_leads_on() -> None:
    assert goes_on(parsed())


@pytest.mark.parametrize(("seq", "more"), [(1, True), (2, True), (3, False), (4, False)])
def test_no_more_pages_are_asked_for_than_were_allowed(seq: int, *, more: bool) -> None:
    assert goes_on(parsed(AHEAD), set(), replace(LANDED, seq=seq, args=ARGS | {"pages_max": 3})) is more


def test_a_date_in_the_future_is_no_later_than_the_fetch() -> None:
    assert decision(LANDED, parsed(item("a", NOW + 30 * HOUR)), POSTS, set()).newest == NOW
    assert decision(LANDED, parsed(BEHIND), POSTS, set()).newest == NOW - 2 * HOUR
    assert decision(LANDED, parsed(), POSTS, set()).newest is None


def test_found_counts_good_and_bad_rows_and_each_bad_one_has_its_reason() -> None:
    page = Parsed((AHEAD,), (Rejected(3, "id is missing"),), skipped=2)
    made = decision(LANDED, page, POSTS, set())
    assert (made.found, made.rejected, made.skipped) == (2, 1, 2)
    assert made.rejects == [{"position": 3, "reason": "id is missing"}]


def test_completeness_is_the_share_of_expected_fields_that_are_there() -> None:
    full = item("a", title="t", body={"kind": "news", "empty": ""})
    assert completeness([full, item("b")], ("title", "kind")) == 0.5
    assert completeness([full], ("empty",)) == 0.0
    assert completeness([], ("title",)) is None
    assert completeness([full], ()) is None


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        ({"provider": "nobody", "dataset": "posts"}, "no provider 'nobody'; there are cryptopanic"),
        ({"provider": "cryptopanic", "dataset": "flows"}, "no dataset 'flows'; it has posts"),
        (
            {"provider": "cryptopanic", "dataset": "posts", "params": {"filter": "x"}},
            "cryptopanic posts: params/filter",
        ),
        ({"provider": "cryptopanic", "dataset": "posts", "params": {"auth_token": "x"}}, "auth_token"),
    ],
)
def test_what_nobody_can_be_asked_is_refused_with_the_reason(args: dict[str, Any], reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        provider_of(args, load_providers())


def test_a_pull_is_the_same_for_all_pages_of_its_job() -> None:
    pull = pull_of("fetch", ARGS, started_at=NOW, polled_at=NOW + HOUR)
    assert (pull.mode, pull.since, pull.until, pull.polled_at) == ("incremental", NOW - HOUR, NOW, NOW + HOUR)
    assert page_of(replace(LANDED, polled_at=NOW + HOUR)).pull == pull
    assert pull_of("backfill", ARGS, started_at=NOW, polled_at=None).mode == "backfill"


def test_only_news_has_stories() -> None:
    news, flow = item("a", url="https://e.com/a"), replace(item("b", url="https://e.com/a"), book=Book.GLASS)
    told = with_story_keys([news, flow])
    assert told[0].story_keys
    assert told[1].story_keys == ()
