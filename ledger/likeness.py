"""How alike two titles are, on the scale on which people were asked: 0 nothing in common, 5 the same news.  Pure.

A sum of fifteen measures of what both titles say and what only one says.  Terms are those of ``workers.titles``:
numbers, places (``@france``), groups of words that headlines use for one another (``=kill``), and stems.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

WEIGHTS = {
    "shared": 1.08,
    "shared_of_the_less_shared": 1.14,
    "shared_of_the_more_shared": 1.23,
    "weight_shared": 0.0192,
    "rarest_alone": 0.0587,
    "other_numbers": -0.363,
    "number_added": -0.152,
    "same_number": 0.187,
    "other_places": -0.543,
    "place_added": -0.119,
    "other_days": -0.737,
    "opposite": -0.484,
    "same_order": 0.866,
    "same_beginning": 0.14,
    "words_alone": 0.0659,
}
"""Fitted by ridge regression on the pairs of the STS benchmark's headlines that are meant for training."""
BASE = -0.28

_DAYS = """monday tuesday wednesday thursday friday saturday sunday
    january february march april june july august september october november december"""
DAYS = frozenset(_DAYS.split())
OPPOSITES = (
    ("=rise", "=fall"), ("=win", "=lose"), ("=start", "=end"), ("=back", "=reject"), ("=buy", "=sell"),
    ("=free", "=arrest"), ("=free", "=jail"), ("=send", "=return"), ("inflow", "outflow"),
)  # fmt: skip

Weigh = Callable[[str], float]
"""How much a term tells: rare ones tell more."""


def likeness(one: Sequence[str], other: Sequence[str], weigh: Weigh) -> float:
    """Give how alike two titles are, about 0 to 5; the same whichever comes first."""
    found = measures(one, other, weigh)
    return BASE + sum(weight * found[name] for name, weight in WEIGHTS.items())


def measures(one: Sequence[str], other: Sequence[str], weigh: Weigh) -> dict[str, float]:
    """Give the measures by the names of ``WEIGHTS``."""
    a, b = _side(one, other, weigh), _side(other, one, weigh)
    return {
        "shared": _share(a.told + b.told, a.weight + b.weight),
        "shared_of_the_less_shared": min(a.share, b.share),
        "shared_of_the_more_shared": max(a.share, b.share),
        "weight_shared": (a.told + b.told) / 2,
        "rarest_alone": min(a.rarest, b.rarest),
        "other_numbers": float(bool(a.numbers and b.numbers)),
        "number_added": float(bool(a.numbers) != bool(b.numbers)),
        "same_number": float(bool(_numbers(set(one) & set(other)))),
        "other_places": float(bool(a.places and b.places)),
        "place_added": float(bool(a.places) != bool(b.places)),
        "other_days": float(bool(a.alone & DAYS and b.alone & DAYS)),
        "opposite": float(
            any((x in a.alone and y in b.alone) or (y in a.alone and x in b.alone) for x, y in OPPOSITES)
        ),
        "same_order": _same_order(one, other),
        "same_beginning": float(one[:1] == other[:1]),
        "words_alone": float(max(a.words_alone, b.words_alone)),
    }


@dataclass(frozen=True, slots=True)
class _Side:
    """What one title says, and how much of it the other says too."""

    weight: float
    told: float
    alone: frozenset[str]
    rarest: float

    @property
    def share(self) -> float:
        return _share(self.told, self.weight)

    @property
    def numbers(self) -> frozenset[str]:
        return _numbers(self.alone)

    @property
    def places(self) -> frozenset[str]:
        return frozenset(term for term in self.alone if term[0] == "@")

    @property
    def words_alone(self) -> int:
        return sum(not _is_marked(term) for term in self.alone)


def _side(one: Sequence[str], other: Sequence[str], weigh: Weigh) -> _Side:
    terms, others = dict.fromkeys(one), set(other)
    same = others | _compounds(one, others) | {x + y for x, y in pairwise(other)}
    rest = _by_first_letter(term for term in others if term not in terms)
    found = {
        term: 1.0 if term in same else max([_spelt_alike(term, o) for o in rest.get(term[0], ())], default=0.0)
        for term in terms
    }
    weights = {term: weigh(term) for term in terms}
    alone = frozenset(term for term, share in found.items() if share < ALIKE_MIN)
    return _Side(
        weight=sum(weights.values()),
        told=sum(weights[term] * share for term, share in found.items()),
        alone=alone,
        rarest=max((weights[term] for term in alone), default=0.0),
    )


def _compounds(one: Sequence[str], others: Collection[str]) -> set[str]:
    """Find neighbours that the other title writes as one word: horse meat, horsemeat."""
    return {term for x, y in pairwise(one) if x + y in others for term in (x, y)}


ALIKE_MIN = 0.55
SAME_BEGINNING = 0.9
SPELT_MIN = 4


def _by_first_letter(terms: Iterable[str]) -> Mapping[str, Sequence[str]]:
    """Give the words that another could be a spelling of: of four letters or more, by their first."""
    found: dict[str, list[str]] = {}
    for term in terms:
        if len(term) >= SPELT_MIN and not _is_marked(term):
            found.setdefault(term[0], []).append(term)
    return found


def _spelt_alike(one: str, other: str) -> float:
    """Give how alike two words of one first letter are spelt: Mursi and Morsi, sanction and sanctioned."""
    if len(one) < SPELT_MIN:
        return 0.0
    if len(one) > 4 and one[:5] == other[:5]:
        return SAME_BEGINNING
    a, b = ({word[i : i + 2] for i in range(len(word) - 1)} for word in (one, other))
    share = 2 * len(a & b) / (len(a) + len(b))
    return share if share >= ALIKE_MIN else 0.0


def _is_marked(term: str) -> bool:
    return term[0] in "@=" or term[0].isdigit()


def _numbers(terms: Collection[str]) -> frozenset[str]:
    return frozenset(term for term in terms if term[0].isdigit())


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _same_order(one: Sequence[str], other: Sequence[str]) -> float:
    """Give the share of both titles that is their longest common row of terms."""
    row = [0] * (len(other) + 1)
    for x in one:
        above, row = row, [0]
        for n, y in enumerate(other):
            row.append(above[n] + 1 if x == y else max(row[-1], above[n + 1]))
    return _share(2 * row[-1], len(one) + len(other))
