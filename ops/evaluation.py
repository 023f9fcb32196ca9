"""How good the grouping is, on labelled files: the pipeline's own functions, scored.

No label is looked at before everything has been decided; only the threshold for pairs is chosen on the training file.
"""

from __future__ import annotations

import csv
import time
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from ledger.likeness import likeness
from ledger.memory import Memory, Told
from ledger.model import Book, Item
from ledger.telling import Teller, group
from workers.addresses import canonical
from workers.stories import telling
from workers.titles import terms

SAME_NEWS = 4.0
"""People's mean score, 0 to 5, from which two headlines are called the same news."""
PLATEAU = 0.005
"""Thresholds whose F1 on the training file is within this of the best are as good; the middle one is taken."""
PAIR_FIELDS = ("a", "b", "score")
URL_FIELDS = ("a", "b", "same")
STORY_FIELDS = ("ID", "TITLE", "URL", "STORY", "TIMESTAMP")
SPEED_CALLS = 50_000


class UnreadableFile(ValueError):
    """The file is not there, or is no CSV with the columns that are needed; the text says which."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two titles; whether people call them the same news."""

    one: str
    other: str
    same: bool


def urls(path: Path) -> dict[str, float]:
    """Count pairs of addresses that are joined, and those that should not be; ``rate`` is addresses a second."""
    rows = _rows(path, URL_FIELDS)
    joined = [canonical(row["a"]) == canonical(row["b"]) for row in rows]
    labels = [row["same"].strip() == "1" for row in rows]
    addresses = [row[side] for row in rows for side in ("a", "b")]
    return {
        "joined": sum(got and same for got, same in zip(joined, labels, strict=True)),
        "wrongly_joined": sum(got and not same for got, same in zip(joined, labels, strict=True)),
        "rate": _address_rate(addresses),
    }


def pairs(train: Path, test: Path) -> dict[str, float]:
    """Choose the threshold on one file and apply it unchanged to the other."""
    learnt, asked = _pairs(train), _pairs(test)
    memory = _words_of({title for pair in learnt for title in (pair.one, pair.other)})
    threshold = best_threshold(_scores(memory, learnt), [pair.same for pair in learnt])
    called = [score >= threshold for score in _scores(memory, asked)]
    right = sum(got and pair.same for got, pair in zip(called, asked, strict=True))
    return {
        **_agreement(right, sum(called), sum(pair.same for pair in asked)),
        "threshold": round(threshold, 4),
    }


def stories(path: Path) -> dict[str, float]:
    """Group the titles in the order of time; pairwise and B-cubed agreement with the labels."""
    try:
        rows = sorted(_rows(path, STORY_FIELDS), key=lambda row: int(row["TIMESTAMP"]))
    except (TypeError, ValueError) as error:
        raise UnreadableFile(f"{path}: {error}") from None
    start = time.perf_counter()
    told = group(Teller(count(1).__next__), [telling(_news(row)) for row in rows])
    seconds = time.perf_counter() - start
    found = [f"story {story}" if story else f"alone {n}" for n, story in enumerate(told)]
    pairwise, cubed = agreement(found, [row["STORY"] for row in rows])
    return {
        **{f"pairwise_{name}": value for name, value in pairwise.items()},
        "bcubed_f1": cubed["f1"],
        "stories": len(set(found)),
        "rate": round(len(found) / seconds, 1),
    }


def best_threshold(scores: Sequence[float], labels: Sequence[bool]) -> float:
    """Give the middle of the scores that, as a threshold, call the labels best by F1."""
    ranked = sorted(zip(scores, labels, strict=True), reverse=True)
    right, curve = 0, []
    for called, (score, same) in enumerate(ranked, 1):
        right += same
        curve.append((2 * right / (called + sum(labels)), score))
    good = [score for f1, score in curve if f1 >= max(curve)[0] - PLATEAU]
    return (min(good) + max(good)) / 2


def agreement(found: Sequence[Hashable], labels: Sequence[Hashable]) -> tuple[dict[str, float], dict[str, float]]:
    """Compare two groupings of the same things: by pairs that stand together, and by each thing's group (B-cubed)."""
    both, ours, theirs = Counter(zip(found, labels, strict=True)), Counter(found), Counter(labels)
    pairwise = _agreement(_pairs_in(both), _pairs_in(ours), _pairs_in(theirs))
    precision = sum(n * n / ours[one] for (one, _), n in both.items()) / len(found)
    recall = sum(n * n / theirs[other] for (_, other), n in both.items()) / len(found)
    return pairwise, _with_f1(precision, recall)


def _pairs_in(groups: Mapping[Any, int]) -> int:
    return sum(n * (n - 1) // 2 for n in groups.values())


def _agreement(right: int, called: int, same: int) -> dict[str, float]:
    return _with_f1(right / called if called else 0.0, right / same if same else 0.0)


def _with_f1(precision: float, recall: float) -> dict[str, float]:
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return {"precision": round(precision, 4), "recall": round(recall, 4), "f1": round(f1, 4)}


def _words_of(titles: Iterable[str]) -> Memory:
    """Learn which words are rare: each title is a story of its own."""
    memory = Memory()
    for number, title in enumerate(sorted(titles), 1):
        memory.add(Told("", terms(title), 0.0), number)
    return memory


def _scores(memory: Memory, given: Sequence[Pair]) -> list[float]:
    return [likeness(terms(pair.one), terms(pair.other), memory.rarity) for pair in given]


def _address_rate(addresses: Sequence[str]) -> float:
    calls = 0
    start = time.perf_counter()
    while addresses and calls < SPEED_CALLS:
        for address in addresses:
            canonical(address)
        calls += len(addresses)
    return round(calls / (time.perf_counter() - start), 1)


def _news(row: Mapping[str, str]) -> Item:
    at = datetime.fromtimestamp(int(row["TIMESTAMP"]) / 1000, UTC)
    return Item("file", row["ID"], Book.HUMAN, "news", at, {}, title=row["TITLE"], url=row["URL"])


def _pairs(path: Path) -> list[Pair]:
    try:
        return [Pair(row["a"], row["b"], float(row["score"]) >= SAME_NEWS) for row in _rows(path, PAIR_FIELDS)]
    except (TypeError, ValueError) as error:
        raise UnreadableFile(f"{path}: {error}") from None


def _rows(path: Path, fields: Sequence[str]) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in fields if name not in (reader.fieldnames or ())]
            rows = [] if missing else list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UnreadableFile(f"{path}: cannot be read: {error}") from None
    if missing or not rows:
        raise UnreadableFile(f"{path}: " + (f"has no column {', '.join(missing)}" if missing else "has no rows"))
    return rows
