"""Pairs of headlines: weights and threshold chosen on one half, reported on the other.  See ``choose_stories``."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ledger.likeness import BASE, WEIGHTS, measures
from ledger.memory import Memory, Told
from ops.evaluation import SAME_NEWS, best_threshold
from tests.benchmarks.story_rivals import ways
from workers.titles import terms

FILES = ("dedup/sts_headlines_train.csv", "dedup/sts_headlines_dev.csv")
RIDGE = 3.0


@dataclass(frozen=True, slots=True)
class Pair:
    """Two headlines and how alike people find them, 0 to 5."""

    one: str
    other: str
    score: float

    @property
    def same(self) -> bool:
        """Whether people call them the same news."""
        return self.score >= SAME_NEWS


def read(path: Path) -> list[Pair]:
    """Read one file."""
    with path.open(encoding="utf-8", newline="") as file:
        return [Pair(row["a"], row["b"], float(row["score"])) for row in csv.DictReader(file)]


def halves(pairs: Sequence[Pair], seed: int) -> tuple[list[Pair], list[Pair]]:
    """Deal the pairs into two halves; those that share a headline, through others too, stay together."""
    led_by: dict[str, str] = {}

    def leader(title: str) -> str:
        while (by := led_by.setdefault(title, title)) != title:
            title = by
        return title

    for pair in pairs:
        led_by[leader(pair.one)] = leader(pair.other)
    names = sorted({leader(pair.one) for pair in pairs})
    random.Random(seed).shuffle(names)
    first = set(names[::2])
    return [pair for pair in pairs if leader(pair.one) in first], [
        pair for pair in pairs if leader(pair.one) not in first
    ]


Alike = Callable[[str, str], float]


def likeness_by(weights: Mapping[str, float], base: float, memory: Memory) -> Alike:
    """Give the pipeline's likeness with these weights."""

    def alike(one: str, other: str) -> float:
        found = measures(terms(one), terms(other), memory.rarity)
        return base + sum(weight * found[name] for name, weight in weights.items())

    return alike


def words_of(pairs: Sequence[Pair]) -> Memory:
    """Learn which words are rare: each title is a story of its own."""
    memory = Memory()
    for number, title in enumerate(sorted({title for pair in pairs for title in (pair.one, pair.other)}), 1):
        memory.add(Told("", terms(title), 0.0), number)
    return memory


def fitted(pairs: Sequence[Pair], memory: Memory) -> tuple[dict[str, float], float]:
    """Fit weights and base to people's scores by ridge regression."""
    rows = [[*measures(terms(p.one), terms(p.other), memory.rarity).values(), 1.0] for p in pairs]
    size = len(rows[0])
    left = [[sum(row[i] * row[j] for row in rows) for j in range(size)] for i in range(size)]
    for i in range(size - 1):
        left[i][i] += RIDGE
    right = [sum(row[i] * pair.score for row, pair in zip(rows, pairs, strict=True)) for i in range(size)]
    *weights, base = solved(left, right)
    return dict(zip(WEIGHTS, weights, strict=True)), base


def solved(left: Sequence[Sequence[float]], right: Sequence[float]) -> list[float]:
    """Solve a system of linear equations by elimination."""
    rows = [[*row, value] for row, value in zip(left, right, strict=True)]
    for i in range(len(rows)):
        pivot = max(range(i, len(rows)), key=lambda n: abs(rows[n][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        for n in range(len(rows)):
            if n != i:
                share = rows[n][i] / rows[i][i]
                rows[n] = [a - share * b for a, b in zip(rows[n], rows[i], strict=True)]
    return [row[-1] / row[i] for i, row in enumerate(rows)]


def f1(alike: Alike, first: Sequence[Pair], second: Sequence[Pair]) -> tuple[float, float, float]:
    """Choose the threshold on the first; give precision, recall and F1 on the second."""
    threshold = best_threshold([alike(p.one, p.other) for p in first], [p.same for p in first])
    called = [alike(p.one, p.other) >= threshold for p in second]
    right = sum(got and p.same for got, p in zip(called, second, strict=True))
    precision, recall = right / max(1, sum(called)), right / max(1, sum(p.same for p in second))
    return precision, recall, 2 * precision * recall / (precision + recall or 1.0)


def report(shared: Path, seed: int) -> Iterator[str]:
    """Report each way on the second half, chosen on the first; and on dev, chosen on train."""
    train, dev = (read(shared / name) for name in FILES)
    both = halves([*train, *dev], seed)
    for name, (first, second) in {f"seed {seed}": both, "train to dev": (train, dev)}.items():
        yield f"pairs, {name}: {len(second)} reported, {sum(p.same for p in second)} the same; P, R, F1"
        memory = words_of(first)
        tried = ways(title for pair in first for title in (pair.one, pair.other))
        tried["here, weights fitted on the first half"] = likeness_by(*fitted(first, memory), memory)
        tried["here, as shipped"] = likeness_by(WEIGHTS, BASE, memory)
        for way, alike in tried.items():
            yield "  " + " ".join(f"{figure:.3f}" for figure in f1(alike, first, second)) + f"  {way}"
