"""The usual ways to tell that titles are alike, to compare with: tf-idf, SimHash, MinHash.  Pure.

Each gives the likeness of two titles, 0 to 1; for groups, a title joins the story of the earlier title that it is most
like, from a threshold that is chosen as ours is.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from math import log, sqrt

Features = Mapping[str, float]
"""What a title says, weighed; the likeness of two titles is the sum of products, so an index finds the nearest."""
SLOTS = 128
BITS = 64


def words(title: str) -> list[str]:
    """Split a title into words without case."""
    return re.findall(r"[^\W_]+", title.casefold())


def numbers(title: str) -> frozenset[str]:
    """Give the numbers in a title."""
    return frozenset(word for word in words(title) if word[0].isdigit())


def tf_idf(known: Iterable[str]) -> Callable[[str], Features]:
    """Weigh words by how few of the known titles have them; the squares of a title sum to 1."""
    titles = list(known)
    having = Counter(word for title in titles for word in set(words(title)))

    def features(title: str) -> Features:
        counts = Counter(words(title))
        weights = {word: n * (log((1 + len(titles)) / (1 + having[word])) + 1) for word, n in counts.items()}
        length = sqrt(sum(weight * weight for weight in weights.values())) or 1.0
        return {word: weight / length for word, weight in weights.items()}

    return features


def min_hash(title: str) -> Features:
    """Give the least hash of the words for each of 128 orders: equal slots estimate Jaccard's share of words."""
    hashes = [blake2b(word.encode(), digest_size=8 * 2).digest() for word in set(words(title))]
    pairs = [(int.from_bytes(h[:8], "big"), int.from_bytes(h[8:], "big") | 1) for h in hashes]
    least = [min((a + slot * b) % 2**61 for a, b in pairs) for slot in range(SLOTS)] if pairs else []
    return {f"{slot} {value}": 1 / sqrt(SLOTS) for slot, value in enumerate(least)}


def sim_hash(title: str) -> int:
    """Give 64 bits, each what most words' hashes have there."""
    votes = [0] * BITS
    for word in words(title):
        value = int.from_bytes(blake2b(word.encode(), digest_size=8).digest(), "big")
        for bit in range(BITS):
            votes[bit] += 1 if value >> bit & 1 else -1
    return sum(1 << bit for bit, vote in enumerate(votes) if vote > 0)


def product(one: Features, other: Features) -> float:
    """Sum what both say."""
    return sum(weight * other[name] for name, weight in one.items() if name in other)


def same_bits(one: int, other: int) -> float:
    """Give the share of equal bits."""
    return 1 - (one ^ other).bit_count() / BITS


def guarded(likeness: float, one: str, other: str) -> float:
    """Halve the likeness of titles that both have numbers, and other ones."""
    mine, its = numbers(one), numbers(other)
    return likeness / 2 if mine and its and mine != its else likeness


Alike = Callable[[str, str], float]


def ways(known: Iterable[str]) -> dict[str, Alike]:
    """Give the ways to compare two titles; rare words are learnt from the titles given."""
    weigh = tf_idf(known)
    return {
        "tf-idf cosine": lambda a, b: product(weigh(a), weigh(b)),
        "tf-idf cosine, other numbers halve it": lambda a, b: guarded(product(weigh(a), weigh(b)), a, b),
        "MinHash-128 over words": lambda a, b: product(min_hash(a), min_hash(b)),
        "SimHash-64 over words": lambda a, b: same_bits(sim_hash(a), sim_hash(b)),
    }


Nearest = Sequence[tuple[float, int]]
"""Of each title the likeness to the earlier one it is most like, and that one's place."""


def nearest(titles: Sequence[str]) -> dict[str, Nearest]:
    """Find each title's nearest earlier one, by each way."""
    features = [*map(tf_idf(titles), titles)]
    hashes = [*map(sim_hash, titles)]
    bits = [max(((same_bits(hashes[n], hashes[m]), m) for m in range(n)), default=(0.0, n)) for n in range(len(titles))]
    return {
        "tf-idf cosine": _nearest(features, lambda n, m, alike: alike),
        "tf-idf cosine, other numbers halve it": _nearest(
            features, lambda n, m, alike: guarded(alike, titles[n], titles[m])
        ),
        "MinHash-128 over words": _nearest([*map(min_hash, titles)], lambda n, m, alike: alike),
        "SimHash-64 over words": bits,
    }


def _nearest(features: Sequence[Features], settle: Callable[[int, int, float], float]) -> Nearest:
    saying: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
    found = []
    for n, said in enumerate(features):
        alike: defaultdict[int, float] = defaultdict(float)
        for name, weight in said.items():
            for m, other in saying[name]:
                alike[m] += weight * other
            saying[name].append((n, weight))
        found.append(max(((settle(n, m, value), m) for m, value in alike.items()), default=(0.0, n)))
    return found


def grouped(near: Nearest, threshold: float) -> list[int]:
    """Let each title join the story of its nearest; name stories by their first title."""
    stories: list[int] = []
    for n, (alike, m) in enumerate(near):
        stories.append(stories[m] if alike >= threshold and m < n else n)
    return stories


def single_pass(titles: Sequence[str], threshold: float, *, guard: bool) -> list[int]:
    """Let each title join the story whose mean tf-idf it is most like, in one pass; name stories by their first."""
    weigh = tf_idf(titles)
    sums: dict[int, dict[str, float]] = {}
    told: dict[int, set[str]] = {}
    saying: defaultdict[str, set[int]] = defaultdict(set)
    stories = []
    for n, title in enumerate(titles):
        said = weigh(title)
        near = {story for word in said for story in saying[word]}
        alike = ((_to_mean(said, sums[story], numbers(title), told[story], guard=guard), story) for story in near)
        best, story = max(alike, default=(0.0, n))
        story = story if best >= threshold else n
        kept = sums.setdefault(story, {})
        for word, weight in said.items():
            kept[word] = kept.get(word, 0.0) + weight
            saying[word].add(story)
        told.setdefault(story, set()).update(numbers(title))
        stories.append(story)
    return stories


def _to_mean(said: Features, kept: Features, its: frozenset[str], others: set[str], *, guard: bool) -> float:
    alike = product(said, kept) / sqrt(sum([weight * weight for weight in kept.values()]))
    return alike / 2 if guard and its and others and its.isdisjoint(others) else alike
