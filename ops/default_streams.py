"""The streams that a first start registers, so that something comes in before anybody has configured anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from broker.streams import NewStream
from workers.items import Dataset, Provider

# What must be named in a request that nobody has made; a dataset that needs more is left to people.
USUAL: Mapping[str, Any] = {"q": "bitcoin OR ethereum OR crypto", "chains": ["ethereum", "solana"]}


def default_streams(providers: Iterable[Provider]) -> list[NewStream]:
    """Give a stream for each dataset that can be asked with usual values, at the dataset's own cadence."""
    return [
        _stream(f"{provider.name}-{name.replace('/', '-')}", provider.name, name, dataset, params)
        for provider in providers
        for name, dataset in sorted(provider.datasets.items())
        if (params := _usual_params(dataset)) is not None
    ]


def sandbox_streams(given: Sequence[Mapping[str, Any]], providers: Mapping[str, Provider]) -> list[NewStream]:
    """Give the streams that a sandbox names (``/_sandbox/streams``), those to be pulled again and again."""
    return [
        _stream(
            one["name"],
            one["provider"],
            one["dataset"],
            providers[one["provider"]].datasets[one["dataset"]],
            # Its clock runs: a window that is fixed would show the same for ever.
            {name: value for name, value in one["params"].items() if name not in {"from", "to"}},
        )
        for one in given
        if one["mode"] != "backfill"
    ]


def _usual_params(dataset: Dataset) -> dict[str, Any] | None:
    needed = dataset.params.get("required", [])
    return {name: USUAL[name] for name in needed} if all(name in USUAL for name in needed) else None


def _stream(name: str, provider: str, dataset: str, known: Dataset, params: Mapping[str, Any]) -> NewStream:
    return NewStream(
        name,
        provider,
        dataset,
        params,
        interval_s=known.interval_s,
        overlap_s=int(known.overlap.total_seconds()),
    )
