"""From a job row to a request, and from a parsed page to what happens next.  Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from broker.pages import Decision, LandedPage
from ledger.model import Book, Item
from workers.items import Dataset, Page, Parsed, Provider, Pull, Refused
from workers.stories import telling


def provider_of(args: Mapping[str, Any], providers: Mapping[str, Provider]) -> tuple[Provider, Dataset]:
    """Find who is asked for what; raise Refused for what does not exist or does not fit the dataset's schema."""
    provider = providers.get(args["provider"])
    if provider is None:
        raise Refused(f"there is no provider {args['provider']!r}; there are {', '.join(sorted(providers))}")
    dataset = provider.datasets.get(args["dataset"])
    if dataset is None:
        there = ", ".join(sorted(provider.datasets))
        raise Refused(f"{provider.name} has no dataset {args['dataset']!r}; it has {there}")
    if fault := _fault(_told(dataset.params), _told(args.get("params", {}))):
        raise Refused(f"{provider.name} {args['dataset']}: {fault}")
    return provider, dataset


def misfit(providers: Mapping[str, Provider]) -> Callable[[str, Mapping[str, Any]], str | None]:
    """Give the question that a door asks before it keeps a job: why no provider could do it, or None."""

    def why(_: str, args: Mapping[str, Any]) -> str | None:
        try:
            if "provider" in args:
                provider_of(args, providers)
        except Refused as refused:
            return str(refused)
        return None

    return why


def _told(value: Mapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:  # a whole number of more than 64 bits
        return json.dumps(value).encode()


@lru_cache(maxsize=1000)
def _fault(schema: bytes, params: bytes) -> str | None:
    # Every page of every pull asks this, and nearly always about the same.
    fault = best_match(Draft202012Validator(json.loads(schema)).iter_errors(json.loads(params)))
    if fault is None:
        return None
    place = "/".join(map(str, ["params", *fault.absolute_path]))
    return f"{place}: {fault.message[:300]}"


def pull_of(
    kind: str,
    args: Mapping[str, Any],
    *,
    started_at: datetime,
    polled_at: datetime | None,
    asked_at: datetime | None = None,
) -> Pull:
    """Say what the job asks, the same for all its pages; ``asked_at`` is the time of a call that is to be made."""
    since = args.get("since")
    return Pull(
        dataset=args["dataset"],
        params=args.get("params", {}),
        mode="backfill" if kind == "backfill" else "incremental",
        until=started_at,
        since=datetime.fromisoformat(since) if since else None,
        polled_at=polled_at,
        asked_at=asked_at,
    )


def page_of(landed: LandedPage) -> Page:
    """Give the provider's parser the page as it was kept."""
    pull = pull_of(landed.kind, landed.args, started_at=landed.started_at, polled_at=landed.polled_at)
    return Page(
        body=landed.body,
        pull=pull,
        cursor=landed.cursor,
        fetched_at=landed.fetched_at,
        polled_at=landed.polled_at,
    )


def with_story_keys(items: Sequence[Item]) -> list[Item]:
    """Give each news item the keys that it shares with the same story told elsewhere, and what its title says."""
    return [telling(item) if item.book is Book.HUMAN else item for item in items]


def decision(landed: LandedPage, parsed: Parsed, dataset: Dataset, known_keys: Collection[str]) -> Decision:
    """Write down what was found, and ask for the next page while there can be news on it."""
    newest = parsed.newest and min(parsed.newest, landed.fetched_at)  # a date in the future must not move a watermark
    return Decision(
        page=landed.id,
        found=len(parsed.items) + len(parsed.rejected),
        rejected=len(parsed.rejected),
        skipped=parsed.skipped,
        rejects=[{"position": bad.position, "reason": bad.reason} for bad in parsed.rejected],
        warnings=parsed.warnings,
        complete=completeness(parsed.items, dataset.expected),
        newest=newest,
        pages_total=parsed.pages_total,
        next=parsed.next if _wanted(landed, parsed, dataset, known_keys) else None,
    )


def _wanted(landed: LandedPage, parsed: Parsed, dataset: Dataset, known_keys: Collection[str]) -> bool:
    if parsed.next is None or landed.seq >= landed.args.get("pages_max", 100_000):
        return False
    if landed.kind == "backfill" or dataset.snapshot or dataset.windowed or not parsed.items:
        return True
    # Nothing new is not enough: posts appear up to half an hour late, and a pull that died half-way leaves a gap
    # behind known pages.  So the page must also reach behind the last complete pull.
    pull = pull_of(landed.kind, landed.args, started_at=landed.started_at, polled_at=landed.polled_at)
    all_known = all(item.key in known_keys for item in parsed.items)
    reaches_back = pull.since is not None and parsed.oldest is not None and parsed.oldest <= pull.since
    return not (all_known and reaches_back)


def completeness(items: Sequence[Item], expected: Sequence[str]) -> float | None:
    """Give the share of expected fields that are there, 0 to 1; None where there is nothing to measure."""
    if not items or not expected:
        return None
    there = sum(_given(item, name) for item in items for name in expected)
    return there / (len(items) * len(expected))


def _given(item: Item, name: str) -> bool:
    value = item.body.get(name)
    if value is None and name in ("title", "url", "coins"):
        value = getattr(item, name)
    return value not in (None, "", [], {}, ())
